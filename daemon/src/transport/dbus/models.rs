//! The interfaces `Models` and `Model`: the set of models, and one object for each version of each.

use std::collections::HashMap;
use std::sync::Arc;

use edge_wire::dto::{ModelStatus, Status, TensorInfo};
use edge_wire::error::ErrorCode;
use edge_wire::names::{action, job_path, model_path};
use tokio::sync::oneshot;
use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::{ObjectPath, OwnedFd, OwnedObjectPath, Variant, interface};

use super::arguments::Given;
use super::authorize::Access;
use super::control::json;
use super::door::Door;
use super::error::{No, internal};
use crate::handle::{Activate, Message};
use crate::pull::Wish;
use crate::request::Failure;

/// The interface of the set.
#[derive(Debug)]
pub struct Models(pub Door);

#[interface(name = "org.edged.Edge1.Models")]
impl Models {
    /// The object of every model.
    #[zbus(out_args("models"))]
    async fn list(&self, #[zbus(header)] header: Header<'_>) -> Result<Vec<OwnedObjectPath>, No> {
        let _place = self.0.open(&header, Access::Read).await?;
        Ok(self.0.status().models.iter().map(path).collect::<Result<_, _>>()?)
    }

    /// Puts the bundle of a .edgemodel into the store; the descriptor is that of a file. With `activate` (default: if the box has
    /// no other version of the model) it is then made the active version, as `Activate` does; the job.
    #[zbus(out_args("job"))]
    async fn install(
        &self,
        bundle: OwnedFd,
        options: HashMap<&str, Variant<'_>>,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, No> {
        let (_place, who) = self.0.change(&header, action::INSTALL).await?;
        let (from, activate, how) = (bundle.into(), flag(&options, "activate")?, how(&options)?);
        let install = |done| Message::Install { from, activate, how, who, done };
        Ok(job_object(self.0.service.handle.ask(install).await??)?)
    }

    /// Fetches the bundle at `url`, https://HOST/PATH/NAME-VERSION.edgemodel or oci://REGISTRY/REPOSITORY:TAG, and puts it into
    /// the store; over broken links and restarts of the daemon it goes on where it was. With `activate` (default: if the box has
    /// no other version of the model) it is then made the active version, as `Activate` does; the job.
    #[zbus(out_args("job"))]
    async fn pull(
        &self,
        url: &str,
        options: HashMap<&str, Variant<'_>>,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, No> {
        let (_place, who) = self.0.change(&header, action::PULL).await?;
        let (activate, Activate { pause, force }) = (flag(&options, "activate")?, how(&options)?);
        let wish = Box::new(Wish { url: url.to_owned(), activate, pause, force, who });
        Ok(job_object(self.0.service.handle.ask(|done| Message::Pull { wish, done }).await??)?)
    }

    /// Has the lists of what this box is to have read anew, from their files and their address, and begins what they say. Returns at
    /// once with a number: they were read when `fleet.looks` of the status has reached it, and what is wrong with them is among
    /// the problems then.
    #[zbus(out_args("look"))]
    async fn sync(&self, options: Given, #[zbus(header)] header: Header<'_>) -> Result<u64, No> {
        let _unused = options;
        let (_place, _who) = self.0.change(&header, action::SYNC).await?;
        Ok(self.0.service.handle.ask(|done| Message::Sync { done }).await??)
    }

    /// Who did what with models, and when, as JSON; the oldest first.
    #[zbus(out_args("json"))]
    async fn history(&self, #[zbus(header)] header: Header<'_>) -> Result<String, No> {
        let _place = self.0.open(&header, Access::Read).await?;
        let history = self.0.service.handle.ask(|done| Message::History { done }).await?;
        let history = history.map_err(|why| Failure::new(ErrorCode::Unavailable, why))?;
        Ok(json(&history)?)
    }

    /// What execution providers compiled and is kept, as JSON: model, variant, provider, bytes, when, in use.
    #[zbus(out_args("json"))]
    async fn cache(&self, #[zbus(header)] header: Header<'_>) -> Result<String, No> {
        let _place = self.0.open(&header, Access::Read).await?;
        let entries = self.0.service.handle.ask(|done| Message::Cache { done }).await?;
        let entries = entries.map_err(|why| Failure::new(ErrorCode::Unavailable, why))?;
        Ok(json(&entries)?)
    }

