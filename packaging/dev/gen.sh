#!/bin/sh
# Writes what follows from the code: manual pages, completions, the key reference, the default configuration; the table of
# characters that detectors fold, which follows from Unicode; debian/copyright, which follows from Cargo.lock; and the manual pages of the
# bus and of bundles, which follow from interface files and from the structs of the parser.
# With --check nothing is written; files that differ from what the code says are named. Run at the root of the tree.
set -eu

bin="${EDGE_BIN_DIR:-${CARGO_TARGET_DIR:-target}/release}"
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT

mkdir -p "$made/docs" "$made/packaging/man"
"$bin/edgectl" gen "$made" >/dev/null
"$bin/edged" --config-reference >"$made/docs/config.md"
"$bin/edged" --config-reference=man >"$made/packaging/man/edged.toml.5"
"$bin/edged" --config-reference=toml >"$made/packaging/edged.toml"

table=daemon/src/inspect/detect/fold_table.rs
if python3 -c 'import sys, unicodedata; sys.exit(unicodedata.unidata_version != "14.0.0")' 2>/dev/null; then
    mkdir -p "$made/$(dirname "$table")"
    python3 packaging/dev/fold-table.py >"$made/$table"
else
    echo "SKIPPED: $table is made by Python 3.11, which has Unicode 14" >&2
fi

python3 packaging/dev/page.py edged-dbus >"$made/packaging/man/edged-dbus.7"
python3 packaging/dev/page.py edged-bundle >"$made/packaging/man/edged-bundle.5"

if python3 -c 'import tomllib' 2>/dev/null; then
    mkdir -p "$made/debian"
    "${CARGO:-cargo}" fetch --quiet --locked
    python3 packaging/dev/copyright.py >"$made/debian/copyright"
else
    echo "SKIPPED: debian/copyright is made by Python 3.11 or later" >&2
fi

stale=0
for file in $(cd "$made" && find . -type f | sort | sed 's,^\./,,'); do
    cmp -s "$made/$file" "$file" && continue
    if [ "${1:-}" = --check ]; then
        echo "$file is out of date: run make gen" >&2
        stale=1
    else
        mkdir -p "$(dirname "$file")"
        cp "$made/$file" "$file"
        echo "$file"
    fi
done
exit "$stale"
