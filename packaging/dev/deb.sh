#!/bin/bash
# Builds the Debian packages for ARCH into target/deb, from the tree as it stands. What was built and fetched before is used.
#   EDGE_BIN_DIR   programs that were built already, for tests: without it `make dist` builds them
set -euo pipefail
cd "$(dirname "$0")/../.."

here=$(dpkg --print-architecture)
arch=${1:-$here}
case $arch in
amd64 | arm64) ;;
*)
    echo "deb: ARCH=$arch is not one that is packaged: amd64, arm64" >&2
    exit 2
    ;;
esac

missing=""
command -v dh >/dev/null || missing="$missing debhelper"
command -v dpkg-buildpackage >/dev/null || missing="$missing dpkg-dev"
command -v fakeroot >/dev/null || missing="$missing fakeroot"
if [ -n "$missing" ]; then
    echo "deb: installing$missing" >&2
    sudo=""
    [ "$(id -u)" -eq 0 ] || sudo=sudo
    # shellcheck disable=SC2086 # lists of words
    { $sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $sudo apt-get install -qq -y --no-install-recommends $missing; } \
        </dev/null >&2
fi

if [ "$arch" != "$here" ]; then exec packaging/dev/cross.sh "$arch"; fi

# Programs that were given are for this machine's tests; what is built here is for others, too.
if [ -z "${EDGE_BIN_DIR:-}" ]; then
    make dist >&2
    EDGE_BIN_DIR=${CARGO_TARGET_DIR:-target}/dist
    packaging/dev/symbols.sh "$EDGE_BIN_DIR/edged" "$EDGE_BIN_DIR/edgectl" >&2
    export EDGE_BIN_DIR
fi

# debian/ has room for one build at a time.
mkdir -p "${CARGO_TARGET_DIR:-target}"
exec 8>"${CARGO_TARGET_DIR:-target}/deb.lock"
flock -n 8 || { echo "deb: waiting for another build in this tree" >&2 && flock 8; }

# One time for everything in the packages: that of the last change of the packages' own change log.
SOURCE_DATE_EPOCH=$(dpkg-parsechangelog -S Timestamp)
export SOURCE_DATE_EPOCH
export EDGE_DEBS=${EDGE_DEBS:-${CARGO_TARGET_DIR:-target}/deb}
mkdir -p "$EDGE_DEBS"
rm -f "$EDGE_DEBS"/*_"$arch".* "$EDGE_DEBS"/*_all.deb
version=$(dpkg-parsechangelog -S Version)
name=$EDGE_DEBS/edged_${version}_$arch
# -d: the compiler is not Debian's. Everything beside the packages themselves goes where they go, and not above the tree.
dpkg-buildpackage --build=binary --no-sign --no-check-builddeps --no-pre-clean \
    --buildinfo-option=-u"$EDGE_DEBS" --buildinfo-file="$name.buildinfo" \
    --changes-option=-u"$EDGE_DEBS" --changes-file="$name.changes" >"$EDGE_DEBS/build.log" 2>&1 </dev/null || {
    tail -n 40 "$EDGE_DEBS/build.log" >&2
    echo "deb: no packages; the whole of it is in $EDGE_DEBS/build.log" >&2
    exit 1
}
debian/rules clean >>"$EDGE_DEBS/build.log" 2>&1
(cd "$EDGE_DEBS" && sha256sum -- *.deb)
