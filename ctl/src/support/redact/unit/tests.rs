use super::super::tests::text;
use super::*;

#[test]
fn variables_keep_their_names_and_lose_their_values() {
    let cases = [
        ("Environment=MQTT_PASS=hunter2", "Environment=MQTT_PASS=<removed>"),
        (
            "Environment=WIFI_PSK=a PLC_PIN=4711 DB_AUTH=b",
            "Environment=WIFI_PSK=<removed> PLC_PIN=<removed> DB_AUTH=<removed>",
        ),
        (
            "Environment=\"ANY=b c\" 'OTHER=d e' F=\"g h\"",
            "Environment=\"ANY=<removed>\" 'OTHER=<removed>' F=<removed>",
        ),
        ("Environment = ANY=b", "Environment = ANY=<removed>"),
        ("Environment=DB_DSN=user:pw@tcp(db)", "Environment=DB_DSN=<removed>"),
        (
            "Environment=ANY=\\\n  hunter2 \\\n# between\n hunter3\nUser=edged",
            "Environment=ANY=<removed> <removed> <removed>\nUser=edged",
        ),
        (
            "Environment=\"LONG_PASSWORD=hunter2 \\\nhunter3\"\nUser=edged",
            "Environment=\"LONG_PASSWORD=<removed>\"\nUser=edged",
        ),
        (
            "#Environment=ANY=hunter2 \\\n#  OTHER=hunter3\nUser=edged",
            "#Environment=ANY=<removed> OTHER=<removed>\nUser=edged",
        ),
        ("Environment=ANY=it's LANG=C", "Environment=ANY=<removed>"),
        ("Environment=ANY=two words", "Environment=ANY=<removed> <removed>"),
        ("Environment=$'ANY=a\\nb'", "Environment=ANY=<removed>"),
        (
            "Environment=LANG=C RUST_LOG=debug PATH=/bin:/usr/bin EDGED_BUS=session ORT_DYLIB_PATH=/x.so",
            "Environment=LANG=C RUST_LOG=debug PATH=/bin:/usr/bin EDGED_BUS=session ORT_DYLIB_PATH=/x.so",
        ),
        ("Environment=EDGED_TOKEN=hunter2 LANG=C", "Environment=EDGED_TOKEN=<removed> LANG=C"),
        ("PassEnvironment=MQTT_PASS LANG", "PassEnvironment=MQTT_PASS LANG"),
        ("UnsetEnvironment=MQTT_PASS=x LANG", "UnsetEnvironment=MQTT_PASS=<removed> LANG"),
        ("Environment=", "Environment="),
        ("EnvironmentFile=-/etc/default/edged", "EnvironmentFile=-/etc/default/edged"),
        ("StandardInputText=hunter2\\\nhunter3\nUser=edged", "StandardInputText=<removed>\nUser=edged"),
    ];
    for (line, expected) in cases {
        assert_eq!(text(line), expected, "{line}");
    }
}

#[test]
fn commands_keep_their_programs_and_lose_their_arguments() {
    let cases = [
        ("ExecStartPre=-/usr/bin/curl -u user:PW https://h", "ExecStartPre=-/usr/bin/curl <removed>"),
        ("ExecStart=/bin/sh -c 'mosquitto_pub -P PW'", "ExecStart=/bin/sh <removed>"),
        ("ExecStart=/usr/bin/curl \\\n  -u user:PW\nUser=edged", "ExecStart=/usr/bin/curl <removed>\nUser=edged"),
        ("ExecStart=/usr/bin/env MQTT=PW /usr/bin/edged", "ExecStart=/usr/bin/env <removed>"),
        ("ExecStart=/usr/bin/edged --config /x.toml", "ExecStart=/usr/bin/edged --config /x.toml"),
        (
            "ExecStart=/usr/bin/edged --session ; /bin/x PW ; /bin/y",
            "ExecStart=/usr/bin/edged --session ; /bin/x <removed> ; /bin/y",
        ),
        ("# ExecStop=/usr/bin/curl PW", "# ExecStop=/usr/bin/curl <removed>"),
        ("ExecStart=", "ExecStart="),
        ("ExecMainPID=12", "ExecMainPID=12"),
        ("ExecMainStartTimestamp=Thu 2026-01-01 10:00:00 UTC", "ExecMainStartTimestamp=Thu 2026-01-01 10:00:00 UTC"),
        (
            "ExecStartPre={ path=/usr/bin/curl ; argv[]=/usr/bin/curl -u ; ignore_errors= PW ; ignore_errors=no ; pid=0 ; status=0/0 }",
            "ExecStartPre={ path=/usr/bin/curl ; argv[]=/usr/bin/curl <removed> ; ignore_errors=no ; pid=0 ; status=0/0 }",
        ),
        (
            "ExecStartEx={ path=/usr/bin/edged ; argv[]=/usr/bin/edged --session ; flags= ; pid=7 }",
            "ExecStartEx={ path=/usr/bin/edged ; argv[]=/usr/bin/edged --session ; flags= ; pid=7 }",
        ),
        (
            "ExecStart={ path=/bin/sh ; argv[]=/bin/sh -c a\nb PW ; ignore_errors=no ; pid=0 }\nUser=edged",
            "ExecStart={ path=/bin/sh ; argv[]=/bin/sh <removed> ; ignore_errors=no ; pid=0 }\nUser=edged",
        ),
        (
            "ExecStart={ path=/bin/sh ; argv[]=/bin/sh PW\nUser=edged",
            "ExecStart={ path=/bin/sh ; argv[]=/bin/sh <removed> }\nUser=edged",
        ),
        (
            "    Process: 12 ExecStartPre=/usr/bin/curl -u user:PW (code=exited, status=0/SUCCESS)",
            "    Process: 12 ExecStartPre=/usr/bin/curl <removed> (code=exited, status=0/SUCCESS)",
        ),
        ("   Main PID: 12 (edged)", "   Main PID: 12 (edged)"),
        ("             ├─  12 /usr/bin/edged --session", "             ├─  12 /usr/bin/edged --session"),
        ("             |-12 /usr/bin/mosquitto_pub -P PW", "             |-12 /usr/bin/mosquitto_pub <removed>"),
        ("             │ └─13 /bin/sh -c \"x PW\"", "             │ └─13 /bin/sh <removed>"),
        ("             `-10-env.conf, 20-more.conf", "             `-10-env.conf, 20-more.conf"),
        ("- 3 models are loaded", "- 3 models are loaded"),
    ];
    for (line, expected) in cases {
        assert_eq!(text(line), expected, "{line}");
    }
}

#[test]
fn what_a_unit_sets_is_read_with_quotes_and_over_lines() {
    let unit =
        "Environment=\"A=b c\" D=e\n#Environment='F=g'\nEnvironment=LONG=\\\n  h\nUser=x\nUnsetEnvironment=I=j\n";
    let found = variables(unit);
    let found: Vec<(&str, &str)> = found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(found, [("A", "b c"), ("D", "e"), ("F", "g"), ("LONG", "h")]);
}
