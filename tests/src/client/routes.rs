//! Every way by which tensors or an encoded payload can reach the daemon, so that one row of bad input is tried on all.

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use edge_wire::dto::ModelStatus;
use serde_json::{Value, json};

use crate::answer::{Options, Outcome, Tensor, Yes, expect_no, expect_yes};
use crate::client::bus::BusClient;
use crate::client::mqtt::{Device, Outgoing, Protocol, request_topic};
use crate::client::reply::{HEADER_LENGTH, binary_body};
use crate::stack::Stack;

/// A way for tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// D-Bus, bytes in the message.
    Inline,
    /// D-Bus, sealed memfds.
    Sealed,
    /// The private connection, bytes in the message.
    Peer,
    /// MQTT 5, JSON body.
    Json5,
    /// MQTT 3.1.1, JSON body.
    Json311,
    /// MQTT 5, binary tensors.
    Binary5,
}

impl Route {
    pub const ALL: [Route; 6] =
        [Route::Inline, Route::Sealed, Route::Peer, Route::Json5, Route::Json311, Route::Binary5];
    /// Those whose data need not be a list of numbers.
    pub const RAW: [Route; 4] = [Route::Inline, Route::Sealed, Route::Peer, Route::Binary5];
    /// Those whose dimensions have a sign.
    pub const SIGNED: [Route; 3] = [Route::Json5, Route::Json311, Route::Binary5];
}

/// A way for an encoded payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodedRoute {
    /// D-Bus, sealed memfd.
    Memfd,
    /// The private connection, sealed memfd.
    PeerMemfd,
    /// MQTT 5, raw bytes with a content type.
    Raw5,
    /// MQTT 5, `image` or `text` in a JSON body.
    Body5,
    /// MQTT 3.1.1, the same.
    Body311,
}

impl EncodedRoute {
    pub const ALL: [EncodedRoute; 5] =
        [EncodedRoute::Memfd, EncodedRoute::PeerMemfd, EncodedRoute::Raw5, EncodedRoute::Body5, EncodedRoute::Body311];
    /// Those that carry a content type of the caller's choice.
    pub const TYPED: [EncodedRoute; 3] = [EncodedRoute::Memfd, EncodedRoute::PeerMemfd, EncodedRoute::Raw5];
}

/// One client of each kind.
#[derive(Debug)]
pub struct Routes {
    pub bus: BusClient,
    pub peer: BusClient,
    pub five: Device,
    pub three: Device,
}

impl Routes {
    /// Connects all of them.
    pub async fn open(stack: &Stack) -> Result<Routes> {
        let bus = stack.client().await?;
        let peer = bus.peer().await?;
        let five = stack.device(Protocol::V5).await?;
        let three = stack.device(Protocol::V311).await?;
        Ok(Routes { bus, peer, five, three })
    }

    /// Sends tensors on one of them.
    pub async fn ask(&self, route: Route, model: &str, inputs: &[Tensor], options: &Options) -> Result<Outcome> {
        let outcome = match route {
            Route::Inline => self.bus.infer(model, inputs, options).await,
            Route::Sealed => self.bus.infer_sealed(model, inputs, options).await,
            Route::Peer => self.peer.infer(model, inputs, options).await,
            Route::Json5 => self.five.ask_json(model, &tensor_body(inputs, options)?).await,
            Route::Json311 => self.three.ask_json(model, &tensor_body(inputs, options)?).await,
            Route::Binary5 => self.binary(model, inputs, options).await,
        };
        outcome.with_context(|| format!("{route:?}, model {model}"))
    }

    async fn binary(&self, model: &str, inputs: &[Tensor], options: &Options) -> Result<Outcome> {
        let (body, header) = binary_body(inputs)?;
        let mut user = properties(options);
        user.push((HEADER_LENGTH.into(), header.to_string()));
        let content_type = Some("application/octet-stream".into());
        let message = Outgoing {
            topic: request_topic(model),
            payload: body.into(),
            qos: 1,
            content_type,
            user,
            ..Outgoing::default()
        };
        self.five.ask5(message).await
    }

    /// Sends an encoded payload on one of them.
    pub async fn ask_encoded(
        &self,
        route: EncodedRoute,
        model: &str,
        kind: &str,
        payload: &[u8],
        options: &Options,
    ) -> Result<Outcome> {
        let outcome = match route {
            EncodedRoute::Memfd => self.bus.infer_bytes(model, kind, payload, options).await,
            EncodedRoute::PeerMemfd => self.peer.infer_bytes(model, kind, payload, options).await,
            EncodedRoute::Raw5 => self.raw(model, kind, payload, options).await,
            EncodedRoute::Body5 => self.five.ask_json(model, &encoded_body(kind, payload, options)).await,
            EncodedRoute::Body311 => self.three.ask_json(model, &encoded_body(kind, payload, options)).await,
        };
        outcome.with_context(|| format!("{route:?}, model {model}, {kind}"))
    }

