#!/usr/bin/env python3
"""Makes the tiny bundles under test/, which are committed: some that work, and one with each fault.

    add             c = a + b, FP32 [-1, 4]; batches of up to 8
    echo-types      one input and one output of nearly every datatype, each returned as it came
    spin            runs as long as the request says: `trips` iterations of a small multiplication, a microsecond or so each
    spin-together   the same in batches of up to 4: runs as long as the most patient member says
    unique-rows     gives each row that it gets once, and says of itself that its rows are independent
    wants-cuda      asks for CUDA and for nothing else
    either          adds on OpenVINO, or where that is not, on the CPU
    things          finds red and green squares in a picture, as detectors tell them
    shapes          the same with their shapes, as detectors with masks tell them
    areas           tells red, green and blue areas of a picture from the rest
    spots           tells bright spots of a picture, as models for anomalies tell defects; FP16 in and out
    likeness        tells pictures by the colours of their halves
    named           likeness, with those that are known in the part `known`
    toned           multiplies by weights in the part `base` and by what the adapter `tone` adds
    base, tone, known    the parts of these two
    select          the positive ones of FP32 [-1]: how many there are depends on the numbers, not on their count
    wrong-golden    add, with an expected answer that is not the sum
    wrong-sha256    add, with a digest in its manifest that is not the file's
    unknown-key     add, with a key in its manifest that nobody knows
    corrupt         a model file that is no model

Needs: pip install onnx numpy onnxruntime (for the form of adapters)
"""

import hashlib
import json
import shutil
import struct
import tempfile
import zlib
from pathlib import Path

import numpy as np
import onnxruntime
from onnx import TensorProto, checker, external_data_helper, helper, numpy_helper

TEST = Path(__file__).resolve().parent / "test"

TYPES = {
    "bool": TensorProto.BOOL, "uint8": TensorProto.UINT8, "uint16": TensorProto.UINT16, "uint32": TensorProto.UINT32,
    "uint64": TensorProto.UINT64, "int8": TensorProto.INT8, "int16": TensorProto.INT16, "int32": TensorProto.INT32,
    "int64": TensorProto.INT64, "fp16": TensorProto.FLOAT16, "fp32": TensorProto.FLOAT, "fp64": TensorProto.DOUBLE,
    "bytes": TensorProto.STRING,
}


def model(graph):
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="edged", ir_version=8)
    checker.check_model(made)
    return made.SerializeToString()


def value(name, kind, shape):
    return helper.make_tensor_value_info(name, kind, shape)


def add():
    kind, shape = TensorProto.FLOAT, ["n", 4]
    nodes = [helper.make_node("Add", ["a", "b"], ["c"])]
    return model(helper.make_graph(nodes, "add", [value("a", kind, shape), value("b", kind, shape)],
                                   [value("c", kind, shape)]))


def echo_types():
    nodes = [helper.make_node("Identity", [name], [f"{name}_out"]) for name in TYPES]
    return model(helper.make_graph(
        nodes, "echo", [value(name, kind, ["n", 2]) for name, kind in TYPES.items()],
        [value(f"{name}_out", kind, ["n", 2]) for name, kind in TYPES.items()]))


def looped():
    """Nodes and constants that compute `end` from `trips`, iteration by iteration."""
    matrix = numpy_helper.from_array(np.eye(16, dtype=np.float32), "matrix")
    start = numpy_helper.from_array(np.ones((16, 16), np.float32), "start")
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("MatMul", ["before", "matrix"], ["after"])],
        "body", [value("at", TensorProto.INT64, []), value("go", TensorProto.BOOL, []),
                 value("before", TensorProto.FLOAT, [16, 16])],
        [value("go_on", TensorProto.BOOL, []), value("after", TensorProto.FLOAT, [16, 16])], [matrix])
    return helper.make_node("Loop", ["trips", "", "start"], ["end"], body=body), start


def spin():
    loop, start = looped()
    nodes = [loop, helper.make_node("ReduceSum", ["end"], ["sum"], keepdims=0)]
    return model(helper.make_graph(nodes, "spin", [value("trips", TensorProto.INT64, [1])],
                                   [value("sum", TensorProto.FLOAT, [])], [start]))


