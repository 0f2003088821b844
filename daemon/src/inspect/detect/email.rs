//! E-mail addresses: a local part (RFC 5322 dot-atom, also with letters of other alphabets as in RFC 6531), `@`, and a name with at
//! least two labels whose last one is no number. Not: quoted local parts, hosts without a dot, "name (at) example (dot) org".

use super::digits::at;

/// Longest local part and name, bytes (RFC 5321, 4.5.3.1).
const LOCAL: usize = 64;
const NAME: usize = 255;
const LABEL: usize = 63;

/// Where an address begins and ends whose `@` is at `sign`.
pub fn email(bytes: &[u8], sign: usize) -> Option<(usize, usize)> {
    let head = bytes.get(..sign)?;
    let len = head.iter().rev().take(LOCAL).take_while(|byte| is_local(**byte)).count();
    let mut start = sign - len;
    // Not within a character of several bytes, and no dot first.
    while start < sign && (at(bytes, start) & 0xc0 == 0x80 || at(bytes, start) == b'.') {
        start += 1;
    }
    let end = end_of_name(bytes, sign + 1)?;
    (start < sign && at(bytes, sign - 1) != b'.').then_some((start, end))
}

/// Where the name of a host from `start` on ends: after the last label that can be a top one. `None` if it is no such name.
fn end_of_name(bytes: &[u8], start: usize) -> Option<usize> {
    let (mut place, mut end) = (start, None);
    loop {
        let len = bytes.iter().skip(place).take(LABEL + 1).take_while(|byte| is_label(**byte)).count();
        if len == 0 || len > LABEL || at(bytes, place) == b'-' || place + len - start > NAME {
            return end;
        }
        let after = place + len;
        let label = if at(bytes, after - 1) == b'-' { after - 1 } else { after };
        let first = at(bytes, place);
        if place > start && label - place >= 2 && (first.is_ascii_alphabetic() || first >= 0x80) {
            end = Some(label);
        }
        if at(bytes, after) != b'.' {
            return end;
        }
        place = after + 1;
    }
}

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || b".!#$%&'*+/=?^_`{|}~-".contains(&byte)
}

fn is_label(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || byte == b'-'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<&str> {
        email(text.as_bytes(), text.find('@')?).map(|(start, end)| &text[start..end])
    }

    #[test]
    fn addresses_are_found_with_all_that_belongs_to_them() {
        for (text, expected) in [
            ("mail to a.b+c@mail.example.com.", "a.b+c@mail.example.com"),
            ("<x_y@example.co.uk>", "x_y@example.co.uk"),
            ("(o'neil@example.org)", "o'neil@example.org"),
            ("jörg@müller.de", "jörg@müller.de"),
            ("x@xn--mller-kva.example", "x@xn--mller-kva.example"),
            ("..a@example.com", "a@example.com"),
            ("a@example.com.4", "a@example.com"),
            ("a@example.com...", "a@example.com"),
            ("a@b.c-d.museum-", "a@b.c-d.museum"),
        ] {
            assert_eq!(found(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn handles_and_hosts_without_a_dot_are_none() {
        for text in ["@name", "a@localhost", "a@", "a @b.com", "a@-b.com", "a@1.2", "a.@b.com", "a@b.c"] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
