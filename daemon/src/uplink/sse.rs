//! Server-sent events, taken apart wherever the network cuts them: lines that end in any of three ways, comments, data on several
//! lines. Pure; must not know what the data are.

/// Most bytes of one event.
pub const MOST_EVENT: usize = 1 << 20;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// `event:`, empty unless said.
    pub name: String,
    /// `data:`, lines joined by `\n`.
    pub data: Vec<u8>,
}

/// An event has more than [`MOST_EVENT`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of more than {MOST_EVENT} bytes")]
pub struct TooLong;

/// Takes bytes as they come, gives events as they are whole.
#[derive(Debug, Default)]
pub struct Splitter {
    line: Vec<u8>,
    name: String,
    data: Vec<u8>,
    /// A line of data was met, though it may have been empty.
    some: bool,
    /// The last byte was CR, so that an LF now belongs to it.
    after_cr: bool,
    /// The first line is over.
    begun: bool,
}

impl Splitter {
    /// Takes the next bytes; what is whole by them goes into `out`.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<Event>) -> Result<(), TooLong> {
        if std::mem::take(&mut self.after_cr) && bytes.first() == Some(&b'\n') {
            bytes = bytes.get(1..).unwrap_or_default();
        } else if bytes.is_empty() {
            return Ok(());
        }
        while let Some(at) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (line, end) = bytes.split_at(at);
            self.add(line)?;
            self.end_of_line(out)?;
            bytes = match end {
                [b'\r', b'\n', rest @ ..] | [b'\n', rest @ ..] => rest,
                [b'\r'] => {
                    self.after_cr = true;
                    &[]
                }
                [_, rest @ ..] => rest,
                [] => &[],
            };
        }
        self.add(bytes)
    }

    /// What was not whole when the end came: the data of a last event without the empty line that ends it.
    pub fn rest(&mut self) -> Option<Event> {
        // A line without its end counts: what it says decides whether it is of use.
        if !self.line.is_empty() && self.end_of_line(&mut Vec::new()).is_err() {
            return None;
        }
        self.some.then(|| self.take())
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        if self.line.len() + self.data.len() + bytes.len() > MOST_EVENT {
            return Err(TooLong);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_of_line(&mut self, out: &mut Vec<Event>) -> Result<(), TooLong> {
        let mut line = std::mem::take(&mut self.line);
        let mark = !std::mem::replace(&mut self.begun, true) && line.starts_with(b"\xef\xbb\xbf");
        let text = line.get(if mark { 3 } else { 0 }..).unwrap_or_default();
        if text.is_empty() {
            if self.some {
                out.push(self.take());
            }
            self.name.clear();
        } else {
            self.field(text)?;
        }
        // Its memory serves for the next line.
        line.clear();
        self.line = line;
        Ok(())
    }

    fn field(&mut self, line: &[u8]) -> Result<(), TooLong> {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => {
                if self.some {
                    self.data.push(b'\n');
                }
                self.some = true;
                if self.data.len() + value.len() > MOST_EVENT {
                    return Err(TooLong);
                }
                self.data.extend_from_slice(value);
            }
            b"event" => self.name = String::from_utf8_lossy(value).into_owned(),
            // Comments, ids, times to come again, and what nobody knows.
            _ => {}
        }
        Ok(())
    }

    fn take(&mut self) -> Event {
        self.some = false;
        Event { name: std::mem::take(&mut self.name), data: std::mem::take(&mut self.data) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(parts: &[&[u8]]) -> (Vec<Event>, Option<Event>) {
        let (mut splitter, mut out) = (Splitter::default(), Vec::new());
        for part in parts {
            splitter.push(part, &mut out).unwrap();
        }
        (out, splitter.rest())
    }

    fn event(name: &str, data: &str) -> Event {
        Event { name: name.into(), data: data.into() }
    }

    #[test]
    fn lines_end_in_three_ways_and_comments_are_passed_over() {
        for end in ["\n", "\r\n", "\r"] {
            let text = [
                ": ping",
                "",
                "\u{feff}",
                "event: error",
                "id: 7",
                "data: a",
                "data:b",
                "data",
                "",
                "",
                "data: [DONE]",
                "",
                "",
            ];
            let text = text.join(end);
            let (events, rest) = split(&[text.as_bytes()]);
            assert_eq!(events, [event("error", "a\nb\n"), event("", "[DONE]")], "{end:?}");
            assert_eq!(rest, None);
        }
        assert_eq!(split(&[b"\xef\xbb\xbfdata: a\n\n"]).0, [event("", "a")]);
    }

    #[test]
    fn what_is_not_ended_is_the_rest_and_no_event() {
        assert_eq!(split(&[b"data: a\n\ndata: b\n"]), (vec![event("", "a")], Some(event("", "b"))));
        assert_eq!(split(&[b"data: [DONE]"]).1, Some(event("", "[DONE]")));
        assert_eq!(split(&[b"da"]).1, None);
        assert_eq!(split(&[b""]), (vec![], None));
    }

    #[test]
    fn an_event_that_never_ends_is_an_error_and_not_memory() {
        let (mut splitter, mut out) = (Splitter::default(), Vec::new());
        let lump = vec![b'x'; MOST_EVENT / 2 + 1];
        assert_eq!(splitter.push(&lump, &mut out), Ok(()));
        assert_eq!(splitter.push(&lump, &mut out), Err(TooLong));
        let (mut splitter, line) = (Splitter::default(), [b"data: ".as_slice(), &lump, b"\n"].concat());
        assert_eq!(splitter.push(&line, &mut out), Ok(()));
        assert_eq!(splitter.push(&line, &mut out), Err(TooLong));
    }

    proptest! {
        #[test]
        fn however_it_is_cut_the_events_are_the_same(
            text in "((data|event|id)?(: ?)?[ab:]{0,3}(\r\n|\n|\r)){0,12}",
            cuts in proptest::collection::vec(0_usize..200, 0..6),
        ) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            let mut parts = Vec::new();
            let mut from = 0;
            for cut in cuts {
                parts.push(&bytes[from..cut]);
                from = cut;
            }
            parts.push(&bytes[from..]);
            prop_assert_eq!(split(&parts), split(&[bytes]));
        }
    }
}
