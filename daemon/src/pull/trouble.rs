//! What goes wrong with a pull, and what is to be thought of it: whether the source may do better later, never, or whether no
//! source could. The text says what was tried and what to do.

use std::time::Duration;

use edge_core::pull::course::Fault;

use crate::http::cause::{self, Certificate};

/// Why an attempt ended without the whole bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// This source failed.
    Source { why: String, fault: Fault },
    /// The server does not speak TLS.
    NoTls(String),
    /// No source could do better.
    End(String),
    /// It may not go on now: a window closed, or the link is metered.
    Held,
}

impl Trouble {
    /// This source will say the same again.
    pub fn lasting(why: impl Into<String>) -> Trouble {
        Trouble::Source { why: why.into(), fault: Fault::Lasting }
    }

    /// This source may do better later.
    pub fn passing(why: impl Into<String>) -> Trouble {
        Trouble::Source { why: why.into(), fault: Fault::Passing { asked: None } }
    }

    /// The whole pull fails.
    pub fn end(why: impl Into<String>) -> Trouble {
        Trouble::End(why.into())
    }
}

/// What a status that is no success means. `known` is the file of the credentials that were shown.
pub fn of_status(host: &str, status: u16, known: Option<&str>, retry_after: Option<&str>) -> Trouble {
    let why = match (status, known) {
        (401, None) => format!(
            "{host} asks who this box is (401): put `USER:PASSWORD` or `Bearer TOKEN` into a file and name it in \
             `pull.credentials`, \"{host}\" = \"FILE\""
        ),
        (401, Some(file)) => format!("{host} does not take what {file} says (401): renew it"),
        (403, None) => format!(
            "{host} does not let this box have it (403): is the address right, and are credentials needed \
             (`pull.credentials`)?"
        ),
        (403, Some(file)) => format!("{host} does not let whom {file} names have it (403)"),
        (404 | 410, _) => format!("{host} has nothing there ({status}): is the address right?"),
        (407, _) => format!(
            "the proxy asks who this box is (407) before it goes to {host}: `pull.credentials` of the proxy's host"
        ),
        (429, _) => format!("{host} has too much to do (429)"),
        (500.., _) => format!("{host} failed ({status})"),
        _ => format!("{host} answered {status}, which nobody expected"),
    };
    let asked = retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    match status {
        408 | 425 | 429 | 500.. => Trouble::Source { why, fault: Fault::Passing { asked } },
        _ => Trouble::lasting(why),
    }
}

/// What an error of the connection to `host` means; `clock` is the time here.
pub fn of_error(host: &str, error: reqwest::Error, clock: &str) -> Trouble {
    // An address may hold a secret in its query.
    let error = error.without_url();
    let Some(tls) = cause::tls_error(&error) else {
        let cause = cause::last(&error);
        return match (error.is_connect(), error.is_timeout()) {
            (_, true) => Trouble::passing(format!("{host} does not answer: is the network up?")),
            (true, _) => {
                Trouble::passing(format!("no connection to {host}: {cause}: is the network up, and the address right?"))
            }
            _ => Trouble::passing(format!("the connection to {host} broke: {cause}")),
        };
    };
    of_tls(host, tls, clock)
}

fn of_tls(host: &str, error: &rustls::Error, clock: &str) -> Trouble {
    match cause::certificate(error) {
        None => Trouble::NoTls(format!("no TLS with {host}: {error}")),
        Some(Certificate::NotYet) => Trouble::passing(format!(
            "the certificate of {host} is not valid yet by the clock of this box, which says {clock}: set the clock \
             (`timedatectl`)"
        )),
        Some(Certificate::Expired) => Trouble::passing(format!(
            "the certificate of {host} has expired by the clock of this box, which says {clock}: set the clock \
             (`timedatectl`), or have the certificate renewed"
        )),
        Some(Certificate::UnknownIssuer) => Trouble::lasting(format!(
            "the certificate of {host} is signed by no authority that this box knows: name the file of the plant's \
             authority in `pull.ca`, or install it on the box"
        )),
        Some(Certificate::OtherName | Certificate::Other) => {
            Trouble::lasting(format!("the certificate of {host} is not taken: {error}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use rustls::CertificateError;

    use super::*;

    #[test]
    fn a_status_says_what_to_do_and_whether_to_try_again() {
        let passing = |s| Fault::Passing { asked: s };
        let s = Duration::from_secs;
        for (status, known, after, fault, says) in [
            (401, None, None, Fault::Lasting, "`pull.credentials`, \"h:5000\""),
            (401, Some("/etc/token"), None, Fault::Lasting, "does not take what /etc/token says"),
            (403, None, None, Fault::Lasting, "does not let this box have it"),
            (404, None, None, Fault::Lasting, "nothing there (404)"),
            (407, None, None, Fault::Lasting, "the proxy asks"),
            (429, None, Some("7"), passing(Some(s(7))), "too much to do"),
            (503, None, Some("soon"), passing(None), "h:5000 failed (503)"),
            (500, None, None, passing(None), "failed (500)"),
            (302, None, None, Fault::Lasting, "answered 302"),
        ] {
            let Trouble::Source { why, fault: found } = of_status("h:5000", status, known, after) else {
                panic!("{status}");
            };
            assert!(found == fault && why.contains(says), "{status}: {why} {found:?}");
        }
    }

    #[test]
    fn a_certificate_that_does_not_hold_says_whose_fault_that_may_be() {
        let invalid = rustls::Error::InvalidCertificate;
        for (error, fault, says) in [
            (
                invalid(CertificateError::NotValidYet),
                Fault::Passing { asked: None },
                "the clock of this box, which says 1970",
            ),
            (
                invalid(CertificateError::Expired),
                Fault::Passing { asked: None },
                "has expired by the clock of this box",
            ),
            (invalid(CertificateError::UnknownIssuer), Fault::Lasting, "`pull.ca`"),
            (invalid(CertificateError::NotValidForName), Fault::Lasting, "NotValidForName"),
        ] {
            let Trouble::Source { why, fault: found } = of_tls("h", &error, "1970-01-01") else { panic!("{error}") };
            assert!(found == fault && why.contains(says), "{why} {found:?}");
        }
    }

    #[test]
    fn a_server_without_tls_is_told_from_one_that_nobody_knows() {
        let said = of_tls("h", &rustls::Error::HandshakeNotComplete, "");
        assert!(matches!(&said, Trouble::NoTls(why) if why.contains("no TLS with h")), "{said:?}");
    }
}
