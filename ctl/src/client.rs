//! The connection to the daemon: connect, call with a time limit, check the interface, name what went wrong.
//!
//! Knows the bus and its errors; knows no verb and prints nothing.

mod routing;
mod unit;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use edge_wire::dto::{CacheEntry, Info, Status, Trace};
use edge_wire::error::{ErrorCode, Refused};
use edge_wire::governor::GovernorReport;
use edge_wire::history::HistoryEntry;
use edge_wire::names;
use edge_wire::plan::Plan;
pub use edge_wire::proxy::Options;
use edge_wire::proxy::{InferenceProxy, JobProxy, ManagerProxy, ModelProxy, ModelsProxy, TelemetryProxy};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zbus::message::Message;
use zbus::proxy::CacheProperties;
use zbus::{Connection, DynamicType, OwnedVariant, Variant, connection, fdo};

use crate::cli::Bus;
use crate::failure::Failure;
use crate::render::units;

/// Time limit of calls that only look.
pub const CALL_LIMIT: Duration = Duration::from_secs(30);
/// Time limit of changes: an administrator may have to be asked for a password first.
pub const CHANGE_LIMIT: Duration = Duration::from_secs(120);
/// The oldest interface version that this command can talk to. Later ones only add.
const OLDEST_INTERFACE: u32 = 1;

/// A connection to the bus on which the daemon is, or should be.
#[derive(Debug)]
pub struct Client {
    connection: Connection,
    bus: Bus,
    limit: Option<Duration>,
}

/// Who owns the daemon's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    pub pid: u32,
    pub uid: u32,
}

/// A change of the daemon's state that takes no arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Drain,
    Resume,
    Reload,
}

/// What is to be inferred.
#[derive(Debug)]
pub struct Request<'a> {
    pub model: &'a str,
    pub content_type: &'a str,
    pub payload: OwnedFd,
    pub options: Options<'a>,
}

/// A result and what came with it.
#[derive(Debug)]
pub struct Inferred {
    /// The task's document.
    pub result: Value,
    pub info: Info,
}

impl Client {
    /// Connects to the bus. Whether the daemon is on it shows at the first call. `limit` replaces every time limit.
    pub async fn connect(bus: Bus, limit: Option<Duration>) -> Result<Client, Failure> {
        let builder = match bus {
            Bus::System => connection::Builder::system(),
            Bus::Session => connection::Builder::session(),
        };
        let patience = limit.unwrap_or(CALL_LIMIT);
        match tokio::time::timeout(patience, builder.build()).await {
            Ok(Ok(connection)) => Ok(Client { connection, bus, limit }),
            Ok(Err(error)) => Err(no_bus(bus, &error.to_string())),
            Err(_) => Err(no_bus(bus, &format!("no answer within {}", units::duration(patience)))),
        }
    }

    /// Another connection to the same bus, on which the daemon sees a caller of its own.
    pub async fn another(&self) -> Result<Client, Failure> {
        Client::connect(self.bus, self.limit).await
    }

    /// Which bus this is.
    pub fn bus(&self) -> Bus {
        self.bus
    }

    /// The time limit of the command line, if it names one.
    pub fn limit(&self) -> Option<Duration> {
        self.limit
    }

    /// Who owns the daemon's name; `None` if nobody does.
    pub async fn owner(&self) -> Result<Option<Owner>, Failure> {
        let ask = async {
            let bus = fdo::DBusProxy::new(&self.connection).await?;
            let name = zbus::names::BusName::from_static_str(names::BUS_NAME)?;
            let pid = bus.get_connection_unix_process_id(name.clone()).await?;
            Ok(Owner { pid, uid: bus.get_connection_unix_user(name).await? })
        };
        match self.within(CALL_LIMIT, ask).await? {
            Ok(owner) => Ok(Some(owner)),
            Err(fdo::Error::NameHasNoOwner(_)) => Ok(None),
            Err(error) => Err(self.bus_said(error)),
        }
    }

