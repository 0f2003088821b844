//! Outputs that are maps of a picture: areas with outlines, and what is unlike good pictures. Must not know how an outline
//! is found.

use serde::Deserialize;

use super::{Activation, Layout};

/// Which regions of a picture are told, and how exactly.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutlinesRecipe {
    /// No corner of an outline that is left out is farther from what stays, cells of the map.
    #[serde(default = "OutlinesRecipe::default_tolerance")]
    pub tolerance: f32,
    /// Smaller regions and holes are not told, share of the picture.
    #[serde(default = "OutlinesRecipe::default_area")]
    pub min_area: f32,
    /// Most regions of an answer, the largest.
    #[serde(default = "OutlinesRecipe::default_regions")]
    pub max_regions: u32,
    /// Most corners of all outlines of an answer.
    #[serde(default = "OutlinesRecipe::default_points")]
    pub max_points: u32,
}

impl Default for OutlinesRecipe {
    fn default() -> OutlinesRecipe {
        OutlinesRecipe {
            tolerance: OutlinesRecipe::default_tolerance(),
            min_area: OutlinesRecipe::default_area(),
            max_regions: OutlinesRecipe::default_regions(),
            max_points: OutlinesRecipe::default_points(),
        }
    }
}

impl OutlinesRecipe {
    /// The steps of a slanting edge are 0.7 cells at most.
    pub(super) fn default_tolerance() -> f32 {
        1.0
    }

    fn default_area() -> f32 {
        0.0005
    }

    fn default_regions() -> u32 {
        100
    }

    fn default_points() -> u32 {
        5000
    }
}

/// What each part of a picture is. The output is one map of scores for each label, `[N, labels, height, width]`; with one
/// label also `[N, height, width]`; or a map of the labels' places in whole numbers, `[N, height, width]` or
/// `[N, 1, height, width]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentationRecipe {
    /// Output of the graph.
    pub tensor: String,
    /// Labels in the order of the model's classes.
    pub labels: Vec<String>,
    /// The label of what is nothing in particular, which is not told.
    pub background: Option<String>,
    /// Order of the dimensions of scores.
    #[serde(default)]
    pub layout: Layout,
    /// What makes scores of 0 to 1 out of the output.
    #[serde(default)]
    pub activation: Activation,
    /// A cell that is less sure is nothing, 0 to 1. Absent: 0.5 with one label; with several the best one holds.
    pub threshold: Option<f32>,
    /// Which regions are told, and how exactly.
    #[serde(default)]
    pub outlines: OutlinesRecipe,
}

/// How unlike the pictures that a model was trained with one is, and where. At least one of the two outputs is named.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnomalyRecipe {
    /// Output that tells it for each part of the picture: `[N, 1, height, width]` or `[N, height, width]`.
    pub map: Option<String>,
    /// Output that tells it for the whole: `[N]` or `[N, 1]`. Absent: it is read off the map.
    pub score: Option<String>,
    /// What the outputs give for a score of 0.
    #[serde(default)]
    pub min: f32,
    /// What the outputs give for a score of 1.
    #[serde(default = "AnomalyRecipe::default_max")]
    pub max: f32,
    /// The whole is anomalous from this score on, 0 to 1.
    pub threshold: f32,
    /// A part is anomalous from this score on, 0 to 1; as for the whole unless said.
    pub pixel_threshold: Option<f32>,
    /// Without an output for the whole: the score that this share of the map does not exceed. 1, the largest, unless said.
    #[serde(default = "AnomalyRecipe::default_quantile")]
    pub quantile: f32,
    /// Which regions are told, and how exactly.
    #[serde(default)]
    pub outlines: OutlinesRecipe,
}

impl AnomalyRecipe {
    fn default_max() -> f32 {
        1.0
    }

    fn default_quantile() -> f32 {
        1.0
    }
}
