#!/usr/bin/env python3
"""Prints a manual page that follows from the sources; packaging/dev/gen.sh keeps the files.

    python3 packaging/dev/page.py edged-dbus|edged-bundle

Needs Python 3.10 or later.
"""

import sys

sys.dont_write_bytecode = True

from manual import bundle, dbus  # noqa: E402  (nothing is to be left beside it)
from manual.source import Fault  # noqa: E402

PAGES = {"edged-dbus": dbus.written, "edged-bundle": bundle.written}

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in PAGES:
        sys.exit(__doc__)
    try:
        sys.stdout.write(PAGES[sys.argv[1]]())
    except (Fault, OSError) as fault:
        sys.exit(f"page.py: {fault}")
