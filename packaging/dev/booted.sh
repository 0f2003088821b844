#!/bin/bash
# The installed service under a real systemd: boots Debian in a container, installs edged as the README says, and checks
# from outside what unit, bus policy and journal promise. Ends with 0 only if every check passed, or if nothing could be
# checked here at all, which it says. Needs root; installs what it needs where that is missing.
set -euo pipefail
cd "$(dirname "$0")/../.."

skip() {
    echo "SKIPPED: $1"
    exit 0
}
[ "$(id -u)" -eq 0 ] || skip "booting a container needs root"
unshare --mount true 2>/dev/null || skip "this root may not mount anything"
# Mounts of its own, so that none is left behind however this ends.
if [ -z "${EDGE_BOOTED_MOUNTS:-}" ]; then
    EDGE_BOOTED_MOUNTS=own exec unshare --mount --propagation private "$0" "$@"
fi

target=${CARGO_TARGET_DIR:-target}
bin=$(cd "${EDGE_BIN_DIR:-$target/release}" && pwd)
mkdir -p "$target/booted"
work=$(cd "$target/booted" && pwd)
fetched=$PWD/.fetch goldens=$PWD/onnx-models
node=press-7
# What a box has besides edged. man-db lets systemd look for the manual pages, gdb asks the kernel in another's name.
packages=systemd,systemd-sysv,dbus,polkitd,libpam-systemd,procps,man-db,mosquitto,mosquitto-clients,gdb-minimal
# Longest wait for what should come soon: a slow box under load, not a fault.
soon=30

tools() {
    local missing=""
    command -v mmdebstrap >/dev/null || missing="$missing mmdebstrap"
    command -v systemd-nspawn >/dev/null || missing="$missing systemd-container"
    command -v python3 >/dev/null || missing="$missing python3"
    [ -n "$missing" ] || return 0
    command -v apt-get >/dev/null || skip "please install, by the means of this system:$missing"
    echo "booted: installing$missing" >&2
    # shellcheck disable=SC2086 # a list of words
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing; } \
        </dev/null >"$work/apt.log" 2>&1 || skip "apt-get could not install$missing: $(tail -n 1 "$work/apt.log")"
}

# Made once, from the mirror that this machine uses; another list of packages makes another one.
base_image() {
    local suite=bookworm mirror
    base=$work/base-$suite-$(cksum <<<"$packages" | cut -d ' ' -f 1)
    [ ! -d "$base" ] || return 0
    echo "booted: making the base image, which takes some minutes once" >&2
    # shellcheck disable=SC2016 # apt fills these in
    mirror=$(apt-get indextargets --format '$(CODENAME) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
        awk -v suite=$suite '$1 == suite && $2 == "main" { print $3; exit }') || true
    rm -rf "$work"/base-*
    # shellcheck disable=SC2086 # no mirror, no argument
    if ! mmdebstrap --variant=minbase --include=$packages --aptopt='Acquire::Check-Valid-Until "false"' \
        $suite "$base.new" ${mirror:-} </dev/null >"$work/base.log" 2>&1; then
        rm -rf "$base.new"
        skip "no base image: $(grep '^E:' "$work/base.log" | tail -n 1)"
    fi
    mv "$base.new" "$base"
}

# Where systemd-nspawn --keep-unit puts its two groups: below the group that this runs in.
groups_of_container() {
    local path mount
    path=$(sed -n 's/^0:://p' /proc/self/cgroup)
    mount=$(findmnt -n -o TARGET -t cgroup2 | head -n 1)
    printf '%s\n' "$mount${path%/}"/{payload,supervisor}
    path=$(sed -n 's/^[0-9]*:name=systemd://p' /proc/self/cgroup)
    mount=$(findmnt -n -o TARGET -t cgroup -O name=systemd | head -n 1)
    [ -z "$mount" ] || printf '%s\n' "$mount${path%/}"/{payload,supervisor}
}

