//! A request comes in: its header is checked against the model it names, then the core is asked.

use std::time::Duration;

use edge_core::{Bytes, Cost, DataClass, Event, Here, ModelId, RequestId, RequestMeta, Stages, Work};
use edge_engine::protocol::LoadedModel;
use edge_wire::dto::Info;
use edge_wire::error::ErrorCode;

use super::Driver;
use super::chunks::cut;
use super::clock;
use super::counts;
use super::duplicates::{Key, Known};
use super::entry::{Entry, MAX_WAITERS};
use super::host::HostState;
use super::models::{Bundle, Kind, Life};
use super::resolve::{self, Resolved, shorten};
use super::shares::ShareKey;
use super::sites::Callers;
use super::trace::{Step, Story};
use crate::handle::{Refused, ReplySender};
use crate::request::{Blob, Failure, PASSED, Payload, Reply, Request, TensorIn};

/// What the checks found out.
pub(super) struct Checked {
    pub model: ModelId,
    pub resolved: Vec<Resolved>,
    pub cost: Cost,
    /// Rows of it that may run at once, if they may run apart from each other.
    pub most_rows: Option<u32>,
    pub bytes: u64,
    pub work: Work,
    /// Of a pipeline.
    pub stages: Option<Stages>,
    /// Whether this box may serve it.
    pub here: Here,
}

impl Driver {
    /// Takes one request; its reply comes by `reply`, at once if it is refused here.
    pub(super) fn submit(&mut self, request: Request, reply: ReplySender) {
        self.counters.arrived += 1;
        if let Some((request, reply)) = self.ask_spool(request, reply) {
            self.submit_known(request, reply);
        }
    }

    /// A request that waited on the disk is tried again, for whoever waits for it.
    pub(super) fn submit_again(&mut self, request: Request, row: i64, callers: Callers) {
        let id = RequestId(self.next_id);
        self.next_id += 1;
        let mut info = self.new_info(id, &request);
        let here = self.check(&request, &mut info);
        let checked = here.or_else(|failure| self.check_elsewhere(&request, &mut info, failure));
        let checked = checked.and_then(|mut checked| {
            if checked.here == Here::Yes {
                self.wake_for(&mut checked, kind(&request))?;
            }
            Ok(checked)
        });
        match checked {
            Ok(checked) => {
                self.accept(id, request, checked, info, false, ReplySender::Nobody);
                if let Some(entry) = self.entries.get_mut(&id) {
                    entry.taken_up(row, callers);
                }
            }
            // What is only not there yet may come back.
            Err(failure) if matches!(failure.code, ErrorCode::Unavailable | ErrorCode::Overloaded) => {
                let left = Duration::from_millis(request.options.deadline_ms.unwrap_or(0));
                self.back_to_disk(row, self.now.after(left), callers);
            }
            Err(failure) => self.answer_taken(row, Reply { result: Err(failure), info }, callers),
        }
    }

    /// What is known of a request before anything is decided.
    pub(super) fn submit_known(&mut self, request: Request, reply: ReplySender) {
        self.tuning.disturb(self.now);
        let id = RequestId(self.next_id);
        self.next_id += 1;
        let mut info = self.new_info(id, &request);
        if request.options.deadline_ms == Some(0) {
            let failure = Failure::new(ErrorCode::DeadlineExceeded, PASSED);
            return self.refuse_early(request, info, failure, reply);
        }
        let here = self.check(&request, &mut info);
        let checked = match here.or_else(|failure| self.check_elsewhere(&request, &mut info, failure)) {
            Ok(checked) => checked,
            Err(failure) => {
                // A version that was never loaded, and is asked for by its name, will be there soon.
                self.wake_named(&request);
                return self.refuse_early(request, info, failure, reply);
            }
        };
        let key = request.options.request_id.is_some().then(|| {
            let model = self.models.family(checked.model);
            Key::of(&request.caller, request.options.deferrable, &info.request_id, model)
        });
        let reply = match &key {
            Some(key) => match self.answer_duplicate(key, reply) {
                Some(reply) => reply,
                None => return,
            },
            None => reply,
        };
        let mut checked = checked;
        if checked.here == Here::Yes
            && let Err(failure) = self.wake_for(&mut checked, kind(&request))
        {
            return self.refuse_early(request, info, failure, reply);
        }
        let named = key.is_some();
        if let Some(key) = key {
            self.duplicates.open(key, id);
        }
        self.accept(id, request, checked, info, named, reply);
    }

