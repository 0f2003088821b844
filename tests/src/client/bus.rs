//! A client on D-Bus: on the bus, or at the other end of the private connection that `Connect` gives.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result, bail};
use edge_wire::dto::{Status, Trace};
use edge_wire::error::ErrorCode;
use edge_wire::names::{BUS_NAME, INFERENCE, MANAGER, ROOT_PATH};
use serde::Serialize;
use serde_bytes::{ByteBuf, Bytes};
use serde_json::{Map, Value};
use zbus::message::Message;
use zbus::{Connection, DynamicType, Fd, OwnedVariant, Variant};

use crate::answer::{No, Options, Outcome, Tensor, Yes};
use crate::memfd;

/// A tensor that is in a descriptor.
#[derive(Clone, Copy, Debug)]
pub struct TensorFd<'a> {
    pub name: &'a str,
    pub datatype: &'a str,
    pub shape: &'a [u64],
    pub fd: BorrowedFd<'a>,
    pub offset: u64,
    pub len: u64,
}

/// One connection.
#[derive(Clone, Debug)]
pub struct BusClient {
    pub connection: Connection,
    destination: Option<&'static str>,
}

impl BusClient {
    /// A connection of its own to the bus at `address`.
    pub async fn on_bus(address: &str) -> Result<BusClient> {
        Ok(BusClient { connection: crate::bus::connect(address).await?, destination: Some(BUS_NAME) })
    }

    /// A private connection to the daemon, handed out by `Connect` of this one.
    pub async fn peer(&self) -> Result<BusClient> {
        let stream = self.peer_stream().await?;
        let connection =
            zbus::connection::Builder::unix_stream(stream).p2p().build().await.context("peer connection")?;
        Ok(BusClient { connection, destination: None })
    }

