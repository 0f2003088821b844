#!/usr/bin/env python3
"""Holds bills of materials against CycloneDX's own schema.

    python3 packaging/dev/bills/check.py FETCHED BILL...

The first time, FETCHED/bills/venv gets the wheels of requirements.txt, each by exact version and checked by sha256; after that no network
is needed. With another Python than 3.11 and 3.13 it says SKIPPED, unless CI is set: there it is an error.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent / "requirements.txt"
PYTHONS = [(3, 11), (3, 13)]
# Run by the Python of the environment; the first line that a bill fails at is enough to find it.
PROGRAM = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
validator = JsonStrictValidator(SchemaVersion.V1_6)
for name in sys.argv[1:]:
    with open(name, encoding="utf-8") as file:
        fault = validator.validate_str(file.read())
    if fault is not None:
        sys.exit(f"{name} is no CycloneDX 1.6: {str(fault.data)[:2000]}")
"""


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"check.py: {(done.stderr or done.stdout).strip()}")


def install(place):
    """The environment; `made` says of what, and is there only once all of it is."""
    made, python = place / "made", place / "venv/bin/python3"
    wanted = f"{hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()} {sys.version}\n"
    if made.is_file() and made.read_text() == wanted and python.exists():
        return python
    made.unlink(missing_ok=True)
    shutil.rmtree(place / "venv", ignore_errors=True)
    place.mkdir(parents=True, exist_ok=True)
    run(sys.executable, "-m", "venv", "--without-pip", place / "venv")
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check", "--no-input",
        "--no-cache-dir", "--no-deps", "--only-binary=:all:", "--require-hashes", "--requirement", REQUIREMENTS)
    made.write_text(wanted)
    return python


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    found = sys.version_info[:2]
    if found not in PYTHONS or platform.python_implementation() != "CPython":
        why = f"the wheels are for CPython 3.11 and 3.13, and this is {platform.python_implementation()} {found[0]}.{found[1]}"
        if os.environ.get("CI"):
            sys.exit(f"check.py: bills cannot be held against their schema: {why}")
        print(f"check.py: SKIPPED: {why}")
        return
    run(install(Path(sys.argv[1]).absolute() / "bills"), "-c", PROGRAM, *sys.argv[2:])


if __name__ == "__main__":
    main()