    /// A version that rests is loaded when a request names it.
    fn wake_named(&mut self, request: &Request) {
        let Ok((name, Some(version))) = resolve::model_name(&request.model, request.options.version.as_deref()) else {
            return;
        };
        if let Some(root) = self.models.place(name, version).and_then(|at| self.models.bundle(at)).map(Bundle::root) {
            self.wake(root);
        }
    }

    /// What a request needs is loaded again if it was let go to save memory.
    fn wake_for(&mut self, checked: &mut Checked, kind: Kind) -> Result<(), Failure> {
        let stages = checked.stages;
        let needed = stages.as_ref().map_or(std::slice::from_ref(&checked.model), |stages| stages.as_slice());
        for id in needed {
            self.wake(*id);
            if let Some(why) = self.why_it_rests(*id) {
                let label = self.models.get(*id).map(super::models::Model::label).unwrap_or_default();
                let failure = Failure::new(ErrorCode::Unavailable, format!("model `{label}`: {why}"));
                return Err(Failure { retry_after_ms: Some(1000), ..failure });
            }
        }
        if stages.is_none()
            && let Some(bundle) = self.models.bundle_of(checked.model)
        {
            // Another of its setups may serve it now.
            checked.model = bundle.serves(kind);
        }
        Ok(())
    }

    pub(super) fn new_info(&self, id: RequestId, request: &Request) -> Info {
        let given = request.options.request_id.as_ref().or(request.options.made_up_id.as_ref());
        let request_id = given.map_or_else(|| format!("{}-{}", self.id_prefix, id.0), String::clone);
        Info {
            request_id,
            model: request.model.split(':').next().map(shorten).unwrap_or_default(),
            received_at: clock::rfc3339(clock::wall()),
            warnings: request.options.warnings.clone(),
            ..Info::default()
        }
    }

    pub(super) fn accept(
        &mut self,
        id: RequestId,
        request: Request,
        checked: Checked,
        info: Info,
        named: bool,
        reply: ReplySender,
    ) {
        let client = self.client(&request.caller);
        let caller = ShareKey::of(&request, &self.config.bus);
        let share = self.shares.open(&caller);
        let deadline = request.options.deadline_ms.map(|ms| self.now.after(Duration::from_millis(ms)));
        let class = super::pipeline::claim(request.options.data_class.as_deref());
        let travel = self.terms(&request, &info.model, checked.model, checked.here);
        let meta = RequestMeta {
            id,
            parent: None,
            client,
            share,
            model: checked.model,
            deadline,
            class,
            priority: request.options.priority,
            deferrable: request.options.deferrable,
            bytes: Bytes(checked.bytes),
            origin: request.caller.origin(),
            work: checked.work,
            cost: checked.cost,
            most_rows: checked.most_rows,
            deaths: request.deaths,
            terms: travel.terms,
        };
        let pinned = request.options.version.is_some() || request.model.contains(':');
        let mut story = self.story(&request, &info);
        story.steps.push((self.now, Step::Received { bytes: checked.bytes }));
        let span = tracing::debug_span!(
            "request", request = %info.request_id, model = %info.model, caller = %request.caller,
            verdict = tracing::field::Empty, reason = tracing::field::Empty
        );
        let entry = Entry {
            span,
            story,
            share: caller,
            model: self.models.bundle_of(checked.model).map_or(checked.model, Bundle::root),
            setup: checked.model,
            pinned,
            named,
            payload: request.payload,
            sent: Vec::new(),
            resolved: checked.resolved,
            want: request.want,
            topic: request.topic,
            reached: request.reached,
            reply,
            waiters: Vec::new(),
            info,
            deadline: deadline.unwrap_or_default(),
            accepted: None,
            started: None,
            compute: Duration::ZERO,
            batch: 0,
            result: None,
            error: None,
            place: self.place_of(checked.model, class),
            travel,
            stream: request.stream.map(|out| self.sites.pieces(out)),
            options: request.options,
            row: None,
        };
        self.entries.insert(id, entry);
        let bundle = self.models.get(checked.model).map(|model| model.bundle);
        if let Some(bundle) = bundle.and_then(|bundle| self.models.bundle_mut(bundle)) {
            bundle.used = id.0;
        }
        self.record_decision(&meta, &id);
        let event = match checked.stages {
            Some(stages) => {
                let default_deadline =
                    self.pipelines.get(checked.model).and_then(|served| served.found.default_deadline);
                Event::ParentArrived { meta, stages, default_deadline }
            }
            None => Event::Arrived(meta),
        };
        self.core.handle(self.now, event);
    }

