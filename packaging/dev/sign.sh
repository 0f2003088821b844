#!/bin/sh
# Signs the manifests of onnx-models as they stand, for the package edged-models: KEY is the secret key, whose public half lies
# beside it as NAME.pub. Run it after seal.py changed a manifest; a test says where that was forgotten.
set -eu

key=${1:-}
public=${key%.key}.pub
bin="${EDGE_BIN_DIR:-${CARGO_TARGET_DIR:-target}/release}"
if [ ! -f "$key" ] || [ ! -f "$public" ]; then
    echo "sign: KEY=FILE.key is needed, with FILE.pub beside it: edgectl models keygen" >&2
    exit 2
fi
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
for manifest in onnx-models/*/model.toml; do
    model=$(basename "$(dirname "$manifest")")
    mkdir "$made/$model"
    cp "$manifest" "$made/$model/"
    "$bin/edgectl" models sign "$made/$model" --key "$key"
    cp "$made/$model/model.toml.minisig" "packaging/signatures/$model.minisig"
done
cp "$public" packaging/signatures/edged-models.pub
