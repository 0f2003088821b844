"""KServe's model server over models of ONNX Runtime: Open Inference Protocol v2 with its binary extension.

    python3 kserve_onnx.py PORT NAME=model.onnx ...

MLServer has no binary extension over HTTP; this server has.
"""

import functools
import sys

import uvicorn
from kserve import InferOutput, InferResponse, Model, ModelServer
from kserve.errors import InvalidInput

from onnx_session import DATATYPES, session


class OnnxModel(Model):
    def __init__(self, name, path):
        super().__init__(name)
        self._session = session(path)
        self.ready = True

    def _described(self, values):
        shape = lambda value: [size if isinstance(size, int) else -1 for size in value.shape]
        return [{"name": value.name, "datatype": DATATYPES[value.type], "shape": shape(value)} for value in values]

    async def get_input_types(self):
        return self._described(self._session.get_inputs())

    async def get_output_types(self):
        return self._described(self._session.get_outputs())

    async def predict(self, payload, headers=None, response_headers=None):
        try:
            fed = {tensor.name: tensor.as_numpy() for tensor in payload.inputs}
            names = [output.name for output in payload.request_outputs or []]
            names = names or [output.name for output in self._session.get_outputs()]
            values = self._session.run(names, fed)
        except Exception as fault:  # ONNX Runtime has no class of its own for faults of the caller.
            raise InvalidInput(f"model '{self.name}': {fault}") from fault
        types = {output.name: DATATYPES[output.type] for output in self._session.get_outputs()}
        outputs = []
        for name, value in zip(names, values):
            output = InferOutput(name=name, shape=list(value.shape), datatype=types[name])
            output.set_data_from_numpy(value, binary_data=True)
            outputs.append(output)
        return InferResponse(model_name=self.name, response_id=payload.id, infer_outputs=outputs,
                             requested_outputs=payload.request_outputs,
                             use_binary_outputs=payload.use_binary_outputs)


def listen(config, *arguments, **settings):
    return config(*arguments, **{**settings, "host": "127.0.0.1"})


if __name__ == "__main__":
    port, *models = sys.argv[1:]
    # KServe listens on every address of a container; here it is for this machine alone.
    uvicorn.Config = functools.partial(listen, uvicorn.Config)
    server = ModelServer(http_port=int(port), enable_grpc=False, workers=1)
    server.start([OnnxModel(*model.split("=", 1)) for model in models])