def spin_together():
    loop, start = looped()
    zero = numpy_helper.from_array(np.zeros(1, np.float32), "zero")
    nodes = [helper.make_node("ReduceMax", ["each"], ["trips"], keepdims=0), loop,
             helper.make_node("ReduceSum", ["end"], ["one"], keepdims=0),
             helper.make_node("Cast", ["each"], ["shape"], to=TensorProto.FLOAT),
             helper.make_node("Mul", ["shape", "zero"], ["zeros"]), helper.make_node("Add", ["zeros", "one"], ["sum"])]
    return model(helper.make_graph(nodes, "spin-together", [value("each", TensorProto.INT64, ["n", 1])],
                                   [value("sum", TensorProto.FLOAT, ["n", 1])], [start, zero]))


def select():
    zero = numpy_helper.from_array(np.zeros(1, np.float32), "zero")
    nodes = [helper.make_node("Greater", ["x", "zero"], ["is_positive"]),
             helper.make_node("Compress", ["x", "is_positive"], ["y"], axis=0)]
    return model(helper.make_graph(nodes, "select", [value("x", TensorProto.FLOAT, ["n"])],
                                   [value("y", TensorProto.FLOAT, ["m"])], [zero]))


def unique_rows():
    kind = TensorProto.FLOAT
    nodes = [helper.make_node("Unique", ["each"], ["once"], axis=0)]
    return model(helper.make_graph(nodes, "unique-rows", [value("each", kind, ["n", 4])],
                                   [value("once", kind, ["m", 4])]))


def things():
    """The mean of red and of green in each cell of 8 x 8 pixels is the score of that label, and the cell its rectangle:
    [1, 4 + 2, 64] as YOLO has it."""
    middle = np.arange(8, dtype=np.float32) * 8 + 4
    x, y = np.tile(middle, 8), np.repeat(middle, 8)
    side = np.full(64, 8, np.float32)
    constants = [numpy_helper.from_array(np.stack([x, y, side, side])[None], "cells"),
                 numpy_helper.from_array(np.array([0], np.int64), "first"),
                 numpy_helper.from_array(np.array([2], np.int64), "third"),
                 numpy_helper.from_array(np.array([1], np.int64), "axis"),
                 numpy_helper.from_array(np.array([1, 2, 64], np.int64), "flat")]
    nodes = [helper.make_node("AveragePool", ["images"], ["means"], kernel_shape=[8, 8], strides=[8, 8]),
             helper.make_node("Slice", ["means", "first", "third", "axis"], ["colours"]),
             helper.make_node("Reshape", ["colours", "flat"], ["scores"]),
             helper.make_node("Concat", ["cells", "scores"], ["output0"], axis=1)]
    return model(helper.make_graph(nodes, "things", [value("images", TensorProto.FLOAT, [1, 3, 64, 64])],
                                   [value("output0", TensorProto.FLOAT, [1, 6, 64])], constants))


def shapes():
    """Each cell of 8 x 8 pixels as in `things`, with a rectangle of 32 x 32 around it; its mask is red or green where the means
    of 4 x 4 pixels are: [1, 4 + 2 + 2, 64] and prototypes [1, 2, 16, 16]."""
    middle = np.arange(8, dtype=np.float32) * 8 + 4
    x, y = np.tile(middle, 8), np.repeat(middle, 8)
    side = np.full(64, 32, np.float32)
    constants = [numpy_helper.from_array(np.stack([x, y, side, side])[None], "cells"),
                 numpy_helper.from_array(np.array([0], np.int64), "first"),
                 numpy_helper.from_array(np.array([2], np.int64), "third"),
                 numpy_helper.from_array(np.array([1], np.int64), "axis"),
                 numpy_helper.from_array(np.array([1, 2, 64], np.int64), "flat"),
                 numpy_helper.from_array(np.array(0.5, np.float32), "half"),
                 numpy_helper.from_array(np.array(20, np.float32), "twenty")]
    nodes = [helper.make_node("Slice", ["images", "first", "third", "axis"], ["colours"]),
             helper.make_node("AveragePool", ["colours"], ["means"], kernel_shape=[8, 8], strides=[8, 8]),
             helper.make_node("Reshape", ["means", "flat"], ["scores"]),
             helper.make_node("Concat", ["cells", "scores", "scores"], ["output0"], axis=1),
             helper.make_node("AveragePool", ["colours"], ["fine"], kernel_shape=[4, 4], strides=[4, 4]),
             helper.make_node("Sub", ["fine", "half"], ["above"]),
             helper.make_node("Mul", ["above", "twenty"], ["output1"])]
    return model(helper.make_graph(nodes, "shapes", [value("images", TensorProto.FLOAT, [1, 3, 64, 64])],
                                   [value("output0", TensorProto.FLOAT, [1, 8, 64]),
                                    value("output1", TensorProto.FLOAT, [1, 2, 16, 16])], constants))


