# shellcheck shell=bash
# How a check speaks. Sourced by run.sh.

if [ -t 1 ]; then green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'; else green='' red='' plain=''; fi
passed=0 failed=0

# Is this case one of those that were asked for? The first is always run, as the others need what it installs.
chosen() { # NUMBER
    local number
    [ "${#wanted[@]}" -gt 0 ] && [ "$1" != 1a ] || return 0
    for number in "${wanted[@]}"; do
        [[ "$1" != "$number"* ]] || return 0
    done
    return 1
}

# Runs a check: a function in a shell of its own that ends at its first line that does not hold. The next one begins with
# a service that runs and a configuration that is good, whatever this one left behind.
check() { # NUMBER NAME FUNCTION
    local began=$SECONDS code=0 name
    name=$(printf '%-4s %s' "$1" "$2")
    chosen "$1" || return 0
    set +e
    (
        set -eE
        trap 'echo "    NOT: line $LINENO: $BASH_COMMAND"' ERR
        "$3"
    ) >"$work/check.log" 2>&1
    code=$?
    set -e
    # A check may have booted the box again.
    read -r nspawn init <"$work/run/box"
    if [ "$code" -eq 0 ]; then
        passed=$((passed + 1))
        printf '%sok%s    %s (%d s)\n' "$green" "$plain" "$name" $((SECONDS - began))
        cat "$work/check.log"
        return
    fi
    failed=$((failed + 1))
    printf '%sFAIL%s  %s (%d s)\n' "$red" "$plain" "$name" $((SECONDS - began))
    cat "$work/check.log"
    if [ ! -e "/proc/$init" ]; then
        echo "    --- the end of the journal"
        { journalctl -D "$root/var/log/journal" --no-pager -n 60 2>&1 || true; } | sed 's/^/    /'
        return
    fi
    echo "    --- systemctl status edged"
    { inside systemctl status edged --no-pager --full --lines=0 2>&1 || true; } | sed 's/^/    /'
    echo "    --- the end of its journal"
    { inside journalctl -u edged --no-pager -n 40 2>&1 || true; } | sed 's/^/    /'
    rm -f "$root"/etc/edged/edged.toml.d/{30-policy,40-line,40-scan,99-bad}.toml "$root/etc/polkit-1/rules.d/50-edged.rules" \
        "$root/etc/polkit-1/localauthority/50-local.d/50-edged.pkla" "$root/etc/edged/tokn" \
        "$root/etc/systemd/system/edged.service.d/token.conf" "$root/etc/systemd/system/edged-again.service"
    inside sh -c 'systemctl daemon-reload; systemctl reset-failed edged || true
        [ ! -e /run/dbus/system_bus_socket.away ] || mv /run/dbus/system_bus_socket.away /run/dbus/system_bus_socket
        timeout 60 systemctl restart edged' >/dev/null 2>&1 || true
}

holds() { echo "    $1"; }
fails() { # WHAT SAID
    printf '    NOT: %s\n' "$1"
    printf '         %s\n' "${2//$'\n'/$'\n'         }"
    trap - ERR
    exit 1
}
is() { # WHAT EXPECTED FOUND
    if [ "$3" = "$2" ]; then holds "$1: $2"; else fails "$1: $2" "$3"; fi
}
has() { # WHAT TEXT FOUND
    if grep -qF -- "$2" <<<"$3"; then holds "$1: $2"; else fails "$1: $2" "$3"; fi
}
# Runs a command, keeps what it says in $said, and wants it to end with this code.
ends() { # WHAT CODE COMMAND...
    local what=$1 wanted=$2 code=0
    shift 2
    said=$("$@" 2>&1 </dev/null) || code=$?
    if [ "$code" -eq "$wanted" ]; then holds "$what: exit code $code"; else fails "$what: exit code $wanted, and not $code" "$said"; fi
}
within() { # SECONDS WHAT COMMAND...
    local limit=$((SECONDS + $1)) what=$2 seconds=$1
    shift 2
    until said=$("$@" 2>&1 </dev/null); do
        if [ "$SECONDS" -ge "$limit" ]; then fails "$what, within $seconds s" "$said"; fi
        sleep 0.1
    done
    holds "$what"
}