boot() {
    mkdir -p "$work/run"
    # In memory: an overlay on another overlay is not allowed, and nothing of a run is worth keeping.
    mount -t tmpfs tmpfs "$work/run"
    mkdir "$work/run"/{upper,overlay,root}
    root=$work/run/root
    mount -t overlay overlay -o "lowerdir=$base,upperdir=$work/run/upper,workdir=$work/run/overlay" "$root"
    : >"$root/etc/machine-id"
    echo $node >"$root/etc/hostname"
    # The journal of the last moments is read after the end.
    mkdir -p "$root/var/log/journal"
    ln -sf /dev/null "$root/etc/systemd/system/apt-daily.timer"
    ln -sf /dev/null "$root/etc/systemd/system/apt-daily-upgrade.timer"
    SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 setsid systemd-nspawn -b -q -D "$root" -M edged-booted --register=no --keep-unit \
        --private-network --console=pipe --capability=all --system-call-filter='bpf @keyring perf_event_open' \
        </dev/null >"$work/console.log" 2>&1 &
    nspawn=$!
    local limit=$((SECONDS + soon))
    until init=$(pgrep -P "$nspawn" -x systemd) && inside systemctl is-system-running 2>/dev/null | grep -qE 'running|degraded'; do
        if [ "$SECONDS" -ge "$limit" ] || [ ! -e "/proc/$nspawn" ]; then
            echo "FAIL  the container does not boot; its console says:" >&2
            tail -n 20 "$work/console.log" >&2
            exit 1
        fi
        sleep 0.1
    done
}

# Asks for an end of the container, as a power button does, and waits for it.
power_off() {
    local limit=$((SECONDS + 90))
    [ -e "/proc/$nspawn" ] || return 0
    kill -s RTMIN+4 "$init" 2>/dev/null || true
    while [ -e "/proc/$nspawn" ] && [ "$SECONDS" -lt "$limit" ]; do sleep 0.1; done
    [ ! -e "/proc/$nspawn" ]
}

