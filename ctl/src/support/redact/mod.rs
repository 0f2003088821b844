//! Secrets out of what a technician mails: pure functions of text. A value goes because of its name (`password`, `token`), its
//! place (before the `@` of an address, behind its `?`), its look (a private key, a token of a known kind), or because it is
//! known: what the configuration holds under such a name goes from everything else, too, unless it is too ordinary a word to be
//! told from others. What units of systemd give to programs goes whatever its name. Rather too much than too little.

mod label;
mod ordinary;
mod scan;
mod unit;

use serde_json::Value;

pub use self::label::{is_credential, is_pin, is_secret};

/// What stands where something was.
pub const REMOVED: &str = "<removed>";
/// Shorter ones are not searched in other texts: they would be found in every word.
const SHORTEST: usize = 4;
/// Most that are searched.
const MOST: usize = 256;

/// What is known to be secret, as it may be written.
#[derive(Clone, Debug, Default)]
pub struct Secrets(Vec<String>);

impl Secrets {
    /// Learns one; it is searched as it is, and as addresses and JSON write it, if it is not an ordinary word.
    pub fn learn(&mut self, secret: &str) {
        if ordinary::is_ordinary(secret) {
            return;
        }
        let json = Value::from(secret).to_string();
        let json = json.trim_matches('"').to_owned();
        let debug = secret.escape_debug().to_string();
        for form in [secret.to_owned(), percent(secret), json, debug] {
            if form.len() >= SHORTEST && self.0.len() < MOST && !self.0.contains(&form) {
                self.0.push(form);
            }
        }
        // The longest first, so that of one that is a part of another nothing is left over.
        self.0.sort_by_key(|form| std::cmp::Reverse(form.len()));
    }

    /// Learns what stands before the `@` of an address.
    pub fn learn_address(&mut self, address: &str) {
        for user in scan::users(address) {
            self.learn(&user);
            if let Some((_, password)) = user.split_once(':') {
                self.learn(password);
            }
        }
    }

    /// Learns a value that stands under a name, if the name says that it is secret; and what is in it, if it is an address.
    pub fn learn_named(&mut self, name: &str, value: &str) {
        self.learn_address(value);
        let last = name.rsplit(|char: char| !char.is_alphanumeric()).next().unwrap_or_default().to_ascii_lowercase();
        // The name of a credential, or of the file that holds it, is no secret: it would be searched everywhere.
        let is_name = last.starts_with("credential") && ordinary::is_name(value);
        if (is_secret(name) || is_pin(name, &value)) && !is_name {
            self.learn(value);
        }
    }

    /// Learns what stands behind secret names in a text such as `Environment="MQTT_PASSWORD=x"`.
    pub fn learn_environment(&mut self, text: &str) {
        for (name, value) in unit::variables(text) {
            self.learn_named(&name, &value);
            // As the program gets it: what is written `\"` is `"`.
            self.learn_named(&name, &value.replace('\\', ""));
        }
    }

    /// Whether one of them is in these bytes.
    pub fn are_in(&self, bytes: &[u8]) -> bool {
        self.0.iter().any(|secret| bytes.windows(secret.len()).any(|window| window == secret.as_bytes()))
    }

    /// A text of any kind without secrets.
    pub fn text(&self, text: &str) -> String {
        scan::text(&self.without_known(&unit::told(text)))
    }

    /// The value of a key that is a string.
    pub fn value(&self, text: &str) -> String {
        scan::text(&scan::address(&self.without_known(&unit::told(text))))
    }

    /// A document without secrets.
    pub fn json(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.value(&text)),
            Value::Array(list) => Value::Array(list.into_iter().map(|one| self.json(one)).collect()),
            Value::Object(map) => {
                let one = |(key, value): (String, Value)| {
                    let is_secret = is_credential(&key) || is_pin(&key, &value);
                    let value = if is_secret { emptied(value) } else { self.json(value) };
                    (self.text(&key), value)
                };
                Value::Object(map.into_iter().map(one).collect())
            }
            // A number is searched as well: otherwise the document would have to be left out.
            Value::Number(number) if self.are_in(number.to_string().as_bytes()) => Value::from(REMOVED),
            other => other,
        }
    }

    fn without_known(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), REMOVED))
    }
}

/// Under a secret name: nothing is told but the keys that are there.
fn emptied(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(map.into_iter().map(|(key, value)| (key, emptied(value))).collect()),
        Value::Null => Value::Null,
        _ => Value::from(REMOVED),
    }
}

/// As an address writes it.
fn percent(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests;
