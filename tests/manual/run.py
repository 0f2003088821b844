#!/usr/bin/env python3
"""Runs every example of the manual pages in sections 5 and 7 as it stands, against a real daemon with the demo models, and compares
what it prints with what the page shows.

    EDGE_BIN_DIR=target/release python3 tests/manual/run.py [PAGE...]

Ends with 1 at the first difference, which it prints. An example that names a program or a Python library which is not here is told by
SKIPPED: who builds edged needs none of them. In the section EXAMPLES of a page a block is what its paragraph before says:

    prints              what the block before prints
    The file NAME, ...  the contents of NAME
    anything else       commands, run by one shell for the whole page, in order

A page speaks of a box: the system bus, the broker `broker`, the box `press-7`, the models of the package. Here these are a private
bus, a broker of the tests, the stack's name, and what was fetched.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "tests/clients"), str(ROOT / "packaging/dev")]

import pages as shown  # noqa: E402  (the folders were just named)
import run as clients  # noqa: E402
from manual import roff  # noqa: E402

MAN = ROOT / "packaging/man"
PAGES = ["edged-dbus.7", "edged-bundle.5", "edged-mqtt.7"]
PICTURE = ROOT / "onnx-models/text-line/golden/serial.png"
# What an example needs, by how it is seen in it, and how one tries whether it is there; Debian's packages.
NEEDS = {
    "busctl ": ("command -v busctl", "systemd"),
    "gdbus ": ("command -v gdbus", "libglib2.0-bin"),
    "dbus-send ": ("command -v dbus-send", "dbus-bin"),
    "import dbus": ("/usr/bin/python3 -c 'import dbus'", "python3-dbus"),
    "from gi.": ("/usr/bin/python3 -c 'import gi'", "python3-gi"),
    "mosquitto_rr ": ("command -v mosquitto_rr", "mosquitto-clients"),
}


class Box:
    """The stack, and what stands on it for the names that pages use."""

    def __init__(self, stack):
        text = (stack.directory / "env").read_text()
        self.env = dict(re.findall(r"^export (\w+)='(.*)'$", text, re.M))

    def local(self, text):
        for name, here in (
            ("-h broker", f"-h {self.env['EDGE_MQTT_HOST']} -p {self.env['EDGE_MQTT_PORT']}"),
            ("press-7", self.env["EDGE_NODE"]),
            ("/usr/share/edged/bundles", str(ROOT / ".fetch/bundles")),
        ):
            text = text.replace(name, here)
        return text

    def environment(self):
        bins = clients.binaries()
        bus = self.env["DBUS_SESSION_BUS_ADDRESS"]
        return dict(os.environ, **self.env, DBUS_SYSTEM_BUS_ADDRESS=bus, PATH=f"{bins}:{os.environ['PATH']}", LC_ALL="C.UTF-8")


def lacking(commands):
    """What of that which the commands need is not here: Debian packages."""
    tried = [(needed, package) for sign, (needed, package) in NEEDS.items() if sign in commands]
    return [package for needed, package in tried if subprocess.run(needed, shell=True, capture_output=True, check=False).returncode != 0]


def perform(step, shell, box):
    """Runs one example; what was skipped, and why."""
    if step.file:
        (shell.directory / step.file).write_text(step.text)
        return None
    if missing := lacking(step.commands):
        return f"SKIPPED: no {', '.join(missing)} here (Debian packages)"
    printed, status = shell.run(box.local(step.commands))
    if status != 0:
        raise clients.Failed(f"ended with {status} and printed\n{printed}")
    wrong = step.prints is not None and shown.difference(box.local(step.prints), printed)
    if wrong:
        raise clients.Failed(f"did not print what the page shows:\n{wrong}")
    return None


def run_page(name, directory, box):
    directory.mkdir()
    shutil.copy(PICTURE, directory / "label.png")
    steps = roff.examples((MAN / name).read_text())
    if not steps:
        raise clients.Failed(f"{name} has no examples")
    with clients.Shell(directory, box.environment()) as shell:
        for step in steps:
            try:
                why = perform(step, shell, box)
            except clients.Failed as fault:
                raise clients.Failed(f"{name}: \"{step.title}\" {fault}") from fault
            if why:
                print(f"{name}: \"{step.title}\" {why}", flush=True)
    print(f"{name}: {len(steps)} examples, as the page says", flush=True)


def main():
    names = sys.argv[1:] or PAGES
    if unknown := set(names) - set(PAGES):
        sys.exit(f"run.py: no page {', '.join(sorted(unknown))}: there are {', '.join(PAGES)}")
    temporary = Path(tempfile.mkdtemp(prefix="edged-manual-"))
    try:
        with clients.Stack(temporary / "stack") as stack:
            box = Box(stack)
            for name in names:
                run_page(name, temporary / name, box)
    except clients.Failed as fault:
        sys.exit(str(fault))
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


if __name__ == "__main__":
    main()
