//! The codes of a "no", one table for all transports and the command.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::names::ERROR_PREFIX;

/// Why a request was not answered with a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// No such model, version or task.
    UnknownModel,
    /// The request is not what the model or the contract takes.
    InvalidInput,
    /// Above a size limit of the policy.
    TooLarge,
    /// Cannot be, or was not, answered before its deadline.
    DeadlineExceeded,
    /// Would be served at a lower load; comes with `retry_after_ms`.
    Overloaded,
    /// May not leave the device, and the device cannot serve it.
    Confined,
    /// The model or the engine host cannot serve now.
    Unavailable,
    /// The caller may not do this.
    NotAuthorized,
    /// Cancelled by the caller, or because it left.
    Cancelled,
    /// A fault of the daemon, the runtime or a provider.
    Internal,
}

impl ErrorCode {
    /// Every code, with its snake-case word, its CamelCase word and its meaning.
    pub const ALL: [(ErrorCode, &'static str, &'static str, &'static str); 10] = [
        (ErrorCode::UnknownModel, "unknown_model", "UnknownModel", "no such model, version or task"),
        (ErrorCode::InvalidInput, "invalid_input", "InvalidInput", "the request is not what the model takes"),
        (ErrorCode::TooLarge, "too_large", "TooLarge", "above a size limit of the policy"),
        (ErrorCode::DeadlineExceeded, "deadline_exceeded", "DeadlineExceeded", "not answered before its deadline"),
        (ErrorCode::Overloaded, "overloaded", "Overloaded", "would be served at a lower load"),
        (ErrorCode::Confined, "confined", "Confined", "may not leave the device, which cannot serve it"),
        (ErrorCode::Unavailable, "unavailable", "Unavailable", "the model or the engine host cannot serve now"),
        (ErrorCode::NotAuthorized, "not_authorized", "NotAuthorized", "the caller may not do this"),
        (ErrorCode::Cancelled, "cancelled", "Cancelled", "cancelled by the caller, or because it left"),
        (ErrorCode::Internal, "internal", "Internal", "a fault of the daemon, the runtime or a provider"),
    ];

    /// The word in JSON, in the log and in the command's output.
    pub fn as_str(self) -> &'static str {
        self.row().1
    }

    /// The D-Bus error name.
    pub fn dbus_name(self) -> String {
        format!("{ERROR_PREFIX}.{}", self.row().2)
    }

    /// The code called `word` in snake case.
    pub fn from_word(word: &str) -> Option<ErrorCode> {
        Self::ALL.iter().find(|row| row.1 == word).map(|row| row.0)
    }

    /// The code of a D-Bus error name.
    pub fn from_dbus_name(name: &str) -> Option<ErrorCode> {
        let word = name.strip_prefix(ERROR_PREFIX)?.strip_prefix('.')?;
        Self::ALL.iter().find(|row| row.2 == word).map(|row| row.0)
    }

    fn row(self) -> &'static (ErrorCode, &'static str, &'static str, &'static str) {
        // The table holds every variant (tested below), so the first row is never a wrong answer in practice.
        Self::ALL.iter().find(|row| row.0 == self).unwrap_or(&Self::ALL[9])
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// A "no" of the daemon as a client got it over the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub code: ErrorCode,
    /// What was wrong, naming the field and the accepted range.
    pub message: String,
    /// When to try again; the error's second argument, which only some errors have.
    pub retry_after_ms: Option<u64>,
}

impl Refused {
    /// The "no" in a D-Bus error; `None` if the error is not one of the daemon's.
    pub fn from_dbus(error: &zbus::Error) -> Option<Refused> {
        let zbus::Error::MethodError(name, message, reply) = error else { return None };
        let code = ErrorCode::from_dbus_name(name.as_str())?;
        let retry = reply.body().deserialize::<(String, u64)>().ok().map(|(_, after)| after);
        Some(Refused { code, message: message.clone().unwrap_or_default(), retry_after_ms: retry })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_comes_back_from_both_of_its_names() {
        for (code, word, _, _) in ErrorCode::ALL {
            assert_eq!(code.as_str(), word);
            assert_eq!(ErrorCode::from_word(word), Some(code));
            assert_eq!(ErrorCode::from_dbus_name(&code.dbus_name()), Some(code));
            assert_eq!(serde_json::to_string(&code).unwrap(), format!("\"{word}\""));
        }
    }

    #[test]
    fn a_client_reads_code_message_and_retry_time_from_a_bus_error() {
        let call = zbus::Message::method_call("/", "Infer").build(&()).unwrap();
        let no = |name: &str| zbus::Message::error(&call.header(), name.to_owned());
        let plain = no("org.edged.Edge1.Error.InvalidInput").build(&"input x").unwrap();
        let timed = no("org.edged.Edge1.Error.Overloaded").build(&("full", 50u64)).unwrap();
        let foreign = no("org.example.Error.Overloaded").build(&"full").unwrap();
        let read = |message: zbus::Message| Refused::from_dbus(&zbus::Error::from(message));
        let expected =
            |code, message: &str, retry| Some(Refused { code, message: message.into(), retry_after_ms: retry });
        assert_eq!(read(plain), expected(ErrorCode::InvalidInput, "input x", None));
        assert_eq!(read(timed), expected(ErrorCode::Overloaded, "full", Some(50)));
        assert_eq!(read(foreign), None);
    }
}
