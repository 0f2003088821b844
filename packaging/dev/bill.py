#!/usr/bin/env python3
"""Writes the bill of materials of a package and the notices of what is in it by others.

    python3 packaging/dev/bill.py PACKAGE OUTDIR [--target TRIPLE] [--fetched DIR]

PACKAGE is edged, edged-onnxruntime, edged-openvino or edged-models. OUTDIR gets

    PACKAGE.cdx.json        CycloneDX 1.6: components, licences, digests, origins, what needs what
    third-party-notices     for each component its licence, and the text of each licence once

The same tree, lock file and toolchain give the same bytes. The time is that of SOURCE_DATE_EPOCH; without it none is named.
Nothing is fetched: the sources of the crates lie in cargo's registry once the programs were built (or after `cargo fetch --locked`),
the wheels in .fetch after `make fetch`. A component whose licence has no text is an error. Needs Python 3.11 or later.
"""

import argparse
import os
import sys
import tomllib
from pathlib import Path

from bills import crates, document, fetched, foreign, texts
from bills.document import Component
from bills.spdx import Fault

TITLES = {
    "edged": "The inference daemon and its command",
    "edged-onnxruntime": "ONNX Runtime for edged",
    "edged-openvino": "OpenVINO's execution provider for edged",
    "edged-models": "Models for edged",
}
INTRODUCTIONS = {
    "edged": ["edged and edgectl are Copyright the authors of edged, under the Apache License 2.0. They are built of what is listed",
              "here: each with its licence as its authors state it, and in brackets the numbers of the texts below that came with it.",
              "Of alternatives (OR) any may be chosen. Components for building alone are listed, too: code that they write is in the programs."],
    "edged-onnxruntime": ["The library is Microsoft's build, as it is in the wheel that the bill names. What else is in it is told by its own",
                          "notices, which are the second text; they do not tell versions."],
    "edged-openvino": ["The libraries are Intel's build, as they are in the wheel that the bill names, without those for other devices.",
                       "What else is in them is told by their own notices."],
    "edged-models": ["Each model with its licence, and where it comes from; golden pictures and sounds were made for edged unless it says so."],
}
READERS = {"edged-onnxruntime": fetched.runtime, "edged-openvino": fetched.openvino, "edged-models": fetched.models}


def own_version():
    return tomllib.loads((texts.ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]


def read(package, target, place):
    """The subject of the bill, its components, what each needs, and the tools."""
    version = own_version()
    if package == "edged":
        roots, components, needs = crates.bill(target)
        library, within = foreign.standard_library()
        top = {crates.reference({root: {"source": None}}, root) for root in roots}
        for reference in top:
            needs[reference] = needs[reference] | {library[0].reference}
        tools = [tool(version), Component("cargo", foreign.rust_version(), None, kind="application")]
        return subject(package, version, "Apache-2.0"), [*components, *library], {**needs, **within}, tools, top
    components, needs = READERS[package](place, target.split("-")[0])
    top = {component.reference for component in components} - {other for others in needs.values() for other in others}
    licence = " AND ".join(dict.fromkeys(component.licence for component in components if component.texts))
    return subject(package, version, licence), components, needs, [tool(version)], top


def subject(package, version, licence):
    kind = "application" if package == "edged" else "library" if package in ("edged-onnxruntime", "edged-openvino") else "data"
    return Component(package, version, licence, kind=kind, reference=f"package:{package}@{version}", description=TITLES[package])


def tool(version):
    return Component("packaging/dev/bill.py", version, None, kind="application")


def write(package, out, target, place):
    of_package, components, needs, tools, top = read(package, target, place)
    needs[of_package.reference] = top
    partly = package in ("edged-onnxruntime", "edged-openvino")
    bill = document.bill(of_package, components, needs, tools, os.environ.get("SOURCE_DATE_EPOCH"), partly)
    title = f"THIRD-PARTY NOTICES OF {package} {of_package.version}"
    foreigners = [component for component in components if component.texts]
    notices = texts.notices(title, INTRODUCTIONS[package], foreigners)
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{package}.cdx.json").write_text(bill, encoding="utf-8")
    (out / "third-party-notices").write_text(notices, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", choices=sorted(TITLES))
    parser.add_argument("out", type=Path, metavar="OUTDIR")
    parser.add_argument("--target", help="what is built for, as rustc names it; this machine unless said")
    parser.add_argument("--fetched", type=Path, default=texts.ROOT / ".fetch", help="what onnx-models/fetch.py filled")
    arguments = parser.parse_args()
    try:
        write(arguments.package, arguments.out, arguments.target or foreign.host(), arguments.fetched)
    except (Fault, OSError) as fault:
        sys.exit(f"bill.py: {fault}")


if __name__ == "__main__":
    main()