    fn story(&self, request: &Request, info: &Info) -> Story {
        Story {
            request_id: info.request_id.clone(),
            caller: request.caller.clone(),
            model: info.model.clone(),
            received: self.now,
            received_at: info.received_at.clone(),
            steps: Vec::with_capacity(8),
            outcome: "open",
            code: "",
            message: String::new(),
            info: None,
        }
    }

    /// Answers from what is known of `key`; gives `reply` back if nothing is.
    fn answer_duplicate(&mut self, key: &Key, reply: ReplySender) -> Option<ReplySender> {
        match self.duplicates.find(self.now, key) {
            None => Some(reply),
            Some(Known::Settled(stored)) => {
                let mut stored = stored.clone();
                stored.info.duplicate = true;
                self.counters.duplicates += 1;
                self.stories.note(&key.request_id, self.now, Step::Duplicate);
                reply.send(stored);
                None
            }
            Some(Known::Open(id)) => {
                self.counters.duplicates += 1;
                match self.entries.get_mut(&id) {
                    Some(entry) if entry.waiters.len() < MAX_WAITERS => {
                        entry.story.steps.push((self.now, Step::Duplicate));
                        entry.waiters.push(reply);
                    }
                    Some(entry) => {
                        let text = format!("request_id: asked more than {MAX_WAITERS} times while it is open");
                        let failure =
                            Failure { retry_after_ms: Some(100), ..Failure::new(ErrorCode::Overloaded, text) };
                        reply.send(Reply { result: Err(failure), info: entry.info.clone() });
                    }
                    None => return Some(reply),
                }
                None
            }
        }
    }

    fn refuse_early(&mut self, request: Request, mut info: Info, failure: Failure, reply: ReplySender) {
        self.counters.refused += 1;
        self.count_refused(request.caller.origin(), counts::name_of(&request), failure.code.as_str());
        info.verdict = "refuse".into();
        info.reason = failure.code.as_str().into();
        info.completed_at = clock::rfc3339(clock::wall());
        let mut story = self.story(&request, &info);
        story.steps.push((self.now, Step::Refused { code: failure.code.as_str(), reason: failure.code.as_str() }));
        (story.outcome, story.code, story.message) = ("refused", failure.code.as_str(), failure.message.clone());
        story.info = Some(info.clone());
        tracing::debug!(request = %info.request_id, model = %info.model, verdict = "refuse", reason = %info.reason, "refused");
        self.stories.keep(story);
        reply.send(Reply { result: Err(failure), info });
    }

    /// A transport has refused and answered a request itself: it is counted, and its story kept.
    pub(super) fn refused_outside(&mut self, refused: Refused) {
        let Refused { caller, received, failure, info } = refused;
        self.counters.arrived += 1;
        self.counters.refused += 1;
        let code = failure.code.as_str();
        self.count_refused(caller.origin(), &info.model, code);
        self.stories.keep(Story {
            request_id: info.request_id.clone(),
            caller,
            model: info.model.clone(),
            received,
            received_at: info.received_at.clone(),
            steps: vec![(self.now, Step::Refused { code, reason: "transport" })],
            outcome: "refused",
            code,
            message: failure.message,
            info: Some(info),
        });
    }

    pub(super) fn check(&self, request: &Request, info: &mut Info) -> Result<Checked, Failure> {
        if let Some(task) = &request.options.task
            && request.model.is_empty()
        {
            return self.check_task(task, request, info);
        }
        let (name, version) = resolve::model_name(&request.model, request.options.version.as_deref())?;
        if name.is_empty() {
            return Err(Failure::new(ErrorCode::UnknownModel, "model: empty: takes a model's name"));
        }
        if let Some(served) = self.pipelines.find(name, version) {
            return self.check_pipeline(served, request, info);
        }
        let bundle = self.models.find(name, version).map_err(|unknown| self.while_reading(unknown))?;
        self.check_for(bundle.serves(kind(request)), request, info)
    }

    /// Until every bundle was read, nobody can say that a model is unknown.
    fn while_reading(&self, unknown: Failure) -> Failure {
        if !self.bundles_open {
            return unknown;
        }
        let message = format!("{}; the bundles are still being read", unknown.message);
        Failure { code: ErrorCode::Unavailable, message, retry_after_ms: Some(200) }
    }

