"""llama.cpp's own server (chat and completions of OpenAI's protocol), with one small language model.

    python3 openai_server.py PORT MODEL.gguf CONTEXT [KEY]

With KEY it answers only those who show it as a bearer token. The program is the C++ server of llama.cpp, which xllamacpp
brings as a library with its HTTP end; this file only says where it listens.
"""

import signal
import sys

import xllamacpp

port, model, context, *keys = sys.argv[1:]
params = xllamacpp.CommonParams()
params.model.path = model
params.model_alias = {"smollm2-135m"}
params.hostnames = ["127.0.0.1"]
params.port = int(port)
params.n_ctx = int(context)
params.n_parallel = 1
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 2
params.warmup = False
# A prompt that does not fit is refused and not cut in silence.
params.ctx_shift = False
params.api_keys = keys
server = xllamacpp.Server(params)
print("listening on", server.listening_address, flush=True)
signal.pause()
