#!/bin/bash
# Runs every fuzz target for so many seconds, 60 if not said: packaging/dev/fuzz.sh SECONDS [TARGET...]. Ends with 1 if
# any of them found something; the input then lies in tests/fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-60}
targets=("${@:2}")
fuzz=tests/fuzz
# What an input may cost: far below what a request may bring, far above what these readers need for it.
limits=(-rss_limit_mb=1024 -malloc_limit_mb=256 -timeout=10)

# The workspace's target directory holds crates that were built with other flags.
unset CARGO_TARGET_DIR RUSTFLAGS
PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
command -v cargo-fuzz >/dev/null 2>&1 || {
    echo "fuzz: installing cargo-fuzz" >&2
    cargo install --locked --quiet cargo-fuzz
}
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cargo fuzz list --fuzz-dir "$fuzz")

# Coverage and the address sanitizer are unstable flags of a stable compiler.
echo "fuzz: building ${#targets[@]} targets" >&2
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTC_BOOTSTRAP=1 cargo fuzz build --fuzz-dir "$fuzz" --target "$host" >&2

found=0
printf '%-16s %12s %8s  %s\n' target runs seconds result
for target in "${targets[@]}"; do
    corpus=$fuzz/corpus/$target artifacts=$fuzz/artifacts/$target log=$fuzz/target/$target.log
    mkdir -p "$corpus" "$artifacts"
    began=$SECONDS result=ok
    "$fuzz/target/$host/release/$target" "$corpus" "$fuzz/seeds/$target" "${limits[@]}" -max_total_time="$seconds" \
        -artifact_prefix="$artifacts/" -print_final_stats=1 >"$log" 2>&1 || result=FOUND
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    printf '%-16s %12s %8s  %s\n' "$target" "${runs:-?}" $((SECONDS - began)) "$result"
    if [ $result = FOUND ]; then
        found=1
        grep -aE 'panicked at|ERROR:|SUMMARY:|Test unit written to|out-of-memory|timeout' "$log" | sed 's/^/    /' | head -20
        echo "    the whole of it: $log"
    fi
done
exit $found
