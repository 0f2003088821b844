//! Records as text: pure functions, each from a record to a string. Nothing here prints, asks or decides.

pub mod chart;
pub mod glyphs;
pub mod human;
pub mod json;
pub mod plot;
pub mod table;
pub mod tinted;
pub mod top;
pub mod units;
