#!/bin/bash
# A stack of its own, real inference over D-Bus and MQTT, every answer checked, the stack stopped.
# Ends with 0 only if every answer was right.
set -euo pipefail
cd "$(dirname "$0")/../.."

bin=$(cd "${EDGE_BIN_DIR:-target/release}" && pwd)
dir=$(mktemp -d "${TMPDIR:-/tmp}/edged-demo-XXXXXX")
answers=0 wrong=0

# A stack that cannot be stopped is a failure of the demonstration, however it went until then.
finish() {
    code=$?
    trap - EXIT
    if ! "$bin/edge-stack" down "$dir" >/dev/null; then
        echo "WRONG: the stack in $dir did not stop" >&2
        exit $((code > 0 ? code : 1))
    fi
    rm -rf "$dir"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

if [ -t 1 ]; then bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'; else bold='' dim='' green='' red='' plain=''; fi

title() { printf '\n%s%s%s\n' "$bold" "$1" "$plain"; }
right() { printf '%s  right: %s%s\n' "$green" "$1" "$plain"; }
wrong() {
    wrong=$((wrong + 1))
    printf '%s  WRONG: %s%s\n' "$red" "$1" "$plain"
}
# Shows a command as one would type it, runs it, shows what it says, and keeps that in $said. It has to end well.
show() {
    printf '%s$ %s%s\n' "$dim" "$1" "$plain"
    ended=0
    said=$(eval "$1" 2>&1) || ended=$?
    printf '%s\n' "$said"
    if [ "$ended" -ne 0 ]; then wrong "it ended with $ended"; fi
}
# The answer in $said, its columns one space apart, holds this text.
expect() {
    answers=$((answers + 1))
    if tr -s ' ' <<<"$said" | grep -qF -- "$1"; then right "$1"; else wrong "expected $1"; fi
}
# The first line of the answer begins with this text: an answer names its best label first.
expect_first() {
    answers=$((answers + 1))
    first=$(head -n 1 <<<"$said" | tr -s ' ')
    if [[ $first == "$1"* ]]; then right "$1"; else wrong "expected a first line with $1"; fi
}

title "A private bus, a local broker, and edged with ten models"
"$bin/edge-stack" up "$dir" >/dev/null
# shellcheck disable=SC1091 # written by edge-stack
. "$dir/env"
export PATH="$bin:$PATH"
topic="edge/$EDGE_NODE/infer"
broker="-h $EDGE_MQTT_HOST -p $EDGE_MQTT_PORT"
photos=onnx-models/text-line/golden
show 'edgectl status --check'
expect_first "edged $(edged --version | cut -d ' ' -f 2) on $EDGE_NODE: serving"

title "D-Bus: the photograph of a label"
show "edgectl infer text-line $photos/lot.jpg"
expect_first 'LOT:4711-A23 '
show "edgectl infer text-line $photos/expiry-turned.jpg --request-id demo-bus --verbose"
expect_first 'EXP 2027-03-31 '
expect 'by provider cpu,'

title "D-Bus: where on a label there is text"
show 'edgectl infer text-boxes onnx-models/text-boxes/golden/shipping.jpg'
expect '9 in a picture of 1280 x 960 pixels'

title "D-Bus: everything that stands on a label, in one request"
show 'edgectl infer label-reader onnx-models/label-reader/golden/pump.jpg --request-id demo-label'
expect 'HARBOUR PUMPS LTD'
expect '180 INSPECTED2026-10'
expect '8 in a picture of 960 x 720 pixels'
show 'edgectl trace demo-label'
expect 'text-direction:1.0.0: 8 lines, 1 upside down'

title "D-Bus: which way up, which kind of file, where somebody speaks"
show 'edgectl infer text-direction onnx-models/text-direction/golden/upside-down.jpg'
expect_first '180 '
show 'edgectl infer file-type onnx-models/file-type/golden/readings.csv'
expect_first 'csv '
expect '(text/csv)'
show 'edgectl infer speech onnx-models/speech/golden/two-sentences.wav'
expect '0.738 s to 2.334 s'
expect '3.906 s to 5.502 s'

title "D-Bus: characters, and the ruled lines of a form"
show 'edgectl infer character-boxes onnx-models/character-boxes/golden/mark-turned.jpg'
expect '1 in a picture of 1000 x 700 pixels'
show 'edgectl infer table-lines onnx-models/table-lines/golden/form.jpg'
expect 'of the picture is vertical'

title "D-Bus: which part it is, and what does not belong on a wall of bricks"
show 'edgectl infer part-type onnx-models/part-type/golden/bolt.jpg'
expect_first 'bolt '
show 'edgectl infer part-type onnx-models/part-type/golden/nobody-knows.jpg'
expect_first 'like nothing that is known'
show 'edgectl infer surface-flaws onnx-models/surface-flaws/golden/good.jpg'
expect_first 'not anomalous '
show 'edgectl infer surface-flaws onnx-models/surface-flaws/golden/scratch-turned.jpg'
expect_first 'anomalous 100%'

title "MQTT 3.1.1: the same photograph in a JSON body"
printf '{"id": "demo-json", "reply_to": "edge/replies/demo", "image": "%s"}' "$(base64 -w0 "$photos/lot.jpg")" >"$dir/body.json"
printf '%sbody.json: {"id": "demo-json", "reply_to": "edge/replies/demo", "image": "%s..."}%s\n' \
    "$dim" "$(base64 -w0 "$photos/lot.jpg" | cut -c 1-24)" "$plain"
# Publishes with these options and shows the reply that comes on a topic of the demo's own.
ask() {
    stdbuf -oL mosquitto_sub $broker -V mqttv5 -q 1 -W 20 -C 1 -t "edge/replies/$1" -d >"$dir/reply" 2>"$dir/listen.log" &
    subscriber=$!
    for _ in $(seq 200); do
        if grep -q SUBACK "$dir/reply" "$dir/listen.log"; then break; fi
        sleep 0.05
    done
    show "mosquitto_pub $broker -q 1 $2"
    wait "$subscriber" || wrong "no reply on edge/replies/$1"
    said=$(grep '^{' "$dir/reply" || true)
    printf '%s\n' "$said"
}
ask demo "-V mqttv311 -t $topic/text-line -f \"\$dir/body.json\""
expect '"text":"LOT:4711-A23"'
expect '"id":"demo-json"'

title "MQTT 5: the picture itself, with a content type"
picture="-D publish content-type image/png -f $photos/serial.png"
ask demo-5 "-V mqttv5 -D publish response-topic edge/replies/demo-5 -D publish user-property request_id demo-raw -t $topic/text-line $picture"
expect '"text":"SN 0093-5521-X7"'
expect '"provider":"cpu"'
ask demo-6 "-V mqttv5 -D publish response-topic edge/replies/demo-6 -t $topic/text-lime $picture"
expect '"code":"unknown_model"'

title "What happened to a request from each side"
show 'edgectl trace demo-bus'
expect 'outcome done'
show 'edgectl trace demo-raw'
expect 'mqtt edge/replies/demo-5'

title "Stopping"
pid=$EDGED_PID
"$bin/edge-stack" down "$dir"
answers=$((answers + 1))
# A process that has ended stays in the table until its parent has looked.
if [ -e "/proc/$pid" ] && ! grep -q '^State:.Z' "/proc/$pid/status"; then wrong "edged ($pid) is still there"; fi

if [ "$wrong" -eq 0 ]; then
    printf '\n%sAll %d answers were right.%s\n' "$green" "$answers" "$plain"
else
    printf '\n%s%d of %d answers were wrong.%s\n' "$red" "$wrong" "$answers" "$plain"
    exit 1
fi