    /// The name that the bus gave the connection of the daemon, another one after each start; `None` if there is none.
    pub async fn connection_of_daemon(&self) -> Result<Option<String>, Failure> {
        let ask = async {
            let bus = fdo::DBusProxy::new(&self.connection).await?;
            bus.get_name_owner(zbus::names::BusName::from_static_str(names::BUS_NAME)?).await
        };
        match self.within(CALL_LIMIT, ask).await? {
            Ok(owner) => Ok(Some(owner.to_string())),
            Err(fdo::Error::NameHasNoOwner(_)) => Ok(None),
            Err(error) => Err(self.bus_said(error)),
        }
    }

    /// The whole state, from a daemon whose interface is known to this command.
    pub async fn status(&self) -> Result<Status, Failure> {
        parse(&self.described().await?, "Describe")
    }

    /// The same as the daemon wrote it.
    async fn described(&self) -> Result<String, Failure> {
        let text = self.call(CALL_LIMIT, async { self.manager().await?.describe().await }).await?;
        let Seen { interface, version } = parse(&text, "Describe")?;
        if interface < OLDEST_INTERFACE {
            return Err(Failure::Mismatch {
                what: format!("edged {version} speaks interface {interface}; this edgectl needs {OLDEST_INTERFACE}"),
            });
        }
        Ok(text)
    }

    /// What happened to one request.
    pub async fn trace(&self, request_id: &str) -> Result<Trace, Failure> {
        let text = self.call(CALL_LIMIT, async { self.manager().await?.trace(request_id).await }).await?;
        parse(&text, "Trace")
    }

    /// Changes the daemon's state.
    pub async fn change(&self, change: Change) -> Result<(), Failure> {
        let ask = async {
            let manager = self.manager().await?;
            match change {
                Change::Drain => manager.drain().await,
                Change::Resume => manager.resume().await,
                Change::Reload => manager.reload().await,
            }
        };
        self.call(CHANGE_LIMIT, ask).await
    }

    /// What the governor has learnt, with its history.
    pub async fn governor(&self) -> Result<GovernorReport, Failure> {
        let ask = async {
            let builder = TelemetryProxy::builder(&self.connection).cache_properties(CacheProperties::No);
            builder.build().await?.governor(&Options::new()).await
        };
        parse(&self.call(CALL_LIMIT, ask).await?, "Governor")
    }

    /// Reserves the device until what this gives is closed.
    pub async fn hold(&self, why: &str) -> Result<OwnedFd, Failure> {
        let held = self.call(CHANGE_LIMIT, async { self.manager().await?.hold(why).await }).await?;
        Ok(held.into())
    }

    /// Has a model loaded; what comes of it is in the status.
    pub async fn load(&self, name: &str, version: &str) -> Result<(), Failure> {
        self.call(CHANGE_LIMIT, async { self.model(name, version).await?.load(&Options::new()).await }).await
    }

    /// Unloads a model.
    pub async fn unload(&self, name: &str, version: &str) -> Result<(), Failure> {
        self.call(CHANGE_LIMIT, async { self.model(name, version).await?.unload(&Options::new()).await }).await
    }

    /// Has a model measured; the number of the job.
    pub async fn tune(&self, name: &str, version: &str) -> Result<u64, Failure> {
        let ask = async { self.model(name, version).await?.tune(&Options::new()).await };
        number(&self.call(CHANGE_LIMIT, ask).await?)
    }

    /// Has a bundle put into the store; the number of the job.
    pub async fn install(&self, bundle: OwnedFd, options: &Options<'_>) -> Result<u64, Failure> {
        let ask = async { self.models().await?.install(zbus::OwnedFd::from(bundle).into(), options).await };
        number(&self.call(CHANGE_LIMIT, ask).await?)
    }

