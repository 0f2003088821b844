#!/bin/sh
# Checks the dependencies against deny.toml. Advisories need a database from the network: where it cannot be reached,
# that is said, and the rest still decides.
set -eu

command -v cargo-deny >/dev/null 2>&1 || {
    echo "deny: installing cargo-deny" >&2
    # A directory of its own, because the profile and the flags of this workspace do not concern it.
    env -u CARGO_TARGET_DIR -u RUSTFLAGS cargo install --locked --quiet cargo-deny
}
PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
cargo deny --locked check bans licenses sources
if cargo deny --locked check advisories >.deny.log 2>&1; then
    echo "advisories ok"
elif grep -qiE 'failed to (fetch|clone)|unable to (load|fetch)|error sending request|could not (resolve|connect)|failed to acquire' .deny.log; then
    echo "advisories NOT CHECKED: the advisory database cannot be reached from here"
else
    cat .deny.log
    rm -f .deny.log
    exit 1
fi
rm -f .deny.log
