#!/usr/bin/env python3
"""Draws pictures to measure two of the bundles with, others than those that they were made of.

    python3 onnx-models/make_samples.py part-type DIR         40 pictures of each part that is enrolled, a directory for each
    python3 onnx-models/make_samples.py part-type-others DIR  the same of parts that nobody enrolled
    python3 onnx-models/make_samples.py surface-flaws DIR     100 good pictures of bricks that were not fitted, 100 of each flaw
    edgectl models eval .fetch/bundles/part-type --data DIR

Needs: pip install pillow numpy opencv-python-headless; for surfaces also scikit-image==0.26.0 onnxruntime.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

import drawings

REST = (288, 512)


def parts(kinds):
    random = np.random.default_rng(62)
    for part in kinds:
        for _ in range(40):
            yield part, drawings.any_photograph(part, random)


def surfaces():
    from fit_surface import brick

    random = np.random.default_rng(3)
    for pixels in brick(REST, 100, seed=2):
        yield "good", pixels
    for place, flaw in enumerate(drawings.FLAWS):
        for pixels in brick(REST, 100, seed=10 + place):
            yield flaw, drawings.flawed(pixels, flaw, random)


MAKERS = {"part-type": lambda: parts(drawings.PARTS), "part-type-others": lambda: parts(drawings.OTHERS),
          "surface-flaws": surfaces}


def main():
    parser = argparse.ArgumentParser(description="Draws pictures to measure bundles with.")
    parser.add_argument("what", choices=MAKERS)
    parser.add_argument("directory", type=Path)
    arguments = parser.parse_args()
    for number, (label, pixels) in enumerate(MAKERS[arguments.what]()):
        place = arguments.directory / label / f"{number}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place, quality=92)


if __name__ == "__main__":
    main()
