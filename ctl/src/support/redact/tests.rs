use proptest::prelude::*;
use serde_json::json;

use super::*;

pub fn text(text: &str) -> String {
    Secrets::default().text(text)
}

#[test]
fn names_of_secrets_are_told_from_names_of_files_and_counts() {
    for name in [
        "password",
        "mqtt.password",
        "MQTT_PASSWORD",
        "clientSecret",
        "api_key",
        "apiKey",
        "--token",
        "private-key",
        "dbpassword",
        "Authorization",
        "pull.credentials",
        "MQTT_PASS",
        "wifiPsk",
        "PLC_PIN",
        "DB_AUTH",
        "AUTH_KEY",
        "LICENSE_KEY",
        "licensekey",
        "api_keys",
        "DB_DSN",
        "PASSWORD_2",
        "token1",
    ] {
        assert!(is_secret(name), "{name}");
    }
    for name in [
        "password_file",
        "tokens",
        "max_tokens",
        "tokenizer",
        "key",
        "keys_dir",
        "tls.key_file",
        "monkey",
        "",
        "secret_path",
        "pass_rate",
        "passed",
        "bypass",
        "auth_method",
        "author",
        "licence",
        "public_key",
        "mqtt.tls.pin",
        "pin",
        "pinned",
        "goldens_passed",
    ] {
        assert!(!is_secret(name), "{name}");
    }
    assert!(is_credential("mqtt.username") && is_credential("user") && !is_credential("users"));
}

#[test]
fn secrets_go_from_lines_and_the_rest_stays() {
    let cases = [
        ("connected to mqtt://box:hunter2@broker.plant:1883/x", "connected to mqtt://<removed>@broker.plant:1883/x"),
        ("GET https://a.example/m?sig=abc&x=1 failed", "GET https://a.example/m?<removed> failed"),
        ("http://plain.example:80/path stays", "http://plain.example:80/path stays"),
        ("password=hunter2 model=add", "password=<removed> model=add"),
        ("password = \"hunter 2\" # old", "password = \"<removed>\" # old"),
        ("{\"token\":\"abc\\\"def\",\"n\":1}", "{\"token\":\"<removed>\",\"n\":1}"),
        ("Environment=\"MQTT_PASSWORD=a b c\" LANG=C", "Environment=\"MQTT_PASSWORD=<removed>\" LANG=C"),
        ("SetCredential=mqtt:open sesame \\\n and more\nUser=edged", "SetCredential=<removed>\nUser=edged"),
        (
            "SetCredentialEncrypted=mqtt: \\\n Whxqht+d \\\n AA=\nUser=edged",
            "SetCredentialEncrypted=<removed>\nUser=edged",
        ),
        ("Authorization: Bearer abc.def", "Authorization: <removed>"),
        ("sent Bearer abcdef on", "sent Bearer <removed> on"),
        ("run --api-key abc --model add", "run --api-key <removed> --model add"),
        ("found ghp_0123456789abcdefghij here", "found <removed> here"),
        ("the tokens: 17, tokenizer=add", "the tokens: 17, tokenizer=add"),
        ("password_file=/etc/edged/password", "password_file=/etc/edged/password"),
        ("no password was given", "no password was given"),
        ("{'pass': 'hunter 2', 'n': 1}", "{'pass': '<removed>', 'n': 1}"),
        ("db_dsn=user:pw@tcp(db) next", "db_dsn=<removed> next"),
        ("export LONG_PASSWORD=\\\n  hunter2\nUSER=edged", "export LONG_PASSWORD=<removed>\nUSER=edged"),
        ("A=1 WIFI_PASS=\"hunter\\\n 2\" \\\nB=2\nC=3", "A=1 WIFI_PASS=\"<removed>\nC=3"),
        ("PASSWORD=hunter2 \\\nUSER=edged", "PASSWORD=<removed> \\\nUSER=edged"),
        ("pin: 4711", "pin: <removed>"),
        ("mqtt.tls.pin: takes sha256/ and 43 characters", "mqtt.tls.pin: takes sha256/ and 43 characters"),
        ("{\"pin\":\"sha256/AbC\"}", "{\"pin\":\"sha256/AbC\"}"),
        ("", ""),
    ];
    for (line, expected) in cases {
        assert_eq!(text(line), expected, "{line}");
    }
}

#[test]
fn private_keys_go_with_all_their_lines() {
    let key = "before\n-----BEGIN PRIVATE KEY-----\nMIIEsecret\nmore\n-----END PRIVATE KEY-----\nafter\n";
    assert_eq!(text(key), "before\n<removed>\nafter\n");
    assert_eq!(text("x -----BEGIN RSA PRIVATE KEY-----\\nMII\\n-----END RSA PRIVATE KEY----- y"), "x <removed> y");
    let minisign = "untrusted comment: minisign encrypted secret key\nRWRTabc\nafter";
    assert!(!text(minisign).contains("RWRTabc") && text(minisign).ends_with("after"));
    let certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----";
    assert_eq!(text(certificate), certificate, "that is for everybody");
}

