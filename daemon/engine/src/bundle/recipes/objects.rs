//! Outputs that are things in a picture: what a detector's numbers mean, and which things are told. Must not know how a
//! picture came into its tensor.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Activation, OutlinesRecipe};

/// Things in a picture.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectsRecipe {
    /// Labels in the order of the model's classes.
    pub labels: Vec<String>,
    /// What is less sure is left out, 0 to 1.
    pub threshold: f32,
    /// The same for single labels.
    #[serde(default)]
    pub thresholds: BTreeMap<String, f32>,
    /// Of two things of one label whose rectangles overlap by more than this (intersection over union) the less sure one is
    /// left out. 1 leaves out none: for a head that has done it itself.
    #[serde(default = "ObjectsRecipe::default_overlap")]
    pub overlap: f32,
    /// Also of two things of different labels.
    #[serde(default)]
    pub across_labels: bool,
    /// Most things of an answer, the surest.
    #[serde(default = "ObjectsRecipe::default_most")]
    pub max_objects: u32,
    /// What the numbers of the outputs mean.
    pub head: Head,
    /// Where a thing is within its rectangle, if the model tells.
    pub masks: Option<MasksRecipe>,
}

impl ObjectsRecipe {
    fn default_overlap() -> f32 {
        0.45
    }

    fn default_most() -> u32 {
        300
    }
}

/// Masks of things, as YOLO has them: the last numbers of each anchor say how much of each prototype goes into its mask.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MasksRecipe {
    /// Output of prototypes, `[N, prototypes, height, width]`.
    pub tensor: String,
    /// A cell whose probability (`1 / (1 + exp(-sum))`) is above this belongs to the thing, 0 to 1.
    #[serde(default = "MasksRecipe::default_threshold")]
    pub threshold: f32,
    /// No corner of an outline that is left out is farther from what stays, cells of the prototypes.
    #[serde(default = "OutlinesRecipe::default_tolerance")]
    pub tolerance: f32,
    /// Most outlines of a thing, the largest: it may be in parts.
    #[serde(default = "MasksRecipe::default_parts")]
    pub max_parts: u32,
    /// Most corners of all outlines of an answer.
    #[serde(default = "MasksRecipe::default_points")]
    pub max_points: u32,
}

impl MasksRecipe {
    fn default_threshold() -> f32 {
        0.5
    }

    fn default_parts() -> u32 {
        4
    }

    fn default_points() -> u32 {
        20_000
    }
}

/// What the numbers of a detector's outputs mean. Rectangles are in pixels of the tensor unless something else is said.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Head {
    /// For each anchor the middle, the width and the height of a rectangle, then maybe the score of there being anything,
    /// then a score for each label.
    Yolo {
        /// Output: `[N, numbers, anchors]` if `planes`, else `[N, anchors, numbers]`.
        tensor: String,
        /// There is a score of there being anything; it multiplies the others.
        objectness: bool,
        /// All first numbers come first, then all second ones.
        planes: bool,
    },
    /// The same in cells of grids: `[N, anchors, numbers]` with objectness, the middle as an offset from its cell and the
    /// sizes as logarithms, both in strides.
    Yolox {
        /// Output.
        tensor: String,
        /// Pixels of a cell, of one grid after the other.
        strides: Vec<u32>,
    },
    /// A fixed number of queries: rectangles as middle, width and height in shares of the tensor.
    Detr {
        /// Output: `[N, queries, 4]`.
        boxes: String,
        /// Output: `[N, queries, labels]`; of a softmax the last number may be that of nothing.
        scores: String,
        /// What makes scores of it.
        activation: Activation,
    },
    /// One row for each thing that was found: `[N, rows, columns]`, or `[rows, columns]` in a model without batches.
    Rows {
        /// Output.
        tensor: String,
        /// What each number of a row is.
        columns: Vec<Column>,
        /// Rectangles are in shares of the tensor.
        #[serde(default)]
        unit: bool,
    },
    /// Rectangles, labels and scores in outputs of their own: `[N, things, 4]`, `[N, things]`, `[N, things]`.
    Lists {
        /// Output of rectangles.
        boxes: String,
        /// Output of places of labels.
        classes: String,
        /// Output of scores.
        scores: String,
        /// Output of the number of things, `[N]` or `[N, 1]`; absent if every row counts.
        count: Option<String>,
        /// What each of the four numbers is.
        columns: Vec<Column>,
        /// Rectangles are in shares of the tensor.
        #[serde(default)]
        unit: bool,
        /// Number of the first label: 1 where 0 means nothing.
        #[serde(default)]
        first_label: u32,
    },
}

/// What one number of a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Column {
    Left,
    Top,
    Right,
    Bottom,
    /// Of the middle.
    X,
    /// Of the middle.
    Y,
    Width,
    Height,
    /// Place of the label.
    Class,
    Score,
    /// Place in the batch, or anything else that is not needed.
    Other,
}