    /// Writes plans and compiled engines of `models`, names or NAME:VERSION, or of all if there are none, into the file that
    /// `to` is a descriptor of, for boxes like this one; the job, whose notes say what was exported.
    #[zbus(out_args("job"))]
    async fn export_cache(
        &self,
        models: Vec<&str>,
        to: OwnedFd,
        options: Given,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, No> {
        let _unused = options;
        // Reading, but of the models themselves: whoever may not change them may not carry them off.
        let (_place, who) = self.0.change(&header, action::EXPORT_CACHE).await?;
        let (models, to) = (models.into_iter().map(str::to_owned).collect(), to.into());
        let export = |done| Message::ExportCache { models, to, who, done };
        Ok(job_object(self.0.service.handle.ask(export).await??)?)
    }

    /// Takes over the plans and compiled engines in a file that another box exported; the descriptor is that of a file. What
    /// is not for this box is refused by the name of what differs; the job, whose notes say what was taken.
    #[zbus(out_args("job"))]
    async fn import_cache(
        &self,
        from: OwnedFd,
        options: Given,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, No> {
        let _unused = options;
        let (_place, who) = self.0.change(&header, action::IMPORT_CACHE).await?;
        let from = from.into();
        Ok(job_object(self.0.service.handle.ask(|done| Message::ImportCache { from, who, done }).await??)?)
    }

    /// Removes what is kept of the model that the option `model` names, or all; not what is in use. How many, and their bytes.
    #[zbus(out_args("removed", "bytes"))]
    async fn clear_cache(
        &self,
        options: HashMap<&str, Variant<'_>>,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(u32, u64), No> {
        let _place = self.0.open(&header, Access::Change { action: action::CLEAR_CACHE, call: &header }).await?;
        let model = match options.get("model") {
            None => None,
            Some(model) => {
                Some(<&str>::try_from(model).map_err(|_| Failure::invalid("model: takes a string"))?.to_owned())
            }
        };
        let cleared = self.0.service.handle.ask(|done| Message::ClearCache { model, done }).await?;
        Ok(cleared.map_err(|why| Failure::new(ErrorCode::Unavailable, why))?)
    }
}

/// Unknown options of one call that are named in the log.
const MOST_NAMED: usize = 4;

/// The object of a job.
fn job_object(job: u64) -> Result<OwnedObjectPath, Failure> {
    let path = ObjectPath::try_from(job_path(job)).map_err(|error| internal(format!("name a job: {error}")))?;
    Ok(path.into())
}

/// An option that is yes or no; `None` if it was not given.
fn flag(options: &HashMap<&str, Variant<'_>>, name: &str) -> Result<Option<bool>, Failure> {
    let read = |value| bool::try_from(value).map_err(|_| Failure::invalid(format!("{name}: takes true or false")));
    options.get(name).map(read).transpose()
}

/// Unknown options are ignored, as everywhere; here is no answer that could name them.
fn tell_unknown(options: &HashMap<&str, Variant<'_>>, known: &[&str]) {
    for unknown in options.keys().filter(|name| !known.contains(name)).take(MOST_NAMED) {
        let name: String = unknown.chars().filter(|letter| !letter.is_control()).take(64).collect();
        tracing::warn!(option = %name, "an unknown option is ignored: takes {}", known.join(", "));
    }
}

/// How a version is activated.
fn how(options: &HashMap<&str, Variant<'_>>) -> Result<Activate, Failure> {
    tell_unknown(options, &["activate", "pause", "force"]);
    let flag = |name| flag(options, name).map(Option::unwrap_or_default);
    Ok(Activate { pause: flag("pause")?, force: flag("force")? })
}

/// The path of a model's object.
pub fn path(model: &ModelStatus) -> Result<OwnedObjectPath, Failure> {
    ObjectPath::try_from(model_path(&model.name, &model.version))
        .map(Into::into)
        .map_err(|error| internal(format!("name the object of model {}: {error}", model.name)))
}

/// The model `name`, `version` among those of a state.
pub fn find<'s>(status: &'s Status, name: &str, version: &str) -> Option<&'s ModelStatus> {
    status.models.iter().find(|model| model.name == name && model.version == version)
}

/// The interface of one version of one model.
#[derive(Debug)]
pub struct Model {
    door: Door,
    name: Arc<str>,
    version: Arc<str>,
}

impl Model {
    /// The object of `model`.
    pub fn new(door: Door, model: &ModelStatus) -> Model {
        Model { door, name: model.name.as_str().into(), version: model.version.as_str().into() }
    }

    /// A field as last published; empty once the model is gone, shortly before its object is.
    fn field<T: Default>(&self, field: impl FnOnce(&ModelStatus) -> T) -> T {
        find(&self.door.status(), &self.name, &self.version).map(field).unwrap_or_default()
    }

    async fn command(
        &self,
        call: &Header<'_>,
        action: &'static str,
        message: fn(String, oneshot::Sender<Result<(), Failure>>) -> Message,
    ) -> Result<(), No> {
        let _place = self.door.open(call, Access::Change { action, call }).await?;
        let model = format!("{}:{}", self.name, self.version);
        Ok(self.door.service.handle.ask(|done| message(model, done)).await??)
    }
}

