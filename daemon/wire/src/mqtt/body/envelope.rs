//! What can still be told of a broken body: to whom its refusal goes.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, Visitor};

use super::value::{self, Value, Word};

/// The sender's own words about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// Its id for the request.
    pub id: Option<String>,
    /// Where it wants the reply; not checked.
    pub reply_to: Option<String>,
}

/// `id` and `reply_to` of a body that is broken elsewhere or cut off, as far as they can be found.
pub fn envelope(payload: &[u8]) -> Envelope {
    let text = match std::str::from_utf8(payload) {
        Ok(text) => text,
        Err(fault) => std::str::from_utf8(&payload[..fault.valid_up_to()]).unwrap_or_default(),
    };
    let mut found = Envelope::default();
    // The error is known already; only what came before it is wanted.
    drop(Seed { found: &mut found }.deserialize(&mut serde_json::Deserializer::from_str(text)));
    found
}

struct Seed<'f> {
    found: &'f mut Envelope,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Word(key)) = map.next_key()? {
            let place = match key.as_ref() {
                "id" => &mut self.found.id,
                "reply_to" => &mut self.found.reply_to,
                _ => {
                    map.next_value::<de::IgnoredAny>()?;
                    continue;
                }
            };
            let value = value::read(&mut map, 1)?;
            let value = if key == "id" { value::as_id(value) } else { Some(value) };
            if let Some(Value::Text(text)) = value {
                *place = Some(text.into_owned());
            }
        }
        Ok(())
    }
}
