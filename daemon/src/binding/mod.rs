//! Bindings: a source of frames, a model, and topics for what it answers. Read [`filter`] (which topics), [`template`] (which
//! outputs), [`tag`] (names that SCADA takes), [`gate`] (which frame is asked for next, and in which order answers leave),
//! [`flat`] (one value a topic), [`look`] (what a payload is), [`reference`](mod@reference) (frames that come by their name).
//! All of these decide and do nothing.

pub mod filter;
pub mod flat;
pub mod gate;
pub mod look;
pub mod reference;
pub mod tag;
pub mod template;
