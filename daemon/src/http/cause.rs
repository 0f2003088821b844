//! What lies at the bottom of an error of a connection.

use std::error::Error;

use rustls::CertificateError;

/// The error of TLS in a chain of errors; those of the system hide what they were made of.
pub fn tls_error<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        let hidden = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(found) = hidden.and_then(|hidden| tls_error(hidden)) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The last error of a chain, which says what really happened.
pub fn last(error: &dyn Error) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}

/// What is wrong with a certificate that is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificate {
    NotYet,
    Expired,
    UnknownIssuer,
    OtherName,
    Other,
}

/// What is wrong with the certificate, if it is the certificate.
pub fn certificate(error: &rustls::Error) -> Option<Certificate> {
    let rustls::Error::InvalidCertificate(certificate) = error else { return None };
    Some(match certificate {
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Certificate::NotYet,
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Certificate::Expired,
        CertificateError::UnknownIssuer | CertificateError::BadSignature => Certificate::UnknownIssuer,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Certificate::OtherName,
        _ => Certificate::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_tls_is_found_however_deep_it_lies() {
        let tls = rustls::Error::InvalidCertificate(CertificateError::NotValidYet);
        let inner = std::io::Error::other(tls.clone());
        let outer = std::io::Error::other(std::io::Error::other(inner));
        assert_eq!(tls_error(&outer), Some(&tls));
        assert_eq!(tls_error(&std::io::Error::other("x")), None);
    }
}
