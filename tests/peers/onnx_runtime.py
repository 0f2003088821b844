"""An inference runtime of MLServer: a model of ONNX Runtime, its inputs and outputs as they stand.

There is no such runtime among MLServer's packages. This one adds nothing to the protocol: names, datatypes and shapes are
those of the graph, and what ONNX Runtime says of a bad tensor is what the client is told.
"""

import numpy
from mlserver import MLModel, types
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.errors import InferenceError

from onnx_session import DATATYPES, session


class OnnxModel(MLModel):
    async def load(self) -> bool:
        self._session = session(self.settings.parameters.uri)
        self.inputs = [self._described(value) for value in self._session.get_inputs()]
        self.outputs = [self._described(value) for value in self._session.get_outputs()]
        return True

    @property
    def platform(self):
        return "onnxruntime_onnx"

    @staticmethod
    def _described(value):
        shape = [size if isinstance(size, int) else -1 for size in value.shape]
        return types.MetadataTensor(name=value.name, datatype=DATATYPES[value.type], shape=shape)

    async def predict(self, payload: types.InferenceRequest) -> types.InferenceResponse:
        known = {tensor.name for tensor in self.inputs}
        fed = {}
        for tensor in payload.inputs:
            if tensor.name not in known:
                raise InferenceError(f"unexpected inference input '{tensor.name}' for model '{self.name}'")
            try:
                fed[tensor.name] = self._decoded(tensor)
            except (TypeError, ValueError, OverflowError) as fault:
                raise InferenceError(f"input '{tensor.name}' of model '{self.name}': {fault}") from fault
        wanted = [output.name for output in payload.outputs or []] or [output.name for output in self.outputs]
        try:
            values = self._session.run(wanted, fed)
        except Exception as fault:  # ONNX Runtime has no class of its own for faults of the caller.
            raise InferenceError(f"model '{self.name}': {fault}") from fault
        return types.InferenceResponse(
            model_name=self.name, model_version=self.version,
            outputs=[self._encoded(name, value) for name, value in zip(wanted, values)])

    @staticmethod
    def _decoded(tensor):
        if tensor.datatype == "BYTES":
            return numpy.array(StringCodec.decode_input(tensor), dtype=object).reshape(tensor.shape)
        return NumpyCodec.decode_input(tensor)

    @staticmethod
    def _encoded(name, value):
        if value.dtype.kind in "OUS":
            data = [str(text) for text in value.flatten().tolist()]
            return types.ResponseOutput(name=name, datatype="BYTES", shape=list(value.shape), data=data)
        output = NumpyCodec.encode_output(name, value)
        output.shape = list(value.shape)
        return output
