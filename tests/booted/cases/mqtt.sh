# shellcheck shell=bash
# The broker of the box.

# The plant's broker, and a box that knows it; made once.
plant() {
    [ ! -e "$root/etc/edged/edged.toml.d/20-mqtt.toml" ] || return 0
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
max_inflight = 1000
END
    (umask 077 && echo secret-of-$node >"$root/etc/edged/mqtt-password")
    mkdir -p "$root/etc/systemd/system/edged.service.d"
    printf '[Service]\nLoadCredential=mqtt-password:/etc/edged/mqtt-password\n' \
        >"$root/etc/systemd/system/edged.service.d/mqtt.conf"
    inside systemctl daemon-reload
    ends "systemctl restart edged, with the password as a credential" 0 inside systemctl restart edged
    within $soon "status says: connected" status_is 'd["mqtt"]["state"]' connected
}

mqtt() {
    plant
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

# A picture that a camera's own program puts into a folder.
folder() {
    plant
    mkdir -p "$root/srv/line"
    inside chown edged /srv/line
    printf '[[binding]]\nname = "line"\nfolder = "/srv/line"\nafter = "delete"\nmodel = "text-line"\nresult = "plant/line/{source}"\n' \
        >"$root/etc/edged/edged.toml.d/40-line.toml"
    within $soon "edgectl doctor names what is to be done" doctor_says "systemctl daemon-reload"
    inside systemctl daemon-reload
    ends "systemctl restart edged" 0 inside systemctl restart edged
    within $soon "connected" status_is 'd["mqtt"]["state"]' connected
    broker mosquitto_sub -t 'plant/line/#' -C 1 -W $soon >"$work/run/line" &
    local listener=$!
    within $soon "somebody listens" listens plant/line
    cp "$root/srv/golden/text-line/serial.png" "$root/srv/line.part"
    inside chown edged /srv/line.part
    mv "$root/srv/line.part" "$root/srv/line/serial.png"
    wait "$listener" || fails "the file is answered" "$(as tech edgectl bindings)"
    has "the answer" "SN 0093-5521-X7" "$(cat "$work/run/line")"
    within $soon "the file is deleted" is_gone "$root/srv/line/serial.png"
    rm "$root/etc/edged/edged.toml.d/40-line.toml"
    inside systemctl daemon-reload
    ends "as it was" 0 inside systemctl restart edged
    within $soon "nothing is wrong any more" as tech edgectl status --check
}
doctor_says() { grep -qF -- "$1" <<<"$(as tech edgectl doctor 2>&1 | tr -s ' \n' ' ')"; }
listens() { pgrep -f "mosquitto_sub .*$1" >/dev/null; }
is_gone() { [ ! -e "$1" ]; }
