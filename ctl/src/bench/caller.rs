//! One client of a run: a connection of its own, over which the same request goes again and again.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use edge_wire::tensor::FdTensor;
use serde::de::DeserializeOwned;
use zbus::message::Message;
use zbus::{DynamicType, Fd, OwnedVariant, Type};

use super::input::{Body, Part, Work};
use crate::cli::Over;
use crate::client::{Client, Options};
use crate::failure::Failure;

/// What is the same in every request of a run.
#[derive(Debug)]
pub struct Asking {
    pub model: String,
    pub options: Options<'static>,
    /// How long an answer is waited for.
    pub limit: Duration,
}

/// One client.
#[derive(Debug)]
pub struct Caller {
    client: Client,
    asking: Arc<Asking>,
}

/// What an answer told beside its outputs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    pub version: String,
    pub variant: String,
    pub provider: String,
    /// The other site that answered; empty if this box did.
    pub site: String,
    pub warnings: Vec<String>,
    pub queue_us: u64,
    pub compute_us: u64,
    /// What it took; `None` from a daemon that does not know.
    pub energy_mj: Option<f64>,
}

/// Connects `count` clients: over private connections if the daemon offers them, unless it is said how.
pub async fn connect(
    client: &Client,
    over: Option<Over>,
    count: usize,
    asking: Asking,
) -> Result<(Vec<Arc<Caller>>, Over), Failure> {
    let asking = Arc::new(asking);
    let mut callers = Vec::with_capacity(count);
    let mut over_bus = over == Some(Over::Bus);
    while callers.len() < count {
        let private = if over_bus { None } else { client.private().await? };
        if private.is_none() && over == Some(Over::Private) {
            let what = "this edged offers no private connections; --over bus does without them".into();
            return Err(Failure::Mismatch { what });
        }
        over_bus = private.is_none();
        let client = match private {
            Some(client) => client,
            None => client.another().await?,
        };
        callers.push(Arc::new(Caller { client, asking: Arc::clone(&asking) }));
    }
    Ok((callers, if over_bus { Over::Bus } else { Over::Private }))
}

impl Caller {
    /// Asks once. The outputs are let go unread.
    pub async fn ask(&self, work: &Work) -> Result<Told, Failure> {
        let Asking { model, options, limit } = &*self.asking;
        match &work.body {
            Body::Encoded { content_type, fd } => {
                let body = (model, content_type, Fd::from(fd.as_fd()), options);
                let reply = self.client.inference("InferEncoded", &body, *limit).await?;
                read::<String>(&reply)
            }
            Body::Tensors(parts) => {
                let parts: Vec<_> = parts.iter().map(argument).collect();
                let reply = self.client.inference("InferFd", &(model, parts, options), *limit).await?;
                read::<Vec<FdTensor>>(&reply)
            }
        }
    }
}

/// `(ssathtt)`, with a descriptor that stays ours.
fn argument(part: &Part) -> (&str, &str, &[u64], Fd<'_>, u64, u64) {
    (&part.name, &part.datatype, &part.shape, Fd::from(part.fd.as_fd()), 0, part.length)
}

fn read<T: DeserializeOwned + Type>(reply: &Message) -> Result<Told, Failure>
where
    (T, HashMap<String, OwnedVariant>): DynamicType,
{
    let read: Result<(T, HashMap<String, OwnedVariant>), _> = reply.body().deserialize();
    let (_, info) = read.map_err(|error| Failure::Mismatch { what: format!("read the answer of edged: {error}") })?;
    Ok(Told::from(info))
}

impl From<HashMap<String, OwnedVariant>> for Told {
    /// A key that is missing means its empty value.
    fn from(mut info: HashMap<String, OwnedVariant>) -> Told {
        fn take<T: TryFrom<OwnedVariant>>(info: &mut HashMap<String, OwnedVariant>, key: &str) -> Option<T> {
            info.remove(key).and_then(|value| T::try_from(value).ok())
        }
        let is_away = take::<String>(&mut info, "verdict").is_some_and(|verdict| verdict == "spill");
        let site = take::<String>(&mut info, "site").filter(|_| is_away);
        Told {
            version: take(&mut info, "version").unwrap_or_default(),
            variant: take(&mut info, "variant").unwrap_or_default(),
            provider: take(&mut info, "provider").unwrap_or_default(),
            site: site.unwrap_or_default(),
            warnings: take(&mut info, "warnings").unwrap_or_default(),
            queue_us: take(&mut info, "queue_us").unwrap_or_default(),
            compute_us: take(&mut info, "compute_us").unwrap_or_default(),
            energy_mj: take(&mut info, "energy_mj"),
        }
    }
}
