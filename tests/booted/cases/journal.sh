# shellcheck shell=bash
# What the journal holds.

records() {
    local all
    all=$(journal)
    is "ways into the journal (stdout would be raw lines)" "{'journal'}" "$(of '{r["_TRANSPORT"] for r in d}' <<<"$all")"
    is "records without priority, source or name" "[]" \
        "$(of '[r for r in d if not {"PRIORITY", "TARGET", "CODE_FILE", "SYSLOG_IDENTIFIER"} <= r.keys()]' <<<"$all")"
    is "their names" "{'edged'}" "$(of '{r["SYSLOG_IDENTIFIER"] for r in d}' <<<"$all")"
    is "a model that is ready: fields" "F_GOLDENS F_LOAD_MS F_MODEL F_PROVIDER F_VARIANT" \
        "$(of '" ".join(sorted({k for r in d if r["MESSAGE"] == "model ready" for k in r if k.startswith("F_")}))' <<<"$all")"
    is "priority of what goes well" "{'5'}" \
        "$(of '{r["PRIORITY"] for r in d if r["MESSAGE"] in ("model ready", "ready")}' <<<"$all")"
    is "errors until here" "[]" "$(of '[(r["MESSAGE"], r.get("F_WHY")) for r in d if int(r["PRIORITY"]) < 4]' <<<"$all")"
}

one_message() {
    is "records that hold not one message but several" "set()" \
        "$(journal | of '{(r["CODE_FILE"], r["CODE_LINE"]) for r in d if isinstance(r["MESSAGE"], list)}')"
}
