//! Puts placeholders in the place of what was found: `[card]`, `[email]`, the operator's patterns by their names. What comes out is
//! searched again until nothing is found, so that nothing shows up by what was next to it having gone. Must not know
//! whether a text may then go farther: that is an operator's explicit rule.

use std::collections::BTreeMap;

use serde_json::Value;

use super::detect::{Detectors, Finding, KindSet};
use super::json::may_be_document;
use super::text::Source;

/// How often a text is searched again. Two rounds are enough for what is built in; more than these only patterns need that
/// match across placeholders.
const ROUNDS: usize = 8;
/// How many documents may lie in each other's strings, as in `json`.
const DEEPEST: u8 = 4;

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redacted {
    /// The text or document without what was found.
    pub text: String,
    /// How often each kind was replaced, by its word.
    pub replaced: BTreeMap<String, usize>,
}

/// Why a text or document cannot be redacted; it must not go anywhere as if it had been.
#[derive(Debug, thiserror::Error)]
pub enum RedactError {
    #[error("read the document to redact")]
    Json(#[source] serde_json::Error),
    #[error("write the redacted document")]
    Write(#[source] serde_json::Error),
    #[error("a number of field {field} is personal data, and no placeholder is a number")]
    Number { field: String },
    #[error("the name of a field is personal data")]
    Name,
    #[error("a pattern is found more than {most} times")]
    TooMany { most: usize },
    #[error("something is still found after {ROUNDS} rounds, or where nothing can be replaced")]
    NeverClean,
    #[error("strings hold documents that hold documents, more than {DEEPEST} deep")]
    TooDeep,
}

/// Redacts a text.
///
/// # Errors
/// More findings than are told, or patterns that find the placeholders of others for ever.
pub fn text(given: &str, detectors: &Detectors) -> Result<Redacted, RedactError> {
    let mut replaced = BTreeMap::new();
    let mut text = clean(given, "", detectors, &mut replaced)?.unwrap_or_else(|| given.to_owned());
    // What only shows with the escapes undone is replaced there, so that they are gone from what comes out.
    if let Some(undone) = super::escapes::undone(&text)
        && let Some(clean) = clean(&undone, "", detectors, &mut replaced)?
    {
        text = clean;
    }
    Ok(Redacted { text, replaced })
}

/// Redacts the strings of a JSON document, such as an OpenAI body. Its structure stays, the order of its fields may not; of fields that
/// stand twice the last stays. Documents within strings (arguments of tools) are redacted as documents.
///
/// # Errors
/// What is no JSON, and whatever is found where no placeholder can stand: in a number, or in the name of a field.
pub fn document(given: &[u8], detectors: &Detectors) -> Result<Redacted, RedactError> {
    let mut value: Value = serde_json::from_slice(given).map_err(RedactError::Json)?;
    let mut replaced = BTreeMap::new();
    value_of(&mut value, "", DEEPEST, detectors, &mut replaced)?;
    let text = serde_json::to_string(&value).map_err(RedactError::Write)?;
    // Read as it would be read before it goes anywhere: half a document within a string, say, is opened there and not here.
    let mut left = KindSet::EMPTY;
    super::text::texts(Source::Chat(text.as_bytes()), |name, text| {
        left = left.union(super::kinds(text, name, detectors))
    });
    if left.is_empty() { Ok(Redacted { text, replaced }) } else { Err(RedactError::NeverClean) }
}

type Counts = BTreeMap<String, usize>;

fn value_of(
    value: &mut Value,
    field: &str,
    left: u8,
    detectors: &Detectors,
    counts: &mut Counts,
) -> Result<(), RedactError> {
    match value {
        Value::String(text) => {
            if let Some(inner) = inner(text, field, left, detectors, counts)? {
                *text = inner;
            }
            if let Some(clean) = clean(text, field, detectors, counts)? {
                *text = clean;
            }
        }
        Value::Number(number) if found(&number.to_string(), field, detectors) => {
            return Err(RedactError::Number { field: field.to_owned() });
        }
        Value::Array(list) => {
            for value in list {
                value_of(value, field, left, detectors, counts)?;
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                if !detectors.kinds(name, "").is_empty() {
                    return Err(RedactError::Name);
                }
                value_of(value, name, left, detectors, counts)?;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(())
}

/// A number with its sign gone and its exponent written out would be read by `json` as these digits; fractions mean nobody.
fn found(number: &str, field: &str, detectors: &Detectors) -> bool {
    let digits = number.trim_start_matches('-');
    let whole = digits.strip_suffix(".0").unwrap_or(digits);
    whole.len() >= 7 && whole.bytes().all(|byte| byte.is_ascii_digit()) && !detectors.kinds(whole, field).is_empty()
}

/// The document within a string, redacted; `None` if it is none, or nothing was found in it.
fn inner(
    text: &str,
    field: &str,
    left: u8,
    detectors: &Detectors,
    counts: &mut Counts,
) -> Result<Option<String>, RedactError> {
    if !may_be_document(text) {
        return Ok(None);
    }
    let Ok(mut value) = serde_json::from_str::<Value>(text) else { return Ok(None) };
    let Some(left) = left.checked_sub(1) else { return Err(RedactError::TooDeep) };
    let before: usize = counts.values().sum();
    value_of(&mut value, field, left, detectors, counts)?;
    if counts.values().sum::<usize>() == before {
        return Ok(None);
    }
    serde_json::to_string(&value).map(Some).map_err(RedactError::Write)
}

/// The text without what is found in it; `None` if nothing is.
fn clean(given: &str, field: &str, detectors: &Detectors, counts: &mut Counts) -> Result<Option<String>, RedactError> {
    let mut findings = Vec::new();
    let mut text: Option<String> = None;
    for _ in 0..ROUNDS {
        let now = text.as_deref().unwrap_or(given);
        if !detectors.find(now, field, &mut findings) {
            return Err(RedactError::TooMany { most: super::detect::own::MOST_FINDINGS });
        }
        if findings.is_empty() {
            return Ok(text);
        }
        text = Some(replace(now, &findings, detectors, counts));
    }
    Err(RedactError::NeverClean)
}

/// One placeholder for all findings that overlap: that of the surest kind.
fn replace(text: &str, findings: &[Finding], detectors: &Detectors, counts: &mut Counts) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut done, mut rest) = (0, findings);
    while let Some((first, after)) = rest.split_first() {
        let (mut end, mut kind) = (first.end, first.kind);
        rest = after;
        while let Some((next, after)) = rest.split_first()
            && next.start < end
        {
            (end, kind) = (end.max(next.end), kind.min(next.kind));
            rest = after;
        }
        out.push_str(text.get(done..first.start).unwrap_or_default());
        let word = detectors.word(kind);
        out.extend(["[", word, "]"]);
        *counts.entry(word.to_owned()).or_default() += 1;
        done = end;
    }
    out.push_str(text.get(done..).unwrap_or_default());
    out
}

/// Whether nothing is found in a text.
pub fn is_clean(text: &str, detectors: &Detectors) -> bool {
    detectors.kinds(text, "").is_empty()
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;

    /// Compiled once for all cases.
    static DETECTORS: LazyLock<Detectors> = LazyLock::new(|| {
        Detectors::new(&BTreeMap::from([("order_number".to_owned(), r"\bA-\d{6}\b".to_owned())])).unwrap()
    });

    #[test]
    fn findings_become_placeholders_and_are_counted() {
        let given = "Pay ４１１１ 1111 1111 1111 or 4111111111111111 for A-123456, ask a@b.com or +49 30 901820.";
        let redacted = text(given, &DETECTORS).unwrap();
        assert_eq!(redacted.text, "Pay [card] or [card] for [order_number], ask [email] or [phone].");
        let counts: Vec<(&str, usize)> =
            redacted.replaced.iter().map(|(kind, count)| (kind.as_str(), *count)).collect();
        assert_eq!(counts, [("card", 2), ("email", 1), ("order_number", 1), ("phone", 1)]);
        assert_eq!(text("nothing here", &DETECTORS).unwrap().text, "nothing here");
        assert_eq!(text(r"C:\temp", &DETECTORS).unwrap().text, r"C:\temp");
        assert_eq!(text(r#""a\\u0040b.com""#, &DETECTORS).unwrap().text, r#""[email]""#);
    }

    #[test]
    fn a_body_keeps_its_structure() {
        let body = br#"{"model":"m","temperature":0.5,"messages":[{"role":"user","content":"a\u0040b.com \"quoted\""},
            {"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{\"phone\": \"467 3395\", \"n\": 1}"}}]}]}"#;
        let redacted = document(body, &DETECTORS).unwrap();
        let value: Value = serde_json::from_str(&redacted.text).unwrap();
        assert_eq!(value["messages"][0]["content"], "[email] \"quoted\"");
        assert_eq!(value["messages"][0]["role"], "user");
        assert_eq!(value["temperature"], 0.5);
        let arguments = value["messages"][1]["tool_calls"][0]["function"]["arguments"].as_str().unwrap();
        let arguments: Value = serde_json::from_str(arguments).unwrap();
        assert_eq!(arguments, serde_json::json!({ "phone": "[phone]", "n": 1 }));
        assert_eq!(redacted.replaced.values().sum::<usize>(), 2);
    }

