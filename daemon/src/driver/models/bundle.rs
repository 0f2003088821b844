//! One bundle: which of its setups serve which kind of request. Must not know why one is wanted more than another.

use std::sync::Arc;

use edge_core::ModelId;
use edge_wire::plan::Plan;

use crate::store::Found;

/// What a request brings, which decides what its answer may be held against: they may be served in different ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A payload that a recipe decodes: the golden answers must hold.
    Encoded,
    /// Tensors: every output must be close to the reference's, on any input.
    Tensors,
}

impl Kind {
    /// Both; tensors last, as their setup may serve the other kind too.
    pub const ALL: [Kind; 2] = [Kind::Encoded, Kind::Tensors];

    /// The word used on every surface.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Encoded => "encoded",
            Kind::Tensors => "tensors",
        }
    }
}

/// The ways to serve one kind of request.
#[derive(Clone, Debug)]
pub(super) struct Ways {
    /// The most wanted first; at least one.
    pub(super) order: Vec<ModelId>,
    /// The one that requests are given to.
    pub(super) serving: ModelId,
}

/// One bundle.
#[derive(Clone, Debug)]
pub struct Bundle {
    pub found: Arc<Found>,
    /// Its setups: those of the manifest first, the most wanted of them first, then those that a plan added; at least one.
    pub(super) ids: Vec<ModelId>,
    pub(super) encoded: Ways,
    pub(super) tensors: Ways,
    /// What was measured, if it holds on this box.
    pub plan: Option<Arc<Plan>>,
    /// Why a plan that was found is not used.
    pub no_plan: Option<String>,
    /// Order of last use, to load first after a restart what is in use.
    pub used: u64,
    pub done: u64,
    /// Nobody finds it: it was taken out of the store, or the same version with other parts serves.
    pub gone: bool,
    /// Why it must not serve, if the fleet's list says so.
    pub revoked: Option<String>,
}

impl Bundle {
    /// Its setups: those of the manifest first.
    pub fn ids(&self) -> impl Iterator<Item = ModelId> + use<> {
        self.ids.clone().into_iter()
    }

    fn ways(&self, kind: Kind) -> &Ways {
        match kind {
            Kind::Encoded => &self.encoded,
            Kind::Tensors => &self.tensors,
        }
    }

    pub(super) fn ways_mut(&mut self, kind: Kind) -> &mut Ways {
        match kind {
            Kind::Encoded => &mut self.encoded,
            Kind::Tensors => &mut self.tensors,
        }
    }

    /// The setups that may serve this kind of request, the most wanted first.
    pub fn order(&self, kind: Kind) -> &[ModelId] {
        &self.ways(kind).order
    }

    /// The setup that this kind of request is given to.
    pub fn serves(&self, kind: Kind) -> ModelId {
        self.ways(kind).serving
    }

    /// Another setup serves this kind of request.
    pub fn set_serving(&mut self, kind: Kind, id: ModelId) {
        self.ways_mut(kind).serving = id;
    }

    /// The setup that is spoken of where one is: that of encoded requests, for which models are made.
    pub fn shown(&self) -> ModelId {
        self.encoded.serving
    }

    /// Whether a setup serves anything.
    pub fn is_serving(&self, id: ModelId) -> bool {
        Kind::ALL.into_iter().any(|kind| self.serves(kind) == id)
    }

    /// `name:version`.
    pub fn label(&self) -> String {
        format!("{}:{}", self.found.name, self.found.version)
    }

    /// The number that stands for the bundle, whatever serves it.
    pub fn root(&self) -> ModelId {
        self.ids.first().copied().unwrap_or_default()
    }
}
