#!/bin/sh
# Checks the dependencies against deny.toml. Licences, sources and bans need no network. Advisories are those of RustSec's database, which
# `cargo audit` reads too; where it cannot be reached, a copy that was fetched before does for 90 days, and without one versions that
# their authors withdrew are still looked for in the registry. What was not checked is said. A mirror of the database is named by git:
# git config --global url.https://MIRROR/advisory-db.insteadOf https://github.com/RustSec/advisory-db
set -eu

PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
command -v cargo-deny >/dev/null 2>&1 || {
    echo "deny: installing cargo-deny" >&2
    # A directory of its own, because the profile and the flags of this workspace do not concern it.
    env -u CARGO_TARGET_DIR -u RUSTFLAGS cargo install --locked --quiet cargo-deny
}
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
log="$made/log"

cargo deny --locked --offline check --hide-inclusion-graph bans licenses sources

unreachable='failed to (fetch|clone)|unable to (load|fetch)|error sending request|could not (resolve|connect)|failed to acquire|failed to (get|load)'
# 0 good, 1 bad, 2 the database is not there.
advisories() { # ARGUMENTS
    cargo deny --locked "$@" check --hide-inclusion-graph advisories >"$log" 2>&1 && return 0
    if grep -qiE "$unreachable" "$log"; then return 2; fi
    cat "$log"
    return 1
}

# Versions that were withdrawn are looked for together with advisories, and not without: a database with one advisory for no crate
# stands in. Git is told to take it, as a file is not accepted as its address.
withdrawn() {
    mkdir -p "$made/db/crates/none"
    printf '```toml\n[advisory]\nid = "RUSTSEC-2000-0001"\npackage = "none"\ndate = "2000-01-01"\n[versions]\npatched = []\n```\n\n# None\n\nNone.\n' \
        >"$made/db/crates/none/RUSTSEC-2000-0001.md"
    git -C "$made/db" init --quiet --initial-branch main
    git -C "$made/db" add .
    git -C "$made/db" -c user.name=deny -c user.email=deny@localhost commit --quiet --message none
    sed "s|^\[advisories\]|&\ndb-path = \"$made/dbs\"|" deny.toml >"$made/deny.toml"
    export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0="url.file://$made/db.insteadOf" GIT_CONFIG_VALUE_0=https://github.com/RustSec/advisory-db
    advisories --config "$made/deny.toml" || return $?
    # A version that the index does not tell of is only a warning.
    if grep -qE 'index-(cache-load-)?failure' "$log"; then return 2; fi
}

found=0
advisories || found=$?
case $found in
0) echo "advisories ok, withdrawn versions ok" ;;
1) exit 1 ;;
2)
    found=0
    advisories --offline || found=$?
    case $found in
    0) echo "advisories ok by the copy of the database that was fetched before; it cannot be reached now" ;;
    1) exit 1 ;;
    2)
        echo "advisories SKIPPED: https://github.com/RustSec/advisory-db cannot be reached from here, and no copy of it was fetched before"
        found=0
        withdrawn || found=$?
        case $found in
        0) echo "withdrawn versions ok, by the index of the registry as cargo has it" ;;
        1) exit 1 ;;
        2) echo "withdrawn versions SKIPPED: $(tail -n 1 "$log")" ;;
        esac
        ;;
    esac
    ;;
esac