    /// Has a bundle fetched and put into the store; the number of the job.
    pub async fn pull(&self, url: &str, options: &Options<'_>) -> Result<u64, Failure> {
        number(&self.call(CHANGE_LIMIT, async { self.models().await?.pull(url, options).await }).await?)
    }

    /// Has a version made the active one; the number of the job.
    pub async fn activate(&self, name: &str, version: &str, options: &Options<'_>) -> Result<u64, Failure> {
        number(&self.call(CHANGE_LIMIT, async { self.model(name, version).await?.activate(options).await }).await?)
    }

    /// Has the version before taken back; the number of the job.
    pub async fn rollback(&self, name: &str, version: &str) -> Result<u64, Failure> {
        let ask = async { self.model(name, version).await?.rollback(&Options::new()).await };
        number(&self.call(CHANGE_LIMIT, ask).await?)
    }

    /// Removes a version; with `force` also the active one, where there is no other.
    pub async fn remove(&self, name: &str, version: &str, force: bool) -> Result<(), Failure> {
        let mut options = Options::new();
        if force {
            options.insert("force", true.into());
        }
        self.call(CHANGE_LIMIT, async { self.model(name, version).await?.remove(&options).await }).await
    }

    /// Has the lists of what the box is to have read anew; the number of the look.
    pub async fn sync(&self) -> Result<u64, Failure> {
        self.call(CHANGE_LIMIT, async { self.models().await?.sync(&Options::new()).await }).await
    }

    /// Who did what with models.
    pub async fn history(&self) -> Result<Vec<HistoryEntry>, Failure> {
        let text = self.call(CALL_LIMIT, async { self.models().await?.history().await }).await?;
        parse(&text, "History")
    }

    /// What was measured of a model.
    pub async fn plan(&self, name: &str, version: &str) -> Result<Plan, Failure> {
        let text = self.call(CALL_LIMIT, async { self.model(name, version).await?.plan().await }).await?;
        parse(&text, "Plan")
    }

