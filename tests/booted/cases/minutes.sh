# shellcheck shell=bash
# A technician's first ten minutes, from packages to an answer over the bus and over MQTT, a mistake and a crash. What is typed and what
# comes is docs/first-ten-minutes.md: the page must show the commands that are run here (UPDATE_GOLDENS=1 writes it anew).

page=$PWD/docs/first-ten-minutes.md

says() { printf '%s\n' "$@" >>"$work/run/page"; }
# Types a line in the folder that the technician is in, and keeps line and answer; sudo is what it is for, as the box has none.
types() { # CODE LINE [TEXT THAT THE ANSWER HAS...]
    local wanted=$1 line=$2 code=0 text
    shift 2
    said=$(in_folder "$line" 2>&1 </dev/null) || code=$?
    [ "$code" -eq "$wanted" ] || fails "$line: exit code $wanted, and not $code" "$said"
    # shellcheck disable=SC2016 # a fence
    { printf '```console\n$ %s\n' "$line" && shown <<<"$said" && printf '```\n\n'; } >>"$work/run/page"
    for text in "$@"; do
        grep -qF -- "$text" <<<"$said" || fails "$line: $text" "$said"
    done
    holds "$line"
}
in_folder() {
    case $1 in
        *sudo\ *) inside env DEBIAN_FRONTEND=noninteractive sh -c "cd /home/tech/edged && ${1//sudo /}" ;;
        *) as tech sh -c "cd /home/tech/edged && $1" ;;
    esac
}
# Without the steps of apt, colours, and the name of this kernel.
shown() { sed -E -e 's/(kernel [0-9]+\.[0-9]+)[^ ]*/\1/' -e '/^\(Reading database/d' -e '/^$/d' -e 's/\x1b\[[0-9;]*m//g' -e 's/[[:space:]]*$//'; }

first_minutes() {
    if inside dpkg-query -W edged >/dev/null 2>&1; then
        ends "a box without edged" 0 apt purge edged edged-onnxruntime edged-models
    fi
    people
    inside gpasswd -d tech edge >/dev/null 2>&1 || true
    mkdir -p "$root/home/tech/edged"
    cp "$debs"/edged_*_"$arch".deb "$debs"/edged-onnxruntime_*_"$arch".deb "$debs"/edged-models_*.deb "$root/home/tech/edged/"
    cp "$goldens/text-line/golden/serial.png" "$root/home/tech/edged/label.png"
    inside chown -R tech /home/tech/edged
    : >"$work/run/page"
    says '# The first ten minutes' '' \
        'What a technician types on a new box, and what comes. Every line of it was typed on a booted Debian 12 by a test' \
        '(`CASES=1c make e2e`), which fails if one of them ends otherwise; times, memory and processors are those of the machine that ran it.' \
        'The box has no graphics processor and no thermometer; [on-a-jetson.md](on-a-jetson.md) is about what a Jetson shows beyond this.' '' \
        'Packages and a picture with a text in it (here `onnx-models/text-line/golden/serial.png` of the source tree, as `label.png`) are in' \
        'the folder that the technician is in.' '' \
        '## Install' '' 'Three packages: the daemon with its command, an ONNX Runtime for the processor, and models to try.' ''
    types 0 'sudo apt-get install -qq ./edged_*.deb ./edged-onnxruntime_*.deb ./edged-models_*.deb' "Setting up edged"
    within $soon "it runs" property_is ActiveState active
    within $soon "and has nothing to do" property_is StatusText "serving: everything is as it should be"
    types 0 'systemctl status edged --no-pager --lines=0' "active (running)" "serving: everything is as it should be"
    says '## Look' '' 'Everybody may look.' ''
    types 0 'edgectl status' serving
    types 0 'edgectl models list' text-line
    says '## Infer' '' 'Who may infer is in the group `edge`. Whoever is not is told so:' ''
    types 4 'edgectl infer text-line label.png' edge
    says 'A group holds from the next login on (or in a shell of `newgrp edge`); the bus of Ubuntu 22.04 looks for new members only when it is told to.' ''
    types 0 'sudo usermod -aG edge tech && sudo systemctl reload dbus'
    types 0 'edgectl infer text-line label.png' 'SN 0093-5521-X7'
    says 'Everything that inference needs, checked, with what to do where something is missing:' ''
    types 0 'edgectl doctor' "may infer"
    says '## MQTT' '' 'The plant has a broker; here it runs on the box (`sudo apt install mosquitto mosquitto-clients`). The settings go into a file of their own, are checked, and taken over.' ''
    types 0 "printf '[mqtt]\\nhost = \"localhost\"\\n' | sudo tee /etc/edged/edged.toml.d/10-mqtt.toml" '[mqtt]'
    types 0 'sudo edgectl config check' fine
    types 0 'sudo systemctl restart edged'
    within $soon "connected" status_is 'd["mqtt"]["state"]' connected
    says 'A device sends a request and names the topic for the answer; `mosquitto_rr` does both. Pictures go as they are, too:' \
        '[mqtt/mosquitto.md](mqtt/mosquitto.md).' ''
    types 0 "mosquitto_rr -V mqttv5 -q 1 -W 10 -t edge/$node/infer/file-type -e edge/answers/desk -m '{\"text\": \"[press]\\nspeed=40\\nforce=12\\n\"}'" \
        '"ok":true' ini
    says '## A mistake' '' 'A key that is misspelt. What held before goes on to hold, and the command says what is wrong.' ''
    types 0 "printf '[policy]\\nmax_deadlin_ms = 5000\\n' | sudo tee /etc/edged/edged.toml.d/20-policy.toml" policy
    types 1 'sudo edgectl config check' max_deadlin_ms
    types 1 'sudo edgectl reload' max_deadlin_ms
    types 0 'edgectl infer text-line label.png' 'SN 0093-5521-X7'
    says 'The journal has it with an explanation, for whoever comes later:' ''
    types 0 'sudo journalctl -u edged -p err -n 1 -x --no-pager' 'The new configuration of edged has faults' max_deadlin_ms
    types 0 "printf '[policy]\\nmax_deadline_ms = 5000\\n' | sudo tee /etc/edged/edged.toml.d/20-policy.toml"
    types 0 'sudo edgectl reload'
    says '## A crash' '' 'systemd starts it again at once; requests over MQTT that came meanwhile are answered then.' ''
    types 0 'sudo systemctl kill -s KILL edged'
    within $soon "started again" property_is NRestarts 1
    within $soon "active" property_is ActiveState active
    types 0 'systemctl show edged -p ActiveState,NRestarts' NRestarts=1 ActiveState=active
    within $soon "it serves" serves
    types 0 'edgectl infer text-line label.png' 'SN 0093-5521-X7'
    says '## Ask for help' '' 'One file for whoever helps, made without a network, without payloads and without secrets; what is in it, it lists.' ''
    types 0 'sudo edgectl support-bundle help.tar.gz' help.tar.gz
    says '## Away with it' '' '`apt remove` leaves settings and models, `apt purge` leaves nothing.' ''
    types 0 'sudo apt-get purge -qq edged edged-onnxruntime edged-models' Purging

    if [ -n "${UPDATE_GOLDENS:-}" ]; then
        cat -s "$work/run/page" >"$page"
        holds "wrote $page"
    fi
    is "commands of docs/first-ten-minutes.md that were not typed here, or the other way" "" \
        "$(diff <(grep '^\$ ' "$work/run/page") <(grep '^\$ ' "$page") || true)"
}
