# shellcheck shell=bash
# A box that is not as it should be: settings, the state folder, polkit, groups, another daemon, a kill at a bad moment.

# Puts settings in a file of its own that the next check does not find any more.
setting() { printf '%s\n' "$1" >"$root/etc/edged/edged.toml.d/30-policy.toml"; }

# What a start with bad settings looks like: a clear entry, exit code 2, and no second try.
not_started() { # WHAT JOURNAL
    local from
    from=$(mark)
    ends "systemctl restart with $1" 1 inside systemctl restart edged
    is "it ends with 2, and is not started again" "ActiveState=failed ExecMainStatus=2 NRestarts=0" \
        "$(properties ActiveState,ExecMainStatus,NRestarts)"
    has "as an error in the journal" "$2" "$(since "$from" -p err)"
    rm "$root/etc/edged/edged.toml.d/30-policy.toml"
    ends "systemctl start with a good one" 0 inside systemctl start edged
    within $soon "it serves" serves
}

# The same while it runs: what held goes on to hold, and the status says what is wrong.
not_taken() { # WHAT STATUS
    inside systemctl reload edged
    within $soon "reload with $1: status says" status_has "$2"
    within 1 "and it serves" serves
}
status_has() {
    local found
    found=$(status '" ".join(p["what"] for p in d["problems"])')
    echo "$found"
    grep -qF -- "$1" <<<"$found"
}

bad_settings() {
    plant
    setting '[policy'
    not_taken "a syntax error" "30-policy.toml"
    not_started "a syntax error" "edged: /etc/edged/edged.toml.d/30-policy.toml"
    setting $'[policy]\nmax_deadlin_ms = 5'
    not_taken "an unknown key" "policy.max_deadlin_ms"
    not_started "an unknown key" "policy.max_deadlin_ms"
    setting $'[mqtt]\nhost = "127.0.0.1"\nusername = "press-7"\npassword_file = "/etc/edged/open-password"'
    echo secret >"$root/etc/edged/open-password"
    chmod 644 "$root/etc/edged/open-password"
    # Of two files the later one holds.
    mv "$root/etc/edged/edged.toml.d/20-mqtt.toml" "$work/run/20-mqtt.toml"
    not_started "a password that everybody may read" "/etc/edged/open-password"
    mv "$work/run/20-mqtt.toml" "$root/etc/edged/edged.toml.d/20-mqtt.toml"
    rm "$root/etc/edged/open-password"
    inside systemctl restart edged
}

# The state folder on a small disk of its own.
small_disk() {
    inside systemctl stop edged
    inside mv /var/lib/edged /var/lib/edged.kept
    inside mkdir -m 750 /var/lib/edged
    inside mount -t tmpfs -o size=8m,mode=750,uid=edged,gid=edged tmpfs /var/lib/edged
    inside systemctl start edged
    within $soon "it serves on a disk of 8 MiB" serves
}
large_disk() {
    inside systemctl stop edged
    inside umount /var/lib/edged
    inside rmdir /var/lib/edged
    inside mv /var/lib/edged.kept /var/lib/edged
    inside systemctl start edged
    within $soon "it serves on its own disk again" serves
}

full_disk() {
    plant
    small_disk
    inside sh -c 'cat /dev/zero >/var/lib/edged/filler 2>/dev/null || true'
    # What the daemon writes next finds no room: a request that waits for its turn is noted on the disk first.
    listen full 1
    broker mosquitto_pub -q 1 -t "edge/$node/infer/speech" -s <<<"$(python3 - "$goldens/speech/golden/two-sentences.wav" <<'END'
import base64, json, sys
sound = base64.b64encode(open(sys.argv[1], "rb").read()).decode()
print(json.dumps({"id": "full-1", "deadline_ms": 60000, "reply_to": "edge/replies/full", "bytes": sound, "content_type": "audio/wav"}))
END
)"
    wait "$listener" || fails "a request over the broker is answered" "$(cat "$work/run/replies")"
    holds "a request over the broker is answered"
    within 1 "and one over the bus" serves
    within 60 "status says what is full" status_is '"disk" in " ".join(p["what"] for p in d["problems"]) or "space" in " ".join(p["what"] for p in d["problems"])' True
    inside rm /var/lib/edged/filler
    within 90 "with room again nothing is wrong" as tech edgectl status --check
    large_disk
}

read_only() {
    local from
    plant
    small_disk
    inside systemctl stop edged
    inside mount -o remount,ro /var/lib/edged
    from=$(mark)
    inside systemctl start --no-block edged
    within $soon "a state folder that cannot be written: it serves, or says why not" said_read_only "$from"
    inside mount -o remount,rw /var/lib/edged
    inside systemctl restart edged
    within $soon "it serves when it can be written" serves
    large_disk
}
said_read_only() { grep -qiE 'read-only' <<<"$(since "$1"; property StatusText)"; }

foreign_state() {
    inside systemctl stop edged
    inside chown -R root:root /var/lib/edged
    ends "systemctl start with a state folder of root's" 0 inside systemctl start edged
    is "it belongs to the service again" edged "$(inside stat -c %U /var/lib/edged/ledger.db)"
    within $soon "it serves" serves
}

