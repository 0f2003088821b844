//! Addresses of the Internet Protocol, read by the standard library. Those that mean "this machine" or "any" are nobody's and are not
//! told; versions of programs with four parts look the same and are.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::digits::{at, before, is_word};

const LONGEST_V4: usize = 15;
/// With an IPv4 address at its end.
const LONGEST_V6: usize = 45;

/// Where an IPv4 address that begins at `start` ends.
pub fn v4(bytes: &[u8], start: usize) -> Option<usize> {
    if matches!(before(bytes, start), b'.' | b'v' | b'V') {
        return None;
    }
    let len = bytes
        .iter()
        .skip(start)
        .take(LONGEST_V4 + 1)
        .take_while(|byte| byte.is_ascii_digit() || **byte == b'.')
        .count();
    let mut end = start + len;
    // The full stop of the sentence.
    while end > start && at(bytes, end - 1) == b'.' {
        end -= 1;
    }
    let address: Ipv4Addr = std::str::from_utf8(bytes.get(start..end)?).ok()?.parse().ok()?;
    let told = !address.is_loopback() && !address.is_unspecified() && !address.is_broadcast();
    (told && !is_word(at(bytes, end))).then_some(end)
}

/// Where an IPv6 address begins and ends whose first colon is at `colon`.
pub fn v6(bytes: &[u8], colon: usize) -> Option<(usize, usize)> {
    let back = bytes.get(..colon)?.iter().rev().take(5).take_while(|byte| byte.is_ascii_hexdigit()).count();
    let start = colon - back;
    if back > 4 || is_word(before(bytes, start)) || matches!(before(bytes, start), b':' | b'.') {
        return None;
    }
    let is_part = |byte: &u8| byte.is_ascii_hexdigit() || matches!(*byte, b':' | b'.');
    let len = bytes.iter().skip(start).take(LONGEST_V6 + 1).take_while(|byte| is_part(byte)).count();
    let mut end = start + len;
    while end > colon && (at(bytes, end - 1) == b'.' || at(bytes, end - 1) == b':' && before(bytes, end - 1) != b':') {
        end -= 1;
    }
    let text = std::str::from_utf8(bytes.get(start..end)?).ok()?;
    let address: Ipv6Addr = text.parse().ok()?;
    let told = !address.is_loopback() && !address.is_unspecified() && looks_meant(text, address);
    (told && !is_word(at(bytes, end))).then_some((start, end))
}

/// Not a path of a program (`add::dec`), a time, or the eight pairs of a hardware address (EUI-64).
fn looks_meant(text: &str, address: Ipv6Addr) -> bool {
    let groups = text.split(':').filter(|group| !group.is_empty());
    let known = address.segments().first().is_some_and(|first| {
        (0x2000..=0x3fff).contains(first) || (0xfc00..=0xfdff).contains(first) || (0xfe80..=0xfebf).contains(first)
    });
    if text.contains("::") {
        known || text.contains('.') || groups.count() >= 3 && text.contains(|sign: char| sign.is_ascii_digit())
    } else {
        !groups.clone().all(|group| group.len() == 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<&str> {
        let first = text.find(|c: char| c.is_ascii_digit()).and_then(|at| v4(text.as_bytes(), at).map(|end| (at, end)));
        let found = first.or_else(|| v6(text.as_bytes(), text.find("::").or(text.find(':'))?));
        found.map(|(start, end)| &text[start..end])
    }

    #[test]
    fn addresses_are_found_and_what_looks_alike_is_not() {
        for (text, expected) in [
            ("from 203.0.113.7.", Some("203.0.113.7")),
            ("http://198.51.100.4:8080/x", Some("198.51.100.4")),
            ("10.1.2.3/24", Some("10.1.2.3")),
            ("[2001:db8::1]", None),
            ("fe80::1%eth0", Some("fe80::1")),
            ("6e40:4041:c617:e898:c11:40d2:c669:2eb4", Some("6e40:4041:c617:e898:c11:40d2:c669:2eb4")),
            ("::ffff:192.0.2.1", Some("::ffff:192.0.2.1")),
            ("127.0.0.1", None),
            ("0.0.0.0", None),
            ("v1.2.3.4", None),
            ("1.2.3.4.5", None),
            ("1.2.3.400", None),
            ("01.2.3.4", None),
            ("12:30:45", None),
            ("add::dec", None),
            ("::1", None),
            (":", None),
            (":r}", None),
            ("00:1b:44:11:3a:b7:00:01", None),
            ("00:1b:44:11:3a:b7", None),
        ] {
            if text.starts_with('[') {
                assert_eq!(v6(text.as_bytes(), 5), Some((1, 12)));
                continue;
            }
            let first = text.find(':').filter(|_| !text.starts_with("http"));
            let seen = match first {
                Some(colon) => v6(text.as_bytes(), colon).map(|(start, end)| &text[start..end]),
                None => found(text),
            };
            assert_eq!(seen, expected, "{text}");
        }
    }
}
