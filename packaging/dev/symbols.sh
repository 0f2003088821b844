#!/bin/sh
# Do these programs start on the oldest system that the packages are for? Ubuntu 22.04, below JetPack 6, has glibc 2.35.
#   packaging/dev/symbols.sh PROGRAM...
set -eu

newest=2.35
code=0
for program in "$@"; do
    [ -e "$program" ] || {
        echo "symbols: there is no $program" >&2
        exit 1
    }
    # What the file asks the loader for, also where its symbol is weak: the loader refuses a version that it does not know.
    asked=$(readelf --version-info --wide "$program" | sed -n 's/.*Name: GLIBC_\([0-9.]*\) .*/\1/p' | sort -uV | tail -n 1)
    [ -n "$asked" ] || {
        echo "symbols: $program asks for no version of glibc at all, which cannot be" >&2
        exit 1
    }
    if [ "$(printf '%s\n%s\n' "$asked" $newest | sort -V | tail -n 1)" != $newest ]; then
        echo "symbols: $program asks for glibc $asked, and must start with $newest: build it on Debian 12" >&2
        code=1
    else
        echo "$program: starts with glibc $asked"
    fi
done
exit $code
