//! The stages of a pipeline, as the core knows them: models, in the order in which a request comes to them.

use crate::id::ModelId;

/// The models that a pipeline request goes through, at most [`Stages::CAPACITY`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stages {
    models: [ModelId; Stages::CAPACITY],
    len: usize,
}

impl Stages {
    /// Most stages of one pipeline.
    pub const CAPACITY: usize = 4;

    /// These models; `None` if they are too many.
    pub fn new(models: &[ModelId]) -> Option<Stages> {
        let mut stages = Stages::default();
        for model in models {
            *stages.models.get_mut(stages.len)? = *model;
            stages.len += 1;
        }
        Some(stages)
    }

    /// The models, in order.
    pub fn as_slice(&self) -> &[ModelId] {
        self.models.get(..self.len).unwrap_or_default()
    }
}
