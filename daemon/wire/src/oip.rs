//! The Open Inference Protocol v2 as other servers speak it, over HTTP: the JSON of its tensors and of their answers. Its
//! numbers are read and written by the same code as those that come by MQTT.

pub use crate::mqtt::body::answer::{Answer, parse};
pub use crate::mqtt::body::{Data, Tensor};
pub use crate::mqtt::tensor::{Element, write_data};
