//! Bindings: a source of frames, a model, and topics for what it answers. Read [`filter`] (which topics), [`template`] (which
//! outputs), [`tag`] (names that SCADA takes), [`gate`] (which frame is asked for next, and in which order answers leave),
//! [`flat`] (one value a topic), [`look`] (what a payload is), [`glob`] (names of files), [`reference`](mod@reference)
//! (frames that come by their name): all of these decide and do nothing. [`words`] tells people what a binding does;
//! [`sources`] are tasks that bring frames.

pub mod filter;
pub mod flat;
pub mod gate;
pub mod glob;
pub mod look;
pub mod reference;
pub mod sources;
pub mod tag;
pub mod template;
pub mod words;
