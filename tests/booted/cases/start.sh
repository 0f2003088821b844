# shellcheck shell=bash
# Starting and serving.

ready() {
    local seen=""
    inside systemctl stop edged
    inside systemctl start --no-block edged
    local limit=$((SECONDS + soon)) now
    while now=$(property ActiveState) && [ "$now" != active ]; do
        seen="$seen $now"
        if [ "$now" = failed ] || [ "$SECONDS" -ge "$limit" ]; then fails "it becomes active" "$seen"; fi
    done
    is "active, and at that moment models that are ready" \
        "$models" \
        "$(as visitor edgectl models list --json | of '" ".join(sorted(m["name"] for m in d if m["state"] == "ready"))')"
    has "while models were loaded it was" activating "$seen"
    is "Type, watchdog" "Type=notify WatchdogUSec=30s" "$(properties Type,WatchdogUSec)"
    within $soon "StatusText: serving: everything is as it should be" property_is StatusText "serving: everything is as it should be"
    is "restarts" 0 "$(property NRestarts)"
    is "each model runs on" "{'cpu'}" "$(status '{p["name"] for m in d["models"] for p in m["providers"]}')"
    is "and it is no simulation" False "$(status 'd["simulated"]')"
}

# Microseconds on the box's clock at which this unit property was set.
at() { inside systemctl show ${2:+"$2"} -p "$1" --value; }

# Leaves the box four models: a reader of lines, what says how a picture lies, a finder of text, and a sorter of files.
four_models() {
    mkdir -p "$root/srv/aside"
    local model
    for model in $models; do
        case $model in
            text-line | text-direction | text-boxes | file-type) ;;
            *) mv "$root/usr/share/edged/bundles/$model" "$root/srv/aside/" ;;
        esac
    done
}

at_boot() {
    local began ready took
    inside systemctl is-enabled edged
    four_models
    reboot
    within $soon "active after a boot" property_is ActiveState active
    began=$(at UserspaceTimestampMonotonic)
    ready=$(at ActiveEnterTimestampMonotonic edged)
    took=$(((ready - began) / 1000))
    holds "from the first process of the box to READY: $took ms, of which edged: \
$(((ready - $(at InactiveExitTimestampMonotonic edged)) / 1000)) ms"
    within $soon "it serves" serves
    mv "$root"/srv/aside/* "$root/usr/share/edged/bundles/"
    inside systemctl restart edged
    within $soon "and again with all" serves
    is "it waits for no network" "" "$(inside systemctl show edged -p After --value | tr ' ' '\n' | grep network-online || true)"
}

exposure() { inside systemd-analyze security edged --no-pager | sed -n 's/.*Overall exposure level for edged.service: \([0-9.]*\) .*/\1/p'; }
at_most() { # WHAT LIMIT FOUND
    if awk "BEGIN { exit !($3 <= $2) }"; then holds "$1: $3, at most $2"; else fails "$1: at most $2" "$3"; fi
}

platforms() {
    local platform
    at_most "exposure by systemd-analyze security" 1.5 "$(exposure)"
    is "added on this machine" "" "$(inside ls /run/systemd/generator/edged.service.d 2>/dev/null || true)"
    for platform in jetson nvidia hailo camera; do
        mkdir -p "$root/etc/systemd/system/edged.service.d"
        ln -sf "/usr/lib/edged/platform/$platform.conf" "$root/etc/systemd/system/edged.service.d/20-$platform.conf"
        inside systemctl daemon-reload
        at_most "exposure with what $platform opens" 2.2 "$(exposure)"
        ends "systemd-analyze verify" 0 inside systemd-analyze verify edged.service
        ends "it starts so" 0 inside systemctl restart edged
        within $soon "it serves" serves
        rm "$root/etc/systemd/system/edged.service.d/20-$platform.conf"
    done
    mkdir -p "$root/srv/in"
    inside chown edged /srv/in
    printf '[mqtt]\nhost = "127.0.0.1"\n\n[[binding]]\nname = "scan"\nfolder = "/srv/in"\nmodel = "text-line"\n' \
        >"$root/etc/edged/edged.toml.d/40-scan.toml"
    inside systemctl daemon-reload
    has "a folder of a binding may be written" /srv/in "$(inside systemctl show edged -p ReadWritePaths --value)"
    rm "$root/etc/edged/edged.toml.d/40-scan.toml"
    inside systemctl daemon-reload
    ends "as it was" 0 inside systemctl restart edged
}
