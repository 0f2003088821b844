"""Quantises an ONNX file to INT8 with ONNX Runtime's own tool: quantize.py MODEL TENSORS OUT.

TENSORS holds what the model takes: inputs.json with the names of its inputs, and for each sample NUMBER-INPUT.npy.
Ends with 3 if a package is missing.
"""

import json
import sys
from pathlib import Path

try:
    import numpy
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process
except ImportError as missing:
    print(missing, file=sys.stderr)
    sys.exit(3)

# Scales for each channel came to QuantizeLinear with this version of ONNX.
OPSET = 13


class Tensors(CalibrationDataReader):
    """The samples, one after the other."""

    def __init__(self, directory):
        told = json.loads((directory / "inputs.json").read_text())
        self.samples = iter([
            {name: directory / f"{sample:06}-{at}.npy" for at, name in enumerate(told["inputs"])}
            for sample in range(told["samples"])
        ])

    def get_next(self):
        files = next(self.samples, None)
        return files and {name: numpy.load(file, allow_pickle=False) for name, file in files.items()}


def main():
    source, tensors, out = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    model = onnx.load(source)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if max((opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")), default=OPSET) < OPSET:
        model = onnx.version_converter.convert_version(model, OPSET)
    raised, prepared = out.with_suffix(".raised.onnx"), out.with_suffix(".prepared.onnx")
    onnx.save(model, raised)
    # Open sizes by name need a package more, and help only models whose sizes depend on each other.
    quant_pre_process(str(raised), str(prepared), skip_symbolic_shape=True)
    # Both symmetric: what TensorRT takes, and what ONNX Runtime advises for processors.
    quantize_static(
        str(prepared),
        str(out),
        Tensors(tensors),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv", "MatMul", "Gemm"],
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        extra_options={"ActivationSymmetric": True, "WeightSymmetric": True},
    )
    raised.unlink()
    prepared.unlink()
    # Dictionaries and labels lie there.
    model = onnx.load(out)
    known = {entry.key for entry in model.metadata_props}
    for key, value in metadata.items():
        if key not in known:
            model.metadata_props.add(key=key, value=value)
    onnx.save(model, out)
    print(json.dumps({"quantized": sum(node.op_type == "QuantizeLinear" for node in model.graph.node)}))


main()
