//! What a connection tells of itself besides its packets. Grows while it is made, so that something is known of one that
//! failed.

use std::path::Path;
use std::time::{Duration, SystemTime};

use edge_wire::dto::{CertificateStatus, MqttTls};

use super::certificate::Facts;

/// What is known of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// TLS, once it is set up.
    pub tls: Option<MqttTls>,
    pub certificates: Vec<CertificateStatus>,
    /// Digest of the files that TLS was set up with.
    pub files: Option<[u8; 32]>,
    /// That which holds, be it ours or the broker's.
    pub keep_alive_s: u32,
    /// Round trip of the last ping.
    pub ping_us: Option<u64>,
}

impl Told {
    /// Adds how long a certificate holds; `of` says whose it is.
    pub fn add(&mut self, of: &str, file: Option<&Path>, facts: Facts) {
        let seconds = u64::try_from(facts.not_after_s).unwrap_or_default();
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        self.certificates.push(CertificateStatus {
            of: of.into(),
            file: file.map_or_else(String::new, |file| file.display().to_string()),
            not_after: humantime::format_rfc3339_seconds(end).to_string(),
            not_after_s: facts.not_after_s,
        });
    }

    /// The first end of a certificate, seconds since 1970.
    pub fn first_end_s(&self) -> Option<i64> {
        self.certificates.iter().map(|certificate| certificate.not_after_s).min()
    }
}