finish() {
    local code=$?
    trap - EXIT
    if [ -n "$init" ]; then power_off || kill -KILL "$nspawn" "$init" || true; fi
    wait 2>/dev/null || true
    # Their names are fixed: the next container would find itself in the groups of this one.
    groups_of_container | while read -r group; do
        [ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done
    exit "$code"
}

# --- how a check speaks --------------------------------------------------------------------------------------------

if [ -t 1 ]; then green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'; else green='' red='' plain=''; fi
passed=0 failed=0

# Runs a check: a function in a shell of its own that ends at its first line that does not hold. The next one begins with
# a service that runs and a configuration that is good, whatever this one left behind.
check() { # NAME FUNCTION
    local began=$SECONDS code=0
    set +e
    (
        set -eE
        trap 'echo "    NOT: line $LINENO: $BASH_COMMAND"' ERR
        "$2"
    ) >"$work/check.log" 2>&1
    code=$?
    set -e
    if [ "$code" -eq 0 ]; then
        passed=$((passed + 1))
        printf '%sok%s    %s (%d s)\n' "$green" "$plain" "$1" $((SECONDS - began))
        cat "$work/check.log"
        return
    fi
    failed=$((failed + 1))
    printf '%sFAIL%s  %s (%d s)\n' "$red" "$plain" "$1" $((SECONDS - began))
    cat "$work/check.log"
    if [ ! -e "/proc/$init" ]; then
        echo "    --- the end of the journal"
        { journalctl -D "$root/var/log/journal" --no-pager -n 60 2>&1 || true; } | sed 's/^/    /'
        return
    fi
    echo "    --- systemctl status edged"
    { inside systemctl status edged --no-pager --full --lines=0 2>&1 || true; } | sed 's/^/    /'
    echo "    --- the end of its journal"
    { inside journalctl -u edged --no-pager -n 40 2>&1 || true; } | sed 's/^/    /'
    rm -f "$root/etc/edged/edged.toml.d/30-policy.toml" "$root/etc/polkit-1/rules.d/50-edged.rules"
    inside sh -c '[ ! -e /run/dbus/system_bus_socket.away ] || mv /run/dbus/system_bus_socket.away /run/dbus/system_bus_socket
        timeout 60 systemctl restart edged' >/dev/null 2>&1 || true
}

holds() { echo "    $1"; }
fails() { # WHAT SAID
    printf '    NOT: %s\n' "$1"
    printf '         %s\n' "${2//$'\n'/$'\n'         }"
    trap - ERR
    exit 1
}
is() { # WHAT EXPECTED FOUND
    if [ "$3" = "$2" ]; then holds "$1: $2"; else fails "$1: $2" "$3"; fi
}
has() { # WHAT TEXT FOUND
    if grep -qF -- "$2" <<<"$3"; then holds "$1: $2"; else fails "$1: $2" "$3"; fi
}
# Runs a command, keeps what it says in $said, and wants it to end with this code.
ends() { # WHAT CODE COMMAND...
    local what=$1 wanted=$2 code=0
    shift 2
    said=$("$@" 2>&1 </dev/null) || code=$?
    if [ "$code" -eq "$wanted" ]; then holds "$what: exit code $code"; else fails "$what: exit code $wanted, and not $code" "$said"; fi
}
within() { # SECONDS WHAT COMMAND...
    local limit=$((SECONDS + $1)) what=$2 seconds=$1
    shift 2
    until said=$("$@" 2>&1 </dev/null); do
        if [ "$SECONDS" -ge "$limit" ]; then fails "$what, within $seconds s" "$said"; fi
        sleep 0.1
    done
    holds "$what"
}

# --- ways into the box ---------------------------------------------------------------------------------------------

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
        python3 - "$work/run/answer.json" "$goldens/$1/golden/$2.expected.json" <<'END'
import json, sys

def same(found, wanted):
    if isinstance(wanted, dict):
        return all(key in found and same(found[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    if isinstance(wanted, float):
        return abs(found - wanted) <= 0.01
    return found == wanted

found, wanted = (json.load(open(path)) for path in sys.argv[1:])
if not same(found["result"], wanted):
    sys.exit(f"{found['result']}\nis not\n{wanted}")
END
}
serves() { right text-line serial.png; }
# All records of the service's own processes since it was installed, as a list of objects called d.
journal() {
    inside journalctl _SYSTEMD_UNIT=edged.service -o json --no-pager --all |
        python3 -c 'import json, sys; json.dump([json.loads(line) for line in sys.stdin], sys.stdout)'
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
# Leaves requests open: a sound of four minutes over the bus, pictures over the broker. Sets $caller and $listener.
requests=60
open_requests() { # NAME
    listen "$1" $requests
    python3 - "$1" $requests "$goldens/text-line/golden/serial.png" >"$root/srv/burst" <<'END'
import base64, json, sys

name, count, picture = sys.argv[1:]
image = base64.b64encode(open(picture, "rb").read()).decode()
for number in range(int(count)):
    print(json.dumps({"id": f"{name}-{number}", "deadline_ms": 120000, "reply_to": f"edge/replies/{name}", "image": image}))
END
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

# --- the checks ----------------------------------------------------------------------------------------------------

installed() {
    "${MAKE:-make}" -s --no-print-directory install DESTDIR="$root" DIST="$bin"
    install -m 644 "$fetched"/runtime/libonnxruntime.so.* "$root/usr/lib/edged/onnxruntime/"
    cp -r "$fetched/bundles/." "$root/usr/share/edged/bundles/"
    ends "systemd-sysusers" 0 inside systemd-sysusers
    ends "systemd-tmpfiles --create" 0 inside systemd-tmpfiles --create
    inside systemctl daemon-reload
    inside systemctl reload dbus
    has "sysusers made the user, and put it into the groups of graphics processors" "(video)" "$(inside id edged | tr , '\n')"
    is "and the group that may infer" edge "$(inside getent group edge | cut -d : -f 1)"
    is "tmpfiles made the places for settings and keys" "edged.toml.d keys.d models.d" \
        "$(inside find /etc/edged -mindepth 1 -type d -printf '%f\n' | sort | tr '\n' ' ' | sed 's/ $//')"
    ends "systemd-analyze verify edged.service" 0 inside systemd-analyze verify edged.service
    is "and it has nothing to say" "" "$said"
    holds "systemd-analyze security: $(inside systemd-analyze security edged --no-pager | grep -o 'Overall exposure.*' | sed 's/:-*[)(].*//')"
    # The bundles of the demonstration are not signed.
    printf '[models]\nallow_unsigned = true\n' >"$root/etc/edged/edged.toml.d/10-models.toml"
    # Below the unit's 30 s; a machine that builds something meanwhile needs more than the usual 10.
    printf '[policy]\ndrain_limit_ms = 25000\n' >"$root/etc/edged/edged.toml.d/11-slow.toml"
    ends "edged --check-config" 0 inside edged --check-config
    inside useradd --create-home --groups edge tech
    inside useradd --create-home visitor
    echo secret >"$root/home/tech/secret"
    chmod 644 "$root/home/tech/secret"
    chmod 755 "$root/home/tech"
    for model in character-boxes file-type label-reader part-type speech surface-flaws table-lines text-boxes text-direction text-line; do
        mkdir -p "$root/srv/golden/$model"
        cp "$goldens/$model/golden"/* "$root/srv/golden/$model/"
    done
    # Long enough that a stop comes while it runs.
    python3 - "$goldens/speech/golden/two-sentences.wav" "$root/srv/long.wav" <<'END'
import sys, wave

with wave.open(sys.argv[1]) as short, wave.open(sys.argv[2], "wb") as long:
    frames = short.readframes(short.getnframes())
    long.setparams(short.getparams())
    for _ in range(240 * short.getframerate() // short.getnframes()):
        long.writeframes(frames)
END
}

ready() {
    local seen=""
    # Enabled, too: of a unit that nothing refers to, systemd forgets how it ended.
    ends "systemctl enable edged" 0 inside systemctl enable edged
    inside systemctl start --no-block edged
    local limit=$((SECONDS + soon)) now
    while now=$(property ActiveState) && [ "$now" != active ]; do
        seen="$seen $now"
        if [ "$now" = failed ] || [ "$SECONDS" -ge "$limit" ]; then fails "it becomes active" "$seen"; fi
    done
    is "active, and at that moment models that are ready" \
        "character-boxes file-type label-reader part-type speech surface-flaws table-lines text-boxes text-direction text-line" \
        "$(as visitor edgectl models list --json | of '" ".join(sorted(m["name"] for m in d if m["state"] == "ready"))')"
    has "while models were loaded it was" activating "$seen"
    is "Type, watchdog" "Type=notify WatchdogUSec=30s" "$(properties Type,WatchdogUSec)"
    within $soon "StatusText: serving: everything is as it should be" property_is StatusText "serving: everything is as it should be"
    is "restarts" 0 "$(property NRestarts)"
    is "each model runs on" "{'cpu'}" "$(status '{p["name"] for m in d["models"] for p in m["providers"]}')"
    is "and it is no simulation" False "$(status 'd["simulated"]')"
}

bus() {
    local owner
    owner=$(inside busctl call org.freedesktop.DBus / org.freedesktop.DBus GetConnectionUnixProcessID s org.edged.Edge1)
    is "org.edged.Edge1 is owned by the main process" "u $(property MainPID)" "$owner"
    ends "tech, in group edge: edgectl status --check" 0 as tech edgectl status --check
    ends "tech: edgectl doctor" 0 as tech edgectl doctor
    has "doctor" "tech is in group edge and may infer" "$(tr -s ' \n' ' ' <<<"$said")"
    ends "tech: edgectl models list" 0 as tech edgectl models list
    local model file
    while read -r model file; do
        within 1 "tech: edgectl infer $model $file gives the expected answer" right "$model" "$file"
    done <<'END'
text-line serial.png
text-direction upside-down.jpg
text-boxes blank.jpg
label-reader without-text.jpg
file-type readings.csv
speech two-sentences.wav
character-boxes blank.jpg
table-lines words.jpg
part-type nobody-knows.jpg
surface-flaws good.jpg
END
    ends "visitor, in no group: edgectl status" 0 as visitor edgectl status
    ends "visitor: edgectl infer" 4 as visitor edgectl infer text-line /srv/golden/text-line/serial.png
    ends "visitor: take the name" 1 as visitor dbus-send --system --print-reply --dest=org.freedesktop.DBus / \
        org.freedesktop.DBus.RequestName string:org.edged.Edge1 uint32:0
    has "the bus" "not allowed to own the service" "$said"
}

changes() {
    local verb
    for verb in drain resume reload; do
        ends "tech, whom nobody made an administrator: edgectl $verb" 4 as tech edgectl $verb
        has "it says" "needs an administrator's password" "$(tr -s ' \n' ' ' <<<"$said")"
    done
    is "nothing was changed" serving "$(status 'd["state"]')"
    ends "root: edgectl drain --wait" 0 inside edgectl drain --wait
    ends "tech: edgectl infer meanwhile" 1 as tech edgectl infer text-line /srv/golden/text-line/serial.png
    has "it says" unavailable "$said"
    ends "root: edgectl resume" 0 inside edgectl resume
    cat >"$root/etc/polkit-1/rules.d/50-edged.rules" <<'END'
polkit.addRule(function(action, subject) {
    if (action.id == "org.edged.edge1.manage" && subject.user == "tech") return polkit.Result.YES;
});
END
    # polkit watches the directory.
    within $soon "tech, once a rule of polkit allows it: edgectl drain" as tech edgectl drain
    ends "visitor, whom the rule does not name: edgectl resume" 4 as visitor edgectl resume
    ends "tech: edgectl resume" 0 as tech edgectl resume
    rm "$root/etc/polkit-1/rules.d/50-edged.rules"
    within $soon "it serves" serves
}

activation() {
    inside systemctl stop edged
    is "stopped" inactive "$(property ActiveState)"
    ends "visitor: edgectl status only looks" 3 as visitor edgectl status
    is "and starts nothing" inactive "$(property ActiveState)"
    # tech, and not root: it is the bus that has systemd start it.
    ends "tech: a method call to the name" 0 as tech dbus-send --system --print-reply --reply-timeout=60000 \
        --dest=org.edged.Edge1 /org/edged/Edge1 org.edged.Edge1.Manager.Describe
    within $soon "systemd started it" property_is ActiveState active
    within $soon "it serves" serves
}

mqtt() {
    cat >"$root/etc/mosquitto/conf.d/plant.conf" <<'END'
listener 1883 127.0.0.1
allow_anonymous false
password_file /etc/mosquitto/passwords
END
    inside mosquitto_passwd -c -b /etc/mosquitto/passwords $node secret-of-$node
    inside mosquitto_passwd -b /etc/mosquitto/passwords line line-password
    inside chown mosquitto /etc/mosquitto/passwords
    inside systemctl restart mosquitto
    cat >"$root/etc/edged/edged.toml.d/20-mqtt.toml" <<END
node = "$node"

[mqtt]
host = "127.0.0.1"
username = "$node"
password_file = "mqtt-password"
END
    (umask 077 && echo secret-of-$node >"$root/etc/edged/mqtt-password")
    mkdir -p "$root/etc/systemd/system/edged.service.d"
    printf '[Service]\nLoadCredential=mqtt-password:/etc/edged/mqtt-password\n' \
        >"$root/etc/systemd/system/edged.service.d/mqtt.conf"
    inside systemctl daemon-reload
    ends "systemctl restart edged, with the password as a credential" 0 inside systemctl restart edged
    within $soon "status says: connected" status_is 'd["mqtt"]["state"]' connected
    within $soon "and nothing is wrong" as tech edgectl status --check
    ends "tech: edgectl doctor" 0 as tech edgectl doctor
    is "retained edge/$node/available" online "$(broker mosquitto_sub -t edge/$node/available -C 1 -W $soon)"
    listen line 1
    ends "a device sends a picture" 0 broker mosquitto_pub -V mqttv5 -q 1 -t edge/$node/infer/text-line \
        -D publish response-topic edge/replies/line -D publish content-type image/png -f /srv/golden/text-line/serial.png
    wait "$listener" || fails "it is answered" "$(cat "$work/run/replies")"
    is "it is answered" "1 right" "$(replies)"
    local connects
    connects=$(status 'd["mqtt"]["connects"]')
    inside systemctl restart mosquitto
    within $soon "connected again after the broker was restarted" status_is 'd["mqtt"]["connects"], d["mqtt"]["state"]' \
        "($((connects + 1)), 'connected')"
}

records() {
    local all
    all=$(journal)
    is "ways into the journal (stdout would be raw lines)" "{'journal'}" "$(of '{r["_TRANSPORT"] for r in d}' <<<"$all")"
    is "records without priority, source or name" "[]" \
        "$(of '[r for r in d if not {"PRIORITY", "TARGET", "CODE_FILE", "SYSLOG_IDENTIFIER"} <= r.keys()]' <<<"$all")"
    is "their names" "{'edged'}" "$(of '{r["SYSLOG_IDENTIFIER"] for r in d}' <<<"$all")"
    is "a model that is ready: fields" "F_GOLDENS F_LOAD_MS F_MODEL F_PROVIDER F_VARIANT" \
        "$(of '" ".join(sorted({k for r in d if r["MESSAGE"] == "model ready" for k in r if k.startswith("F_")}))' <<<"$all")"
    is "priority of what goes well" "{'5'}" \
        "$(of '{r["PRIORITY"] for r in d if r["MESSAGE"] in ("model ready", "ready")}' <<<"$all")"
    is "errors until here" "[]" "$(of '[(r["MESSAGE"], r.get("F_WHY")) for r in d if int(r["PRIORITY"]) < 4]' <<<"$all")"
}

one_message() {
    is "records that hold not one message but several" "set()" \
        "$(journal | of '{(r["CODE_FILE"], r["CODE_LINE"]) for r in d if isinstance(r["MESSAGE"], list)}')"
}

# Says so if the policy of the reload below holds.
taken() {
    as tech edgectl infer text-line /srv/golden/text-line/serial.png --deadline 10m 2>&1 | tr -s ' \n' ' ' |
        grep -F "600000 is more than this box allows: 60000"
}

reload() {
    local file=$root/etc/edged/edged.toml.d/30-policy.toml from
    printf '[policy]\nmax_deadline_ms = 60000\n' >"$file"
    ends "systemctl reload edged" 0 inside systemctl reload edged
    within $soon "the new policy holds: a deadline is cut to it" taken
    printf '[policy]\nmax_deadline_ms = -1\n' >"$file"
    inside systemctl reload edged
    within $soon "a bad configuration: status is" status_is 'd["state"]' degraded
    is "its problem" config "$(status 'd["problems"][0]["subject"]')"
    has "it says" "not taken over, the old one holds: /etc/edged/edged.toml.d/30-policy.toml: policy.max_deadline_ms: -1 is not accepted" \
        "$(status 'd["problems"][0]["what"]')"
    ends "edgectl status --check" 6 as tech edgectl status --check
    has "StatusText" "degraded: config: not taken over" "$(property StatusText)"
    within 1 "the old policy holds, and it serves" taken
    ends "root: edgectl reload" 1 inside edgectl reload
    from=$(mark)
    ends "systemctl restart with this configuration" 1 inside systemctl restart edged
    is "it ends with 2, and is not started again" "ActiveState=failed ExecMainStatus=2 NRestarts=0" \
        "$(properties ActiveState,ExecMainStatus,NRestarts)"
    has "as an error in the journal" "edged: /etc/edged/edged.toml.d/30-policy.toml: policy.max_deadline_ms: -1" \
        "$(since "$from" -p err)"
    rm "$file"
    ends "systemctl start with a good one" 0 inside systemctl start edged
    within $soon "it serves" serves
}

# The service was started once more, as another process, and serves.
restarted() { # PID RESTARTS SECONDS
    within "$3" "systemd started it again" property_is NRestarts $(($2 + 1))
    within $soon "active" property_is ActiveState active
    if [ "$(property MainPID)" = "$1" ]; then fails "as another process" "$1"; fi
    within $soon "it serves" serves
    within $soon "the broker is connected again" status_is 'd["mqtt"]["state"]' connected
}

watchdog() {
    local pid restarts from
    pid=$(main_pid) restarts=$(property NRestarts) from=$(mark)
    inside kill -STOP "$pid"
    # The watchdog's 30 s, the end of the stopped process, the pause before a restart.
    restarted "$pid" "$restarts" 60
    has "the journal" "Failed with result 'watchdog'" "$(since "$from")"
}

killed() {
    local pid restarts host
    pid=$(main_pid) restarts=$(property NRestarts) host=$(status 'd["engine"]["pid"]')
    inside kill -KILL "$pid"
    restarted "$pid" "$restarts" $soon
    is "the engine host went with it" "" "$(inside sh -c "ps -o args= -p $host | grep engine-host" || true)"
}

host_killed() {
    local pid restarts host began
    pid=$(main_pid) restarts=$(property NRestarts) host=$(status 'd["engine"]["pid"]')
    began=$(status 'd["engine"]["restarts"]')
    open_requests hiccup
    inside kill -KILL "$host"
    within $soon "the engine host was started again" status_is 'd["engine"]["restarts"], d["engine"]["state"]' "($((began + 1)), 'up')"
    wait "$caller" || fails "the caller on the bus is answered" "$(cat "$work/run/caller")"
    holds "the caller on the bus is answered"
    wait "$listener" || fails "$requests replies over the broker" "$(replies)"
    is "over the broker" "$requests right" "$(replies)"
    is "the daemon went on" "MainPID=$pid NRestarts=$restarts" "$(properties MainPID,NRestarts)"
    within $soon "nothing is wrong any more" as tech edgectl status --check
}

stopped() {
    local began from
    from=$(mark)
    open_requests stop
    began=$SECONDS
    ends "systemctl stop, while requests are open" 0 inside systemctl stop edged
    if [ $((SECONDS - began)) -ge 30 ]; then fails "within 30 s" $((SECONDS - began)); fi
    holds "it took $((SECONDS - began)) s"
    is "how it ended" "ActiveState=inactive ExecMainCode=1 ExecMainStatus=0 Result=success" \
        "$(properties ActiveState,ExecMainCode,ExecMainStatus,Result)"
    has "the journal" drained "$(since "$from")"
    wait "$caller" || fails "the caller on the bus is answered" "$(cat "$work/run/caller")"
    holds "the caller on the bus is answered"
    wait "$listener" || fails "$requests replies over the broker" "$(replies)"
    is "over the broker" "$requests right" "$(replies)"
    inside systemctl start edged
    within $soon "it serves" serves
}

confined() {
    local pid host found process path
    pid=$(main_pid) host=$(status 'd["engine"]["pid"]')
    for process in "daemon $pid" "engine host $host"; do
        found=$(inside cat "/proc/${process##* }/status")
        is "$process: user" "$(inside id -u edged)" "$(awk '/^Uid:/ { print $2 }' <<<"$found")"
        is "$process: capabilities of any kind" 0000000000000000 "$(awk '/^Cap/ { print $2 }' <<<"$found" | sort -u)"
        is "$process: no new privileges, system calls filtered" "1 2" \
            "$(awk '/^NoNewPrivs:|^Seccomp:/ { print $2 }' <<<"$found" | tr '\n' ' ' | sed 's/ $//')"
    done
    # Even as root, what the daemon's mounts do not show or let write cannot be had.
    for path in /usr/bin /etc/edged /srv; do
        ends "write to $path" 1 inside nsenter -t "$pid" -m -- touch "$path/written"
        has "the kernel" "Read-only file system" "$said"
    done
    ends "read /home/tech/secret" 1 inside nsenter -t "$pid" -m -- cat /home/tech/secret
    is "its state is for nobody else" "750 edged" "$(inside stat -c '%a %U' /var/lib/edged)"
    is "local HTTP is open to everybody" "666 edged socket" "$(inside stat -c '%a %U %F' /run/edged/api.sock)"
    is "what lies there" "bundles inbox journal.db journal.db-wal ledger.db ledger.db-wal outbox.db outbox.db-wal spool.db spool.db-wal" \
        "$(inside ls -A /var/lib/edged | grep -v -- -shm | tr '\n' ' ' | sed 's/ $//')"
    # shellcheck disable=SC2016 # awk's own
    is "the engine host keeps no core dumps" 1 "$(inside awk '/^Max core file size/ { print $5 }' "/proc/$host/limits")"
}

# Lets a process make a system call of its own, and prints result and errno.
# shellcheck disable=SC2016 # gdb's own
asks() { # PID CALL
    inside gdb -q -nx -batch -p "$1" -ex "set \$r = (int)$2" -ex 'set $e = *(int *)__errno_location()' \
        -ex 'if $r >= 0' -ex 'call (int)close($r)' -ex end \
        -ex 'printf "answer %d %d\n", $r < 0 ? -1 : 0, $r < 0 ? $e : 0' 2>&1 | sed -n 's/^answer //p'
}

no_network() {
    local pid host call
    pid=$(main_pid) host=$(status 'd["engine"]["pid"]')
    is "the daemon may make an internet socket, so the question can be asked" "0 0" "$(asks "$pid" 'socket(2, 1, 0)')"
    is "the daemon may not make a packet socket" "-1 97" "$(asks "$pid" 'socket(17, 3, 0)')"
    for call in 'socket(2, 1, 0)' 'socket(10, 2, 0)' 'socket(1, 1, 0)' 'socket(16, 3, 0)' 'connect(0, 0, 0)' \
        'accept4(0, 0, 0, 0)' 'ptrace(16, 1, 0, 0)'; do
        is "the engine host is refused $call" "-1 1" "$(asks "$host" "$call")"
    done
    is "internet sockets that it was given" "" "$(
        inside sh -c "for fd in /proc/$host/fd/*; do readlink \$fd; done | sed -n 's/socket:\[\(.*\)\]/\1/p' |
            while read -r inode; do awk -v inode=\$inode '\$10 == inode' /proc/$host/net/tcp /proc/$host/net/tcp6 /proc/$host/net/udp /proc/$host/net/udp6; done"
    )"
    within $soon "both are well after being asked" serves
    is "and are the same processes" "$pid $host" "$(property MainPID) $(status 'd["engine"]["pid"]')"
}

tried_again() { [ "$(property NRestarts)" -ge 1 ]; }

no_bus() {
    local from socket=/run/dbus/system_bus_socket
    from=$(mark)
    inside systemctl stop edged
    # The unit requires dbus.socket and would bring it back: only the way to it is gone.
    inside mv $socket $socket.away
    ends "systemctl start edged without a bus" 1 inside systemctl start edged
    within $soon "it ends with 3" property_is ExecMainStatus 3
    within $soon "and systemd tries again" property_is SubState auto-restart
    has "as an error in the journal" "no system bus at unix:path=" "$(since "$from" -p err)"
    within $soon "again" tried_again
    inside mv $socket.away $socket
    within $soon "with the bus there, active by itself" property_is ActiveState active
    within $soon "it serves" serves
}

bus_lost() {
    local pid restarts from
    pid=$(main_pid) restarts=$(property NRestarts) from=$(mark)
    inside systemctl kill -s KILL dbus.service
    restarted "$pid" "$restarts" $soon
    has "the journal" "the connection to the bus was lost" "$(since "$from")"
    has "the journal" "code=exited, status=3" "$(since "$from")"
}

powered_off() {
    local all
    open_requests power
    # It would try to reach the broker that has gone, and hold up the end of the box.
    inside pkill -KILL mosquitto_sub
    power_off || fails "the box goes down within 90 s" "$(tail -n 20 "$work/console.log")"
    holds "the box went down"
    all=$(journalctl -D "$root/var/log/journal" -u edged -o cat --no-pager -n 12)
    has "its journal" drained "$all"
    has "its journal" "Deactivated successfully" "$all"
    wait "$caller" || fails "the caller on the bus was answered before" "$(cat "$work/run/caller")"
    holds "the caller on the bus was answered before"
}

# --- all of it -----------------------------------------------------------------------------------------------------

tools
if [ ! -x "$bin/edged" ] || [ ! -d "$fetched/bundles" ]; then
    echo "booted: nothing was built or fetched here: make build fetch" >&2
    exit 1
fi
# One at a time on a machine, because of the fixed names of the groups.
exec 9>/run/lock/edged-booted.lock
flock -n 9 || { echo "booted: waiting for another run on this machine" >&2 && flock -w 900 9; }
base_image
init='' nspawn=''
trap finish EXIT
trap 'exit 130' INT TERM
boot

check "1  make install: users, places, a unit without faults" installed
check "2  systemctl start: active when ready, not before" ready
check "3a system bus: who may look, who may infer" bus
check "3b system bus: who may change something, polkit asked" changes
check "3c system bus: a call starts the service" activation
check "4  MQTT: the box's own broker, password from a credential" mqtt
check "5a journal: fields and priorities, no raw lines" records
check "5b journal: one message in each record" one_message
check "6  systemctl reload: a new policy, and a bad one" reload
check "7a SIGSTOP: the watchdog ends it, systemd starts it again" watchdog
check "7b kill -9 of the daemon: started again" killed
check "7c kill -9 of the engine host: every request is answered" host_killed
check "8  systemctl stop: drains what is open" stopped
check "9a no bus: exit code 3, tried until there is one" no_bus
check "9b the bus dies: exit code 3, started again" bus_lost
check "10a sandbox: user, capabilities, files" confined
check "10b sandbox: the engine host reaches no network" no_network
check "11 power off: drains what is open" powered_off

printf '\n%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
