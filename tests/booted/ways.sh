# shellcheck shell=bash
# Ways into the box: commands inside, what the service says, the journal, a device of the plant. Sourced by run.sh.

inside() { nsenter -t "$init" -a -- env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 "$@"; }
as() { # USER COMMAND...
    inside runuser -u "$1" -- "${@:2}"
}
property() { inside systemctl show edged -p "$1" --value; }
properties() { inside systemctl show edged -p "$1" | sort | tr '\n' ' ' | sed 's/ $//'; }
# A Python expression over the JSON on standard input, called d.
of() { python3 -c 'import json, sys; d = json.load(sys.stdin); print(eval(sys.argv[1]))' "$1"; }
# A signal to process 0 would go to whoever sends it.
main_pid() { property MainPID | grep -v '^0$'; }
status() { as tech edgectl status --json | of "$1"; }
status_is() { # EXPRESSION VALUE
    local found
    found=$(status "$1") || return 1
    echo "$found"
    [ "$found" = "$2" ]
}
property_is() { # NAME VALUE
    property "$1"
    [ "$(property "$1")" = "$2" ]
}
# Infers on a golden input as an ordinary user of the box, and compares with the answer that the bundle expects.
right() { # MODEL FILE
    as tech edgectl infer "$1" "/srv/golden/$1/$2" --json >"$work/run/answer.json" &&
        python3 "$here/same.py" "$work/run/answer.json" "$goldens/$1/golden/$2.expected.json"
}
serves() { right text-line serial.png; }
# All records of the service's own processes since it was installed, as a list of objects called d; not systemd's, which begins
# each of them as root.
journal() {
    inside journalctl _SYSTEMD_UNIT=edged.service -o json --no-pager --all |
        python3 -c 'import json, sys; json.dump([r for r in map(json.loads, sys.stdin) if r["_UID"] != "0"], sys.stdout)'
}
# What the journal holds since a mark, which is a record of its own: --after-cursor would leave out one more where a filter
# hides the record of the cursor.
mark() {
    inside systemd-cat -t booted echo mark
    inside journalctl --sync
    inside journalctl -t booted -n 1 -o json --no-pager | of 'd["__CURSOR"]'
}
since() { # CURSOR FILTER...
    inside journalctl --sync
    inside journalctl -u edged --no-pager -o cat --cursor="$1" "${@:2}"
}
broker() { # COMMAND ARGUMENTS...: as a device of the plant
    inside "$1" -h 127.0.0.1 -u line -P line-password "${@:2}"
}

# Has a device wait for replies on edge/replies/NAME; sets $listener.
listen() { # NAME COUNT
    rm -f "$work/run/replies"
    (
        trap - ERR
        inside stdbuf -oL mosquitto_sub -h 127.0.0.1 -u line -P line-password -V mqttv5 -q 1 -d -t "edge/replies/$1" \
            -C "$2" -W 120 >"$work/run/replies" 2>&1 </dev/null
    ) &
    listener=$!
    within $soon "a device listens for replies" grep -q Subscribed "$work/run/replies"
}
# So many requests for a picture to be read, each a line.
burst() { # NAME COUNT
    python3 - "$1" "$2" "$goldens/text-line/golden/serial.png" <<'END'
import base64, json, sys

name, count, picture = sys.argv[1:]
image = base64.b64encode(open(picture, "rb").read()).decode()
for number in range(int(count)):
    print(json.dumps({"id": f"{name}-{number}", "deadline_ms": 120000, "reply_to": f"edge/replies/{name}", "image": image}))
END
}
# Leaves requests open: a sound of four minutes over the bus, pictures over the broker. Sets $caller and $listener.
requests=120
open_requests() { # NAME
    listen "$1" $requests
    burst "$1" $requests >"$root/srv/burst"
    (
        trap - ERR
        as tech edgectl infer speech /srv/long.wav --deadline 2m --json >"$work/run/caller" 2>&1 </dev/null
    ) &
    caller=$!
    broker mosquitto_pub -q 1 -l -t edge/$node/infer/text-line <"$root/srv/burst"
    within $soon "requests run and wait" status_is 'd["running"] > 0 and d["waiting"] > 5' True
    holds "answered until here: $(grep -c '^{' "$work/run/replies" || true) of $requests"
}
replies() { grep '^{' "$work/run/replies" | python3 -c '
import json, sys
replies = [json.loads(line) for line in sys.stdin]
right = {reply["id"] for reply in replies if reply["ok"] and reply["result"]["text"] == "SN 0093-5521-X7"}
wrong = [reply for reply in replies if reply["id"] not in right]
print(len(right), "right", *wrong)'; }
