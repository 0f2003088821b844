//! How hard is a text for the model of this box: whether a stronger site would answer it better.
//!
//! Pure functions from values to values: no clock, no file but in `cli` and `record`. What is done with a score is not decided here; the
//! threshold and its guarantee are `edge_core::quality`.
//!
//! Reading order: [`features`] (a text as numbers), [`model`] (what was learnt, its file, the score), [`fit`] (logistic
//! regression), [`train`] (from outcomes to a model), [`curve`] (how good a score is), [`learn`] (with what is held out and certified), [`plot`], [`table`] (outcomes from CSV),
//! [`record`] (what its guarantee was found worth in use, on disk), [`cli`] (`edged quality learn`, which `edgectl route learn` runs).

pub mod cli;
pub mod curve;
pub mod features;
pub mod fit;
pub mod learn;
pub mod model;
pub mod plot;
pub mod record;

pub mod table;
pub mod train;

#[cfg(test)]
mod tests;
