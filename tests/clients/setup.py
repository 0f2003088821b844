#!/usr/bin/env python3
"""Installs the clients that the examples of docs/mqtt are run with: paho-mqtt, a parser of Structured Text, Node-RED.

    python3 tests/clients/setup.py TARGET [--screenshot]

TARGET gets

    clients/venv/         a Python environment with the wheels of requirements.txt, each by exact version and checked by sha256
    clients/node/         Node-RED and what it needs, each by exact version and checked by sha512 (package-lock.json); with
                          --screenshot also what takes its picture
    clients/made          of what the first was made, clients/node/made of what the second; each is written last

A second run that finds all this does nothing and needs no network. No code of a package runs while it is installed. With another
Python than 3.11 and 3.13 it says SKIPPED, and so does run.py, unless CI is set: there it is an error. Without Node.js 18, npm and
curl it says SKIPPED everywhere: Debian's npm is three hundred packages, which are not to be asked of whoever builds edged.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PYTHONS = [(3, 11), (3, 13)]
MACHINES = ["x86_64", "aarch64"]
# Node-RED 4 wants it.
NODE = 18


def fail(message):
    sys.exit(f"setup.py: {message}")


def run(*command, cwd=None):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        fail(f"{' '.join(map(str, command))} failed:\n{(done.stderr or done.stdout).strip()}")
    return done.stdout


def cannot_python():
    """Why the environment cannot be made here, or nothing."""
    found = sys.version_info[:2]
    if found not in PYTHONS or platform.python_implementation() != "CPython" or platform.machine() not in MACHINES:
        return (f"python3 is {platform.python_implementation()} {found[0]}.{found[1]} on {platform.machine()}, and the wheels are "
                f"for CPython 3.11 and 3.13 on {' and '.join(MACHINES)}")
    return None


def cannot_node():
    """Why Node-RED cannot be installed here, or nothing."""
    for program in ("node", "npm", "curl"):
        if not shutil.which(program):
            return f"no {program} here (Debian: apt-get install nodejs npm curl)"
    version = run("node", "--version").strip()
    number = re.match(r"v(\d+)", version)
    if not number or int(number.group(1)) < NODE:
        return f"node is {version}, and Node-RED wants {NODE} or later"
    return None


def is_made(made, wanted):
    return made.is_file() and made.read_text() == wanted


def digest(*paths):
    return " ".join(hashlib.sha256(path.read_bytes()).hexdigest() for path in paths)


def install_python(target):
    """The environment; `made` says of what, and is there only once all of it is."""
    made, venv, requirements = target / "made", target / "venv", HERE / "requirements.txt"
    wanted = f"{digest(requirements)} {sys.version}\n"
    if is_made(made, wanted) and (venv / "bin/python3").exists():
        return
    print("setup.py: installing paho-mqtt and a parser of Structured Text", flush=True)
    made.unlink(missing_ok=True)
    shutil.rmtree(venv, ignore_errors=True)
    target.mkdir(parents=True, exist_ok=True)
    # Without a pip of its own it needs neither the package python3-venv nor its room.
    run(sys.executable, "-m", "venv", "--without-pip", venv)
    run(sys.executable, "-m", "pip", "--python", venv / "bin/python3", "install", "--quiet", "--disable-pip-version-check",
        "--no-input", "--no-cache-dir", "--no-deps", "--only-binary=:all:", "--require-hashes", "--requirement", requirements)
    made.write_text(wanted)


def install_node(target, screenshot):
    node, files = target / "node", [HERE / "package.json", HERE / "package-lock.json"]
    made = node / "made"
    wanted = [f"{digest(*files)} {word}\n" for word in (("all",) if screenshot else ("all", "without screenshot"))]
    if any(is_made(made, text) for text in wanted):
        return
    print("setup.py: installing Node-RED", flush=True)
    shutil.rmtree(node, ignore_errors=True)
    node.mkdir(parents=True)
    for file in files:
        shutil.copy(file, node)
    # Exactly what the lock file names, or nothing. Scripts of packages build native modules that Node-RED can do without.
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    run("npm", "ci", *options, *([] if screenshot else ["--omit=dev"]), cwd=node)
    made.write_text(wanted[-1])


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--screenshot"]
    if len(arguments) != 1:
        sys.exit(__doc__)
    target = Path(arguments[0]).absolute() / "clients"
    screenshot = "--screenshot" in sys.argv
    why = cannot_python()
    if why and os.environ.get("CI"):
        fail(f"the clients for the examples are missing: {why}")
    for why, install in ((why, lambda: install_python(target)), (cannot_node(), lambda: install_node(target, screenshot))):
        if why:
            print(f"setup.py: SKIPPED: {why}", flush=True)
        else:
            install()


if __name__ == "__main__":
    main()
