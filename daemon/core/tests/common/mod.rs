//! What the tests share: short names for times and requests.
#![allow(dead_code, unused_imports, reason = "each test file uses its own part")]

use edge_core::sim::FakeModel;
use edge_core::{Mono, RequestMeta, Span, Work};

pub use edge_core::sim::arrivals::meta;
pub use edge_core::sim::world::small_policy;

pub fn ms(ms: u64) -> Span {
    Span::from_millis(ms)
}

pub fn at(millis: u64) -> Mono {
    ms(millis).from(Mono::default())
}

/// A model with two lanes that takes `each` ms per member.
pub fn model(each: u64) -> FakeModel {
    FakeModel::new(0, 2, ms(each))
}

/// A request with this deadline (ms since the start).
pub fn due(id: u64, client: u32, deadline: u64) -> RequestMeta {
    RequestMeta { deadline: Some(at(deadline)), ..meta(id, client, 0) }
}

/// The same as an encoded payload.
pub fn encoded(meta: RequestMeta) -> RequestMeta {
    RequestMeta { work: Work::Encoded, ..meta }
}
