//! What a look into a payload and redaction make of any bytes. The first byte says what they are. Findings lie within the text, on
//! whole characters; what redaction gives back has nothing in it that would be found.
#![no_main]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use edged::inspect::detect::rules::ClassRules;
use edged::inspect::detect::{Detectors, Finding};
use edged::inspect::redact::{self, RedactError};
use edged::inspect::text::Source;
use edged::inspect::{answer, escapes, look};
use libfuzzer_sys::fuzz_target;

static DETECTORS: LazyLock<Detectors> = LazyLock::new(|| {
    let patterns =
        BTreeMap::from([("order".to_owned(), r"\bA-\d{6}\b".to_owned()), ("loop".to_owned(), "(x+x+)+y".to_owned())]);
    Detectors::new(&patterns).expect("good patterns")
});

fuzz_target!(|input: &[u8]| {
    let Some((kind, bytes)) = input.split_first() else { return };
    let source = match kind % 6 {
        0 => Source::Encoded { content_type: "text/plain", bytes },
        1 => Source::Encoded { content_type: "application/json", bytes },
        2 => Source::Chat(bytes),
        3 => Source::Tensor { name: "text", datatype: "BYTES", bytes },
        4 => Source::Encoded { content_type: "application/octet-stream", bytes },
        _ => Source::Encoded { content_type: "application/jsonl", bytes },
    };
    let rules = ClassRules::new(DETECTORS.own_names().len());
    let seen = look([source], &DETECTORS, &rules);
    assert!(seen.bytes <= bytes.len().saturating_mul(16).saturating_add(64));
    if let Ok(text) = std::str::from_utf8(bytes) {
        found(text);
        answer::of_document(text, &answer::Checks { min_score: Some(0.5), ..answer::Checks::default() });
    }
    match redact::document(bytes, &DETECTORS) {
        Ok(once) => assert!(look([Source::Chat(once.text.as_bytes())], &DETECTORS, &rules).found.is_empty()),
        Err(refused) => assert!(!refused.to_string().is_empty()),
    }
});

fn found(text: &str) {
    let mut findings: Vec<Finding> = Vec::new();
    DETECTORS.find(text, "", &mut findings);
    for finding in &findings {
        assert!(finding.start < finding.end && text.get(finding.start..finding.end).is_some());
        assert!(DETECTORS.kinds(text, "").contains(finding.kind));
    }
    match redact::text(text, &DETECTORS) {
        Ok(once) => assert!(redact::is_clean(&once.text, &DETECTORS)),
        Err(RedactError::TooMany { .. }) => {
            let mut are_many = |text: &str| !DETECTORS.find(text, "", &mut findings) || findings.len() > 100;
            assert!(are_many(text) || escapes::undone(text).is_some_and(|undone| are_many(&undone)));
        }
        Err(refused) => panic!("{refused}"),
    }
}