    async fn model(&self, name: &str, version: &str) -> zbus::Result<ModelProxy<'_>> {
        let model = ModelProxy::builder(&self.connection).path(names::model_path(name, version));
        model.cache_properties(CacheProperties::No).build().await
    }

    /// What providers compiled.
    pub async fn cache(&self) -> Result<Vec<CacheEntry>, Failure> {
        let text = self.call(CALL_LIMIT, async { self.models().await?.cache().await }).await?;
        parse(&text, "Cache")
    }

    /// Clears what is kept of a model, or all; how many entries, and their bytes.
    pub async fn clear_cache(&self, model: Option<&str>) -> Result<(u32, u64), Failure> {
        let options = model.map(|model| ("model", Variant::from(model))).into_iter().collect();
        self.call(CHANGE_LIMIT, async { self.models().await?.clear_cache(&options).await }).await
    }

    /// Has what is kept of these models, or of all, written into a file; the number of the job.
    pub async fn export_cache(&self, models: &[&str], to: OwnedFd) -> Result<u64, Failure> {
        let to = zbus::OwnedFd::from(to);
        let ask = async { self.models().await?.export_cache(models, to.into(), &Options::new()).await };
        number(&self.call(CHANGE_LIMIT, ask).await?)
    }

    /// Has what another box exported taken over; the number of the job.
    pub async fn import_cache(&self, from: OwnedFd) -> Result<u64, Failure> {
        let from = zbus::OwnedFd::from(from);
        let ask = async { self.models().await?.import_cache(from.into(), &Options::new()).await };
        number(&self.call(CHANGE_LIMIT, ask).await?)
    }

    async fn models(&self) -> zbus::Result<ModelsProxy<'static>> {
        ModelsProxy::builder(&self.connection).cache_properties(CacheProperties::No).build().await
    }

    /// Gives up a job.
    pub async fn cancel_job(&self, id: u64) -> Result<(), Failure> {
        let ask = async {
            let job = JobProxy::builder(&self.connection).path(names::job_path(id));
            job.cache_properties(CacheProperties::No).build().await?.cancel(&Options::new()).await
        };
        self.call(CHANGE_LIMIT, ask).await
    }

    /// Runs a model on an encoded payload, waiting at most `limit` unless the command line says otherwise.
    pub async fn infer(&self, request: Request<'_>, limit: Duration) -> Result<Inferred, Failure> {
        let Request { model, content_type, payload, options } = request;
        let ask = async {
            let builder = InferenceProxy::builder(&self.connection).cache_properties(CacheProperties::No);
            builder.build().await?.infer_encoded(model, content_type, payload.into(), &options).await
        };
        let (text, info) = self.call(limit, ask).await?;
        Ok(Inferred { result: parse(&text, "InferEncoded")?, info: info.into_inner() })
    }

    /// Calls a method of the interface for inference, for those who send the same request many times: nothing of the answer
    /// is read yet.
    pub async fn inference<B>(&self, method: &str, body: &B, limit: Duration) -> Result<Message, Failure>
    where
        B: Serialize + DynamicType,
    {
        self.call(limit, self.ask(method, body)).await
    }

    /// A private connection to the daemon, which sees there a caller of its own; `None` if it knows of no such connections.
    pub async fn private(&self) -> Result<Option<Client>, Failure> {
        let reply = match self.within(CALL_LIMIT, self.ask("Connect", &(Options::new(),))).await? {
            Err(zbus::Error::FDO(error)) if matches!(*error, fdo::Error::UnknownMethod(_)) => return Ok(None),
            reply => reply.map_err(|error| self.failure(error))?,
        };
        let socket: zbus::OwnedFd = reply.body().deserialize().map_err(|error| self.failure(error))?;
        let builder = connection::Builder::unix_stream(UnixStream::from(OwnedFd::from(socket))).p2p();
        let connection = self.call(CALL_LIMIT, builder.build()).await?;
        Ok(Some(Client { connection, bus: self.bus, limit: self.limit }))
    }

    async fn ask<B>(&self, method: &str, body: &B) -> zbus::Result<Message>
    where
        B: Serialize + DynamicType,
    {
        // A private connection has one peer and no names.
        let name = self.connection.is_bus().then_some(names::BUS_NAME);
        self.connection.call_method(name, names::ROOT_PATH, Some(names::INFERENCE), method, body).await
    }

    /// Whether the kernel's clock is disciplined, as told by systemd-timedated; `None` if it cannot be asked.
    pub async fn clock_synchronised(&self) -> Option<bool> {
        let ask = async {
            let name = "org.freedesktop.timedate1";
            let clock = zbus::Proxy::new(&self.connection, name, "/org/freedesktop/timedate1", name).await?;
            clock.get_property::<OwnedVariant>("NTPSynchronized").await
        };
        let value = tokio::time::timeout(Duration::from_secs(2), ask).await.ok()?.ok()?;
        bool::try_from(value).ok()
    }

    /// Whether the bus passes on what this caller asks of inference; `None` if that cannot be told. Asks for a method that is
    /// none: the bus decides by the interface, the daemon knows no such method, and nothing is inferred.
    pub async fn may_infer(&self) -> Option<bool> {
        let ask = self.connection.call_method(
            Some(names::BUS_NAME),
            names::ROOT_PATH,
            Some(names::INFERENCE),
            "MayInfer",
            &(),
        );
        match tokio::time::timeout(Duration::from_secs(2), ask).await.ok()? {
            Err(zbus::Error::MethodError(name, ..)) => match name.as_str() {
                "org.freedesktop.DBus.Error.AccessDenied" => Some(false),
                "org.freedesktop.DBus.Error.UnknownMethod" => Some(true),
                _ => None,
            },
            _ => None,
        }
    }

    async fn manager(&self) -> zbus::Result<ManagerProxy<'static>> {
        ManagerProxy::builder(&self.connection).cache_properties(CacheProperties::No).build().await
    }

    async fn call<T>(&self, limit: Duration, work: impl Future<Output = zbus::Result<T>>) -> Result<T, Failure> {
        self.within(limit, work).await?.map_err(|error| self.failure(error))
    }

    async fn within<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Result<T, Failure> {
        let limit = self.limit.unwrap_or(limit);
        tokio::time::timeout(limit, work).await.map_err(|_| {
            Failure::unreachable(
                format!("edged did not answer within {}", units::duration(limit)),
                "is it busy or stopped? `systemctl status edged`; a longer --timeout waits longer",
            )
        })
    }

    fn failure(&self, error: zbus::Error) -> Failure {
        if let Some(refused) = Refused::from_dbus(&error) {
            return Failure::Refused { refused, info: None };
        }
        match error {
            zbus::Error::MethodError(name, text, _) => Failure::Mismatch {
                what: format!("edged answered with an error of unknown kind: {name}: {}", text.unwrap_or_default()),
            },
            zbus::Error::FDO(error) => self.bus_said(*error),
            other => self.lost(&other.to_string()),
        }
    }

    fn bus_said(&self, error: fdo::Error) -> Failure {
        match error {
            fdo::Error::ServiceUnknown(_) | fdo::Error::NameHasNoOwner(_) => absent(self.bus),
            fdo::Error::AccessDenied(text) | fdo::Error::AuthFailed(text) => {
                Failure::Forbidden { what: format!("the bus does not let you do this: {text}") }
            }
            fdo::Error::InteractiveAuthorizationRequired(text) => {
                Failure::Forbidden { what: format!("this needs an administrator: {text}") }
            }
            fdo::Error::UnknownMethod(text) | fdo::Error::UnknownInterface(text) | fdo::Error::UnknownObject(text) => {
                Failure::Mismatch { what: format!("this edged does not know what was asked: {text}") }
            }
            fdo::Error::NoReply(text) => self.lost(&format!("it went away before it answered: {text}")),
            fdo::Error::InvalidArgs(text) => Failure::refused(ErrorCode::InvalidInput, text),
            other => self.lost(&other.to_string()),
        }
    }

    fn lost(&self, why: &str) -> Failure {
        Failure::unreachable(format!("talk to edged on the {} bus: {why}", self.bus.as_str()), REMEDY)
    }
}