    /// `task` instead of a model: the first model in name order that is ready for it.
    fn check_task(&self, task: &str, request: &Request, info: &mut Info) -> Result<Checked, Failure> {
        let is_ready =
            |id| self.models.get(id).is_some_and(|model| model.life == Life::Ready || !model.rest.is_empty());
        let bundles = || self.models.bundles().iter();
        let kind = kind(request);
        let fitting = bundles()
            .filter(|bundle| self.is_active(bundle) && bundle.found.task == task && is_ready(bundle.serves(kind)));
        match fitting.min_by_key(|bundle| &bundle.found.name) {
            Some(bundle) => self.check_for(bundle.serves(kind), request, info),
            None => {
                let of_task = self.pipelines.iter().filter(|served| served.found.task == task);
                if let Some(served) = of_task.min_by_key(|served| &served.found.name) {
                    return self.check_pipeline(served, request, info);
                }
                let pipelines = self.pipelines.iter().map(|served| served.found.task.as_str());
                let mut tasks: Vec<&str> =
                    bundles().map(|bundle| bundle.found.task.as_str()).chain(pipelines).collect();
                tasks.sort_unstable();
                tasks.dedup();
                let text = format!("task: no model is ready for `{}`: takes {}", shorten(task), tasks.join(", "));
                Err(self.while_reading(Failure::new(ErrorCode::UnknownModel, text)))
            }
        }
    }

    /// Whether requests that name no version may be given to a bundle.
    pub(super) fn is_active(&self, bundle: &Bundle) -> bool {
        let active = self.models.active(&bundle.found.name);
        !bundle.gone && active.is_none_or(|active| active == Some(bundle.found.version.as_str()))
    }

    /// A model that this box does not have, or cannot serve, may live on other sites.
    fn check_elsewhere(&mut self, request: &Request, info: &mut Info, failure: Failure) -> Result<Checked, Failure> {
        if !matches!(failure.code, ErrorCode::UnknownModel | ErrorCode::Unavailable) {
            return Err(failure);
        }
        let (name, version) = resolve::model_name(&request.model, request.options.version.as_deref())?;
        let Some(model) = self.sites.model_elsewhere(name).filter(|_| version.is_none()) else { return Err(failure) };
        info.model = name.to_owned();
        self.warn_of_options(request, info);
        let (bytes, work) = match &request.payload {
            Payload::Tensors(given) => (given.iter().map(|tensor| tensor.data.len()).sum(), Work::Tensors),
            Payload::Encoded { data, .. } => (size_of(data), Work::Encoded),
        };
        let bytes = self.check_bytes(None, bytes)?;
        let (resolved, cost, most_rows, stages) = (Vec::new(), Cost::ONE, None, None);
        Ok(Checked { model, resolved, cost, most_rows, bytes, work, stages, here: Here::NoModel })
    }

    fn check_for(&self, id: ModelId, request: &Request, info: &mut Info) -> Result<Checked, Failure> {
        let model = self.models.get(id).ok_or_else(|| super::internal("model table"))?;
        info.model = model.found.name.clone();
        info.version = model.found.version.clone();
        let unavailable =
            |why: String| Failure::new(ErrorCode::Unavailable, format!("model `{}`: {why}", model.label()));
        let loaded = match (&model.life, self.models.spec(id)) {
            (Life::Failed(why), _) => return Err(unavailable(format!("not served: {why}"))),
            (Life::Unloaded, _) => {
                return Err(unavailable("unloaded by the operator; `edgectl models load` loads it again".into()));
            }
            (Life::Standby | Life::Found | Life::Loading | Life::Ready, Some(loaded)) => loaded,
            (Life::Standby | Life::Found | Life::Loading | Life::Ready, None) => {
                let why = self.hosts.get(model.host).and_then(HostState::why_down);
                let why = why.unwrap_or_else(|| "still loading".into());
                return Err(Failure { retry_after_ms: Some(500), ..unavailable(why) });
            }
        };
        info.variant = loaded.variant.clone();
        self.warn_of_options(request, info);
        let limit = model.found.max_payload_bytes;
        match &request.payload {
            Payload::Tensors(given) => {
                let resolved = resolve::tensors(given, loaded)?;
                let bytes = given.iter().map(|tensor| tensor.data.len()).sum();
                let bytes = self.check_bytes(limit, bytes)?;
                let (cost, work) = (Cost::new(resolve::items(given, loaded)), Work::Tensors);
                let most_rows = if cost > Cost::ONE { self.most_rows(id, given) } else { None };
                Ok(Checked { model: id, resolved, cost, most_rows, bytes, work, stages: None, here: Here::Yes })
            }
            Payload::Encoded { content_type, data } => {
                check_encoded(content_type, size_of(data), loaded)?;
                let bytes = self.check_bytes(limit, size_of(data))?;
                let (resolved, work) = (Vec::new(), Work::Encoded);
                let (cost, most_rows, stages, here) = (Cost::ONE, None, None, Here::Yes);
                Ok(Checked { model: id, resolved, cost, most_rows, bytes, work, stages, here })
            }
        }
    }

