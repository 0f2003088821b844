//! Which names stand for a secret.

/// Parts of names whose value is secret.
const SECRET: [&str; 14] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "secrets",
    "token",
    "credential",
    "credentials",
    "apikey",
    "authorization",
    "cookie",
    "bearer",
    "psk",
];
/// Ends of names whose value is secret; in the middle they are words like others: `pass_rate`, `auth_method`.
const SECRET_AT_END: [&str; 4] = ["pass", "auth", "dsn", "pin"];
/// Names with such an end whose value everybody may know: of the broker's key, in edged.toml.
const PUBLIC: [&[&str]; 2] = [&["pin"], &["tls", "pin"]];
/// Words before `key` that make it one that is nobody's business.
const BEFORE_KEY: [&str; 18] = [
    "api",
    "private",
    "access",
    "secret",
    "shared",
    "signing",
    "preshared",
    "account",
    "auth",
    "license",
    "licence",
    "encryption",
    "master",
    "activation",
    "wifi",
    "wpa",
    "wep",
    "admin",
];
/// Ends of names whose value says where something is, which is no secret.
const PLACES: [&str; 5] = ["file", "files", "dir", "path", "env"];
/// Names whose value says who somebody is, which is half of a credential.
const WHO: [&str; 3] = ["username", "user", "login"];

/// The parts of a name: `MQTT_PASSWORD`, `mqtt.password`, `clientSecret`, `--api-key`.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut before_is_lower = false;
    for char in name.chars() {
        if !char.is_alphanumeric() || (before_is_lower && char.is_uppercase()) {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut().filter(|_| char.is_alphanumeric()) {
            part.extend(char.to_lowercase());
        }
        before_is_lower = char.is_lowercase();
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// Whether the value under this name is secret.
pub fn is_secret(name: &str) -> bool {
    let mut parts = parts(name);
    // `PASSWORD_2`, `token1`: one of several.
    parts.iter_mut().for_each(|part| part.truncate(part.trim_end_matches(|char: char| char.is_ascii_digit()).len()));
    parts.retain(|part| !part.is_empty());
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let Some(last) = parts.last() else { return false };
    if PLACES.contains(last) || PUBLIC.iter().any(|end| parts.ends_with(end) && (end.len() > 1 || parts.len() == 1)) {
        return false;
    }
    SECRET_AT_END.contains(last) || parts.iter().any(|part| is_word(part)) || parts.windows(2).any(is_key)
}

/// Whether it is such a word, by itself or at the end of one that is written without a break: `dbpassword`, `licensekey`.
fn is_word(part: &str) -> bool {
    let glued = SECRET.iter().any(|word| part.len() > word.len() && part.ends_with(word) && word.len() > 5);
    SECRET.contains(&part) || glued || part.strip_suffix("key").is_some_and(|before| BEFORE_KEY.contains(&before))
}

fn is_key(pair: &[&str]) -> bool {
    matches!(pair, [before, "key" | "keys"] if BEFORE_KEY.contains(before))
}

/// Whether it is the number of somebody or something called `pin`, and not what `mqtt.tls.pin` has, which is for everybody.
pub fn is_pin(name: &str, value: &impl ToString) -> bool {
    let begins =
        |value: String| value.trim_start_matches(['"', '\'', '[', ' ']).starts_with(|char: char| char.is_ascii_digit());
    name.eq_ignore_ascii_case("pin") && begins(value.to_string())
}

/// The same, and names that say who somebody is.
pub fn is_credential(name: &str) -> bool {
    is_secret(name) || parts(name).last().is_some_and(|last| WHO.contains(&last.as_str()))
}
