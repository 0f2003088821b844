"""What both servers of Open Inference Protocol need of ONNX Runtime."""

import onnxruntime

DATATYPES = {
    "tensor(float)": "FP32", "tensor(double)": "FP64", "tensor(float16)": "FP16", "tensor(bool)": "BOOL",
    "tensor(string)": "BYTES",
    **{f"tensor({sign}int{bits})": f"{sign.upper()}INT{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    # What a client did wrong is told to the client, not to the log.
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
