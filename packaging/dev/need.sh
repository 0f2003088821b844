#!/bin/sh
# Installs what building and running a stack needs, on Debian and its relatives, and only what is missing.
set -eu

missing=""
need() { # COMMAND PACKAGE
    command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || missing="$missing $2"
}

# The compiler comes from rustup.rs: the one that Debian 12 packages is older than what Cargo.toml asks for.
wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
found=$(rustc --version 2>/dev/null | cut -d ' ' -f 2) || true
if ! command -v cargo >/dev/null 2>&1 || [ -z "$found" ]; then
    echo "need: no Rust here; install $wanted or later as https://rustup.rs says, then open a new shell" >&2
    exit 1
fi
if [ "$(printf '%s\n' "$wanted" "${found%%-*}" | sort -V | head -n 1)" != "$wanted" ]; then
    echo "need: Rust $found is too old; $wanted or later is needed: \`rustup update stable\`, or https://rustup.rs" >&2
    exit 1
fi
need cc build-essential
need mosquitto mosquitto
need mosquitto_sub mosquitto-clients
need openssl openssl
need dbus-daemon dbus-daemon
need python3 python3
python3 -m pip --version >/dev/null 2>&1 || missing="$missing python3-pip"
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "need: please install, by the means of this system:$missing" >&2
    exit 1
fi
if [ "$(id -u)" -eq 0 ]; then
    as_root=""
elif command -v sudo >/dev/null 2>&1; then
    as_root="sudo"
else
    echo "need: not root and no sudo; please install:$missing" >&2
    exit 1
fi
echo "need: installing$missing" >&2
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # both are lists of words
{
    $as_root apt-get update -qq </dev/null
    $as_root apt-get install -qq -y --no-install-recommends $missing </dev/null >&2
} || {
    echo "need: apt-get failed; please install by hand:$missing" >&2
    exit 1
}
