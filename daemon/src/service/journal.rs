//! What goes to the journal: one record for an event, whose MESSAGE says all of it, with each field once more under a name of its
//! own, and an identifier where an operator may want to be told ([`catalogue`]). A fault that repeats itself is cut short.
//!
//! Written over the journal's own socket, as its protocol says (systemd.io/JOURNAL_NATIVE_PROTOCOL): the crate
//! tracing-journald puts no field into the message, so that `journalctl -u edged` would tell that a model cannot be served, and not which.

mod catalogue;
mod limit;

use std::os::unix::net::UnixDatagram;
use std::sync::Mutex;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use self::limit::{Limit, Ruling};
use crate::driver::clock::Clock;

/// Where the journal listens.
const SOCKET: &str = "/run/systemd/journal/socket";
/// Longest text of one field, bytes: errors of libraries can be pages.
const MOST_BYTES: usize = 4096;
/// What this program is called in the journal.
const IDENTIFIER: &str = "edged";

/// Writes events to the journal.
pub struct Journal {
    socket: UnixDatagram,
    clock: Clock,
    /// Not state of the domain: how often each place spoke lately.
    limit: Mutex<Limit>,
}

/// Fields of a span, kept with it.
struct OfSpan(Fields);

/// Names and texts, in the order in which they were given.
#[derive(Clone, Debug, Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, String)>,
}

impl Journal {
    /// Connects to the journal.
    pub fn connect(clock: Clock) -> std::io::Result<Journal> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(SOCKET)?;
        // Nobody waits for a log.
        socket.set_nonblocking(true)?;
        Ok(Journal { socket, clock, limit: Mutex::new(Limit::default()) })
    }

    fn ruling(&self, place: &'static str, line: u32) -> Ruling {
        let mut limit = self.limit.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        limit.ask((place, line), self.clock.now())
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Journal {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(OfSpan(fields));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(OfSpan(fields)) = span.extensions_mut().get_mut()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let about = event.metadata();
        let place = (about.file().unwrap_or_else(|| about.target()), about.line().unwrap_or_default());
        let left_out = match self.ruling(place.0, place.1) {
            Ruling::Silent => return,
            Ruling::Speak { left_out } => left_out,
        };
        let mut fields = Fields::default();
        event.record(&mut fields);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(OfSpan(of_span)) = span.extensions().get() {
                fields.others.extend(of_span.others.iter().cloned());
            }
        }
        if left_out > 0 {
            fields.others.push(("left_out", left_out.to_string()));
        }
        let mut record = record(*about.level(), &fields);
        put(&mut record, "CODE_FILE", place.0);
        put(&mut record, "CODE_LINE", &place.1.to_string());
        put(&mut record, "TARGET", about.target());
        // A journal that is not there, or takes no more, must not keep the daemon from its work; there is nowhere to say so.
        drop(self.socket.send(&record));
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.take(field, format!("{value:?}"));
    }
}

impl Fields {
    fn take(&mut self, field: &Field, mut value: String) {
        cut(&mut value);
        match field.name() {
            "message" => self.message = value,
            name => match self.others.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => *known = value,
                None => self.others.push((name, value)),
            },
        }
    }
}

/// Shortens a text to what a record may hold.
fn cut(text: &mut String) {
    if text.len() > MOST_BYTES {
        let end = (0..=MOST_BYTES).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        text.truncate(end);
        text.push_str("...");
    }
}

/// The record of an event, without the place that it comes from.
fn record(level: Level, fields: &Fields) -> Vec<u8> {
    let mut record = Vec::with_capacity(512);
    let mut message = fields.message.clone();
    for (name, value) in &fields.others {
        let separator = if message.len() == fields.message.len() { ": " } else { ", " };
        message.push_str(&format!("{separator}{name} {value}"));
    }
    put(&mut record, "MESSAGE", &message);
    put(&mut record, "PRIORITY", priority(level));
    put(&mut record, "SYSLOG_IDENTIFIER", IDENTIFIER);
    if let Some(id) = catalogue::id(&fields.message) {
        put(&mut record, "MESSAGE_ID", id);
    }
    for (name, value) in &fields.others {
        put(&mut record, &named(name), value);
    }
    record
}

/// `EDGED_MODEL` for `model`: names of our own, which the journal's own ones cannot be taken for.
fn named(field: &str) -> String {
    let word = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' };
    format!("EDGED_{}", field.chars().map(word).collect::<String>())
}

/// What goes well is a notice (5): the journal's own view of everyday news is informational (6), as here of each request.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "5",
        Level::DEBUG => "6",
        Level::TRACE => "7",
    }
}

/// Adds a field in the form that takes texts of more than one line.
fn put(record: &mut Vec<u8>, name: &str, value: &str) {
    record.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        record.push(b'\n');
        record.extend_from_slice(&u64::try_from(value.len()).unwrap_or_default().to_le_bytes());
    } else {
        record.push(b'=');
    }
    record.extend_from_slice(value.as_bytes());
    record.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(level: Level, message: &str, others: &[(&'static str, &str)]) -> String {
        let others = others.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        String::from_utf8(record(level, &Fields { message: message.into(), others })).unwrap()
    }

    #[test]
    fn a_record_says_all_in_its_message_and_each_field_by_its_name() {
        let found = text(Level::ERROR, "bundle cannot be served", &[("model", "add:1.0.0"), ("fault", "no such file")]);
        let (id, rest) = found.split_once("MESSAGE_ID=").map_or(("", ""), |(_, rest)| rest.split_at(32));
        assert_eq!(id, catalogue::id("bundle cannot be served").unwrap());
        assert_eq!(rest, "\nEDGED_MODEL=add:1.0.0\nEDGED_FAULT=no such file\n");
        assert!(found.starts_with(
            "MESSAGE=bundle cannot be served: model add:1.0.0, fault no such file\nPRIORITY=3\nSYSLOG_IDENTIFIER=edged\n"
        ));
        assert!(!text(Level::INFO, "an ordinary thing", &[]).contains("MESSAGE_ID"));
    }

    #[test]
    fn no_text_can_add_a_field_of_its_own() {
        let found = text(Level::WARN, "engine host", &[("note", "line\nPRIORITY=0\nMESSAGE=forged")]);
        let length = u64::try_from("line\nPRIORITY=0\nMESSAGE=forged".len()).unwrap().to_le_bytes();
        let mut expected = b"EDGED_NOTE\n".to_vec();
        expected.extend_from_slice(&length);
        assert!(found.as_bytes().windows(expected.len()).any(|window| window == expected));
        assert!(found.starts_with("MESSAGE\n"));
    }

    #[test]
    fn long_texts_are_cut_between_letters() {
        let mut long = "ä".repeat(MOST_BYTES);
        cut(&mut long);
        assert!(long.len() <= MOST_BYTES + 3 && long.ends_with("ä..."));
        let mut short = "short".to_owned();
        cut(&mut short);
        assert_eq!(short, "short");
    }
}
