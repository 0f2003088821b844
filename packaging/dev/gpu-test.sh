#!/bin/bash
# What needs an NVIDIA graphics processor: the provider cuda in the engine host, and the real models on it beside the CPU.
# Says SKIPPED where there is none, or no ONNX Runtime for it. CUDA and cuDNN are the machine's own.
set -euo pipefail
cd "$(dirname "$0")/../.."

skip() {
    echo "SKIPPED: $1"
    exit 0
}

for device in /dev/nvidia0 /dev/nvhost-gpu /dev/nvgpu/igpu0/ctrl; do
    if [ -e "$device" ]; then found=$device; fi
done
[ -n "${found:-}" ] || skip "no NVIDIA graphics processor on this machine"

if [ -z "${ORT_DYLIB_PATH:-}" ]; then
    [ "$(uname -m)" = x86_64 ] ||
        skip "ORT_DYLIB_PATH does not name an ONNX Runtime with CUDA for this board (it comes with the board's own software)"
    python3 onnx-models/fetch.py .fetch --cuda
    ORT_DYLIB_PATH=$(echo "$PWD"/.fetch/runtime-cuda/libonnxruntime.so.*)
fi
export ORT_DYLIB_PATH
echo "on $found, with $ORT_DYLIB_PATH"
"${CARGO:-cargo}" test --release --workspace --locked --test cuda -- --nocapture --test-threads=1
"${CARGO:-cargo}" test --release --workspace --locked --bench providers
