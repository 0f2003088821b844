# shellcheck shell=bash
# The system bus: who may look, infer, change; activation.

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
    # polkit watches the directory.
    lets_tech manage
    within $soon "tech, once a rule of polkit allows it: edgectl drain" as tech edgectl drain
    ends "visitor, whom the rule does not name: edgectl resume" 4 as visitor edgectl resume
    ends "tech: edgectl resume" 0 as tech edgectl resume
    lets_tech drain
    within $soon "tech, whom the rule lets drain alone: edgectl resume is refused" refused tech edgectl resume
    ends "tech: edgectl drain" 0 as tech edgectl drain
    ends "root: edgectl resume" 0 inside edgectl resume
    rm "$rules"
    within $soon "it serves" serves
}

# As docs/requests.md tells it.
lets_tech() { # ACTION
    if [ -d "$root/etc/polkit-1/localauthority" ]; then
        rules=$root/etc/polkit-1/localauthority/50-local.d/50-edged.pkla
        printf '[tech may]\nIdentity=unix-user:tech\nAction=org.edged.edge1.%s\nResultAny=yes\n' "$1" >"$rules"
    else
        rules=$root/etc/polkit-1/rules.d/50-edged.rules
        cat >"$rules" <<END
polkit.addRule(function(action, subject) {
    if (action.id == "org.edged.edge1.$1" && subject.user == "tech") return polkit.Result.YES;
});
END
    fi
}

refused() { # USER COMMAND...
    local code=0
    as "$@" || code=$?
    [ "$code" -eq 4 ]
}

activation() {
    inside systemctl stop edged
    is "stopped" inactive "$(property ActiveState)"
    ends "visitor: edgectl status only looks" 3 as visitor edgectl status
    is "and starts nothing" inactive "$(property ActiveState)"
    # tech, and not root: it is the bus that has systemd start it.
    local began
    began=$(milliseconds)
    ends "tech: a method call to the name" 0 as tech dbus-send --system --print-reply --reply-timeout=60000 \
        --dest=org.edged.Edge1 /org/edged/Edge1 org.edged.Edge1.Manager.Describe
    holds "from the call to its answer: $(($(milliseconds) - began)) ms"
    within $soon "systemd started it" property_is ActiveState active
    within $soon "it serves" serves
}
