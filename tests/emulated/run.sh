#!/bin/bash
# The packages for arm64, as `make deb ARCH=arm64` left them, unpacked beside the libraries of Debian 12 for that machine and started
# under user-mode emulation: the daemon serves four bundles on a bus, and every golden answer must be the one that the bundle expects.
#
#   tests/emulated/run.sh
#
# What emulation cannot show (providers of graphics processors, the files of a Jetson's kernel, speed) stands in docs/on-a-jetson.md.
# Needs root and binfmt_misc; says SKIPPED without them.
set -euo pipefail
cd "$(dirname "$0")/../.."

. packaging/dev/debian.sh
[ "$(id -u)" -eq 0 ] || skip "programs of another machine in a root of their own take root"
unshare --mount true 2>/dev/null || skip "this root may not mount anything"
if [ -z "${EDGE_EMULATED_MOUNTS:-}" ]; then
    EDGE_EMULATED_MOUNTS=own exec unshare --mount --propagation private "$0" "$@"
fi

target=${CARGO_TARGET_DIR:-target}
debs=${EDGE_DEBS:-$target/deb}
models="file-type text-boxes text-direction text-line"
for package in edged edged-onnxruntime; do
    ls "$debs/${package}"_*_arm64.deb >/dev/null 2>&1 || {
        echo "emulated: there is no $package for arm64 in $debs: make deb ARCH=arm64" >&2
        exit 1
    }
done
mkdir -p "$target/emulated"
work=$(cd "$target/emulated" && pwd)
why=$(wanted "$work/apt.log" qemu-aarch64-static=qemu-user-static mmdebstrap=mmdebstrap dbus-daemon=dbus \
    aarch64-linux-gnu-gcc="gcc-aarch64-linux-gnu libc6-dev-arm64-cross") || skip "$why"

# Whatever starts a program of that machine, the kernel gives it to the emulator, which it opens now: the root has none.
binfmt=/proc/sys/fs/binfmt_misc
[ -e $binfmt/register ] || mount -t binfmt_misc binfmt_misc $binfmt || skip "the kernel has no binfmt_misc"
ours=""
if ! ls $binfmt/qemu-aarch64* >/dev/null 2>&1; then
    ours=qemu-aarch64-edged
    printf '%s' ":$ours:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:$(command -v qemu-aarch64-static):F" \
        >$binfmt/register || skip "the kernel takes no emulator"
fi

base=$work/bookworm-arm64
why=$(debian_in "$base" bookworm --variant=extract --architectures=arm64 --include=libc6,libgcc-s1,libstdc++6,dash,coreutils) ||
    skip "$why"

# In memory: nothing of a run is worth keeping.
mkdir -p "$work/run"
mount -t tmpfs tmpfs "$work/run"
root=$work/run/root
mkdir "$root" "$work/run"/{upper,overlay}
mount -t overlay overlay -o "lowerdir=$base,upperdir=$work/run/upper,workdir=$work/run/overlay" "$root"
daemon="" bus=""
finish() {
    code=$?
    trap - EXIT
    [ -z "$daemon" ] || { kill "$daemon" 2>/dev/null && wait "$daemon" || true; }
    [ -z "$bus" ] || { kill "$bus" 2>/dev/null && wait "$bus" || true; }
    [ -z "$ours" ] || echo -1 >"$binfmt/$ours"
    exit $code
}
trap finish EXIT
trap 'exit 130' INT TERM

for package in edged edged-onnxruntime; do
    dpkg-deb -x "$(ls "$debs/${package}"_*_arm64.deb)" "$root"
done
mkdir -p "$root"/{proc,dev,run/edged,var/lib/edged/bundles,var/lib/edged/inbox,var/cache/edged,srv/golden,tmp}
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
# The daemon's libraries look up the processor there, and would find this one.
for _ in 1 2; do
    printf 'processor\t: 0\nBogoMIPS\t: 62.50\nFeatures\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x1\nCPU part\t: 0xd42\nCPU revision\t: 0\n\n'