    /// The bare socket of such a connection.
    pub async fn peer_stream(&self) -> Result<std::os::unix::net::UnixStream> {
        let reply = self.call(INFERENCE, "Connect", &(HashMap::<&str, Variant<'_>>::new(),)).await?;
        let reply = reply.map_err(|no| anyhow::anyhow!("Connect: {}: {}", no.code, no.message))?;
        let fd: zbus::OwnedFd = reply.body().deserialize()?;
        Ok(std::os::unix::net::UnixStream::from(OwnedFd::from(fd)))
    }

    /// Calls any method of the root object. The inner error is the daemon's "no".
    pub async fn call<B>(&self, interface: &str, method: &str, body: &B) -> Result<Result<Message, No>>
    where
        B: Serialize + DynamicType,
    {
        self.call_at(ROOT_PATH, interface, method, body).await
    }

    /// Calls any method of any object. The inner error is the daemon's "no".
    pub async fn call_at<B>(&self, path: &str, interface: &str, method: &str, body: &B) -> Result<Result<Message, No>>
    where
        B: Serialize + DynamicType,
    {
        match self.connection.call_method(self.destination, path, Some(interface), method, body).await {
            Ok(reply) => Ok(Ok(reply)),
            Err(zbus::Error::MethodError(name, message, _)) => match ErrorCode::from_dbus_name(name.as_str()) {
                Some(code) => Ok(Err(No { code: code.as_str().into(), message: message.unwrap_or_default() })),
                None => bail!("{method}: an error outside the contract: {name}: {message:?}"),
            },
            Err(fault) => Err(fault).context(method.to_owned()),
        }
    }

    /// `Infer`: tensors inside the message.
    pub async fn infer(&self, model: &str, inputs: &[Tensor], options: &Options) -> Result<Outcome> {
        let shapes = shapes(inputs);
        let inputs: Vec<_> = inputs
            .iter()
            .zip(&shapes)
            .map(|(tensor, shape)| (tensor.name.as_str(), tensor.datatype.as_str(), shape, Bytes::new(&tensor.data)))
            .collect();
        let reply = self.call(INFERENCE, "Infer", &(model, inputs, variants(options)?)).await?;
        reply.map_or_else(|no| Ok(Err(no)), |reply| inline_outputs(&reply).map(Ok))
    }

    /// `InferFd` with one sealed memfd for each tensor.
    pub async fn infer_sealed(&self, model: &str, inputs: &[Tensor], options: &Options) -> Result<Outcome> {
        let fds = inputs.iter().map(|tensor| memfd::sealed(&tensor.data)).collect::<Result<Vec<_>>>()?;
        let shapes = shapes(inputs);
        let inputs: Vec<_> = inputs
            .iter()
            .zip(&fds)
            .zip(&shapes)
            .map(|((tensor, fd), shape)| TensorFd {
                name: &tensor.name,
                datatype: &tensor.datatype,
                shape,
                fd: fd.as_fd(),
                offset: 0,
                len: tensor.data.len() as u64,
            })
            .collect();
        self.infer_fd(model, &inputs, options).await
    }

    /// `InferFd` with descriptors of any kind.
    pub async fn infer_fd(&self, model: &str, inputs: &[TensorFd<'_>], options: &Options) -> Result<Outcome> {
        let inputs: Vec<_> = inputs
            .iter()
            .map(|tensor| {
                let place = (Fd::from(tensor.fd), tensor.offset, tensor.len);
                (tensor.name, tensor.datatype, tensor.shape, place.0, place.1, place.2)
            })
            .collect();
        let reply = self.call(INFERENCE, "InferFd", &(model, inputs, variants(options)?)).await?;
        reply.map_or_else(|no| Ok(Err(no)), |reply| fd_outputs(&reply).map(Ok))
    }

    /// `InferEncoded` with a sealed memfd.
    pub async fn infer_bytes(&self, model: &str, kind: &str, payload: &[u8], options: &Options) -> Result<Outcome> {
        let fd = memfd::sealed(payload)?;
        self.infer_encoded(model, kind, fd.as_fd(), options).await
    }

    /// `InferEncoded` with any descriptor.
    pub async fn infer_encoded(
        &self,
        model: &str,
        kind: &str,
        fd: BorrowedFd<'_>,
        options: &Options,
    ) -> Result<Outcome> {
        let reply = self.call(INFERENCE, "InferEncoded", &(model, kind, Fd::from(fd), variants(options)?)).await?;
        let Ok(reply) = reply else { return Ok(reply.map(|_| Yes::default())) };
        let body = reply.body();
        let (document, info): (String, HashMap<String, OwnedVariant>) = body.deserialize()?;
        Ok(Ok(Yes { outputs: Vec::new(), document: serde_json::from_str(&document)?, info: json_of_dict(&info)? }))
    }

    /// `Submit`; the answer is the path of the request's object.
    pub async fn submit(
        &self,
        model: &str,
        kind: &str,
        payload: &[u8],
        options: &Options,
    ) -> Result<Result<String, No>> {
        let fd = memfd::sealed(payload)?;
        let reply = self.call(INFERENCE, "Submit", &(model, kind, Fd::from(fd.as_fd()), variants(options)?)).await?;
        let Ok(reply) = reply else { return Ok(reply.map(|_| String::new())) };
        let path: zbus::OwnedObjectPath = reply.body().deserialize()?;
        Ok(Ok(path.to_string()))
    }

    /// `Cancel`.
    pub async fn cancel(&self, request_id: &str) -> Result<Result<(), No>> {
        Ok(self.call(INFERENCE, "Cancel", &(request_id,)).await?.map(drop))
    }

    /// The daemon's state.
    pub async fn status(&self) -> Result<Status> {
        crate::stack::describe(&self.connection).await
    }

    /// What happened to a request.
    pub async fn trace(&self, request_id: &str) -> Result<Trace> {
        let reply = self.call(MANAGER, "Trace", &(request_id,)).await?;
        let reply = reply.map_err(|no| anyhow::anyhow!("Trace: {}: {}", no.code, no.message))?;
        let text: String = reply.body().deserialize()?;
        serde_json::from_str(&text).with_context(|| format!("the trace: {text}"))
    }
}

/// Shapes as the bus has them: unsigned. A negative dimension becomes a huge one, the nearest that can be said there.
fn shapes(inputs: &[Tensor]) -> Vec<Vec<u64>> {
    inputs.iter().map(|tensor| tensor.shape.iter().map(|size| size.cast_unsigned()).collect()).collect()
}

fn inline_outputs(reply: &Message) -> Result<Yes> {
    let body = reply.body();
    type Row = (String, String, Vec<u64>, ByteBuf);
    let (rows, info): (Vec<Row>, HashMap<String, OwnedVariant>) = body.deserialize()?;
    let outputs = rows.into_iter().map(|(name, datatype, shape, data)| {
        Ok(Tensor { name, datatype, shape: signed(&shape)?, data: data.into_vec() })
    });
    Ok(Yes { outputs: outputs.collect::<Result<_>>()?, document: Value::Null, info: json_of_dict(&info)? })
}

fn fd_outputs(reply: &Message) -> Result<Yes> {
    let body = reply.body();
    type Row = (String, String, Vec<u64>, zbus::OwnedFd, u64, u64);
    let (rows, info): (Vec<Row>, HashMap<String, OwnedVariant>) = body.deserialize()?;
    let outputs = rows.into_iter().map(|(name, datatype, shape, fd, offset, len)| {
        let seals = rustix::fs::fcntl_get_seals(&fd).context("an output is no memfd")?;
        anyhow::ensure!(seals.contains(memfd::required_seals()), "output {name} is not sealed: {seals:?}");
        Ok(Tensor { name, datatype, shape: signed(&shape)?, data: memfd::read_part(&fd, offset, len)? })
    });
    Ok(Yes { outputs: outputs.collect::<Result<_>>()?, document: Value::Null, info: json_of_dict(&info)? })
}

fn signed(shape: &[u64]) -> Result<Vec<i64>> {
    shape.iter().map(|size| i64::try_from(*size).context("a dimension")).collect()
}

/// Options as D-Bus has them.
pub fn variants(options: &Options) -> Result<HashMap<&str, Variant<'_>>> {
    options
        .iter()
        .map(|(key, value)| {
            let variant = match value {
                Value::Bool(truth) => Variant::from(*truth),
                Value::String(text) => Variant::from(text.as_str()),
                Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                    (Some(number), _) => Variant::from(number),
                    (None, Some(number)) => Variant::from(number),
                    (None, None) => Variant::from(number.as_f64().context("a number")?),
                },
                other => bail!("no variant for {other}"),
            };
            Ok((key.as_str(), variant))
        })
        .collect()
}

/// `a{sv}` as a JSON object.
pub fn json_of_dict(dict: &HashMap<String, OwnedVariant>) -> Result<Value> {
    let mut map = Map::new();
    for (key, value) in dict {
        map.insert(key.clone(), json_of(value)?);
    }
    Ok(Value::Object(map))
}

fn json_of(value: &Variant<'_>) -> Result<Value> {
    Ok(match value {
        Variant::Bool(truth) => (*truth).into(),
        Variant::U8(number) => (*number).into(),
        Variant::I16(number) => (*number).into(),
        Variant::U16(number) => (*number).into(),
        Variant::I32(number) => (*number).into(),
        Variant::U32(number) => (*number).into(),
        Variant::I64(number) => (*number).into(),
        Variant::U64(number) => (*number).into(),
        Variant::F64(number) => (*number).into(),
        Variant::Str(text) => text.as_str().into(),
        Variant::Array(items) => Value::Array(items.iter().map(json_of).collect::<Result<_>>()?),
        other => bail!("info holds a value of a kind that no client expects: {other:?}"),
    })
}