    #[test]
    fn what_cannot_be_replaced_is_refused() {
        for (body, part) in [
            (r#"{"card":4111111111111111}"#, "number of field card"),
            (r#"{"a@b.com":1}"#, "name of a field"),
            (r#"{"a":"{\"a@b.com\":1}"}"#, "name of a field"),
            (r#"{"a":"here: {\"b\":\"a\\u0040b.com\"}"}"#, "still found"),
            ("{", "read the document"),
        ] {
            let fault = document(body.as_bytes(), &DETECTORS).unwrap_err().to_string();
            assert!(fault.contains(part), "{body}: {fault}");
        }
        let many = Detectors::new(&BTreeMap::from([("q".to_owned(), "Q".to_owned())])).unwrap();
        assert!(matches!(text(&"Q".repeat(1001), &many), Err(RedactError::TooMany { most: 1000 })));
    }

    #[test]
    fn overlapping_findings_are_one() {
        let redacted = text("call-416-555-1234@example.com", &DETECTORS).unwrap();
        assert_eq!(redacted.text, "[email]");
    }

    fn telling() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            Just("4111 1111 1111 1111".to_owned()),
            Just("GB82WEST12345698765432".to_owned()),
            Just("a@b.com".to_owned()),
            Just("+49 30 901820".to_owned()),
            Just("219-09-9999".to_owned()),
            Just("203.0.113.7".to_owned()),
            Just("2001:db8::1".to_owned()),
            Just("A-123456".to_owned()),
            Just("phone 467 3395".to_owned()),
            "[0-9@:+(). \\-]{0,12}",
            "[a-zA-Zé４\u{200b}\\[\\]]{0,6}",
        ];
        proptest::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn redacting_again_finds_nothing(given in telling()) {
            let once = text(&given, &DETECTORS).unwrap();
            prop_assert!(is_clean(&once.text, &DETECTORS), "{}", once.text);
            let again = text(&once.text, &DETECTORS).unwrap();
            prop_assert_eq!(&again.text, &once.text);
            prop_assert!(again.replaced.is_empty());
        }

        #[test]
        fn a_redacted_document_is_a_document_with_nothing_in_it(contents in proptest::collection::vec(telling(), 0..4)) {
            let arguments = serde_json::json!({ "note": contents.first() }).to_string();
            let body = serde_json::json!({ "messages": contents, "arguments": arguments }).to_string();
            let once = document(body.as_bytes(), &DETECTORS).unwrap();
            let again = document(once.text.as_bytes(), &DETECTORS).unwrap();
            prop_assert_eq!(&again.text, &once.text);
            prop_assert!(again.replaced.is_empty());
            let mut left = KindSet::EMPTY;
            let source = Source::Chat(once.text.as_bytes());
            super::super::text::texts(source, |name, text| left = left.union(DETECTORS.kinds(text, name)));
            prop_assert!(left.is_empty(), "{}", once.text);
        }
    }
}
