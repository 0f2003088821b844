# shellcheck shell=bash
# Configurations, good and bad.

taken() {
    as tech edgectl infer text-line /srv/golden/text-line/serial.png --deadline 10m 2>&1 | tr -s ' \n' ' ' |
        grep -F "600000 is more than this box allows: 60000"
}

reload() {
    local file=$root/etc/edged/edged.toml.d/30-policy.toml from
    printf '[policy]\nmax_deadline_ms = 60000\n' >"$file"
    ends "systemctl reload edged" 0 inside systemctl reload edged
    within $soon "the new policy holds: a deadline is cut to it" taken
    printf '[policy]\nmax_deadline_ms = -1\n' >"$file"
    inside systemctl reload edged
    within $soon "a bad configuration: status is" status_is 'd["state"]' degraded
    is "its problem" config "$(status 'd["problems"][0]["subject"]')"
    has "it says" "not taken over, the old one holds: /etc/edged/edged.toml.d/30-policy.toml: policy.max_deadline_ms: -1 is not accepted" \
        "$(status 'd["problems"][0]["what"]')"
    ends "edgectl status --check" 6 as tech edgectl status --check
    has "StatusText" "degraded: config: not taken over" "$(property StatusText)"
    within 1 "the old policy holds, and it serves" taken
    ends "root: edgectl reload" 1 inside edgectl reload
    from=$(mark)
    ends "systemctl restart with this configuration" 1 inside systemctl restart edged
    is "it ends with 2, and is not started again" "ActiveState=failed ExecMainStatus=2 NRestarts=0" \
        "$(properties ActiveState,ExecMainStatus,NRestarts)"
    has "as an error in the journal" "edged: /etc/edged/edged.toml.d/30-policy.toml: policy.max_deadline_ms: -1" \
        "$(since "$from" -p err)"
    rm "$file"
    ends "systemctl start with a good one" 0 inside systemctl start edged
    within $soon "it serves" serves
}
