//! Encoded payloads: what they become before a model, and what its outputs mean. Knows nothing of the runtime.

use crate::bundle::Bundle;
use crate::protocol::{ErrorKind, HostError};
use crate::tensor::{Aligned, Answer, Feed};

/// Why a payload cannot be prepared, or outputs cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    #[error("{0}")]
    Invalid(String),
}

impl MediaError {
    /// As the daemon is told.
    pub fn into_host_error(self) -> HostError {
        HostError { kind: ErrorKind::InvalidInput, message: self.to_string() }
    }
}

/// What a payload became; kept until its request runs.
#[derive(Debug)]
pub enum Prepared {
    /// The answer is known without the model: a JSON document.
    Answer(String),
}

impl Prepared {
    /// Size in memory.
    pub fn bytes(&self) -> usize {
        match self {
            Prepared::Answer(text) => text.len(),
        }
    }
}

/// The tensor of a prepared payload.
pub struct Filled {
    pub shape: Vec<i64>,
    pub bytes: Aligned,
}

/// The recipes of one model.
pub struct Recipe;

impl Recipe {
    /// The recipes of a bundle, if it has any.
    pub fn load(_bundle: &Bundle, _metadata: impl Fn(&str) -> Option<String>) -> Result<Option<Recipe>, MediaError> {
        Ok(None)
    }
    pub fn content_types(&self) -> Vec<String> {
        Vec::new()
    }
    pub fn prepare(&self, _content_type: &str, _payload: &[u8]) -> Result<(Prepared, u32), MediaError> {
        Ok((Prepared::Answer(String::new()), 1))
    }
    pub fn fill(&self, _prepared: &Prepared) -> Option<Filled> {
        None
    }
    pub fn interpret(&self, _answers: &[Answer<'_>], _row: usize) -> Result<String, MediaError> {
        Ok(String::new())
    }
    pub fn document(
        &self,
        _prepared: &Prepared,
        _run: impl FnMut(&[Feed<'_>], &mut dyn FnMut(&[Answer<'_>])) -> Result<(), HostError>,
    ) -> Result<String, HostError> {
        Ok(String::new())
    }
}