done >"$work/run/cpuinfo"
mount --bind "$work/run/cpuinfo" "$root/proc/cpuinfo"
for model in $models; do
    mkdir -p "$root/usr/share/edged/bundles"
    cp -r "${EDGE_FETCHED:-.fetch}/bundles/$model" "$root/usr/share/edged/bundles/"
    cp "packaging/signatures/$model.minisig" "$root/usr/share/edged/bundles/$model/model.toml.minisig"
    cp -r "onnx-models/$model/golden" "$root/srv/golden/$model"
done
aarch64-linux-gnu-gcc -O1 -shared -fPIC -o "$root/srv/seccomp.so" tests/emulated/seccomp.c
echo /srv/seccomp.so >"$root/etc/ld.so.preload"
cp packaging/signatures/edged-models.pub "$root/etc/edged/keys.d/"

inside() { chroot "$root" /usr/bin/env -i PATH=/usr/bin:/bin LANG=C.UTF-8 DBUS_SESSION_BUS_ADDRESS=unix:path=/run/bus "$@"; }
failed=0
is() { # WHAT EXPECTED FOUND
    if [ "$3" = "$2" ]; then
        echo "ok    $1: $2"
    else
        printf 'FAIL  %s: %s, and not\n%s\n' "$1" "$2" "$3"
        failed=$((failed + 1))
    fi
}

is "the programs are for" "AArch64 AArch64" \
    "$(readelf -h "$root/usr/bin/edged" "$root/usr/bin/edgectl" | sed -n 's/ *Machine: *//p' | tr '\n' ' ' | sed 's/ $//')"
packaging/dev/symbols.sh "$root/usr/bin/edged" "$root/usr/bin/edgectl" || failed=$((failed + 1))
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
is "edged --version" "edged $version" "$(inside edged --version)"
is "edgectl --version" "edgectl $version" "$(inside edgectl --version)"

dbus-daemon --session --nofork --nopidfile --address="unix:path=$root/run/bus" >"$work/run/bus.log" 2>&1 &
bus=$!
inside edged --session >"$work/run/edged.log" 2>&1 &
daemon=$!
limit=$((SECONDS + 300))
until inside edgectl --bus session models list --json 2>/dev/null </dev/null >"$work/run/models" &&
    python3 -c 'import json, sys; sys.exit([m["state"] for m in json.load(sys.stdin)] != ["ready"] * 4)' <"$work/run/models"; do
    if [ ! -e "/proc/$daemon" ] || [ "$SECONDS" -ge "$limit" ]; then
        echo "FAIL  the daemon serves four models; it says:"
        tail -n 40 "$work/run/edged.log"
        exit 1
    fi
    sleep 1
done
echo "ok    the daemon serves four models"
grep 'model ready' "$work/run/edged.log" | sed 's/\x1b\[[0-9;]*m//g' | sed 's/^.*model ready/      model ready/'

# What the daemon says of the golden answers by the bounds that each bundle states, and then each of them from outside: another kind of
# processor rounds otherwise, by a pixel or some hundredths.
for model in $models; do
    count=$(ls "onnx-models/$model/golden"/*.expected.json | wc -l)
    is "the daemon's own check of $model, golden answers" "$count" \
        "$(sed -n "s/.*model ready.*model[^ ]*$model:.*goldens[^0-9]*\([0-9]*\).*/\1/p" "$work/run/edged.log" | sort -n | tail -n 1)"
done
while read -r model input; do
    if inside edgectl --bus session infer "$model" "/srv/golden/$model/$input" --deadline 2m --json \
        >"$work/run/answer" 2>"$work/run/said" </dev/null &&
        python3 tests/booted/same.py "$work/run/answer" "onnx-models/$model/golden/$input.expected.json" 0.05 2; then
        echo "ok    $model $input"
    else
        echo "FAIL  $model $input"
        cat "$work/run/said"
        failed=$((failed + 1))
    fi
done < <(cd onnx-models && for model in $models; do
    for expected in "$model"/golden/*.expected.json; do
        input=$(basename "$expected" .expected.json)
        echo "$model $input"
    done
done)
[ "$failed" -eq 0 ]
