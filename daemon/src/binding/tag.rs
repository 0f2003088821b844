//! Names that every SCADA system takes as one part of a tag path. Decides which texts are such names, and what stands for one that
//! is not; two texts never get the same name.

use sha2::{Digest, Sha256};

/// Longest name, bytes. Ignition and OPC UA take more; older HMI panels end at 64.
pub const MOST_BYTES: usize = 64;
/// Hexadecimal digits of the hash behind a name that was changed: among ten thousand sources two are alike once in 20,000 sites.
const DIGITS: usize = 10;

/// Whether the text is a name by itself: letters, digits, `_` and `-`, no `-` at its start.
pub fn is_name(text: &str) -> bool {
    (1..=MOST_BYTES).contains(&text.len()) && text.bytes().all(is_taken) && !text.starts_with('-')
}

/// The text if it is a name; else a name that is like it, with a hash of the text at its end.
pub fn name(text: &str) -> String {
    // What looks as if it had such a hash gets one of its own, or it could be the name of another text.
    if is_name(text) && !looks_changed(text) {
        return text.to_owned();
    }
    let mut name: String = text
        .chars()
        .map(|letter| if u8::try_from(letter).is_ok_and(is_taken) { letter } else { '_' })
        .take(MOST_BYTES - DIGITS - 1)
        .collect();
    if !name.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_') {
        name.insert(0, '_');
        name.truncate(MOST_BYTES - DIGITS - 1);
    }
    let digest: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{name}-{}", digest.get(..DIGITS).unwrap_or_default())
}

fn is_taken(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

fn looks_changed(text: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.rsplit_once('-').is_some_and(|(_, end)| end.len() == DIGITS && end.bytes().all(is_digit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_good_name_stays_and_any_other_is_told_from_it() {
        for good in ["cam-7", "Line_3", "7", "_x"] {
            assert_eq!(name(good), good);
        }
        let changed = name("kamera/süd 7");
        assert!(changed.starts_with("kamera_s_d_7-") && is_name(&changed), "{changed}");
        assert_eq!(name("kamera/süd 7"), changed, "the same in every life of the daemon");
        assert!(is_name(&name("")) && is_name(&name("-x")) && is_name(&name(&"x".repeat(500))));
        assert_ne!(name(&changed), changed, "else it would stand for two texts");
    }

    proptest! {
        #[test]
        fn every_name_is_safe_and_two_texts_have_two(one in "\\PC{0,80}", other in "[a-c_ /-]{0,4}", third in "[a-c_ /-]{0,4}") {
            for text in [&one, &other, &third] {
                prop_assert!(is_name(&name(text)), "{}", name(text));
            }
            prop_assert_eq!(other == third, name(&other) == name(&third));
            prop_assert!(one == name(&other) || name(&one) != name(&name(&other)));
        }
    }
}
