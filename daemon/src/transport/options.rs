//! The options of a request, from whatever a transport has to what the driver takes: one meaning, one set of messages.
//!
//! Decides the type and the range of each option, and what is said about options that nobody knows. Must not know
//! any protocol, model or policy: the default deadline and the meaning of a data class are the driver's.

use edge_core::Priority;

use crate::request::{Failure, Options};

/// The longest deadline that may be asked for: one week, so that deferred work outlives a weekend without a network.
/// The policy may cut it further.
pub const MAX_DEADLINE_MS: u64 = 7 * 24 * 3600 * 1000;
/// The longest request id, in characters.
pub const MAX_REQUEST_ID_CHARS: usize = 128;
/// The longest version or task, in characters.
const MAX_NAME_CHARS: usize = 128;
/// Most boxes that a request may have come over. More than one never happens, as a box does not hand on what another one handed to it.
const MAX_HOPS: u8 = 16;
/// How much of a word of the caller is repeated to it: enough to find it, too little to carry a payload.
const MAX_ECHO_CHARS: usize = 64;
/// Unknown options that are named one by one; the rest is counted.
const MAX_NAMED_UNKNOWN: usize = 8;

/// The value of an option, as far as a protocol tells types apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// An integer of any width.
    Int(i128),
    /// A text.
    Text(&'a str),
    /// Yes or no.
    Bool(bool),
    /// A text in a protocol that has nothing else (MQTT user properties): read as what the option takes.
    Untyped(&'a str),
    /// Any other type, by its name in that protocol.
    Other(&'a str),
}

impl Value<'_> {
    fn describe(self) -> String {
        match self {
            Value::Int(number) => number.to_string(),
            Value::Text(text) | Value::Untyped(text) => format!("\"{}\"", echo(text)),
            Value::Bool(value) => value.to_string(),
            Value::Other(name) => format!("a value of type {name}"),
        }
    }
}

/// Reads the options of one request.
///
/// Unknown options end in [`Options::warnings`]; a known option of the wrong type, out of its range or given twice is
/// `invalid_input`, with a message that names it and what it takes.
pub fn parse<'a>(given: impl IntoIterator<Item = (&'a str, Value<'a>)>) -> Result<Options, Failure> {
    let mut parser = Parser::default();
    for (name, value) in given {
        parser.take(name, value)?;
    }
    Ok(parser.finish())
}

/// Options read so far; for transports that meet their options one by one.
#[derive(Debug, Default)]
pub struct Parser {
    options: Options,
    seen: u8,
    unknown: usize,
}

impl Parser {
    /// Reads one option.
    pub fn take(&mut self, name: &str, value: Value<'_>) -> Result<(), Failure> {
        match name {
            "version" => self.options.version = Some(self.once(0, name, value, short_name)?),
            "task" => self.options.task = Some(self.once(1, name, value, short_name)?),
            "deadline_ms" => self.options.deadline_ms = Some(self.once(2, name, value, deadline)?),
            "data_class" => self.options.data_class = Some(self.once(3, name, value, data_class)?),
            "priority" => self.options.priority = self.once(4, name, value, priority)?,
            "deferrable" => self.options.deferrable = self.once(5, name, value, boolean)?,
            "request_id" => self.options.request_id = Some(self.once(6, name, value, request_id)?),
            "hops" => self.options.hops = self.once(7, name, value, hops)?,
            _ => self.warn(name),
        }
        Ok(())
    }

    /// The options, with what is to be said about the unknown ones.
    pub fn finish(mut self) -> Options {
        if let Some(more) = self.unknown.checked_sub(MAX_NAMED_UNKNOWN).filter(|more| *more > 0) {
            self.options.warnings.push(format!("{more} more unknown options were ignored"));
        }
        if self.options.hops > 0 && std::mem::take(&mut self.options.deferrable) {
            let text = "option deferrable was ignored: a request that another box handed on waits there";
            self.options.warnings.push(text.into());
        }
        self.options
    }

