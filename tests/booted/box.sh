# shellcheck shell=bash
# The container: its image, its start and its end. Sourced by run.sh.

tools() {
    local building=()
    [ -n "${EDGE_DEBS:-}" ] || building=(dh=debhelper dpkg-buildpackage=dpkg-dev fakeroot=fakeroot)
    why=$(wanted "$work/apt.log" mmdebstrap=mmdebstrap systemd-nspawn=systemd-container python3=python3 "${building[@]}") || skip "$why"
}

# Made once; another list of packages makes another one.
base_image() {
    base=$work/base-$suite-$(cksum <<<"$packages" | cut -d ' ' -f 1)
    [ ! -d "$base" ] || return 0
    echo "e2e: making the base image, which takes some minutes once" >&2
    rm -rf "$work/base-$suite"-*
    why=$(debian_in "$base" "$suite" --variant=minbase --include="$packages") || skip "$why"
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

# A box that nobody touched yet, in $root.
unpack() {
    mkdir -p "$work/run"
    # In memory: an overlay on another overlay is not allowed, and nothing of a run is worth keeping.
    mount -t tmpfs tmpfs "$work/run"
    mkdir "$work/run"/{upper,overlay,root}
    root=$work/run/root
    mount -t overlay overlay -o "lowerdir=$base,upperdir=$work/run/upper,workdir=$work/run/overlay" "$root"
    # Of 32 digits, as on a box that was booted before: an empty one would make each boot a first one.
    tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
    echo $node >"$root/etc/hostname"
    printf '127.0.0.1 localhost\n127.0.1.1 %s\n' $node >"$root/etc/hosts"
    # The journal of the last moments is read after the end.
    mkdir -p "$root/var/log/journal"
    ln -sf /dev/null "$root/etc/systemd/system/apt-daily.timer"
    ln -sf /dev/null "$root/etc/systemd/system/apt-daily-upgrade.timer"
}

boot() {
    SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 setsid systemd-nspawn -b -q -D "$root" -M edged-booted --register=no --keep-unit \
        --private-network --console=pipe --capability=all --system-call-filter='bpf @keyring perf_event_open' \
        </dev/null >"$work/console.log" 2>&1 &
    nspawn=$!
    local limit=$((SECONDS + soon))
    until init=$(pgrep -P "$nspawn" -x systemd) && inside systemctl is-system-running 2>/dev/null | grep -qE 'running|degraded'; do
        # It never ran a container here: a machine that does not allow it, and nothing that the packages are to blame for.
        if [ ! -e "/proc/$nspawn" ] && [ ! -e "$work/run/box" ]; then
            nspawn=""
            skip "systemd-nspawn starts no container here: $(tail -n 1 "$work/console.log")"
        fi
        if [ "$SECONDS" -ge "$limit" ] || [ ! -e "/proc/$nspawn" ]; then
            echo "FAIL  the container does not boot; its console says:" >&2
            tail -n 20 "$work/console.log" >&2
            exit 1
        fi
        sleep 0.1
    done
    echo "$nspawn $init" >"$work/run/box"
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
    clear_groups
    exit "$code"
}

# Their names are fixed: the next container would find itself in the groups of this one.
clear_groups() {
    groups_of_container | while read -r group; do
        [ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done
}

reboot() {
    power_off || fails "the box goes down within 90 s" "$(tail -n 20 "$work/console.log")"
    clear_groups
    boot
}
