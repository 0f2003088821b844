#!/bin/bash
# The packages for another architecture: a Debian whose compiler and libraries for both are of one version, in a directory of
# its own, and debian/rules in it. Called by deb.sh. The Debian is made once (three minutes, 2 GB), in target/cross.
set -euo pipefail
cd "$(dirname "$0")/../.."

arch=$1
here=$(dpkg --print-architecture)
[ "$arch" = arm64 ] && [ "$here" = amd64 ] || {
    echo "deb: packages for $arch are made on $arch, or for arm64 on amd64" >&2
    exit 2
}
[ "$(id -u)" -eq 0 ] || {
    echo "deb: a Debian for $arch in a directory takes root: sudo make deb ARCH=$arch" >&2
    exit 1
}
. packaging/dev/debian.sh

target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target/cross"
cross=$(cd "$target/cross" && pwd)
fail() {
    echo "deb: $1" >&2
    exit 1
}
why=$(wanted "$cross/apt.log" mmdebstrap=mmdebstrap) || fail "$why"
triple=aarch64-unknown-linux-gnu gnu=aarch64-linux-gnu
# The release that has a compiler as new as Cargo.toml asks for.
suite=forky
packages=ca-certificates,rustc,cargo,gcc,g++,make,libc6-dev,gcc-$gnu,g++-$gnu,libc6-dev:$arch,libstd-rust-dev:$arch,debhelper,dpkg-dev,fakeroot,python3,file
debian=$cross/$suite-$(cksum <<<"$packages" | cut -d ' ' -f 1)

[ -d "$debian" ] || echo "deb: making a Debian that compiles for $arch, once" >&2
why=$(debian_in "$debian" $suite --variant=apt --architectures="$here,$arch" --include="$packages") || fail "$why"

# What is linked against: the libraries of the oldest system that the packages are for, or next to it. Those of the compiler's own
# release would make programs that older systems refuse to start.
oldest=bookworm
sysroot=$cross/$oldest-$arch
why=$(debian_in "$sysroot" $oldest --variant=extract --architectures="$arch" --include=libc6-dev,libgcc-s1) || fail "$why"

# The compiler looks into the folder of its own release first, unless it is led by the hand.
cat >"$cross/cc" <<END
#!/bin/sh
exec $gnu-gcc --sysroot=$sysroot -B$sysroot/usr/lib/$gnu -L$sysroot/usr/lib/$gnu -L$sysroot/lib/$gnu \\
    -isystem $sysroot/usr/include/$gnu -isystem $sysroot/usr/include "\$@"
END
chmod +x "$cross/cc"

# Runtime and models for that machine; the downloads are shared.
fetched=.fetch/$arch
mkdir -p "$fetched"
[ -e "$fetched/wheels" ] || ln -s ../wheels "$fetched/wheels"
python3 onnx-models/fetch.py "$fetched" --machine aarch64
cargo fetch --quiet --locked --target $triple

debs=${EDGE_DEBS:-$target/deb}
mkdir -p "$debs"
version=$(dpkg-parsechangelog -S Version)
SOURCE_DATE_EPOCH=$(dpkg-parsechangelog -S Timestamp)
home=${CARGO_HOME:-$HOME/.cargo}

# In mounts of its own, so that none is left behind. The tree and cargo's downloads are seen where they are; the network is not.
export debian home triple gnu arch version SOURCE_DATE_EPOCH
debs=$(cd "$debs" && pwd) tree=$PWD fetched=$(cd "$fetched" && pwd -P)
export debs tree fetched cross sysroot
unshare --mount --propagation private bash -euo pipefail -c '
    for place in "$tree" "$home" "$debs" "$cross/.." "$fetched" "$(cd .fetch && pwd -P)"; do
        mkdir -p "$debian$place"
        mount --bind "$place" "$debian$place"
    done
    mount -t proc proc "$debian/proc"
    mount --bind /dev "$debian/dev"
    chroot "$debian" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
        CARGO_HOME="$home" CARGO_NET_OFFLINE=true CARGO_TARGET_DIR="$cross/target" \
        CARGO_BUILD_TARGET="$triple" CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER="$cross/cc" \
        CC_aarch64_unknown_linux_gnu="$cross/cc" AR_aarch64_unknown_linux_gnu="$gnu-ar" \
        SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" DEB_BUILD_OPTIONS="nocheck ${DEB_BUILD_OPTIONS:-}" \
        EDGE_FETCHED="$fetched" EDGE_DEBS="$debs" EDGE_DEB_LEVEL="${EDGE_DEB_LEVEL:-6}" EDGE_BIN_DIR="$cross/bin" \
        bash -euo pipefail -c "
            cd \"$tree\"
            remapped=\"--remap-path-prefix=$tree=/usr/src/edged --remap-path-prefix=$home=/usr/src/cargo\"
            export RUSTFLAGS=\"\$remapped\"
            cargo build --profile dist --workspace --locked --bin edged
            cargo build --profile dist-ctl --workspace --locked --bin edgectl
            mkdir -p \"$cross/bin\"
            cp -p \"$cross/target/$triple/dist/edged\" \"$cross/target/$triple/dist-ctl/edgectl\" \"$cross/bin/\"
            packaging/dev/symbols.sh \"$cross/bin/edged\" \"$cross/bin/edgectl\"
            # debian/ has room for one build at a time.
            exec 8>\"$cross/../deb.lock\" && flock 8
            dpkg-buildpackage --host-arch=$arch --build=any --no-sign --no-check-builddeps --no-pre-clean \
                --buildinfo-option=-u\"$debs\" --buildinfo-file=\"$debs/edged_${version}_$arch.buildinfo\" \
                --changes-option=-u\"$debs\" --changes-file=\"$debs/edged_${version}_$arch.changes\"
            debian/rules clean
        "
' >"$debs/build-$arch.log" 2>&1 </dev/null || {
    tail -n 40 "$debs/build-$arch.log" >&2
    echo "deb: no packages; the whole of it is in $debs/build-$arch.log" >&2
    exit 1
}
(cd "$debs" && sha256sum -- *_"$arch".deb)
