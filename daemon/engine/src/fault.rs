//! Errors as text: what the daemon is told when something fails in the host.

use crate::protocol::{ErrorKind, HostError};

/// Longest message of one error or note, bytes: so short that a whole batch of them fits into one packet.
const MAX_MESSAGE: usize = 1 << 10;

/// An error with its causes, on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(error.to_string().trim_end());
        cause = error.source();
    }
    text
}

/// Cuts a text to what one packet can carry many times.
pub fn cut(mut text: String) -> String {
    if text.len() > MAX_MESSAGE {
        let end = (0..=MAX_MESSAGE).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push_str(" ...");
    }
    text
}

/// An error for the daemon.
pub fn host_error(kind: ErrorKind, message: impl Into<String>) -> HostError {
    HostError { kind, message: cut(message.into()) }
}

/// What a caught panic says.
pub fn panicked(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the engine host panicked: {}", text.unwrap_or("no message"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let cut = cut("\u{e4}".repeat(2000));
        assert!(cut.len() <= MAX_MESSAGE + 4 && cut.ends_with(" ..."), "{}", cut.len());
    }

    #[test]
    fn causes_are_told_in_order() {
        let error = crate::bundle::BundleError::Open { path: "x".into(), source: std::io::ErrorKind::NotFound.into() };
        assert_eq!(chain(&error), "open bundle manifest x: entity not found");
    }
}