def areas():
    """A constant for the rest, and the means of red, green and blue in each cell of 4 x 4 pixels: [1, 4, 16, 16]."""
    rest = numpy_helper.from_array(np.full((1, 1, 16, 16), 0.25, np.float32), "rest")
    nodes = [helper.make_node("AveragePool", ["images"], ["means"], kernel_shape=[4, 4], strides=[4, 4]),
             helper.make_node("Concat", ["rest", "means"], ["scores"], axis=1)]
    return model(helper.make_graph(nodes, "areas", [value("images", TensorProto.FLOAT, [1, 3, 64, 64])],
                                   [value("scores", TensorProto.FLOAT, [1, 4, 16, 16])], [rest]))


def spots():
    """The mean brightness of each cell of 4 x 4 pixels times ten: [1, 1, 16, 16]."""
    ten = numpy_helper.from_array(np.array(10, np.float32), "ten")
    nodes = [helper.make_node("Cast", ["images"], ["whole"], to=TensorProto.FLOAT),
             helper.make_node("AveragePool", ["whole"], ["means"], kernel_shape=[4, 4], strides=[4, 4]),
             helper.make_node("Mul", ["means", "ten"], ["levels"]),
             helper.make_node("Cast", ["levels"], ["anomaly_map"], to=TensorProto.FLOAT16)]
    return model(helper.make_graph(nodes, "spots", [value("images", TensorProto.FLOAT16, [1, 1, 64, 64])],
                                   [value("anomaly_map", TensorProto.FLOAT16, [1, 1, 16, 16])], [ten]))


def likeness():
    """The means of red, green and blue in both halves: [1, 6]."""
    flat = numpy_helper.from_array(np.array([1, 6], np.int64), "flat")
    nodes = [helper.make_node("AveragePool", ["images"], ["means"], kernel_shape=[64, 32], strides=[64, 32]),
             helper.make_node("Reshape", ["means", "flat"], ["embedding"])]
    return model(helper.make_graph(nodes, "likeness", [value("images", TensorProto.FLOAT, [1, 3, 64, 64])],
                                   [value("embedding", TensorProto.FLOAT, [1, 6])], [flat]))


def png(pixels):
    """A PNG of [height, width, 3] bytes."""
    height, width, _ = pixels.shape

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


def squares(height, width, *coloured):
    """Black, with squares: (left, top, side, (red, green, blue))."""
    return rectangles(height, width, *[(left, top, side, side, colour) for left, top, side, colour in coloured])


def rectangles(height, width, *coloured):
    """Black, with rectangles: (left, top, width, height, (red, green, blue))."""
    pixels = np.zeros((height, width, 3), np.uint8)
    for left, top, wide, high, colour in coloured:
        pixels[top:top + high, left:left + wide] = colour
    return png(pixels)


PICTURE = """[input]
kind = "picture"
tensor = "images"
width = 64
height = 64
fit = "letterbox"
channels = "rgb"

"""

THINGS = PICTURE + """[output]
kind = "objects"
labels = ["red", "green"]
threshold = 0.6

[output.head]
kind = "yolo"
tensor = "output0"
objectness = false
planes = true
"""


SHAPES = THINGS.replace("[output.head]", """overlap = 0.2

[output.masks]
tensor = "output1"
tolerance = 0.4

[output.head]""")

AREAS = PICTURE + """[output]
kind = "segmentation"
tensor = "scores"
labels = ["rest", "red", "green", "blue"]
background = "rest"

[output.outlines]
tolerance = 0.5
min_area = 0.01
"""

SPOTS = PICTURE.replace("rgb", "grey") + """[output]
kind = "anomaly"
map = "anomaly_map"
min = 0
max = 8
threshold = 0.5

[output.outlines]
tolerance = 0.5
"""

LIKENESS = PICTURE.replace("letterbox", "stretch") + """[output]
kind = "embedding"
tensor = "embedding"
normalise = true
enrolled = "enrolled.jsonl"
threshold = 0.4
"""

