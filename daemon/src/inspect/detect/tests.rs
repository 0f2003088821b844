use super::*;

fn detectors() -> Detectors {
    let patterns = BTreeMap::from([("order_number".to_owned(), r"\bA-\d{6}\b".to_owned())]);
    Detectors::new(&patterns).unwrap()
}

fn found(text: &str) -> Vec<(String, &str)> {
    let detectors = detectors();
    let mut findings = Vec::new();
    assert!(detectors.find(text, "", &mut findings));
    let set = findings.iter().fold(KindSet::EMPTY, |mut set, finding| {
        set.insert(finding.kind);
        set
    });
    assert_eq!(set, detectors.kinds(text, ""), "{text:?}");
    findings
        .iter()
        .map(|finding| (detectors.word(finding.kind).to_owned(), &text[finding.start..finding.end]))
        .collect()
}

#[test]
fn a_text_of_everything_is_taken_apart() {
    let text = "Card 4111 1111 1111 1111, GB82 WEST 1234 5698 7654 32, a@b.com, +49 30 901820, 219-09-9999, 203.0.113.7, \
                2001:db8::1, RSSMRA85T10A562S, X1234567L, order A-123456.";
    let words: Vec<String> = found(text).into_iter().map(|(word, part)| format!("{word}={part}")).collect();
    assert_eq!(
        words,
        [
            "card=4111 1111 1111 1111",
            "iban=GB82 WEST 1234 5698 7654 32",
            "email=a@b.com",
            "phone=+49 30 901820",
            "national_id=219-09-9999",
            "ip=203.0.113.7",
            "ip=2001:db8::1",
            "national_id=RSSMRA85T10A562S",
            "national_id=X1234567L",
            "order_number=A-123456",
        ]
    );
}

#[test]
fn codes_with_letters_are_found_in_every_way_of_writing() {
    let body = 1_850_519_123_456_u64;
    let check = 97 - body % 97;
    for text in [format!("185052A123456{check:02}"), format!("1 85 05 2A 123 456 {check:02}"), "X-1234567-L".to_owned()]
    {
        assert_eq!(found(&text), [("national_id".to_owned(), text.as_str())]);
    }
}

#[test]
fn disguised_digits_and_signs_are_found_where_they_stand() {
    for (text, expected) in [
        ("ｐａｙ ４１１１　１１１１　１１１１　１１１１!", ("card", "４１１１　１１１１　１１１１　１１１１")),
        ("4111\u{200b}1111\u{200b}1111\u{200b}1111", ("card", "4111\u{200b}1111\u{200b}1111\u{200b}1111")),
        ("٤١١١١١١١١١١١١١١١", ("card", "٤١١١١١١١١١١١١١١١")),
        ("jo\u{ad}e＠exa\u{200d}mple．com", ("email", "jo\u{ad}e＠exa\u{200d}mple．com")),
        ("Ａ‑１２３４５６", ("order_number", "Ａ‑１２３４５６")),
        ("id 219\u{2013}09\u{2013}9999", ("national_id", "219\u{2013}09\u{2013}9999")),
    ] {
        let seen = found(text);
        assert_eq!(seen, [(expected.0.to_owned(), expected.1)], "{text}");
    }
}

#[test]
fn what_a_text_is_called_helps_to_tell_numbers() {
    let detectors = detectors();
    for (text, hint, expected) in [
        ("467 3395", "phone", true),
        ("467 3395", "order", false),
        ("111222333", "bsn", true),
        ("111222333", "count", false),
    ] {
        assert_eq!(!detectors.kinds(text, hint).is_empty(), expected, "{text} called {hint}");
    }
}

#[test]
fn everyday_numbers_are_nothing() {
    for text in [
        "2024-01-15T10:30:00Z took 1234567 us, 98.6 %, 1,234,567.89 EUR, v1.2.3, 1700000000, 1700000000123",
        "0.3512345678901234 and -3.141592653589793e-10",
        "part 4711-0815, batch 20240115, torque 12.5 Nm, 640x480@30, 00:1b:44:11:3a:b7",
        "f47ac10b-58cc-4372-a567-0e02b2c3d479",
        "std::string::String add::dec 12:30:45",
        "(1) one (2) two +3",
        "",
    ] {
        assert_eq!(found(text), [], "{text}");
    }
}

mod measured;
mod property;