const REMEDY: &str = "`systemctl status edged`, `journalctl -u edged -b`, `edgectl config check`";

/// Nobody owns the daemon's name.
pub fn absent(bus: Bus) -> Failure {
    let remedy = match bus {
        Bus::System => REMEDY,
        Bus::Session => "start one with `edged --session`, or ask the system bus with --bus system",
    };
    Failure::unreachable(format!("edged is not on the {} bus: nobody owns {}", bus.as_str(), names::BUS_NAME), remedy)
}

fn no_bus(bus: Bus, why: &str) -> Failure {
    let remedy = match bus {
        Bus::System => "`systemctl status dbus`; for a daemon of your own set EDGED_BUS=session",
        Bus::Session => "set DBUS_SESSION_BUS_ADDRESS (`. .run/env` after `make up`), or use --bus system",
    };
    Failure::unreachable(format!("connect to the {} bus: {why}", bus.as_str()), remedy)
}

/// What has to be known before the rest is read.
#[derive(Deserialize)]
struct Seen {
    #[serde(default)]
    interface: u32,
    #[serde(default)]
    version: String,
}

fn parse<T: for<'a> Deserialize<'a>>(text: &str, method: &str) -> Result<T, Failure> {
    serde_json::from_str(text)
        .map_err(|error| Failure::Mismatch { what: format!("read the answer of {method}: {error}") })
}

/// The number of a job, from its object's path.
fn number(path: &zbus::OwnedObjectPath) -> Result<u64, Failure> {
    let number = path.as_str().rsplit('/').next().and_then(|number| number.parse().ok());
    number.ok_or_else(|| Failure::Mismatch { what: format!("the job has no number in its path: {path}") })
}
