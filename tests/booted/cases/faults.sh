# shellcheck shell=bash
# What fails: the daemon, its host, the bus.

# The service was started once more, as another process, and serves.
restarted() { # PID RESTARTS SECONDS
    within "$3" "systemd started it again" property_is NRestarts $(($2 + 1))
    within $soon "active" property_is ActiveState active
    if [ "$(property MainPID)" = "$1" ]; then fails "as another process" "$1"; fi
    within $soon "it serves" serves
    within $soon "the broker is connected again" status_is 'd["mqtt"]["state"]' connected
}

watchdog() {
    local pid restarts from
    pid=$(main_pid) restarts=$(property NRestarts) from=$(mark)
    inside kill -STOP "$pid"
    # The watchdog's 30 s, the end of the stopped process, the pause before a restart.
    restarted "$pid" "$restarts" 60
    has "the journal" "Failed with result 'watchdog'" "$(since "$from")"
}

killed() {
    local pid restarts host
    pid=$(main_pid) restarts=$(property NRestarts) host=$(status 'd["engine"]["pid"]')
    inside kill -KILL "$pid"
    restarted "$pid" "$restarts" $soon
    is "the engine host went with it" "" "$(inside sh -c "ps -o args= -p $host | grep engine-host" || true)"
}

host_killed() {
    local pid restarts host began
    pid=$(main_pid) restarts=$(property NRestarts) host=$(status 'd["engine"]["pid"]')
    began=$(status 'd["engine"]["restarts"]')
    open_requests hiccup
    inside kill -KILL "$host"
    within $soon "the engine host was started again" status_is 'd["engine"]["restarts"], d["engine"]["state"]' "($((began + 1)), 'up')"
    wait "$caller" || fails "the caller on the bus is answered" "$(cat "$work/run/caller")"
    holds "the caller on the bus is answered"
    wait "$listener" || fails "$requests replies over the broker" "$(replies)"
    is "over the broker" "$requests right" "$(replies)"
    is "the daemon went on" "MainPID=$pid NRestarts=$restarts" "$(properties MainPID,NRestarts)"
    within $soon "nothing is wrong any more" as tech edgectl status --check
}

stopped() {
    local began from
    from=$(mark)
    open_requests stop
    began=$SECONDS
    ends "systemctl stop, while requests are open" 0 inside systemctl stop edged
    if [ $((SECONDS - began)) -ge 30 ]; then fails "within 30 s" $((SECONDS - began)); fi
    holds "it took $((SECONDS - began)) s"
    is "how it ended" "ActiveState=inactive ExecMainCode=1 ExecMainStatus=0 Result=success" \
        "$(properties ActiveState,ExecMainCode,ExecMainStatus,Result)"
    has "the journal" drained "$(since "$from")"
    wait "$caller" || fails "the caller on the bus is answered" "$(cat "$work/run/caller")"
    holds "the caller on the bus is answered"
    wait "$listener" || fails "$requests replies over the broker" "$(replies)"
    is "over the broker" "$requests right" "$(replies)"
    inside systemctl start edged
    within $soon "it serves" serves
}
tried_again() { [ "$(property NRestarts)" -ge 1 ]; }

no_bus() {
    local from socket=/run/dbus/system_bus_socket
    from=$(mark)
    inside systemctl stop edged
    # The unit requires dbus.socket and would bring it back: only the way to it is gone.
    inside mv $socket $socket.away
    ends "systemctl start edged without a bus" 1 inside systemctl start edged
    within $soon "it ends with 3" property_is ExecMainStatus 3
    within $soon "and systemd tries again" property_is SubState auto-restart
    has "as an error in the journal" "no system bus at unix:path=" "$(since "$from" -p err)"
    within $soon "again" tried_again
    inside mv $socket.away $socket
    within $soon "with the bus there, active by itself" property_is ActiveState active
    within $soon "it serves" serves
}

bus_lost() {
    local pid restarts from
    pid=$(main_pid) restarts=$(property NRestarts) from=$(mark)
    inside systemctl kill -s KILL dbus.service
    restarted "$pid" "$restarts" $soon
    has "the journal" "the connection to the bus was lost" "$(since "$from")"
    has "the journal" "code=exited, status=3" "$(since "$from")"
}

powered_off() {
    local all
    open_requests power
    # It would try to reach the broker that has gone, and hold up the end of the box.
    inside pkill -KILL mosquitto_sub
    power_off || fails "the box goes down within 90 s" "$(tail -n 20 "$work/console.log")"
    holds "the box went down"
    all=$(journalctl -D "$root/var/log/journal" -u edged -o cat --no-pager -n 12)
    has "its journal" drained "$all"
    has "its journal" "Deactivated successfully" "$all"
    wait "$caller" || fails "the caller on the bus was answered before" "$(cat "$work/run/caller")"
    holds "the caller on the bus was answered before"
}
