#!/bin/sh
# Writes bill of materials and third-party notices of each package below the directory given, and holds the bills against CycloneDX's
# schema. debian/rules calls bill.py by itself: it has no network for the schema's reader. Run at the root of the tree.
set -eu

out=$1
fetched=$2
packages="edged edged-onnxruntime edged-models"
if [ "$(uname -m)" = x86_64 ]; then packages="$packages edged-openvino"; fi
[ -z "${CARGO:-}" ] || export CARGO

"${CARGO:-cargo}" fetch --quiet --locked
for package in $packages; do
    python3 packaging/dev/bill.py "$package" "$out/$package" --fetched "$fetched"
    python3 packaging/dev/bills/check.py "$fetched" "$out/$package/$package.cdx.json"
    echo "$out/$package"
done
