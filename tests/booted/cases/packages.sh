# shellcheck shell=bash
# Packages: what they install, start, and take away again.

# All files outside of what dpkg, apt and the journal keep for themselves, and all users, groups and units.
inventory() {
    inside find / -xdev -not -path '/proc/*' -not -path '/sys/*' -not -path '/run/systemd/*' -not -path '/run/user*' \
        -not -path '/var/lib/dpkg/*' -not -path '/var/lib/apt/*' -not -path '/var/cache/*' -not -path '/var/log/*' \
        -not -path '/var/lib/systemd/*' -not -path '/tmp/*' -not -path '/var/tmp/*' -not -path '/srv/*' -not -path '/root/*' \
        -not -path '/home/*' -not -name '*~' -not -name '*-'
    inside find /var/cache -maxdepth 1
    inside getent passwd
    inside getent group
    inside systemctl list-unit-files --no-legend | awk '{ print $1 }'
}
apt() { inside env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends "$@"; }
# The box's own users, and what they have; made once.
people() {
    [ ! -d "$root/home/tech" ] || return 0
    inside useradd --create-home tech
    inside useradd --create-home visitor
    echo secret >"$root/home/tech/secret"
    chmod 644 "$root/home/tech/secret"
    chmod 755 "$root/home/tech"
    local model
    for model in $models; do
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

installed() {
    local from
    from=$(mark)
    people
    mkdir -p "$root/srv/debs"
    cp "$debs"/*_all.deb "$debs"/*_"$arch".deb "$root/srv/debs/"
    [ -e "$work/run/before" ] || inventory | sort >"$work/run/before"
    # shellcheck disable=SC2016 # the shell inside
    ends "apt install ./edged_*.deb ./edged-onnxruntime_*.deb ./edged-models_*.deb" 0 inside sh -c \
        'cd /srv/debs && exec env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install \
            ./edged_*.deb ./edged-onnxruntime_*.deb ./edged-models_*.deb'
    # The bus of Ubuntu 22.04 looks the groups of a user up once.
    inside usermod -aG edge tech
    inside systemctl reload dbus
    is "the user edged, of no privileged group" "edge edged" "$(inside id -nG edged | tr ' ' '\n' | sort | tr '\n' ' ' | sed 's/ $//')"
    is "and the group that may infer" edge "$(inside getent group edge | cut -d : -f 1)"
    is "places for settings and keys" "edged.toml.d keys.d models.d" \
        "$(inside find /etc/edged -mindepth 1 -type d -printf '%f\n' | sort | tr '\n' ' ' | sed 's/ $//')"
    is "starts at boot" enabled "$(inside systemctl is-enabled edged)"
    within $soon "runs" property_is ActiveState active
    within $soon "serves models that are signed by a key that came with them" serves
    ends "systemd-analyze verify edged.service" 0 inside systemd-analyze verify edged.service
    is "and it has nothing to say of edged" "" "$(grep -i edged <<<"$said" || true)"
    ends "edged --check-config" 0 inside edged --check-config
    is "errors in the journal" "" "$(since "$from" -p err)"
}

purged() {
    local key
    ends "apt remove edged" 0 apt remove edged
    is "the program is gone" "" "$(inside sh -c 'command -v edged || true')"
    is "its state and settings stay" "0750 edged /etc/edged/edged.toml" \
        "$(inside stat -c '0%a %U' /var/lib/edged) $(inside ls /etc/edged/edged.toml)"
    is "nothing runs" "" "$(inside pgrep -a edged || true)"
    ends "apt purge edged edged-onnxruntime edged-models" 0 apt purge edged edged-onnxruntime edged-models
    inside systemctl daemon-reload
    inventory | sort >"$work/run/after"
    is "files, users, groups and units that stay" "" "$(comm -13 "$work/run/before" "$work/run/after" || true)"
    is "files, users, groups and units that went" "" "$(comm -23 "$work/run/before" "$work/run/after" || true)"
}

# A purge of edged leaves what is not its own: the key of edged-models, a user and a group of before, the place of a mount.
purged_alone() {
    ends "apt purge edged edged-onnxruntime edged-models" 0 apt purge edged edged-onnxruntime edged-models
    inside groupadd --gid 1500 edge
    inside useradd --uid 1600 --create-home --shell /bin/sh edged
    inside usermod -aG edge visitor
    mkdir -p "$root/var/lib/edged"
    inside mount -t tmpfs tmpfs /var/lib/edged
    # shellcheck disable=SC2016 # the shell inside
    ends "apt install" 0 inside sh -c 'cd /srv/debs && exec env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install \
        ./edged_*.deb ./edged-onnxruntime_*.deb ./edged-models_*.deb'
    has "it says" "there is a user edged already who can log in" "$said"
    within $soon "runs" property_is ActiveState active
    ends "apt purge edged" 0 apt purge edged
    has "it says" "/var/lib/edged stays, as something is mounted there" "$said"
    is "what is in it is gone" "" "$(inside ls -A /var/lib/edged)"
    is "the user stays" 1600 "$(inside id -u edged)"
    is "the group and its members stay" "edge:x:1500:edged,visitor" "$(inside getent group edge)"
    is "the key of edged-models stays" /etc/edged/keys.d/edged-models.pub "$(inside find /etc/edged -type l)"
    inside umount /var/lib/edged
    inside rmdir /var/lib/edged
    inside userdel -r edged
    inside groupdel edge
    installed
}

# A provider comes with its drop-in, and goes with it.
openvino() {
    local from
    from=$(mark)
    if ! ls "$root"/srv/debs/edged-openvino_*.deb >/dev/null 2>&1; then
        holds "SKIPPED: OpenVINO's plugin is for x86, and this machine is $(uname -m)"
        return 0
    fi
    # shellcheck disable=SC2016 # the shell inside
    ends "apt install ./edged-openvino_*.deb" 0 inside sh -c \
        'cd /srv/debs && exec env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install ./edged-openvino_*.deb'
    within $soon "the service knows of it" status_has_provider openvino
    within $soon "it serves" serves
    is "errors in the journal" "" "$(since "$from" -p err)"
    at_most "exposure with it" 2.2 "$(exposure)"
    ends "apt purge edged-openvino" 0 apt purge edged-openvino
    within $soon "it serves without" serves
}
status_has_provider() { # NAME
    local found
    found=$(as tech edgectl status --json)
    echo "$found"
    grep -q "\"$1\"" <<<"$found"
}

# The packages in $root/srv/debs, as another version.
as_version() { # VERSION
    local deb name unpacked=$work/run/unpacked
    mkdir -p "$root/srv/$1"
    for deb in "$root"/srv/debs/edged_*.deb; do
        name=$(basename "$deb")
        rm -rf "$unpacked"
        dpkg-deb -R "$deb" "$unpacked"
        sed -i "s/^Version: .*/Version: $1/" "$unpacked/DEBIAN/control"
        dpkg-deb --root-owner-group -Znone -b "$unpacked" "$root/srv/$1/${name%%_*}_$1_${name##*_}" >/dev/null
    done
    rm -rf "$unpacked"
}

# Sends 50 pictures a second over the broker until told to stop, each with a number. Writes the last number.
stream() { # NAME
    python3 - "$1" "$goldens/text-direction/golden/upside-down.jpg" "$work/run/stream" <<'END' |
import base64, json, os, sys, time

name, picture, stop = sys.argv[1:]
image = base64.b64encode(open(picture, "rb").read()).decode()
began, number = time.monotonic(), 0
while not os.path.exists(stop):
    print(json.dumps({"id": f"{name}-{number}", "deadline_ms": 120000, "reply_to": f"edge/replies/{name}", "image": image}), flush=True)
    number += 1
    time.sleep(max(0, began + number / 50 - time.monotonic()))
open(stop, "w").write(str(number))
END
        broker mosquitto_pub -q 1 -l -t "edge/$node/infer/text-direction"
}

# Asks over the bus again and again, and notes how each ended.
ask_on() {
    : >"$work/run/asked"
    until [ -e "$work/run/stream" ]; do
        local said code=0
        said=$(as tech edgectl infer text-direction /srv/golden/text-direction/upside-down.jpg --deadline 5s 2>&1) || code=$?
        echo "$code $(tr -s ' \n' ' ' <<<"$said" | cut -c 1-160)" >>"$work/run/asked"
    done
}

upgraded() {
    local version sender asker count before
    before=$(inside dpkg-query -f '${Version}' -W edged)
    as_version 9.0
    plant
    rm -f "$work/run/stream" "$work/run/replies"
    (
        trap - ERR
        inside stdbuf -oL mosquitto_sub -h 127.0.0.1 -u line -P line-password -V mqttv5 -q 1 -d -t edge/replies/upgrade \
            >"$work/run/replies" 2>&1 </dev/null
    ) &
    listener=$!
    within $soon "a device listens for replies" grep -q Subscribed "$work/run/replies"
    (trap - ERR && stream upgrade) &
    sender=$!
    (trap - ERR && ask_on) &
    asker=$!
    within $soon "pictures are answered" grep -q '^{' "$work/run/replies"
    ends "apt install of version 9.0 meanwhile" 0 inside sh -c \
        'exec env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install /srv/9.0/edged_*.deb'
    within $soon "it serves" serves
    ends "apt install of the version before meanwhile" 0 inside sh -c \
        'exec env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends --allow-downgrades install /srv/debs/edged_*.deb'
    is "the version is" "$before" "$(inside dpkg-query -f '${Version}' -W edged)"
    within $soon "it serves" serves
    touch "$work/run/stream"
    wait "$sender" "$asker"
    count=$(cat "$work/run/stream")
    within 60 "all $count pictures are answered" all_answered "$count"
    kill "$listener" 2>/dev/null || true
    inside pkill mosquitto_sub || true
    holds "over the bus: $(cut -d ' ' -f 1 "$work/run/asked" | sort | uniq -c | awk '{ printf "%s times exit code %s; ", $1, $2 }')"
    is "refusals over the bus that are not for the restart" "" \
        "$(grep -v '^0 ' "$work/run/asked" | grep -vE 'edged is not on the system bus|unavailable' || true)"
}

# Is there a right answer to each of the pictures?
all_answered() { # COUNT
    grep '^{' "$work/run/replies" | python3 -c '
import json, sys
count, right, wrong = int(sys.argv[1]), set(), []
for line in sys.stdin:
    reply = json.loads(line)
    right.add(reply["id"]) if reply["ok"] else wrong.append(line[:300])
print(count - len(right), "lost,", len(wrong), "refused", *wrong[:3])
sys.exit(len(right) != count or bool(wrong))' "$1"
}
