#!/bin/sh
# Puts what was built where it belongs, below the directory given (nothing: this machine, as root). What is an
# operator's, /etc/edged/edged.toml, is written only where it is missing. Run at the root of the tree.
set -eu

bin="${EDGE_BIN_DIR:-${CARGO_TARGET_DIR:-target}/dist}"
root="${1:-}"

for program in edged edgectl; do
    [ -x "$bin/$program" ] || {
        echo "install: there is no $bin/$program: make dist" >&2
        exit 1
    }
done
put() { # MODE SOURCE... DIRECTORY
    mode=$1
    shift
    for last in "$@"; do :; done
    install -d "$root$last"
    while [ $# -gt 1 ]; do
        install -m "$mode" "$1" "$root$last/"
        shift
    done
}

put 755 "$bin/edged" "$bin/edgectl" /usr/bin
# Symbols are for developers; they are most of the size. A Debian package keeps them in one of their own.
if [ "${EDGE_STRIP:-yes}" = yes ] && command -v strip >/dev/null 2>&1; then
    strip "$root/usr/bin/edged" "$root/usr/bin/edgectl"
fi
put 644 systemd/edged.service systemd/edged-again.service /usr/lib/systemd/system
put 755 systemd/edged-platform /usr/lib/systemd/system-generators
put 644 systemd/platform/camera.conf systemd/platform/hailo.conf systemd/platform/jetson.conf systemd/platform/nvidia.conf \
    /usr/lib/edged/platform
put 644 systemd/sysusers.d/edged.conf /usr/lib/sysusers.d
put 644 systemd/tmpfiles.d/edged.conf /usr/lib/tmpfiles.d
put 644 packaging/dbus/org.edged.Edge1.conf /usr/share/dbus-1/system.d
put 644 packaging/dbus/org.edged.Edge1.service /usr/share/dbus-1/system-services
put 644 daemon/wire/dbus/*.xml /usr/share/dbus-1/interfaces
put 644 packaging/polkit/org.edged.Edge1.policy /usr/share/polkit-1/actions
put 644 packaging/journal/edged.catalog /usr/lib/systemd/catalog
put 644 packaging/man/*.1 /usr/share/man/man1
put 644 packaging/man/*.5 /usr/share/man/man5
put 644 packaging/man/*.7 /usr/share/man/man7
put 644 packaging/man/*.8 /usr/share/man/man8
put 644 packaging/completions/_edgectl /usr/share/zsh/vendor-completions
put 644 packaging/completions/edgectl.fish /usr/share/fish/vendor_completions.d
install -d "$root/usr/share/bash-completion/completions"
install -m 644 packaging/completions/edgectl.bash "$root/usr/share/bash-completion/completions/edgectl"
put 644 packaging/prometheus/edged.rules.yml /usr/share/edged/prometheus
put 644 packaging/grafana/edged.json /usr/share/edged/grafana
install -d "$root/usr/lib/edged/onnxruntime" "$root/usr/lib/edged/providers" "$root/usr/share/edged/bundles" \
    "$root/etc/edged/edged.toml.d" "$root/etc/edged/keys.d" "$root/etc/edged/models.d"
[ -e "$root/etc/edged/edged.toml" ] || put 644 packaging/edged.toml /etc/edged