no_polkit() {
    inside systemctl mask --now --quiet polkit
    ends "tech, without polkit: edgectl drain" 4 as tech edgectl drain
    has "it says" polkit "$(tr -s ' \n' ' ' <<<"$said")"
    ends "root needs none: edgectl drain --wait" 0 inside edgectl drain --wait
    ends "root: edgectl resume" 0 inside edgectl resume
    inside systemctl unmask --quiet polkit
    within $soon "it serves" serves
}

no_group() {
    inside systemctl stop edged
    inside groupdel edge
    inside systemctl reload dbus
    ends "systemctl start without the group edge" 0 inside systemctl start edged
    ends "tech: edgectl infer" 4 as tech edgectl infer text-line /srv/golden/text-line/serial.png
    ends "root: edgectl infer" 0 inside edgectl infer text-line /srv/golden/text-line/serial.png
    ends "tech: edgectl doctor" 6 as tech edgectl doctor
    has "doctor" "group edge" "$(tr -s ' \n' ' ' <<<"$said")"
    inside systemd-sysusers edged.conf
    inside usermod -aG edge tech
    inside systemctl reload dbus
    inside systemctl restart edged
    within $soon "with the group again it serves" serves
}

two_daemons() {
    local pid
    pid=$(main_pid)
    ends "a second daemon" 3 inside runuser -u edged -- /usr/bin/edged
    has "it says" org.edged.Edge1 "$said"
    is "the first one goes on" "$pid" "$(main_pid)"
    within 1 "and serves" serves
}

# Before the watchdog begins to watch.
hung_start() {
    local restarts pid
    mkdir -p "$root/etc/systemd/system/edged.service.d"
    printf '[Service]\nTimeoutStartSec=3s\nTimeoutStopSec=3s\nWatchdogSec=4s\n' >"$root/etc/systemd/system/edged.service.d/90-hurry.conf"
    inside systemctl daemon-reload
    inside systemctl stop edged
    restarts=$(property NRestarts)
    inside systemctl start --no-block edged
    within $soon "it starts" main_pid
    pid=$(main_pid)
    inside kill -STOP "$pid"
    is "stopped while it starts" activating "$(property ActiveState)"
    within 30 "systemd ends it, and starts it again" another_pid "$pid"
    within $soon "active" property_is ActiveState active
    within $soon "it serves" serves
    rm "$root/etc/systemd/system/edged.service.d/90-hurry.conf"
    inside systemctl daemon-reload
    inside systemctl restart edged
}
another_pid() {
    local pid
    pid=$(main_pid) && [ "$pid" != "$1" ]
}

killed_activating() {
    local round
    setting $'[models]\nallow_unsigned = true'
    inside systemctl restart edged
    for round in 1 2 3 4 5; do
        rm -rf "$root/srv/text-direction"
        cp -r "$fetched/bundles/text-direction" "$root/srv/text-direction"
        sed -i "s/^version = .*/version = \"1.0.$round\"/" "$root/srv/text-direction/model.toml"
        inside sh -c "edgectl models install /srv/text-direction >/dev/null 2>&1 & sleep 0.$round; systemctl kill -s KILL edged; wait"
        within $soon "killed ${round}00 ms into an activation: it serves" right text-direction upside-down.jpg
        has "by a whole version" "1.0." "$(as tech edgectl models list --json | of '[m["version"] for m in d if m["name"] == "text-direction"]')"
    done
    inside edgectl models install /srv/text-direction || true
    has "and the last one can be activated" "1.0.5" \
        "$(as tech edgectl models list --json | of '[m["version"] for m in d if m["name"] == "text-direction" and m["state"] == "ready"]')"
    rm "$root/etc/edged/edged.toml.d/30-policy.toml"
    inside systemctl stop edged
    inside sh -c 'rm -rf /var/lib/edged/bundles/* /var/lib/edged/*.toml'
    inside systemctl start edged
    within $soon "it serves" serves
}

open_bundle() {
    chmod 777 "$root/usr/share/edged/bundles/text-direction"
    inside systemctl restart edged
    within $soon "status names the folder that everybody may write" status_has \
        "/usr/share/edged/bundles/text-direction may be written by every user of this box (mode 0777)"
    ends "its model is not served" 1 as tech edgectl infer text-direction /srv/golden/text-direction/upside-down.jpg
    within 1 "others are" serves
    chmod 755 "$root/usr/share/edged/bundles/text-direction"
    inside systemctl restart edged
    within $soon "nothing is wrong any more" as tech edgectl status --check
}

# A camera that a binding names and that is not there, or goes.
lost_device() {
    plant
    printf '[[binding]]\nname = "door"\ndevice = "/dev/video0"\nmodel = "text-line"\n' \
        >"$root/etc/edged/edged.toml.d/30-policy.toml"
    inside systemctl daemon-reload
    is "the unit opens cameras" char-video4linux "$(property DeviceAllow | tr ' ' '\n' | grep video4linux)"
    inside systemctl restart edged
    within $soon "status names the camera that is not there" status_has /dev/video0
    within 1 "and everything else is served" serves
    rm "$root/etc/edged/edged.toml.d/30-policy.toml"
    inside systemctl daemon-reload
    inside systemctl restart edged
    within $soon "nothing is wrong any more" as tech edgectl status --check
}
