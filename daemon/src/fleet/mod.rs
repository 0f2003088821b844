//! What this box is to have, as files or a list for many boxes say it: [`list`] is the grammar of both and how several make one,
//! [`source`] reads them from the disk and from the network. Whether and when the box does what they say is
//! [`edge_core::rollout`]'s to decide and the driver's to do.

pub mod list;
pub mod source;
