# shellcheck shell=bash
# What the service cannot do.

confined() {
    plant
    local pid host found process path
    pid=$(main_pid) host=$(status 'd["engine"]["pid"]')
    for process in "daemon $pid" "engine host $host"; do
        found=$(inside cat "/proc/${process##* }/status")
        is "$process: user" "$(inside id -u edged)" "$(awk '/^Uid:/ { print $2 }' <<<"$found")"
        is "$process: capabilities of any kind" 0000000000000000 "$(awk '/^Cap/ { print $2 }' <<<"$found" | sort -u)"
        is "$process: no new privileges, system calls filtered" "1 2" \
            "$(awk '/^NoNewPrivs:|^Seccomp:/ { print $2 }' <<<"$found" | tr '\n' ' ' | sed 's/ $//')"
    done
    # Even as root, what the daemon's mounts do not show or let write cannot be had.
    for path in /usr/bin /etc/edged /srv; do
        ends "write to $path" 1 inside nsenter -t "$pid" -m -- touch "$path/written"
        has "the kernel" "Read-only file system" "$said"
    done
    ends "read /home/tech/secret" 1 inside nsenter -t "$pid" -m -- cat /home/tech/secret
    is "its state is for nobody else" "750 edged" "$(inside stat -c '%a %U' /var/lib/edged)"
    is "what lies there" "bundles inbox journal.db journal.db-wal ledger.db ledger.db-wal outbox.db outbox.db-wal spool.db spool.db-wal" \
        "$(inside ls -A /var/lib/edged | grep -v -- -shm | tr '\n' ' ' | sed 's/ $//')"
    # shellcheck disable=SC2016 # awk's own
    is "the engine host keeps no core dumps" 1 "$(inside awk '/^Max core file size/ { print $5 }' "/proc/$host/limits")"
}

# Lets a process make a system call of its own, and prints result and errno.
# shellcheck disable=SC2016 # gdb's own
asks() { # PID CALL
    inside gdb -q -nx -batch -p "$1" -ex "set \$r = (int)$2" -ex 'set $e = *(int *)__errno_location()' \
        -ex 'if $r >= 0' -ex 'call (int)close($r)' -ex end \
        -ex 'printf "answer %d %d\n", $r < 0 ? -1 : 0, $r < 0 ? $e : 0' 2>&1 | sed -n 's/^answer //p'
}

no_network() {
    local pid host call
    pid=$(main_pid) host=$(status 'd["engine"]["pid"]')
    is "the daemon may make an internet socket, so the question can be asked" "0 0" "$(asks "$pid" 'socket(2, 1, 0)')"
    is "the daemon may not make a packet socket" "-1 97" "$(asks "$pid" 'socket(17, 3, 0)')"
    for call in 'socket(2, 1, 0)' 'socket(10, 2, 0)' 'socket(1, 1, 0)' 'socket(16, 3, 0)' 'connect(0, 0, 0)' \
        'accept4(0, 0, 0, 0)' 'ptrace(16, 1, 0, 0)'; do
        is "the engine host is refused $call" "-1 1" "$(asks "$host" "$call")"
    done
    is "internet sockets that it was given" "" "$(
        inside sh -c "for fd in /proc/$host/fd/*; do readlink \$fd; done | sed -n 's/socket:\[\(.*\)\]/\1/p' |
            while read -r inode; do awk -v inode=\$inode '\$10 == inode' /proc/$host/net/tcp /proc/$host/net/tcp6 /proc/$host/net/udp /proc/$host/net/udp6; done"
    )"
    within $soon "both are well after being asked" serves
    is "and are the same processes" "$pid $host" "$(property MainPID) $(status 'd["engine"]["pid"]')"
}