    fn once<T>(
        &mut self,
        place: u8,
        name: &str,
        value: Value<'_>,
        read: fn(Value<'_>) -> Result<T, &'static str>,
    ) -> Result<T, Failure> {
        let bit = 1 << place;
        if self.seen & bit != 0 {
            return Err(Failure::invalid(format!("option {name} is given twice")));
        }
        self.seen |= bit;
        read(value)
            .map_err(|takes| Failure::invalid(format!("option {name} is {}; it takes {takes}", value.describe())))
    }

    fn warn(&mut self, name: &str) {
        self.unknown += 1;
        if self.unknown <= MAX_NAMED_UNKNOWN {
            self.options.warnings.push(format!("unknown option \"{}\" was ignored", echo(name)));
        }
    }
}

/// The id of an earlier request, as a method's argument. One that no request can have is not repeated in the answer.
pub fn known_id(given: String) -> Result<String, Failure> {
    match request_id(Value::Text(&given)) {
        Ok(_) => Ok(given),
        Err(takes) => Err(Failure::invalid(format!("request_id is \"{}\"; it takes {takes}", echo(&given)))),
    }
}

/// The name that a sender gives itself, for protocols that do not tell who it is.
pub fn sender(given: Value<'_>) -> Result<String, Failure> {
    short_name(given)
        .map_err(|takes| Failure::invalid(format!("option client is {}; it takes {takes}", given.describe())))
}

/// The start of a caller's word, without characters that would spoil a log or a terminal.
fn echo(text: &str) -> String {
    let mut start: String = text.chars().take(MAX_ECHO_CHARS).map(|c| if c.is_control() { '?' } else { c }).collect();
    if text.chars().nth(MAX_ECHO_CHARS).is_some() {
        start.push('…');
    }
    start
}

fn text(value: Value<'_>) -> Option<&str> {
    match value {
        Value::Text(text) | Value::Untyped(text) => Some(text),
        Value::Int(_) | Value::Bool(_) | Value::Other(_) => None,
    }
}

fn printable(text: &str, most: usize) -> bool {
    !text.is_empty() && text.chars().nth(most).is_none() && !text.chars().any(char::is_control)
}

fn short_name(value: Value<'_>) -> Result<String, &'static str> {
    let named = text(value).filter(|text| printable(text, MAX_NAME_CHARS));
    named.map(str::to_owned).ok_or("a text of 1 to 128 printable characters")
}

fn request_id(value: Value<'_>) -> Result<String, &'static str> {
    let named = text(value).filter(|text| printable(text, MAX_REQUEST_ID_CHARS));
    named.map(str::to_owned).ok_or("a text of 1 to 128 printable characters")
}

fn deadline(value: Value<'_>) -> Result<u64, &'static str> {
    let number = match value {
        Value::Int(number) => u64::try_from(number).ok(),
        Value::Untyped(text) => text.parse().ok(),
        Value::Text(_) | Value::Bool(_) | Value::Other(_) => None,
    };
    number
        .filter(|number| (1..=MAX_DEADLINE_MS).contains(number))
        .ok_or("an integer from 1 to 604800000, in milliseconds from receipt")
}

/// Kept as written, because what an unknown word means is policy; no known word is longer than what is kept of it.
fn data_class(value: Value<'_>) -> Result<String, &'static str> {
    text(value).map(echo).ok_or("a text: regulated, internal or public")
}

fn priority(value: Value<'_>) -> Result<Priority, &'static str> {
    text(value).and_then(Priority::from_word).ok_or("one of high, normal, low")
}

fn hops(value: Value<'_>) -> Result<u8, &'static str> {
    let number = match value {
        Value::Int(number) => u8::try_from(number).ok(),
        Value::Untyped(text) => text.parse().ok(),
        Value::Text(_) | Value::Bool(_) | Value::Other(_) => None,
    };
    number.filter(|number| *number <= MAX_HOPS).ok_or("an integer from 0 to 16")
}

fn boolean(value: Value<'_>) -> Result<bool, &'static str> {
    match value {
        Value::Bool(value) => Ok(value),
        Value::Untyped("true") => Ok(true),
        Value::Untyped("false") => Ok(false),
        Value::Int(_) | Value::Text(_) | Value::Untyped(_) | Value::Other(_) => Err("true or false"),
    }
}

#[cfg(test)]
mod tests {
    use edge_wire::error::ErrorCode;

    use super::*;

    fn refused(name: &str, value: Value<'_>) -> String {
        let failure = parse([(name, value)]).unwrap_err();
        assert_eq!(failure.code, ErrorCode::InvalidInput, "{name}");
        failure.message
    }

    #[test]
    fn every_option_is_read_as_the_contract_says() {
        let options = parse([
            ("version", Value::Text("1.2.0")),
            ("task", Value::Text("classification")),
            ("deadline_ms", Value::Int(250)),
            ("data_class", Value::Text("secret")),
            ("priority", Value::Text("high")),
            ("deferrable", Value::Bool(true)),
            ("request_id", Value::Text("line-3/0042 ü")),
        ]);
        let expected = Options {
            version: Some("1.2.0".into()),
            task: Some("classification".into()),
            deadline_ms: Some(250),
            data_class: Some("secret".into()),
            priority: Priority::High,
            deferrable: true,
            request_id: Some("line-3/0042 ü".into()),
            hops: 0,
            client: None,
            made_up_id: None,
            put_off_as: None,
            rejected: edge_core::Sites::NONE,
            warnings: vec![],
        };
        assert_eq!(options.unwrap(), expected);
        assert_eq!(parse([]).unwrap(), Options::default());
    }

    #[test]
    fn a_deadline_out_of_range_names_the_field_and_the_range() {
        let cases = [
            Value::Int(0),
            Value::Int(-1),
            Value::Int(i128::from(MAX_DEADLINE_MS) + 1),
            Value::Int(i128::from(u64::MAX)),
            Value::Int(i128::MIN),
            Value::Text("250"),
            Value::Untyped("soon"),
            Value::Untyped("1.5"),
            Value::Untyped(""),
            Value::Bool(true),
            Value::Other("d"),
        ];
        for value in cases {
            let message = refused("deadline_ms", value);
            assert!(
                message.contains("deadline_ms") && message.contains(&format!("1 to {MAX_DEADLINE_MS}")),
                "{message}"
            );
        }
        for (value, expected) in [(Value::Int(1), 1), (Value::Untyped("604800000"), MAX_DEADLINE_MS)] {
            assert_eq!(parse([("deadline_ms", value)]).unwrap().deadline_ms, Some(expected));
        }
    }

    #[test]
    fn a_known_option_with_a_bad_value_says_what_it_takes() {
        let long = "x".repeat(129);
        let cases = [
            ("priority", Value::Text("urgent"), "high, normal, low"),
            ("priority", Value::Int(1), "high, normal, low"),
            ("deferrable", Value::Text("true"), "true or false"),
            ("deferrable", Value::Untyped("yes"), "true or false"),
            ("deferrable", Value::Int(1), "true or false"),
            ("data_class", Value::Bool(true), "regulated, internal or public"),
            ("request_id", Value::Text(""), "1 to 128 printable"),
            ("request_id", Value::Text(&long), "1 to 128 printable"),
            ("request_id", Value::Text("a\nb"), "1 to 128 printable"),
            ("request_id", Value::Int(7), "1 to 128 printable"),
            ("version", Value::Int(1), "1 to 128 printable"),
            ("task", Value::Text(""), "1 to 128 printable"),
            ("hops", Value::Int(17), "0 to 16"),
            ("hops", Value::Int(-1), "0 to 16"),
            ("hops", Value::Untyped("one"), "0 to 16"),
            ("hops", Value::Text("1"), "0 to 16"),
        ];
        for (name, value, takes) in cases {
            let message = refused(name, value);
            assert!(message.contains(name) && message.contains(takes), "{message}");
        }
    }

    #[test]
    fn a_request_that_another_box_handed_on_is_not_put_off_here() {
        let given = [("hops", Value::Untyped("1")), ("deferrable", Value::Untyped("true"))];
        for given in [given, [given[1], given[0]]] {
            let options = parse(given).unwrap();
            assert_eq!((options.hops, options.deferrable, options.warnings.len()), (1, false, 1));
        }
        let options = parse([("hops", Value::Int(0)), ("deferrable", Value::Bool(true))]).unwrap();
        assert_eq!((options.hops, options.deferrable, options.warnings.len()), (0, true, 0));
    }

    #[test]
    fn a_request_id_may_have_128_characters_of_any_script() {
        let id = "ü".repeat(128);
        assert_eq!(parse([("request_id", Value::Text(&id))]).unwrap().request_id, Some(id));
    }

    #[test]
    fn an_option_given_twice_is_refused() {
        let failure = parse([("priority", Value::Text("low")), ("priority", Value::Text("low"))]).unwrap_err();
        assert!(failure.message.contains("priority is given twice"), "{}", failure.message);
    }

    #[test]
    fn unknown_options_are_named_and_their_number_is_bounded() {
        let names: Vec<String> = (0..20).map(|n| format!("colour{n}")).collect();
        let options = parse(names.iter().map(|name| (name.as_str(), Value::Other("v")))).unwrap();
        assert_eq!(options.warnings.len(), 9);
        assert!(options.warnings[0].contains("\"colour0\""));
        assert_eq!(options.warnings[8], "12 more unknown options were ignored");
    }

    #[test]
    fn what_is_repeated_to_the_caller_is_bounded_and_clean() {
        let long = "y\n".repeat(1_000_000);
        let options = parse([(long.as_str(), Value::Bool(true)), ("data_class", Value::Text(&long))]).unwrap();
        assert!(options.warnings[0].len() < 200 && !options.warnings[0].contains('\n'));
        assert_eq!(options.data_class.unwrap().chars().count(), MAX_ECHO_CHARS + 1);
    }
}
