//! Asks a site how it is and what a model takes. Light: nothing of any request goes with it.

use std::sync::Arc;

use edge_engine::protocol::{Datatype, TensorSpec};
use serde::Deserialize;

use super::error::{Kind, UplinkError};
use super::exchange;
use super::meter::Meter;
use super::said::Quoted;
use super::site::{Protocol, Reach};
use super::{Question, openai};

/// Most that is read of what a site says of itself, bytes.
const MOST_BYTES: u64 = 4 << 20;
/// Models of a list that are kept.
const MOST_MODELS: usize = 4096;

/// What a site says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It is ready.
    Ready(Health),
    /// What the model is.
    Metadata(Metadata),
}

/// How a site is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// The models that it lists, if it lists them.
    pub models: Option<Vec<String>>,
}

/// What a model takes and gives, as the site says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    pub name: String,
    pub versions: Vec<String>,
    /// What runs it there, for example `onnxruntime_onnx`; may be empty.
    pub platform: String,
    pub inputs: Vec<TensorSpec>,
    pub outputs: Vec<TensorSpec>,
}

/// Asks.
pub(super) async fn ask(reach: &Reach, meter: &Arc<Meter>, question: Question) -> Result<Seen, UplinkError> {
    match (question, reach.protocol) {
        (Question::Health { model }, Protocol::Oip { .. }) => {
            get(reach, meter, reach.below(&["v2", "health", "ready"])?).await?;
            if let Some(model) = model {
                get(reach, meter, reach.below(&["v2", "models", &model, "ready"])?).await?;
            }
            Ok(Seen::Ready(Health::default()))
        }
        (Question::Health { model }, Protocol::OpenAi) => listed(reach, meter, model.as_deref()).await,
        (Question::Metadata { model, version }, Protocol::Oip { .. }) => {
            let mut segments = vec!["v2", "models", &model];
            if let Some(version) = &version {
                segments.extend(["versions", version]);
            }
            let body = get(reach, meter, reach.below(&segments)?).await?;
            metadata(&body).map(Seen::Metadata).map_err(|why| reach.garbage(why))
        }
        (Question::Metadata { .. }, Protocol::OpenAi) => {
            Err(reach.unfit("it speaks openai, which does not tell what a model takes"))
        }
    }
}

async fn get(reach: &Reach, meter: &Arc<Meter>, url: reqwest::Url) -> Result<bytes::Bytes, UplinkError> {
    let answer = exchange::ask(reach, meter, exchange::Question::get(url)).await?;
    exchange::whole(reach, meter, answer, MOST_BYTES).await
}

/// By the list of models; servers that have none are asked for their health.
async fn listed(reach: &Reach, meter: &Arc<Meter>, model: Option<&str>) -> Result<Seen, UplinkError> {
    let body = match get(reach, meter, openai::address(reach, &["models"])?).await {
        Ok(body) => body,
        Err(error) if has_no_list(&error) => {
            let mut health = reach.url.clone();
            health.set_path("/health");
            get(reach, meter, health).await?;
            return Ok(Seen::Ready(Health::default()));
        }
        Err(error) => return Err(error),
    };
    let models = models(&body).map_err(|why| reach.garbage(why))?;
    match model {
        Some(model) if !models.iter().any(|listed| listed == model) => Err(UplinkError::Rejected {
            site: Arc::clone(&reach.name),
            status: 200,
            message: format!("it lists no model {}", Quoted(model)),
        }),
        _ => Ok(Seen::Ready(Health { models: Some(models) })),
    }
}

fn has_no_list(error: &UplinkError) -> bool {
    error.kind() == Kind::Rejected && matches!(error, UplinkError::Rejected { status: 404 | 405, .. })
}

fn models(body: &[u8]) -> Result<Vec<String>, String> {
    #[derive(Deserialize)]
    struct List {
        data: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        id: String,
    }
    let list: List = serde_json::from_slice(body).map_err(|error| format!("list of models: {error}"))?;
    Ok(list.data.into_iter().take(MOST_MODELS).map(|entry| entry.id).collect())
}

/// Reads what a server says of a model.
pub fn metadata(body: &[u8]) -> Result<Metadata, String> {
    #[derive(Deserialize)]
    struct Said {
        name: String,
        versions: Option<Vec<String>>,
        platform: Option<String>,
        inputs: Option<Vec<Tensor>>,
        outputs: Option<Vec<Tensor>>,
    }
    #[derive(Deserialize)]
    struct Tensor {
        name: String,
        datatype: String,
        shape: Vec<i64>,
    }
    let spec = |tensor: Tensor| {
        let datatype = Datatype::from_name(&tensor.datatype);
        let datatype = datatype.ok_or_else(|| {
            format!(
                "metadata: {} has the datatype {}, which nobody knows",
                Quoted(&tensor.name),
                Quoted(&tensor.datatype)
            )
        })?;
        // Some servers write -1 for any size, some 0.
        let shape = tensor.shape.iter().map(|size| if *size < 1 { -1 } else { *size }).collect();
        Ok(TensorSpec { name: tensor.name, datatype, shape })
    };
    let all =
        |tensors: Option<Vec<Tensor>>| tensors.unwrap_or_default().into_iter().map(spec).collect::<Result<_, String>>();
    let said: Said = serde_json::from_slice(body).map_err(|error| format!("metadata: {error}"))?;
    Ok(Metadata {
        name: said.name,
        versions: said.versions.unwrap_or_default(),
        platform: said.platform.unwrap_or_default(),
        inputs: all(said.inputs)?,
        outputs: all(said.outputs)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_tell_names_datatypes_and_shapes_and_what_is_not_known_is_named() {
        let body = br#"{"name":"m","versions":["1"],"platform":"onnxruntime_onnx","parameters":{},
            "inputs":[{"name":"x","datatype":"FP32","shape":[-1,3,0]}],"outputs":[{"name":"y","datatype":"INT64","shape":[1]}]}"#;
        let read = metadata(body).unwrap();
        let spec =
            |name: &str, datatype, shape: &[i64]| TensorSpec { name: name.into(), datatype, shape: shape.into() };
        assert_eq!(read.inputs, [spec("x", Datatype::Fp32, &[-1, 3, -1])]);
        assert_eq!(read.outputs, [spec("y", Datatype::Int64, &[1])]);
        let bare = metadata(br#"{"name":"m","versions":null,"inputs":null}"#).unwrap();
        assert!(bare.inputs.is_empty() && bare.versions.is_empty());
        for (body, says) in [
            (&b"{}"[..], "missing field `name`"),
            (b"<", "metadata: expected value"),
            (br#"{"name":"m","inputs":[{"name":"x","datatype":"TEXT","shape":[1]}]}"#, "x has the datatype TEXT"),
        ] {
            let said = metadata(body).unwrap_err();
            assert!(said.contains(says), "{said}");
        }
    }
}