#[test]
fn documents_lose_values_by_their_keys_and_what_is_known_everywhere() {
    let mut secrets = Secrets::default();
    secrets.learn("s3cr\"et");
    let document = json!({
        "username": "box", "password": "x", "list": [{"url": "https://u:p@h/x"}], "said": "it was s3cr\"et", "tokens": 3,
        "pin_token": 1234, "secret": {"of": "me", "is": [true, null]},
    });
    let expected = json!({
        "username": REMOVED, "password": REMOVED, "list": [{"url": "https://<removed>@h/x"}], "said": "it was <removed>", "tokens": 3,
        "pin_token": REMOVED, "secret": {"of": REMOVED, "is": REMOVED},
    });
    assert_eq!(secrets.json(document), expected);
    assert!(secrets.are_in(b"..s3cr\\\"et..") && secrets.are_in(b"s3cr%22et") && !secrets.are_in(b"s3cret"));
}

#[test]
fn what_an_address_holds_is_known_everywhere() {
    let mut secrets = Secrets::default();
    secrets.learn_address("https://user:pass word@h");
    assert_eq!(secrets.text("refused: pass word"), "refused: <removed>");
    assert_eq!(secrets.value("https://user:pass word@h"), "https://<removed>@h");
}

#[test]
fn ordinary_values_go_where_they_stand_and_are_not_looked_for() {
    let ordinary = [
        "true",
        "No",
        "on",
        "off",
        "none",
        "NONE",
        "removed",
        "<removed>",
        "null",
        "12345",
        "-1.5",
        "openai",
        "Hunter",
        "GEHEIM",
        "password",
        "regulated",
    ];
    for value in ordinary {
        let mut secrets = Secrets::default();
        secrets.learn_named("mqtt.password", value);
        assert!(!secrets.are_in(value.as_bytes()), "{value}");
        assert_eq!(secrets.json(json!({"password": value, "is": value})), json!({"password": REMOVED, "is": value}));
    }
    for value in ["hunter2", "s3cret", "123456", "hUnter", "geheimnis", "a b c", "pass:word", "tr\u{fc}e-x"] {
        let mut secrets = Secrets::default();
        secrets.learn_named("MQTT_PASS", value);
        assert_eq!(secrets.text(&format!("at {value}.")), "at <removed>.", "{value}");
    }
}

#[test]
fn the_name_of_a_credential_is_no_secret_and_a_token_in_its_place_is_one() {
    let mut secrets = Secrets::default();
    for (key, value) in [
        ("credential", "openai-production"),
        ("proxy_credential", "proxy.plant-2"),
        ("credentials", "/etc/edged/credentials/registry"),
    ] {
        secrets.learn_named(key, value);
        assert!(!secrets.are_in(value.as_bytes()), "{value}");
    }
    for value in ["9f8e7d6c5b4a39281706", "user:pw-of-user", "Bearer abcdefgh", "AbCdEfGhIjKl", "/9j/4AAQ=="] {
        secrets.learn_named("credential", value);
        assert!(secrets.are_in(value.as_bytes()), "{value}");
    }
}

#[test]
fn a_number_that_is_a_secret_goes_and_leaves_the_document_whole() {
    let mut secrets = Secrets::default();
    secrets.learn_named("PLC_PIN", "482913");
    assert_eq!(secrets.json(json!({"bytes": 482_913, "n": 17})), json!({"bytes": REMOVED, "n": 17}));
}

proptest! {
    /// Whatever a secret looks like, it does not come through where something says that it is one.
    #[test]
    fn a_secret_that_is_named_does_not_come_through(secret in "[0-9a-f]{8}[A-Za-z0-9!#$%&*+,./:;=?@^_{|}~-]{1,24}", line in 0_usize..16) {
        let forms = [
            format!("password={secret}"),
            format!("x \"password\": \"{secret}\", y"),
            format!("mqtts://box:{secret}@broker:8883"),
            format!("try https://{secret}@host/path again"),
            format!("token: {secret}"),
            format!("Environment=\"API_KEY={secret}\" PATH=/bin"),
            format!("Authorization: Basic {secret}"),
            format!("edged --client-secret {secret} --session"),
            format!("Environment=ANY={secret} LANG=C"),
            format!("Environment='ANY=a {secret}' LANG=C"),
            format!("Environment=LANG=C \\\n OTHER=\\\n{secret}\nUser=edged"),
            format!("ExecStartPre=-/usr/bin/curl -u {secret} https://h"),
            format!("ExecStart={{ path=/bin/x ; argv[]=/bin/x -p {secret} ; flags= ; pid=0 }}"),
            format!("  Process: 7 ExecStopPost=/bin/x {secret} (code=exited, status=1/FAILURE)"),
            format!("   ├─ 7 /bin/x {secret}"),
            format!("{{'pass': '{secret}'}}"),
        ];
        let form = &forms[line];
        let told = text(form);
        prop_assert!(!told.contains(&secret), "{form} -> {told}");
    }

    /// Nothing makes it stumble, and no line is lost but those of keys.
    #[test]
    fn any_text_is_taken_line_by_line(any in "[\\PC\n]{0,200}") {
        let is_key = any.contains("-----BEGIN") || any.contains("secret key");
        prop_assert!(is_key || text(&any).lines().count() == any.lines().count());
    }
}