macro_rules! announce {
    ($self:ident, $old:ident, $new:ident, $emitter:ident: $($field:ident => $changed:ident,)*) => {
        $(if $old.$field != $new.$field {
            $self.$changed($emitter).await?;
        })*
    };
}

impl Model {
    /// Signals what changed between two states of the model.
    pub async fn announce(
        &self,
        old: &ModelStatus,
        new: &ModelStatus,
        emitter: &SignalEmitter<'_>,
    ) -> zbus::Result<()> {
        announce!(self, old, new, emitter:
            state => state_changed,
            reason => reason_changed,
            variant => variant_changed,
            providers => providers_changed,
            inputs => inputs_changed,
            outputs => outputs_changed,
            content_types => content_types_changed,
            instances => instances_changed,
            max_batch => max_batch_changed,
            default_deadline_ms => default_deadline_ms_changed,
            goldens_passed => goldens_passed_changed,
            load_ms => load_ms_changed,
            active => active_changed,
            probation => probation_changed,
            bad => bad_changed,
        );
        Ok(())
    }
}

fn tensors(tensors: &[TensorInfo]) -> Vec<(String, String, Vec<i64>)> {
    tensors.iter().map(|tensor| (tensor.name.clone(), tensor.datatype.clone(), tensor.shape.clone())).collect()
}

#[interface(name = "org.edged.Edge1.Model")]
impl Model {
    /// Has it loaded, also where that failed before; returns at once, and its state and reason say what comes of it.
    async fn load(&self, options: Given, #[zbus(header)] header: Header<'_>) -> Result<(), No> {
        let _unused = options;
        self.command(&header, action::LOAD, |model, done| Message::Load { model, done }).await
    }

    /// Unloads it; what waits for it is shed.
    async fn unload(&self, options: Given, #[zbus(header)] header: Header<'_>) -> Result<(), No> {
        let _unused = options;
        self.command(&header, action::UNLOAD, |model, done| Message::Unload { model, done }).await
    }

    /// Measures it on this box, as soon as nobody asks for anything, and serves it by what comes of that; the job.
    #[zbus(out_args("job"))]
    async fn tune(&self, options: Given, #[zbus(header)] header: Header<'_>) -> Result<OwnedObjectPath, No> {
        let _unused = options;
        let _place = self.door.open(&header, Access::Change { action: action::TUNE, call: &header }).await?;
        let model = format!("{}:{}", self.name, self.version);
        Ok(job_object(self.door.service.handle.ask(|done| Message::Tune { model, done }).await??)?)
    }

    /// Makes it the active version: it is loaded beside what serves, has to give its golden answers, and then takes over
    /// between two requests. With `pause` what serves may be let go first, where there is no room for both; with `force`
    /// also a version that was taken back here before; the job.
    #[zbus(out_args("job"))]
    async fn activate(
        &self,
        options: HashMap<&str, Variant<'_>>,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, No> {
        let (_place, who) = self.door.change(&header, action::ACTIVATE).await?;
        let (model, how) = (format!("{}:{}", self.name, self.version), how(&options)?);
        let activate = |done| Message::Activate { model, how, who, done };
        Ok(job_object(self.door.service.handle.ask(activate).await??)?)
    }

    /// Takes the version back that was active before the one that is; the job.
    #[zbus(out_args("job"))]
    async fn rollback(&self, options: Given, #[zbus(header)] header: Header<'_>) -> Result<OwnedObjectPath, No> {
        let _unused = options;
        let (_place, who) = self.door.change(&header, action::ROLLBACK).await?;
        let model = String::from(&*self.name);
        Ok(job_object(self.door.service.handle.ask(|done| Message::Rollback { model, who, done }).await??)?)
    }

    /// Takes it out of the store. The active version is refused; with `force` it is not, if the box has no other version of the
    /// model: nothing answers for the model then.
    async fn remove(&self, options: HashMap<&str, Variant<'_>>, #[zbus(header)] header: Header<'_>) -> Result<(), No> {
        let (_place, who) = self.door.change(&header, action::REMOVE).await?;
        tell_unknown(&options, &["force"]);
        let (model, force) = (format!("{}:{}", self.name, self.version), flag(&options, "force")?.unwrap_or_default());
        Ok(self.door.service.handle.ask(|done| Message::Remove { model, force, who, done }).await??)
    }

    /// What was measured of it on this box, and which way to run it was chosen, as JSON.
    #[zbus(out_args("json"))]
    async fn plan(&self, #[zbus(header)] header: Header<'_>) -> Result<String, No> {
        let _place = self.door.open(&header, Access::Read).await?;
        let model = format!("{}:{}", self.name, self.version);
        let plan = self.door.service.handle.ask(|done| Message::Plan { model, done }).await??;
        Ok(json(&*plan)?)
    }

