//! Which names stand for a secret.

/// Parts of names whose value is secret.
const SECRET: [&str; 13] = [
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
];
/// Words before `key` that make it one that is nobody's business.
const BEFORE_KEY: [&str; 8] = ["api", "private", "access", "secret", "shared", "signing", "preshared", "account"];
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
    let parts = parts(name);
    let Some(last) = parts.last() else { return false };
    if PLACES.contains(&last.as_str()) {
        return false;
    }
    let named = |part: &String| {
        let glued = SECRET.iter().any(|word| part.len() > word.len() && part.ends_with(word) && word.len() > 5);
        SECRET.contains(&part.as_str()) || glued
    };
    let is_key =
        |pair: &[String]| matches!(pair, [before, key] if key == "key" && BEFORE_KEY.contains(&before.as_str()));
    parts.iter().any(named) || parts.windows(2).any(is_key)
}

/// The same, and names that say who somebody is.
pub fn is_credential(name: &str) -> bool {
    is_secret(name) || parts(name).last().is_some_and(|last| WHO.contains(&last.as_str()))
}