    async fn raw(&self, model: &str, kind: &str, payload: &[u8], options: &Options) -> Result<Outcome> {
        let message = Outgoing {
            topic: request_topic(model),
            payload: payload.to_vec().into(),
            qos: 1,
            content_type: Some(kind.into()),
            user: properties(options),
            ..Outgoing::default()
        };
        self.five.ask5(message).await
    }

    /// Asserts that a good request on this route is served.
    pub async fn serves(&self, route: Route, good: &Example) -> Result<Yes> {
        let outcome = self.ask(route, &good.model, &good.inputs, &Options::new()).await?;
        expect_yes(&format!("a good request after it on {route:?}"), outcome)
    }

    /// Asserts that these tensors are refused on these routes, and that the next good request on each is served.
    pub async fn refuse(&self, row: &Row<'_>, good: &Example) -> Result<()> {
        for route in row.routes {
            let what = format!("{} over {route:?}", row.what);
            let outcome = self.ask(*route, row.model, row.inputs, &row.options).await?;
            expect_no(&what, &outcome, row.code, row.mentions)?;
            self.serves(*route, good).await.with_context(|| format!("after {what}"))?;
        }
        Ok(())
    }
}

/// One row of bad input.
#[derive(Clone, Debug)]
pub struct Row<'a> {
    pub what: &'a str,
    pub routes: &'a [Route],
    pub model: &'a str,
    pub inputs: &'a [Tensor],
    pub options: Options,
    pub code: &'a str,
    /// Words that the message must have.
    pub mentions: &'a [&'a str],
}

impl Default for Row<'_> {
    fn default() -> Self {
        Row {
            what: "",
            routes: &Route::ALL,
            model: "",
            inputs: &[],
            options: Options::new(),
            code: "invalid_input",
            mentions: &[],
        }
    }
}

/// A request that the model takes.
#[derive(Clone, Debug)]
pub struct Example {
    pub model: String,
    pub inputs: Vec<Tensor>,
}

impl Example {
    /// Zeros of the shapes that the model says it takes, with 1 wherever any size will do.
    pub fn of(model: &ModelStatus) -> Example {
        let inputs = model.inputs.iter().map(|input| {
            let shape: Vec<i64> = input.shape.iter().map(|size| if *size < 1 { 1 } else { *size }).collect();
            let elements = shape.iter().map(|size| size.unsigned_abs()).product::<u64>();
            let len = usize::try_from(elements).unwrap_or(0) * element_size(&input.datatype);
            Tensor::new(&input.name, &input.datatype, &shape, vec![0; len])
        });
        Example { model: model.name.clone(), inputs: inputs.collect() }
    }

    /// The example of the stack's model of this name.
    pub async fn from(stack: &Stack, model: &str) -> Result<Example> {
        let status = stack.status().await?;
        let found = status.models.iter().find(|known| known.name == model);
        Ok(Example::of(found.with_context(|| format!("the daemon has no model {model}"))?))
    }

    /// The same with one thing changed.
    pub fn with(&self, change: impl FnOnce(&mut Vec<Tensor>)) -> Vec<Tensor> {
        let mut inputs = self.inputs.clone();
        change(&mut inputs);
        inputs
    }
}

fn element_size(datatype: &str) -> usize {
    match datatype {
        "FP64" | "INT64" | "UINT64" => 8,
        "FP16" | "BF16" | "INT16" | "UINT16" => 2,
        "BOOL" | "INT8" | "UINT8" => 1,
        _ => 4,
    }
}

/// A JSON body with tensors.
pub fn tensor_body(inputs: &[Tensor], options: &Options) -> Result<Value> {
    let mut body = body_of(options);
    let inputs = inputs.iter().map(Tensor::to_json).collect::<Result<Vec<_>>>()?;
    body["inputs"] = inputs.into();
    Ok(body)
}

fn encoded_body(kind: &str, payload: &[u8], options: &Options) -> Value {
    let mut body = body_of(options);
    if kind.starts_with("text/") {
        body["text"] = String::from_utf8_lossy(payload).into();
    } else {
        body["image"] = STANDARD.encode(payload).into();
    }
    body
}

/// A JSON body without an input; in a body the caller's own id is called `id`.
pub fn body_of(options: &Options) -> Value {
    let mut body = json!(options);
    if let Some(id) = body.as_object_mut().and_then(|body| body.remove("request_id")) {
        body["id"] = id;
    }
    body
}

/// Options as MQTT 5 has them: texts.
pub fn properties(options: &Options) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    options.iter().map(|(key, value)| (key.clone(), text(value))).collect()
}
