//! The options of a request, one a line: a letter for the type, the name, `=`, the value. What is taken is in its range,
//! and what is told of the rest is short and without control characters.
#![no_main]

use edged::transport::options::{MAX_DEADLINE_MS, MAX_REQUEST_ID_CHARS, Value, parse};
use libfuzzer_sys::fuzz_target;

/// The longest sentence about one option.
const MOST: usize = 1000;

fuzz_target!(|text: &str| {
    match parse(text.split('\n').filter_map(option)) {
        Ok(options) => {
            assert!(options.deadline_ms.is_none_or(|limit| (1..=MAX_DEADLINE_MS).contains(&limit)));
            let id = options.request_id.as_deref().map(|id| id.chars().count());
            assert!(id.is_none_or(|len| (1..=MAX_REQUEST_ID_CHARS).contains(&len)));
            assert!(options.warnings.len() <= 16);
            options.warnings.iter().for_each(|warning| printable(warning));
        }
        Err(failure) => printable(&failure.message),
    }
});

fn option(line: &str) -> Option<(&str, Value<'_>)> {
    let (name, value) = line.get(1..)?.split_once('=')?;
    let value = match line.as_bytes().first()? {
        b'i' => Value::Int(value.parse().ok()?),
        b'b' => Value::Bool(value == "true"),
        b'u' => Value::Untyped(value),
        b'o' => Value::Other("array"),
        _ => Value::Text(value),
    };
    Some((name, value))
}

fn printable(text: &str) {
    assert!(text.len() <= MOST && !text.contains(char::is_control), "{text:?}");
}
