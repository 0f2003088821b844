#!/bin/bash
# Takes the picture of docs/mqtt/node-red.md again: a stack of its own, a Node-RED with our flow, a browser without a screen. Run at
# the root of the tree, after `setup.py .fetch --screenshot`.
set -euo pipefail

bin="${EDGE_BIN_DIR:-target/release}"
installed=$PWD/.fetch/clients/node
browser=$(command -v chromium) || {
    echo "screenshot: no chromium here (Debian: apt-get install chromium)" >&2
    exit 1
}
made=$(mktemp -d)
node_red=""
finish() {
    [ -z "$node_red" ] || kill "$node_red" 2>/dev/null || true
    "$bin/edge-stack" down "$made/stack" >/dev/null || true
    rm -rf "$made"
}
trap finish EXIT

mkdir -p "$made/stack/edged.toml.d"
cp docs/mqtt/parts.toml "$made/stack/edged.toml.d"
"$bin/edge-stack" up "$made/stack" >/dev/null
. "$made/stack/env"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
at=http://127.0.0.1:$port
# No questions and no tour: they would lie over the flow.
"$installed/node_modules/.bin/node-red" -u "$made/data" -p "$port" -D uiHost=127.0.0.1 -D editorTheme.tours=false \
    -D telemetry.enabled=false >"$made/log" 2>&1 &
node_red=$!
until curl -sf "$at/settings" >/dev/null; do
    kill -0 "$node_red" || { cat "$made/log" >&2; exit 1; }
    sleep 0.2
done
curl -sf -o /dev/null -H 'content-type: application/json' --data-binary @docs/mqtt/node-red/flow.json "$at/flows"
until [ "$(grep -c 'Connected to broker' "$made/log")" = 2 ]; do sleep 0.2; done
EDGE_CLIENTS_NODE=$installed timeout 60 node tests/clients/screenshot.mjs "$at" "$browser" "$made/shot.png"
cp "$made/shot.png" docs/mqtt/node-red.png
ls -l docs/mqtt/node-red.png