    /// How many rows of these tensors may run at once, if they may run apart, whichever way of running the model gets them.
    fn most_rows(&self, id: ModelId, given: &[TensorIn]) -> Option<u32> {
        let ways = self.models.bundle_of(id).into_iter().flat_map(Bundle::ids);
        cut::most_rows(given, ways.filter_map(|way| self.models.get(way)?.loaded.as_deref()))
    }

    /// Says what is odd about options that hold in another way than they were meant.
    pub(super) fn warn_of_options(&self, request: &Request, info: &mut Info) {
        if let Some(word) = &request.options.data_class
            && DataClass::from_word(word).is_none()
        {
            info.warnings.push(format!("data_class: no class `{}`: treated as regulated", shorten(word)));
        }
        let (policy, deferrable) = (&self.config.policy, request.options.deferrable);
        let (longest, key) = match policy.routing.max_wait {
            wait if deferrable && policy.routing.max_deferred > 0 && wait > policy.max_deadline => {
                (wait, "routing.defer_max_age_h")
            }
            _ => (policy.max_deadline, "policy.max_deadline_ms"),
        };
        let longest = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        if let Some(asked) = request.options.deadline_ms.filter(|asked| *asked > longest) {
            info.warnings.push(format!("deadline_ms: {asked} is more than this box allows: {longest} ({key}) holds"));
        }
    }

    /// The size of a payload, unless it is more than the bundle and the configuration allow.
    pub(super) fn check_bytes(&self, of_model: Option<u64>, bytes: u64) -> Result<u64, Failure> {
        let most = of_model.unwrap_or(u64::MAX).min(self.config.limits.max_payload_bytes);
        if bytes <= most {
            return Ok(bytes);
        }
        Err(Failure::new(ErrorCode::TooLarge, format!("payload: {bytes} bytes given: takes at most {most}")))
    }
}

fn kind(request: &Request) -> Kind {
    match &request.payload {
        Payload::Tensors(_) => Kind::Tensors,
        Payload::Encoded { .. } => Kind::Encoded,
    }
}

/// What a pipe is taken to bring before it was read; its true size is bounded where it is read.
const UNKNOWN_SIZE: u64 = 1 << 20;

pub(super) fn size_of(data: &Blob) -> u64 {
    match data {
        Blob::Inline(_) | Blob::Sealed { .. } => data.len(),
        Blob::Unsealed { fd, .. } => match rustix::fs::fstat(fd) {
            Ok(stat) if rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() => {
                u64::try_from(stat.st_size).unwrap_or_default()
            }
            Ok(_) | Err(_) => UNKNOWN_SIZE,
        },
    }
}

/// A content type without its parameters.
pub(super) fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// Whether a model takes a payload of this type and size.
pub(super) fn check_encoded(content_type: &str, bytes: u64, loaded: &LoadedModel) -> Result<(), Failure> {
    if loaded.content_types.is_empty() {
        let text = format!(
            "content_type: `{}` given: the model takes tensors, not an image, text or messages",
            shorten(content_type)
        );
        return Err(Failure::invalid(text));
    }
    check_content(content_type, bytes, &loaded.content_types)
}

/// Whether a payload may be of this type, and is not empty.
pub(super) fn check_content(content_type: &str, bytes: u64, accepted: &[impl AsRef<str>]) -> Result<(), Failure> {
    let kind = essence(content_type);
    if !accepted.iter().any(|known| known.as_ref().eq_ignore_ascii_case(kind)) {
        let accepted: Vec<&str> = accepted.iter().map(AsRef::as_ref).collect();
        let text = format!("content_type: `{}` given: takes {}", shorten(content_type), accepted.join(", "));
        return Err(Failure::invalid(text));
    }
    if bytes == 0 {
        return Err(Failure::invalid("payload: empty: takes at least 1 byte"));
    }
    Ok(())
}