# Red and green in the left and in the right half, then blue.
ENROLLED = "".join(json.dumps({"label": label, "embedding": numbers}) + "\n" for label, numbers in [
    ("all red", [1, 1, 0, 0, 0, 0]), ("red and green", [1, 0, 0, 1, 0, 0]), ("all blue", [0, 0, 0, 0, 1, 1]),
    ("all red", [0.5, 0.4, 0, 0, 0, 0])])


def tensors(**named):
    return json.dumps({"tensors": [{"name": name, "shape": list(np.shape(data)), "data": np.ravel(data).tolist()}
                                   for name, data in named.items()]}) + "\n"


ADD_IN = tensors(a=[[1.0, 2.0, 3.0, 4.0]], b=[[0.5, 0.5, -3.0, 10.0]])
ADD_OUT = tensors(c=[[1.5, 2.5, 0.0, 14.0]])


def toned():
    """y = x (W + A B): W lies in a file of its own, A and B are what an adapter says, nothing unless it does."""
    kind = TensorProto.FLOAT
    base = numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")
    external_data_helper.set_external_data(base, "w.bin", offset=0, length=64)
    base.ClearField("raw_data")
    none = np.zeros((4, 4), np.float32)
    nodes = [helper.make_node("MatMul", ["lora_a", "lora_b"], ["low"]), helper.make_node("Add", ["w", "low"], ["all"]),
             helper.make_node("MatMul", ["x", "all"], ["y"])]
    graph = helper.make_graph(nodes, "toned", [value("x", kind, ["n", 4]), value("lora_a", kind, [4, 4]),
                                               value("lora_b", kind, [4, 4])], [value("y", kind, ["n", 4])],
                              [base, numpy_helper.from_array(none, "lora_a"), numpy_helper.from_array(none, "lora_b")])
    # The checker would look for the file of the weights.
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="edged",
                             ir_version=8).SerializeToString()


def tone():
    """An adapter of ONNX Runtime for it: A B is the identity."""
    one = onnxruntime.OrtValue.ortvalue_from_numpy(np.eye(4, dtype=np.float32))
    adapter = onnxruntime.AdapterFormat()
    adapter.set_adapter_version(1)
    adapter.set_model_version(1)
    adapter.set_parameters({"lora_a": one, "lora_b": one})
    with tempfile.TemporaryDirectory() as directory:
        path = str(Path(directory) / "tone.onnx_adapter")
        adapter.export_adapter(path)
        return Path(path).read_bytes()


def part(name, kind, files, about, base=()):
    directory = TEST / name
    directory.mkdir(parents=True, exist_ok=True)
    lines = [f'kind = "{kind}"', f'name = "{name}"', 'version = "1.0.0"', 'licence = "Apache-2.0"',
             f'description = "{about}"', *([f"base = {json.dumps(list(base))}"] if base else []), ""]
    for path, content in sorted(files.items()):
        (directory / path).write_bytes(content)
        lines += ["[[file]]", f'path = "{path}"', f"bytes = {len(content)}",
                  f'sha256 = "{hashlib.sha256(content).hexdigest()}"', ""]
    (directory / "model.toml").write_text("\n".join(lines).rstrip("\n") + "\n")


def needs(*parts):
    return "".join(f'\n[[needs]]\nkind = "{kind}"\nname = "{name}"\nversion = "^1.0"\n' for kind, name in parts)


