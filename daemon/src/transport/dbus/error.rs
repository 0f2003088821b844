//! A "no" as a D-Bus error: `org.edged.Edge1.Error.<CamelCase>` with the message as its first argument (`s`), and where
//! waiting helps the time to wait as its second (`t`, `retry_after_ms`).
//!
//! The codes and their names are the table of [`edge_wire::error`]; nothing else may reach a caller of our interfaces.

use edge_wire::error::ErrorCode;
use zbus::message::{Header, Message};
use zbus::names::ErrorName;

use crate::request::Failure;

/// A failure on its way to a caller.
#[derive(Debug)]
pub struct No {
    failure: Failure,
    name: ErrorName<'static>,
}

impl From<Failure> for No {
    fn from(mut failure: Failure) -> No {
        // A D-Bus string holds no NUL, and an error that cannot be sent would leave the caller waiting.
        if failure.message.contains('\0') {
            failure.message = failure.message.replace('\0', "?");
        }
        let name = ErrorName::try_from(failure.code.dbus_name())
            .unwrap_or(ErrorName::from_static_str_unchecked("org.freedesktop.DBus.Error.Failed"));
        No { failure, name }
    }
}

impl zbus::DBusError for No {
    fn create_reply(&self, call: &Header<'_>) -> zbus::Result<Message> {
        let reply = Message::error(call, self.name.clone());
        match self.failure.retry_after_ms {
            Some(after) => reply.build(&(&self.failure.message, after)),
            None => reply.build(&self.failure.message),
        }
    }

    fn name(&self) -> ErrorName<'_> {
        self.name.clone()
    }

    fn description(&self) -> Option<&str> {
        Some(&self.failure.message)
    }
}

/// `internal`, for what should not happen.
pub fn internal(message: impl Into<String>) -> Failure {
    Failure::new(ErrorCode::Internal, message)
}

/// `overloaded`, with a short time to wait.
pub fn overloaded(message: impl Into<String>) -> Failure {
    Failure { code: ErrorCode::Overloaded, message: message.into(), retry_after_ms: Some(50) }
}

#[cfg(test)]
mod tests {
    use edge_wire::error::Refused;
    use zbus::DBusError;

    use super::*;

    #[test]
    fn every_code_reaches_a_client_under_its_own_name() {
        let call = Message::method_call("/", "Infer").build(&()).unwrap();
        for (code, _, camel, _) in ErrorCode::ALL {
            for retry_after_ms in [None, Some(70)] {
                let no = No::from(Failure { code, message: "input x".into(), retry_after_ms });
                assert_eq!(no.name().as_str(), format!("org.edged.Edge1.Error.{camel}"));
                let reply = no.create_reply(&call.header()).unwrap();
                let seen = Refused::from_dbus(&zbus::Error::from(reply)).unwrap();
                assert_eq!(seen, Refused { code, message: "input x".into(), retry_after_ms });
            }
        }
    }

    #[test]
    fn a_message_that_d_bus_cannot_carry_is_sent_without_its_nul() {
        let call = Message::method_call("/", "Infer").build(&()).unwrap();
        let reply = No::from(Failure::invalid("a\0b")).create_reply(&call.header()).unwrap();
        assert_eq!(Refused::from_dbus(&zbus::Error::from(reply)).unwrap().message, "a?b");
    }
}
