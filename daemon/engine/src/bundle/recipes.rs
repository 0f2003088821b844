//! How encoded payloads become tensors and outputs become documents, as `model.toml` says it: the shape of the file.
//! [`super::recipe_rules`] checks the values.

mod input;
mod maps;
mod objects;
mod output;

pub use self::input::{
    At, Channels, FileBytesRecipe, Fit, ImageRecipe, InputRecipe, Layout, PictureRecipe, SceneRecipe, SoundRecipe,
    WhenWider,
};
pub use self::maps::{AnomalyRecipe, OutlinesRecipe, SegmentationRecipe};
pub use self::objects::{Column, Head, MasksRecipe, ObjectsRecipe};
pub use self::output::{
    Activation, BoxesRecipe, ClassesRecipe, CtcRecipe, EmbeddingRecipe, FileTypeRecipe, OutputRecipe, SpeechRecipe,
};
