#!/usr/bin/env python3
"""Rewrites the last part of each manifest: the golden answers, and size and sha256 of every file.

    python3 onnx-models/seal.py [TARGET]

TARGET is where fetch.py put the weights (default .fetch). Run it after changing a golden answer; review the difference
before committing it. The test models are sealed by make_test_models.py.
"""

import argparse
import hashlib
from pathlib import Path

HERE = Path(__file__).resolve().parent
MARK = "# From here on written by seal.py.\n"

TYPES = {".jpg": "image/jpeg", ".png": "image/png", ".wav": "audio/wav"}
TOLERANCE = {"text-line": 0.05, "text-direction": 0.05, "text-boxes": 0.05, "label-reader": 0.05,
             "file-type": 0.02, "speech": 0.02, "table-lines": 0.003,
             "character-boxes": 0.05, "part-type": 0.01, "surface-flaws": 0.02}


def goldens(bundle, directory):
    for expected in sorted(directory.glob("golden/*.expected.json")):
        given = expected.name.removesuffix(".expected.json")
        yield "[[golden]]"
        yield f'input = "golden/{given}"'
        yield f'content_type = "{TYPES.get(Path(given).suffix, "application/octet-stream")}"'
        yield f'expected = "golden/{expected.name}"'
        yield f"tolerance = {TOLERANCE[bundle]}"
        yield ""


def files(fetched, directory):
    for path in sorted(fetched.glob("*")):
        if path.is_file() and path.name != "model.toml" and not (directory / path.name).exists():
            yield path.name, path.read_bytes()
    for path in sorted(directory.rglob("*")):
        if path.is_file() and path.name != "model.toml":
            yield str(path.relative_to(directory)), path.read_bytes()


def seal(bundle, directory, fetched):
    manifest = directory / "model.toml"
    head = manifest.read_text().split(MARK)[0].rstrip("\n")
    lines = list(goldens(bundle, directory))
    for name, content in files(fetched, directory):
        lines += ["[[file]]", f'path = "{name}"', f"bytes = {len(content)}",
                  f'sha256 = "{hashlib.sha256(content).hexdigest()}"', ""]
    manifest.write_text(head + "\n\n" + MARK + "\n" + "\n".join(lines).rstrip("\n") + "\n")


def main():
    parser = argparse.ArgumentParser(description="Seals the manifests of the demo bundles.")
    parser.add_argument("target", nargs="?", type=Path, default=HERE.parent / ".fetch", help="where fetch.py put the weights")
    bundles = parser.parse_args().target / "bundles"
    # A manifest without its weights would be sealed as if it had none.
    own = [name for name in TOLERANCE if "[pipeline]" not in (HERE / name / "model.toml").read_text()]
    missing = [name for name in own if not (bundles / name / "model.onnx").is_file()]
    if missing:
        parser.error(f"no weights of {', '.join(missing)} below {bundles}: run fetch.py first; nothing was changed")
    for bundle in TOLERANCE:
        seal(bundle, HERE / bundle, bundles / bundle)


if __name__ == "__main__":
    main()
