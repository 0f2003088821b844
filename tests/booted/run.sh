#!/bin/bash
# The packages on a box with a real systemd: boots Debian in a container, installs edged by apt as a technician does, and
# checks from outside what packages, unit, bus policy and journal promise.
#
#   tests/booted/run.sh [--list | CASE...]      all cases, or those whose number begins so: 3 runs 3a, 3b, 3c
#
# Ends with 0 only if every check passed, or if nothing could be checked here at all, which it says. Needs root; installs what
# it needs where that is missing. EDGE_DEBS is where the packages are; without it they are made of EDGE_BIN_DIR. EDGE_SUITE is the
# system that is booted: bookworm (Debian 12, unless said), trixie, or jammy (Ubuntu 22.04, of which JetPack 6 is made) and noble;
# EDGE_UBUNTU_MIRROR where the last two are taken from.
set -euo pipefail
cd "$(dirname "$0")/../.."

. packaging/dev/debian.sh
if [ "${1:-}" != --list ]; then
    [ "$(id -u)" -eq 0 ] || skip "booting a container needs root"
    unshare --mount true 2>/dev/null || skip "this root may not mount anything"
    # Mounts of its own, so that none is left behind however this ends.
    if [ -z "${EDGE_BOOTED_MOUNTS:-}" ]; then
        EDGE_BOOTED_MOUNTS=own exec unshare --mount --propagation private "$0" "$@"
    fi
fi

target=${CARGO_TARGET_DIR:-target}
bin=${EDGE_BIN_DIR:-$target/release}
mkdir -p "$target/booted"
work=$(cd "$target/booted" && pwd)
fetched=$PWD/.fetch goldens=$PWD/onnx-models
node=press-7 arch=$(dpkg --print-architecture)
models="character-boxes file-type label-reader part-type speech surface-flaws table-lines text-boxes text-direction text-line"
# What a box has besides edged. man-db lets systemd look for the manual pages, gdb asks the kernel in another's name.
packages=systemd,systemd-sysv,dbus,polkitd,libpam-systemd,procps,man-db,mosquitto,mosquitto-clients
suite=${EDGE_SUITE:-bookworm}
case $suite in
    jammy | noble) packages=$packages,apt,gdb ;;
    *) packages=$packages,gdb-minimal ;;
esac
# Longest wait for what should come soon: a slow box under load, not a fault.
soon=30

here=$PWD/tests/booted
for part in "$here"/box.sh "$here"/says.sh "$here"/ways.sh "$here"/cases/*.sh; do
    # shellcheck source=/dev/null
    . "$part"
done

cases() {
    check 1a "apt install: users, places, a unit without faults, models that serve" installed
    check 1b "apt remove, apt purge: nothing stays" purged
    check 1c "a technician's first ten minutes, as in docs/first-ten-minutes.md" first_minutes
    check 1d "apt install again" installed
    check 1f "apt purge of edged alone, its state on a disk of its own, a user of before" purged_alone
    check 1e "apt install edged-openvino, and purge" openvino
    check 2a "systemctl start: active when ready, not before" ready
    check 2b "boot: it serves by itself, and how soon" at_boot
    check 2c "platforms: what each opens, and how exposed the service is" platforms
    check 3a "system bus: who may look, who may infer" bus
    check 3b "system bus: who may change something, polkit asked" changes
    check 3c "system bus: a call starts the service" activation
    check 4 "MQTT: the box's own broker, password from a credential" mqtt
    check 4b "a folder: its files are read, answered and deleted" folder
    check 5a "journal: fields and priorities, no raw lines" records
    check 5b "journal: one message in each record" one_message
    check 5c "journal: explanations, and how much is said" explained
    check 5d "journal: no payload, no secret" secrets
    check 6 "systemctl reload: a new policy, and a bad one" reload
    check 7a "SIGSTOP: the watchdog ends it, systemd starts it again" watchdog
    check 7b "kill -9 of the daemon: started again" killed
    check 7d "kill -9 again and again: pauses that grow" again_and_again
    check 7e "what keeps systemd from starting it: tried a while, then again" cannot_start
    check 7c "kill -9 of the engine host: every request is answered" host_killed
    check 8 "systemctl stop: drains what is open" stopped
    check 9a "no bus: exit code 3, tried until there is one" no_bus
    check 9b "the bus dies: exit code 3, started again" bus_lost
    check 9c "the clock is set while it works" time_jump
    check 10a "sandbox: user, capabilities, files" confined
    check 10b "sandbox: the engine host reaches no network" no_network
    check 11a "bad settings: the old ones hold; at a start exit code 2" bad_settings
    check 11b "the disk is full, and has room again" full_disk
    check 11c "the state folder cannot be written" read_only
    check 11d "the state folder belongs to root" foreign_state
    check 11e "no polkit" no_polkit
    check 11f "no group edge" no_group
    check 11g "a second daemon" two_daemons
    check 11h "a start that hangs" hung_start
    check 11i "kill -9 while a version is activated" killed_activating
    check 11j "a folder of a bundle that everybody may write" open_bundle
    check 11k "a camera that is not there" lost_device
    check 12 "upgrade and downgrade under load: nothing is lost" upgraded
    check 13 "power off: drains what is open" powered_off
}

if [ "${1:-}" = --list ]; then
    check() { printf '%-4s %s\n' "$1" "$2"; }
    cases
    exit 0
fi
wanted=("$@")
tools
if [ -z "${EDGE_DEBS:-}" ]; then
    if [ ! -x "$bin/edged" ] || [ ! -d "$fetched/bundles" ]; then
        echo "e2e: nothing was built or fetched here: make build fetch" >&2
        exit 1
    fi
    debs=$work/debs
    EDGE_DEBS=$debs EDGE_DEB_LEVEL=0 EDGE_BIN_DIR=$bin DEB_BUILD_OPTIONS=noautodbgsym packaging/dev/deb.sh >"$work/deb.log" 2>&1 || {
        cat "$work/deb.log" >&2
        exit 1
    }
else
    debs=$EDGE_DEBS
fi
# One at a time on a machine, because of the fixed names of the groups.
exec 9>/run/lock/edged-booted.lock
flock -n 9 || { echo "e2e: waiting for another run on this machine" >&2 && flock -w 900 9; }
base_image
init='' nspawn=''
trap finish EXIT
trap 'exit 130' INT TERM
unpack
boot
cases
printf '\n%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
