//! What this connection wants to know of a certificate and the TLS library does not tell: until when it holds, and the
//! digest of its public key. Pure: bytes to values.
//!
//! A crate for X.509 brings five more for two dates; what is read here is the head of one structure (RFC 5280, section 4.1),
//! of certificates that the library has verified or the operator has put there. Whatever is wrong with one is "not known".

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::config::date::Date;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
/// The version, which certificates of the first one leave out.
const VERSION: u8 = 0xA0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// Years of two digits from this one on are of the last century.
const CENTURY: u16 = 50;

/// What is known of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its end, seconds since 1970, UTC.
    pub not_after_s: i64,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub pin: [u8; 32],
}

/// Reads a certificate (DER); `None` if that is none.
pub fn read(der: &[u8]) -> Option<Facts> {
    let (certificate, _) = element(der, SEQUENCE)?;
    let (mut rest, _) = element(certificate.body, SEQUENCE).map(|(signed, rest)| (signed.body, rest))?;
    if rest.first() == Some(&VERSION) {
        rest = element(rest, VERSION)?.1;
    }
    // Serial number, algorithm of the signature, issuer.
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        rest = element(rest, tag)?.1;
    }
    let (validity, rest) = element(rest, SEQUENCE)?;
    let (_subject, rest) = element(rest, SEQUENCE)?;
    let (key, _) = element(rest, SEQUENCE)?;
    let (_not_before, end) = time(validity.body)?;
    let (not_after_s, _) = time(end)?;
    Some(Facts { not_after_s, pin: Sha256::digest(key.whole).into() })
}

/// A pin as the configuration has it.
pub fn pin_text(pin: &[u8; 32]) -> String {
    format!("sha256/{}", STANDARD.encode(pin))
}

/// One element of DER.
struct Element<'a> {
    whole: &'a [u8],
    body: &'a [u8],
}

/// The first element, which must be of this kind, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(Element<'_>, &[u8])> {
    let [found, first, rest @ ..] = bytes else { return None };
    let (len, head) = match *first {
        short @ ..=0x7F => (usize::from(short), 2),
        long => {
            let digits = usize::from(long & 0x7F);
            let number = rest.get(..digits).filter(|_| (1..=4).contains(&digits))?;
            (number.iter().fold(0, |len, byte| (len << 8) | usize::from(*byte)), 2 + digits)
        }
    };
    let end = head.checked_add(len)?;
    let (whole, rest) = bytes.split_at_checked(end).filter(|_| *found == tag)?;
    Some((Element { whole, body: whole.get(head..)? }, rest))
}

/// A time in seconds since 1970, and what follows it.
fn time(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let tag = *bytes.first()?;
    let (element, rest) = element(bytes, tag)?;
    let text = std::str::from_utf8(element.body).ok()?.strip_suffix('Z')?;
    let (year, rest_of_text) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: u16 = year.parse().ok()?;
            (if year >= CENTURY { 1900 + year } else { 2000 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    if rest_of_text.len() != 10 || !rest_of_text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |at: usize| rest_of_text.get(at..at + 2)?.parse::<u8>().ok();
    let (hour, minute, second) = (part(4)?, part(6)?, part(8)?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // A certificate that began before 1970 is none of interest; its end is.
    let days = match year {
        ..1970 => 0,
        _ => i64::from(Date::new(year, part(0)?, part(2)?)?.days()),
    };
    let of_day = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    Some((days * 86_400 + of_day, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A certificate with all that is read and nothing else.
    fn certificate(version: bool, validity: &[(u8, &str)], key: &[u8]) -> Vec<u8> {
        let wrap = |tag: u8, body: &[u8]| {
            let len = u16::try_from(body.len()).unwrap().to_be_bytes();
            [&[tag, 0x82, len[0], len[1]], body].concat()
        };
        let times: Vec<u8> = validity
            .iter()
            .flat_map(|(tag, text)| [&[*tag, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat())
            .collect();
        let mut signed = if version { wrap(VERSION, &[INTEGER, 1, 2]) } else { Vec::new() };
        signed.extend([INTEGER, 1, 9]);
        signed.extend([SEQUENCE, 0, SEQUENCE, 0]);
        signed.extend(wrap(SEQUENCE, &times));
        signed.extend([SEQUENCE, 0]);
        signed.extend(wrap(SEQUENCE, key));
        wrap(SEQUENCE, &wrap(SEQUENCE, &signed))
    }

    #[test]
    fn the_end_is_read_in_either_form_of_time_and_either_version() {
        for version in [true, false] {
            for (begin, end, seconds) in [
                ((UTC_TIME, "261128120000Z"), (UTC_TIME, "261129000001Z"), Some(1_795_910_401)),
                ((UTC_TIME, "500101000000Z"), (GENERALIZED_TIME, "20500101000000Z"), Some(2_524_608_000)),
                ((UTC_TIME, "261128120000Z"), (GENERALIZED_TIME, "99991231235959Z"), Some(253_402_300_799)),
                ((UTC_TIME, "261128120000Z"), (UTC_TIME, "261328000000Z"), None),
                ((UTC_TIME, "261128120000Z"), (UTC_TIME, "261128250000Z"), None),
                ((UTC_TIME, "261128120000Z"), (UTC_TIME, "2611281200Z"), None),
                ((UTC_TIME, "261128120000Z"), (SEQUENCE, "261128120000Z"), None),
            ] {
                let found = read(&certificate(version, &[begin, end], b"key"));
                assert_eq!(found.map(|facts| facts.not_after_s), seconds, "{end:?}");
            }
        }
    }

    #[test]
    fn the_pin_is_the_digest_of_the_key_with_its_header() {
        let times = [(UTC_TIME, "261128120000Z"), (UTC_TIME, "261129000001Z")];
        let facts = read(&certificate(true, &times, b"key")).unwrap();
        let wanted: [u8; 32] = Sha256::digest(b"\x30\x82\x00\x03key").into();
        assert_eq!(facts.pin, wanted);
        assert_eq!(pin_text(&[0; 32]), "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_something_or_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            read(&bytes);
        }

        #[test]
        fn a_certificate_that_was_cut_or_spoiled_is_read_to_something_or_nothing(at in 0_usize..90, byte: u8, cut: bool) {
            let times = [(UTC_TIME, "261128120000Z"), (UTC_TIME, "261129000001Z")];
            let mut bytes = certificate(true, &times, b"key");
            let at = at % bytes.len();
            bytes[at] = byte;
            if cut {
                bytes.truncate(at);
            }
            read(&bytes);
        }
    }
}
