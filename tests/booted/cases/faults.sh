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

milliseconds() { date +%s%3N; }

watchdog() {
    local pid restarts from began
    plant
    pid=$(main_pid) restarts=$(property NRestarts) from=$(mark)
    listen hang 10
    began=$(milliseconds)
    inside kill -STOP "$pid"
    burst hang 10 | broker mosquitto_pub -q 1 -l -t edge/$node/infer/text-line
    # The watchdog's 30 s, the end of the stopped process, the start.
    restarted "$pid" "$restarts" 60
    holds "from the hang to serving again: $(($(milliseconds) - began)) ms; the watchdog's interval is 30 s"
    has "the journal" "Failed with result 'watchdog'" "$(since "$from")"
    wait "$listener" || fails "what came meanwhile is answered" "$(replies)"
    is "requests over the broker that came meanwhile" "10 right" "$(replies)"
}

# Ends badly again and again: the pauses grow, and a stop ends them.
again_and_again() {
    local from count
    inside systemctl restart edged
    from=$(mark)
    for count in 1 2 3; do
        within $soon "it runs, for the $count. time" is_started
        inside kill -KILL "$(main_pid)"
    done
    within $soon "after three kills it waits, and says so" property_is StatusText "waits 2 s: it ended badly 3 times in a row"
    is "meanwhile it is" activating "$(property ActiveState)"
    within $soon "then it serves" serves
    inside kill -KILL "$(main_pid)"
    within $soon "after the next it waits longer" property_is StatusText "waits 4 s: it ended badly 4 times in a row"
    has "the journal" "it ended badly again and again: waits before it starts: ends 4, pause 4s" "$(since "$from")"
    ends "systemctl stop ends the pause" 0 inside systemctl stop edged
    ends "systemctl start" 0 inside systemctl start edged
    is "and there was no pause any more" 2 "$(since "$from" | grep -c 'waits before it starts')"
    within $soon "it serves" serves
}
is_started() { [ "$(property MainPID)" != 0 ] && property_is ActiveState active; }

# A credential that is not there: systemd cannot even start the daemon.
cannot_start() {
    local from
    mkdir -p "$root/etc/systemd/system/edged.service.d"
    sed 's/sleep 60/sleep 3/' "$root/lib/systemd/system/edged-again.service" >"$root/etc/systemd/system/edged-again.service"
    printf '[Service]\nLoadCredential=token:/etc/edged/tokn\n' >"$root/etc/systemd/system/edged.service.d/token.conf"
    inside systemctl daemon-reload
    from=$(mark)
    inside systemctl restart edged || true
    within $soon "it is tried a while, and again later" again_is active
    is "lines in the journal until then are few" yes "$([ "$(since "$from" | wc -l)" -lt 120 ] && echo yes || since "$from" | wc -l)"
    ends "systemctl stop" 0 inside systemctl stop edged
    within $soon "whoever stops it is not asked again" again_is inactive
    inside systemctl restart edged || true
    within $soon "tried again" again_is active
    echo secret >"$root/etc/edged/tokn"
    within 60 "once the credential is there it serves by itself" serves
    rm "$root/etc/systemd/system/edged.service.d/token.conf" "$root/etc/edged/tokn" "$root/etc/systemd/system/edged-again.service"
    inside systemctl daemon-reload
    ends "a configuration that is not valid" 1 sh -c "printf 'x = 1\n' >'$root/etc/edged/edged.toml.d/99-bad.toml'; \
        nsenter -t $init -a -- env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin systemctl restart edged"
    within $soon "is not tried again" property_is ActiveState failed
    within $soon "not even later" again_is inactive
    rm "$root/etc/edged/edged.toml.d/99-bad.toml"
    ends "systemctl start" 0 inside systemctl start edged
    within $soon "it serves" serves
}
again_is() { [ "$(inside systemctl is-active edged-again.service)" = "$1" ]; }

# A clock that is set far forth and back while it works, as by the first answer of a time server. The box's own clock is this
# machine's: the daemon gets one of its own, which only it sees.
time_jump() {
    local pid restarts offset
    if ! command -v cc >/dev/null; then
        holds "SKIPPED: a clock that can be set needs a C compiler, and there is no cc"
        return 0
    fi
    plant
    cc -O1 -shared -fPIC -o "$root/srv/wall.so" "$here/../src/wall/wall.c"
    set_clock 0
    printf '[Service]\nEnvironment=LD_PRELOAD=/srv/wall.so TEST_WALL_CLOCK=/srv/wall\n' >"$root/etc/systemd/system/edged.service.d/wall.conf"
    inside systemctl daemon-reload
    ends "it starts with a clock of its own" 0 inside systemctl restart edged
    within $soon "it serves" serves
    pid=$(main_pid) restarts=$(property NRestarts)
    for offset in 31536000 -86400 0; do
        open_requests "jump$offset"
        set_clock $offset
        wait "$caller" || fails "the clock is set to $offset s: the caller on the bus is answered" "$(cat "$work/run/caller")"
        wait "$listener" || fails "the clock is set to $offset s: $requests replies over the broker" "$(replies)"
        is "the clock is set to $offset s: over the broker" "$requests right" "$(replies)"
    done
    is "it is the same process" "$pid $restarts" "$(main_pid) $(property NRestarts)"
    within $soon "nothing is wrong" as tech edgectl status --check
    rm "$root/etc/systemd/system/edged.service.d/wall.conf"
    inside systemctl daemon-reload
    inside systemctl restart edged
}
set_clock() { # SECONDS
    python3 - "$1" "$root/srv/wall" <<'END'
import os, struct, sys

file = os.open(sys.argv[2], os.O_RDWR | os.O_CREAT, 0o644)
os.pwrite(file, struct.pack("=q", int(sys.argv[1])), 0)
END
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
