//! Records as text: pure functions, each from a record to a string. Nothing here prints, asks or decides.

pub mod human;
pub mod json;
pub mod plot;
pub mod table;
pub mod units;
