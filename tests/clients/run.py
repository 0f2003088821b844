#!/usr/bin/env python3
"""Runs every example of docs/mqtt as it stands, against a real broker and a real daemon with the demo models, and compares what it
prints with what the page shows.

    EDGE_BIN_DIR=target/release python3 tests/clients/run.py INSTALLED [PAGE...]

INSTALLED is what setup.py filled (.fetch/clients). Ends with 1 at the first difference, which it prints; what was not installed
is told by SKIPPED. How a page is read: pages.py. With UPDATE_GOLDENS=1 the pages get what was printed instead: read the
difference before you commit it.
"""

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True

import pages  # noqa: E402  (nothing is to be left beside it)

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs/mqtt"
# One block; the slowest waits for a Node-RED to start, on a machine with something else to do.
PATIENCE_S = 120
# What the examples name, from the root of the tree.
NAMED = ["docs", "onnx-models", "tests"]


class Failed(Exception):
    """An example did not do what its page says."""


def binaries():
    return Path(os.environ.get("EDGE_BIN_DIR", ROOT / "target/release")).absolute()


class Stack:
    """Bus, broker and daemon with the pages' binding, as `make up` starts them; stopped with the block."""

    def __init__(self, directory):
        self.program = binaries() / "edge-stack"
        self.directory = directory

    def __enter__(self):
        more = self.directory / "edged.toml.d"
        more.mkdir(parents=True)
        shutil.copy(DOCS / "parts.toml", more)
        self.call("up")
        return self

    def __exit__(self, *_):
        self.call("down")

    def call(self, verb):
        done = subprocess.run([self.program, verb, self.directory], cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"edge-stack {verb} failed:\n{done.stdout}{done.stderr}")


class Shell:
    """A bash that runs one block after the other and keeps its variables; ended with the block, and all that it started."""

    def __init__(self, directory, environment):
        self.directory = directory
        self.ends, ends = os.pipe()
        self.bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"], cwd=directory, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, pass_fds=[ends], start_new_session=True, text=True)
        os.close(ends)
        self.say = f">&{ends}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # The group is this shell's own, so this ends what the page left running and nothing else.
        try:
            os.killpg(self.bash.pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
        self.bash.stdin.close()
        self.bash.wait()
        os.close(self.ends)

    def run(self, commands):
        """What the commands print, and the status of the last one."""
        block, printed = self.directory / ".block", self.directory / ".printed"
        block.write_text(commands)
        self.bash.stdin.write(f". ./.block >.printed 2>&1 </dev/null; echo $? {self.say}\n")
        self.bash.stdin.flush()
        status = self.status()
        text = printed.read_text(errors="replace")
        if status is None:
            raise Failed(f"did not end within {PATIENCE_S} s; so far it printed\n{text}")
        return text, status

    def status(self):
        """The number that the shell says at the end of a block; nothing if that takes too long."""
        ready, _, _ = select.select([self.ends], [], [], PATIENCE_S)
        said = os.read(self.ends, 16) if ready else b""
        if ready and not said:
            raise Failed("ended the shell")
        return int(said) if said else None


def free_port():
    """A port that nobody listens on now, for the examples that open one."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


def environment(installed):
    """That of a reader who has activated the Python environment and has node on the path."""
    path = [str(installed / "venv/bin"), str(installed / "node/node_modules/.bin"), str(binaries()), os.environ["PATH"]]
    return dict(os.environ, NODE_RED_PORT=free_port(), PATH=":".join(path), PYTHONDONTWRITEBYTECODE="1", PYTHONUNBUFFERED="1", LC_ALL="C.UTF-8")


def place(directory, stack):
    """A directory in which the paths that pages name are what they are at the root of the tree."""
    directory.mkdir()
    for name in NAMED:
        (directory / name).symlink_to(ROOT / name)
    (directory / ".run").symlink_to(stack.directory)
    return directory


def perform(step, shell):
    """What a step printed, if the page shows something else and is to be updated."""
    if step.file:
        (shell.directory / step.file).write_text(step.text)
        return None
    printed, status = shell.run(step.commands)
    if status != 0:
        raise Failed(f"ended with {status} and printed\n{printed}")
    if step.prints is None or not (wrong := pages.difference(step.prints, printed)):
        return None
    if "UPDATE_GOLDENS" in os.environ:
        return printed
    raise Failed(f"did not print what the page shows:\n{wrong}")


def run_page(page, directory, installed, stack):
    begin, name = time.monotonic(), page.relative_to(ROOT)
    text = page.read_text()
    steps, printed = pages.steps(text), {}
    with Shell(place(directory, stack), environment(installed)) as shell:
        for step in steps:
            try:
                new = perform(step, shell)
            except Failed as fault:
                raise Failed(f"{name}:{step.line}: the example {fault}") from fault
            if new is not None:
                printed[step.line] = new
    if printed:
        page.write_text(pages.updated(text, printed))
    what = f"{len(printed)} rewritten" if printed else "as the page says"
    print(f"{name}: {len(steps)} blocks, {what}, {time.monotonic() - begin:.1f} s", flush=True)


def units(installed):
    """The tests that need no broker."""
    command = [installed / "venv/bin/python3", "-m", "unittest", "discover", "-s", Path(__file__).parent]
    done = subprocess.run(command, env=environment(installed), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.stderr)
    print(f"tests/clients/test_clients.py: {done.stderr.splitlines()[-3]}", flush=True)


def skipped(page, installed):
    """Why this page cannot be run here, or nothing."""
    if page.name == "node-red.md" and not (installed / "node/made").exists():
        return "Node-RED is not installed"
    return None


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    installed = Path(sys.argv[1]).absolute()
    if not (installed / "made").exists():
        # setup.py has said why, and where CI is set it has ended in an error.
        print("run.py: SKIPPED: no client is installed", flush=True)
        return
    units(installed)
    named = [Path(name).absolute() for name in sys.argv[2:]] or [page for page in DOCS.glob("*.md") if pages.steps(page.read_text())]
    # However they are named: bindings.md shows counters, and so is the first.
    wanted = sorted(named)
    temporary = Path(tempfile.mkdtemp(prefix="edged-clients-"))
    try:
        with Stack(temporary / "stack") as stack:
            for page in wanted:
                if why := skipped(page, installed):
                    print(f"{page.relative_to(ROOT)}: SKIPPED: {why}", flush=True)
                    continue
                run_page(page, temporary / page.stem, installed, stack)
    except Failed as fault:
        sys.exit(str(fault))
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


if __name__ == "__main__":
    main()
