# shellcheck shell=bash
# The container: its image, its start and its end. Sourced by run.sh.

tools() {
    local missing=""
    command -v mmdebstrap >/dev/null || missing="$missing mmdebstrap"
    command -v systemd-nspawn >/dev/null || missing="$missing systemd-container"
    command -v python3 >/dev/null || missing="$missing python3"
    if [ -z "${EDGE_DEBS:-}" ]; then
        command -v dh >/dev/null || missing="$missing debhelper"
        command -v dpkg-buildpackage >/dev/null || missing="$missing dpkg-dev"
        command -v fakeroot >/dev/null || missing="$missing fakeroot"
    fi
    [ -n "$missing" ] || return 0
    command -v apt-get >/dev/null || skip "please install, by the means of this system:$missing"
    echo "e2e: installing$missing" >&2
    # shellcheck disable=SC2086 # a list of words
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing; } \
        </dev/null >"$work/apt.log" 2>&1 || skip "apt-get could not install$missing: $(tail -n 1 "$work/apt.log")"
}

# Made once, from the mirror that this machine uses; another list of packages makes another one.
base_image() {
    local suite=bookworm mirror
    base=$work/base-$suite-$(cksum <<<"$packages" | cut -d ' ' -f 1)
    [ ! -d "$base" ] || return 0
    echo "e2e: making the base image, which takes some minutes once" >&2
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