def bundle(name, onnx, about, goldens=(), batch=None, providers='["cpu"]', more="", spoil=lambda manifest: manifest,
           deadline=5000, task="tensors", recipes="", pictures=(), more_files=(), tolerance=0.000001):
    directory = TEST / name
    files = {"model.onnx": onnx, **dict(more_files)}
    lines = [f'name = "{name}"', 'version = "1.0.0"', f'task = "{task}"', 'licence = "Apache-2.0"',
             f'description = "{about}"', f"deadline_ms = {deadline}", *([more] if more else []), "", "[[variant]]",
             'name = "only"', 'file = "model.onnx"', f"providers = {providers}", "threads = 1", "instances = 1", ""]
    if batch:
        lines += ["[batching]", f"max = {batch}", ""]
    lines += ["[limits]", "payload_bytes = 16777216", *(["pixels = 1000000"] if recipes else []), "",
              *([recipes] if recipes else [])]
    for given, expected in goldens:
        files["golden/one.json"], files["golden/one.expected.json"] = given.encode(), expected.encode()
        lines += ["[[golden]]", 'input = "golden/one.json"', 'expected = "golden/one.expected.json"',
                  "tolerance = 0.000001", ""]
    for at, (picture, document) in enumerate(pictures):
        files[f"golden/{at}.png"], files[f"golden/{at}.json"] = picture, json.dumps(document).encode() + b"\n"
        lines += ["[[golden]]", f'input = "golden/{at}.png"', 'content_type = "image/png"',
                  f'expected = "golden/{at}.json"', f"tolerance = {tolerance:f}", ""]
    for path, content in sorted(files.items()):
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(content)
        lines += ["[[file]]", f'path = "{path}"', f"bytes = {len(content)}",
                  f'sha256 = "{hashlib.sha256(content).hexdigest()}"', ""]
    (directory / "model.toml").write_text(spoil("\n".join(lines).rstrip("\n") + "\n"))


