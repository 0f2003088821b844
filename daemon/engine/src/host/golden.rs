//! Golden answers.
use super::batch::Runner;
use crate::bundle::Bundle;

#[derive(Debug, thiserror::Error)]
pub enum GoldenError {}

#[derive(Default)]
pub struct Checked {
    pub passed: u16,
    pub service_ns: u64,
}

pub fn check(_runner: &mut Runner, _bundle: &Bundle) -> Result<Checked, GoldenError> {
    Ok(Checked::default())
}
