//! Results that no host heard: as chunks of bytes in a store, and back out of it as data of an earlier time.
//!
//! Decides what a chunk holds. Must not know where chunks lie, nor how long. Metrics are in it by name, because the numbers that
//! stand for names may be others by the time it is told.

use serde::{Deserialize, Serialize};

use super::metrics::Metric;

/// What changed of one device by one result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    pub device: String,
    pub metrics: Vec<Metric>,
}

/// A chunk that is none.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error("read a result that was kept for the host")]
    Read(#[source] postcard::Error),
    #[error("write a result that is kept for the host")]
    Write(#[source] postcard::Error),
}

impl Kept {
    pub fn write(&self) -> Result<Vec<u8>, HistoryError> {
        postcard::to_stdvec(self).map_err(HistoryError::Write)
    }

    pub fn read(chunk: &[u8]) -> Result<Kept, HistoryError> {
        postcard::from_bytes(chunk).map_err(HistoryError::Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::sparkplug::metrics::{Kind, Quality, Value};

    #[test]
    fn a_result_comes_back_out_of_its_chunk_and_a_spoiled_chunk_is_an_error() {
        let metric = Metric {
            name: "Result/score".into(),
            kind: Kind::Double,
            value: Some(Value::Double(0.5)),
            quality: Some(Quality::Good),
            at_ms: Some(7),
        };
        let kept = Kept { device: "binding-a".into(), metrics: vec![metric] };
        let chunk = kept.write().unwrap();
        assert_eq!(Kept::read(&chunk).unwrap(), kept);
        assert!(Kept::read(&chunk[..chunk.len() - 1]).is_err());
        assert!(Kept::read(&[0xFF; 16]).is_err());
    }
}