def main():
    shutil.rmtree(TEST, ignore_errors=True)
    sums = [(ADD_IN, ADD_OUT)]
    bundle("add", add(), "Adds two tensors", sums, batch=8)
    bundle("echo-types", echo_types(), "Returns what it gets, in every datatype", batch=4)
    bundle("spin", spin(), "Runs as long as it is told", [(tensors(trips=[10]), tensors(sum=256.0))], deadline=60000)
    bundle("spin-together", spin_together(), "Runs as long as one of them is told",
           [(tensors(each=[[10]]), tensors(sum=[[256.0]]))], batch=4, deadline=60000)
    row = [[1.0, 2.0, 3.0, 4.0]]
    bundle("unique-rows", unique_rows(), "Gives each row once", [(tensors(each=row), tensors(once=row))], batch=8)
    bundle("wants-cuda", add(), "Asks for CUDA", sums, batch=8, providers='["cuda"]')
    bundle("either", add(), "Adds on OpenVINO, or else on the CPU", sums, batch=8, providers='["openvino", "cpu"]')
    bundle("select", select(), "Keeps the positive ones of its numbers",
           [(tensors(x=[1.0, -2.0, 3.0]), tensors(y=[1.0, 3.0]))])
    # Twice as wide as the tensor: a square of 16 pixels becomes one cell, below 16 rows of padding.
    wide = squares(64, 128, (16, 32, 16, (255, 0, 0)), (96, 0, 16, (0, 204, 0)), (48, 48, 16, (100, 100, 0)))
    told = {"width": 128, "height": 64, "objects": [
        {"label": "red", "score": 1.0, "box": [16.0, 32.0, 32.0, 48.0]},
        {"label": "green", "score": 0.8, "box": [96.0, 0.0, 112.0, 16.0]}]}
    bundle("things", things(), "Finds red and green squares", task="object-detection", recipes=THINGS,
           pictures=[(wide, told)])
    # An L: a whole cell, and a quarter of the next one.
    shape = rectangles(64, 128, (32, 0, 16, 16, (255, 0, 0)), (48, 0, 8, 8, (255, 0, 0)), (96, 32, 16, 16, (0, 255, 0)))
    told = {"width": 128, "height": 64, "objects": [
        {"label": "red", "score": 1.0, "box": [8.0, 0.0, 72.0, 40.0], "area": 0.039063,
         "polygons": [[[56.0, 0.0], [56.0, 8.0], [48.0, 8.0], [48.0, 16.0], [32.0, 16.0], [32.0, 0.0]]]},
        {"label": "green", "score": 1.0, "box": [72.0, 8.0, 128.0, 64.0], "area": 0.03125,
         "polygons": [[[112.0, 32.0], [112.0, 48.0], [96.0, 48.0], [96.0, 32.0]]]}]}
    bundle("shapes", shapes(), "Finds red and green shapes", task="instance-segmentation", recipes=SHAPES,
           pictures=[(shape, told)])
    # A red frame with a hole, a green area at the edge, and a blue dot that is too small.
    area = rectangles(64, 128, (16, 16, 48, 32, (255, 0, 0)), (32, 24, 16, 8, (0, 0, 0)), (96, 0, 32, 64, (0, 204, 0)),
                      (0, 0, 8, 8, (0, 0, 255)))
    told = {"width": 128, "height": 64, "regions": [
        {"label": "green", "score": 0.8, "area": 0.25,
         "polygon": [[128.0, 0.0], [128.0, 64.0], [96.0, 64.0], [96.0, 0.0]]},
        {"label": "red", "score": 1.0, "area": 0.171875,
         "polygon": [[64.0, 16.0], [64.0, 48.0], [16.0, 48.0], [16.0, 16.0]],
         "holes": [[[48.0, 32.0], [48.0, 24.0], [32.0, 24.0], [32.0, 32.0]]]}],
        "coverage": [{"label": "green", "area": 0.25}, {"label": "red", "area": 0.171875},
                     {"label": "blue", "area": 0.007813}]}
    bundle("areas", areas(), "Tells red, green and blue areas", task="segmentation", recipes=AREAS, pictures=[(area, told)])
    spot = squares(64, 128, (32, 16, 16, (153, 153, 153)), (96, 0, 8, (51, 51, 51)))
    told = {"width": 128, "height": 64, "score": 0.75, "anomalous": True, "threshold": 0.5, "peak": [36.0, 20.0],
            "regions": [{"score": 0.75, "area": 0.03125,
                         "polygon": [[48.0, 16.0], [48.0, 32.0], [32.0, 32.0], [32.0, 16.0]]}]}
    calm = squares(64, 64, (32, 16, 16, (51, 51, 51)))
    fine = {"width": 64, "height": 64, "score": 0.25, "anomalous": False, "threshold": 0.5, "peak": [34.0, 18.0],
            "regions": []}
    bundle("spots", spots(), "Tells bright spots", task="anomaly", recipes=SPOTS, tolerance=0.001,
           pictures=[(spot, told), (calm, fine)])
    red = squares(20, 20, (0, 0, 20, (255, 0, 0)))
    half = 0.70710678
    bundle("likeness", likeness(), "Tells pictures by the colours of their halves", task="embedding", recipes=LIKENESS,
           more_files={"enrolled.jsonl": ENROLLED.encode()}.items(), pictures=[
               (red, {"embedding": [half, half, 0, 0, 0, 0], "label": "all red", "matches": [
                   {"label": "all red", "similarity": 1.0}, {"label": "red and green", "similarity": 0.5}]}),
               (squares(20, 20), {"embedding": [0, 0, 0, 0, 0, 0], "label": None, "matches": []})])
    known = LIKENESS.replace('"enrolled.jsonl"', '"part:known/enrolled.jsonl"')
    assert known != LIKENESS
    bundle("named", likeness(), "Tells pictures by what is enrolled apart from it", task="embedding",
           recipes=known + needs(("labels", "known")), pictures=[
               (red, {"embedding": [half, half, 0, 0, 0, 0], "label": "all red", "matches": [
                   {"label": "all red", "similarity": 1.0}, {"label": "red and green", "similarity": 0.5}]})])
    part("known", "labels", {"enrolled.jsonl": ENROLLED.encode()}, "Who is known")
    bundle("toned", toned(), "Multiplies by weights and an adapter that are bundles of their own",
           recipes="", goldens=[(tensors(x=[[1.0, 2.0, 3.0, 4.0]]), tensors(y=[[2.0, 4.0, 6.0, 8.0]]))], batch=8,
           spoil=lambda text: text.replace("tolerance = 0.000001", "tolerance = 0.05").replace(
               "\n[limits]", needs(("weights", "base"), ("adapter", "tone")) + "\n[limits]"))
    part("base", "weights", {"w.bin": np.eye(4, dtype="<f4").tobytes()}, "The weights of toned")
    part("tone", "adapter", {"tone.onnx_adapter": tone()}, "Doubles what toned gives",
         base=[hashlib.sha256(toned()).hexdigest()])
    bundle("wrong-golden", add(), "Expects a wrong sum", [(ADD_IN, ADD_OUT.replace("2.5", "2.75"))], batch=8)
    bundle("wrong-sha256", add(), "Promises another file", sums, batch=8,
           spoil=lambda text: text.replace(hashlib.sha256(add()).hexdigest(), "0" * 64))
    bundle("unknown-key", add(), "Has a key that nobody knows", sums, batch=8, more='colour = "blue"')
    bundle("corrupt", b"this is no model\n" * 100, "Has a model file that is none")


if __name__ == "__main__":
    main()