    /// Logical name.
    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> String {
        String::from(&*self.name)
    }

    /// Semantic version.
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> String {
        String::from(&*self.version)
    }

    /// The manifest's one line about it.
    #[zbus(property(emits_changed_signal = "const"))]
    fn description(&self) -> String {
        self.field(|model| model.description.clone())
    }

    /// The bundle's task.
    #[zbus(property(emits_changed_signal = "const"))]
    fn task(&self) -> String {
        self.field(|model| model.task.clone())
    }

    /// SPDX licence expression.
    #[zbus(property(emits_changed_signal = "const"))]
    fn licence(&self) -> String {
        self.field(|model| model.licence.clone())
    }

    /// Where the bundle is.
    #[zbus(property(emits_changed_signal = "const"))]
    fn path(&self) -> String {
        self.field(|model| model.path.clone())
    }

    /// found, loading, ready, standby (let go to save memory; the next request loads it), failed or unloaded; of a pipeline also
    /// unavailable (a stage is not ready).
    #[zbus(property)]
    fn state(&self) -> String {
        self.field(|model| model.state.clone())
    }

    /// Why it failed; empty otherwise.
    #[zbus(property)]
    fn reason(&self) -> String {
        self.field(|model| model.reason.clone())
    }

    /// Variant in use.
    #[zbus(property)]
    fn variant(&self) -> String {
        self.field(|model| model.variant.clone())
    }

    /// Execution providers that really run it, with their share of the graph, the largest first.
    #[zbus(property)]
    fn providers(&self) -> Vec<(String, f64)> {
        self.field(|model| model.providers.iter().map(|provider| (provider.name.clone(), provider.share)).collect())
    }

    /// Name, datatype and shape of each input; -1 where any size of at least one is taken.
    #[zbus(property)]
    fn inputs(&self) -> Vec<(String, String, Vec<i64>)> {
        self.field(|model| tensors(&model.inputs))
    }

    /// Name, datatype and shape of each output.
    #[zbus(property)]
    fn outputs(&self) -> Vec<(String, String, Vec<i64>)> {
        self.field(|model| tensors(&model.outputs))
    }

    /// Encoded payloads that it takes.
    #[zbus(property)]
    fn content_types(&self) -> Vec<String> {
        self.field(|model| model.content_types.clone())
    }

    /// Sessions that serve it.
    #[zbus(property)]
    fn instances(&self) -> u32 {
        self.field(|model| model.instances)
    }

    /// Largest batch.
    #[zbus(property)]
    fn max_batch(&self) -> u32 {
        self.field(|model| model.max_batch)
    }

    /// Deadline of requests that name none, in milliseconds.
    #[zbus(property)]
    fn default_deadline_ms(&self) -> u64 {
        self.field(|model| model.default_deadline_ms)
    }

    /// Golden inputs that gave their expected answer at load.
    #[zbus(property)]
    fn goldens_passed(&self) -> u32 {
        self.field(|model| model.goldens_passed)
    }

    /// Time to load, in milliseconds.
    #[zbus(property)]
    fn load_ms(&self) -> u32 {
        self.field(|model| model.load_ms)
    }

    /// Requests that name no version are given to this one.
    #[zbus(property)]
    fn active(&self) -> bool {
        self.field(|model| model.active)
    }

    /// How far its probation is; empty if it is on none.
    #[zbus(property)]
    fn probation(&self) -> String {
        self.field(|model| model.probation.clone())
    }

    /// Why it was taken back on this box; empty if it was not.
    #[zbus(property)]
    fn bad(&self) -> String {
        self.field(|model| model.bad.clone())
    }

    /// When its bundle was put there, RFC 3339.
    #[zbus(property(emits_changed_signal = "const"))]
    fn installed_at(&self) -> String {
        self.field(|model| model.installed_at.clone())
    }

    /// Number of the key that signed its bundle; empty if nobody did.
    #[zbus(property(emits_changed_signal = "const"))]
    fn signed_by(&self) -> String {
        self.field(|model| model.signed_by.clone())
    }

    /// Learnt service time of one request, in microseconds; 0 if it has not run.
    #[zbus(property(emits_changed_signal = "false"))]
    fn service_us(&self) -> u64 {
        self.field(|model| model.service_us)
    }

    /// Requests that wait for it.
    #[zbus(property(emits_changed_signal = "false"))]
    fn waiting(&self) -> u32 {
        self.field(|model| model.waiting)
    }

    /// Requests done since start.
    #[zbus(property(emits_changed_signal = "false"))]
    fn done(&self) -> u64 {
        self.field(|model| model.done)
    }
}
