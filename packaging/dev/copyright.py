#!/usr/bin/env python3
"""Prints debian/copyright, from the bills of what is built for both architectures; packaging/dev/gen.sh keeps the file.

    python3 packaging/dev/copyright.py

The sources of all crates have to lie in cargo's registry: `cargo fetch --locked`. Needs Python 3.11 or later.
"""

import sys

from bills import copyright
from bills.spdx import Fault

if __name__ == "__main__":
    try:
        sys.stdout.write(copyright.written())
    except (Fault, OSError) as fault:
        sys.exit(f"copyright.py: {fault}")
