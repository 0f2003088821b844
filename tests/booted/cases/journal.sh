# shellcheck shell=bash
# What the journal holds.

records() {
    local all
    all=$(journal)
    is "ways into the journal (stdout would be raw lines)" "{'journal'}" "$(of '{r["_TRANSPORT"] for r in d}' <<<"$all")"
    is "records without priority, source or name" "[]" \
        "$(of '[r for r in d if not {"PRIORITY", "TARGET", "CODE_FILE", "SYSLOG_IDENTIFIER"} <= r.keys()]' <<<"$all")"
    is "their names" "{'edged'}" "$(of '{r["SYSLOG_IDENTIFIER"] for r in d}' <<<"$all")"
    is "a model that is ready: fields" "EDGED_GOLDENS EDGED_LOAD_MS EDGED_MODEL EDGED_PROVIDER EDGED_VARIANT" \
        "$(of '" ".join(sorted({k for r in d if r["MESSAGE"].startswith("model ready: ") for k in r if k.startswith("EDGED_")}))' <<<"$all")"
    is "priority of what goes well" "{'5'}" \
        "$(of '{r["PRIORITY"] for r in d if r["MESSAGE"].startswith(("model ready: ", "ready"))}' <<<"$all")"
    # But for the mistake that the first ten minutes make.
    is "errors until here" "[]" \
        "$(of '[r["MESSAGE"] for r in d if int(r["PRIORITY"]) < 4 and "max_deadlin_ms" not in r["MESSAGE"]]' <<<"$all")"
}

one_message() {
    is "records that hold not one message but several" "set()" \
        "$(journal | of '{(r["CODE_FILE"], r["CODE_LINE"]) for r in d if isinstance(r["MESSAGE"], list)}')"
}

with_explanations() { # CURSOR
    inside journalctl --sync
    inside journalctl -u edged --no-pager -x --cursor="$1"
}

# What `journalctl -x` adds, and how much is said: of a start with ten models a page, of work that goes well nothing.
explained() {
    local from
    plant
    from=$(mark)
    inside systemctl restart edged
    within $soon "it serves" serves
    within $soon "and is connected" status_is 'd["mqtt"]["state"]' connected
    has "journalctl -x on a start" "Subject: edged serves" "$(with_explanations "$from")"
    has "and the page for more" "Documentation: man:edged(8)" "$(with_explanations "$from")"
    at_most "lines of a stop and a start with ten models" 50 "$(since "$from" | wc -l)"
    setting $'[policy]\nmax_deadlin_ms = 5'
    inside systemctl reload edged
    within $soon "a bad setting" status_has max_deadlin_ms
    has "journalctl -x fills in what is wrong" "The faults are: /etc/edged/edged.toml.d/30-policy.toml" \
        "$(with_explanations "$from" | tr '\n' ' ')"
    rm "$root/etc/edged/edged.toml.d/30-policy.toml"
    inside systemctl reload edged
    within $soon "and a good one again" as tech edgectl status --check
    from=$(mark)
    open_requests quiet
    wait "$caller" "$listener"
    is "what is said while $requests requests are answered" "" "$(since "$from" | grep -v '^mark$' || true)"
}

# Even with all details on there is nothing of what requests hold, and no secret.
secrets() {
    local all marker=IJKLPAYLOADMNOP
    plant
    printf '[Service]\nEnvironment=RUST_LOG=trace\n' >"$root/etc/systemd/system/edged.service.d/trace.conf"
    inside systemctl daemon-reload
    from=$(mark)
    inside systemctl restart edged
    within $soon "it serves, and tells everything" status_is 'd["mqtt"]["state"]' connected
    printf 'a,b\n%s,2\n' "$marker" >"$root/srv/marked.csv"
    ends "a request over the bus" 0 as tech edgectl infer file-type /srv/marked.csv
    listen marked 1
    ends "and one over the broker" 0 broker mosquitto_pub -V mqttv5 -q 1 -t edge/$node/infer/file-type \
        -D publish response-topic edge/replies/marked -D publish content-type text/plain -f /srv/marked.csv
    wait "$listener" || fails "it is answered" "$(cat "$work/run/replies")"
    rm "$root/etc/systemd/system/edged.service.d/trace.conf"
    inside systemctl daemon-reload
    inside systemctl restart edged
    inside journalctl --sync
    all=$(inside journalctl _SYSTEMD_UNIT=edged.service --no-pager --all -o export --cursor="$from" | tr -d '\0')
    is "and the journal has their story" "2" "$(grep -a '^MESSAGE=settled: ' <<<"$all" | wc -l)"
    is "the password" "" "$(grep -aF secret-of-$node <<<"$all" || true)"
    is "what a request holds" "" "$(grep -aF "$marker" <<<"$all" || true)"
    is "or as bytes" "" "$(grep -aF "$(printf %s "$marker" | od -An -tu1 | sed 's/^ *//; s/  */, /g')" <<<"$all" || true)"
}
