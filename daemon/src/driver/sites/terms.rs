//! Where a request may be served: by the operator's rules, which know names, and by what is in its payload. The core decides; this
//! gives it the facts.

use std::cell::RefCell;
use std::sync::Arc;

use edge_core::{Bytes, Cost, RequestId, ShareId, Work};
use edge_core::{DataClass, Difficulty, Here, ModelId, RequestMeta, Sites as Set, Terms, Tokens};

use super::{Known, stored};
use crate::config::rules::Source;
use crate::config::sites::Protocol;
use crate::config::terms::{Ask, Rules, Said};
use crate::difficulty::features::Reader;
use crate::difficulty::model::{Guarantee, Learnt, Score};
use crate::driver::Driver;
use crate::driver::entry::{Entry, Travel};
use crate::driver::intake::{check_encoded, essence};
use crate::driver::models::Kind;
use crate::driver::pipeline::table::Served;
use crate::driver::resolve;
use crate::handle::Profile;
use crate::inspect::detect::Detectors;
use crate::inspect::detect::kind::BUILT_IN;
use crate::inspect::detect::rules::ClassRules;
use crate::inspect::text::Source as Part;
use crate::inspect::{self, Look, redact};
use crate::request::{Blob, CHAT, Caller, Failure, Options, Payload, Request};

/// Text beyond this is not looked into here; it counts as what nobody could read. It would hold up everybody else.
const MOST_TEXT: u64 = 4 << 20;

/// What was found out about a request on the way, for an explanation.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// How its class came about.
    pub class: String,
    /// What detectors found.
    pub detected: Vec<String>,
    /// Names of rules, and what each said.
    pub rules: Vec<(String, String)>,
    /// What the learnt model said.
    pub difficulty: String,
}

/// What payloads are looked into with.
pub(in crate::driver) struct Looking {
    /// `None`: nobody wants to know.
    detectors: Option<(Detectors, ClassRules)>,
    /// For counting alone.
    built_in: (Detectors, ClassRules),
    pub rules: Rules,
    /// How often rules and detectors were taken over.
    life: u64,
    /// What was learnt of which texts a stronger site answers better.
    learnt: Option<Learnt>,
    /// Room for reading texts; what is in it means nothing between two of them.
    reader: RefCell<Reader>,
    /// Why the learnt model cannot be used; empty if it can, or none is set.
    pub difficulty_fault: String,
}

impl Looking {
    /// How often rules and detectors were taken over.
    pub fn life(&self) -> u64 {
        self.life
    }

    /// Whether a learnt model is in use.
    pub fn has_learnt(&self) -> bool {
        self.learnt.is_some()
    }

    /// What was certified of the learnt model.
    pub fn guarantee(&self) -> Option<Guarantee> {
        self.learnt.as_ref()?.guarantee
    }

    /// With nothing taken over yet.
    pub fn new() -> Looking {
        Looking {
            detectors: None,
            built_in: (Detectors::default(), ClassRules::new(0)),
            rules: Rules::default(),
            life: 0,
            learnt: None,
            reader: RefCell::default(),
            difficulty_fault: String::new(),
        }
    }
}

/// What a request is, as rules see it.
#[derive(Clone, Copy)]
struct About<'a> {
    model: &'a str,
    task: &'a str,
    caller: &'a Caller,
    /// On which it came; empty for what came over the bus.
    topic: &'a str,
    claimed: Option<&'a str>,
    payload: &'a Payload,
    /// What kind of work the caller says that it is.
    kind: Option<&'a str>,
    is_pinned: bool,
    /// Another box handed it on.
    is_handed_on: bool,
    /// Whether the payload itself is there, or only what is told of it.
    is_there: bool,
}

impl Driver {
    /// What the configuration says of sites, rules and payloads is taken over.
    pub(super) fn take_looking(&mut self, learnt: Option<super::named::Found>) {
        self.looking.life += 1;
        let number = |name: &str| self.sites.number(name);
        self.looking.rules = Rules::new(&self.config.rules, number);
        let detect = &self.config.detect;
        self.looking.detectors = None;
        if detect.enabled {
            // The configuration was checked: a pattern that is none was refused there.
            match detectors(detect) {
                Ok(detectors) => self.looking.detectors = Some(detectors),
                Err(why) => tracing::error!(%why, "detectors"),
            }
        }
        (self.looking.learnt, self.looking.difficulty_fault) = match learnt.transpose() {
            Ok(Some((learnt, digest))) => {
                self.evidence.take(&digest);
                (Some(learnt), String::new())
            }
            // What was found of the model before may be asked for again.
            Ok(None) => (None, String::new()),
            Err(why) => (None, why),
        };
    }

    /// The terms of a request, and what is kept of it for the case that it travels.
    pub(in crate::driver) fn terms(&self, request: &Request, model: &str, id: ModelId, here: Here) -> Travel {
        let claimed = request.options.data_class.clone().unwrap_or_default();
        if self.sites.is_empty() {
            let mut terms = Terms { here, ..Terms::default() };
            cap(&mut terms, &request.options);
            return Travel { terms, claimed, ..Travel::default() };
        }
        let task = self.task_of(id);
        let about = About {
            model,
            task: &task,
            caller: &request.caller,
            topic: &request.topic,
            claimed: request.options.data_class.as_deref(),
            payload: &request.payload,
            kind: request.options.task.as_deref(),
            is_pinned: request.options.version.is_some() || request.model.contains(':'),
            is_handed_on: request.options.hops > 0,
            is_there: true,
        };
        let mut found = Found::default();
        let mut travel = self.judge(about, here, None, &mut found);
        cap(&mut travel.terms, &request.options);
        travel.terms.rejected = request.options.rejected;
        travel.claimed = claimed;
        travel.found = found;
        travel
    }

    /// The class of a request as it goes to the disk: by what holds now, and no freer than what it was accepted with.
    pub(super) fn class_now(&self, entry: &Entry) -> DataClass {
        let claim = crate::driver::pipeline::claim(entry.options.data_class.as_deref());
        let origin = entry.story.caller.origin();
        let class = edge_core::classify::of_terms(claim, origin, &entry.travel.terms, &self.config.policy);
        // One that was put off at once was never accepted with a class.
        if entry.accepted.is_some() { class.min(entry.travel.class) } else { class }
    }

    /// A request that came before a reload of the rules is judged by those that hold now before it leaves. Its class gets no freer.
    pub(in crate::driver) fn judge_again(&mut self, id: RequestId) {
        let life = self.looking.life;
        let Some(entry) = self.entries.get(&id).filter(|entry| entry.travel.judged_by != life) else { return };
        let task = self.task_of(entry.setup);
        let about = About {
            model: &entry.info.model,
            task: &task,
            caller: &entry.story.caller,
            topic: &entry.topic,
            claimed: entry.options.data_class.as_deref(),
            payload: &entry.payload,
            kind: entry.options.task.as_deref(),
            is_pinned: entry.pinned,
            is_handed_on: entry.options.hops > 0,
            is_there: true,
        };
        let mut new = self.judge(about, entry.travel.terms.here, None, &mut Found::default());
        cap(&mut new.terms, &entry.options);
        let claim = crate::driver::pipeline::claim(about.claimed);
        let origin = about.caller.origin();
        let class = edge_core::classify::of_terms(claim, origin, &new.terms, &self.config.policy);
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let travel = &mut entry.travel;
        travel.class = travel.class.min(class);
        (travel.terms, travel.judged_by) = (new.terms, life);
        (travel.rules, travel.redacted, travel.clean, travel.cap) = (new.rules, new.redacted, new.clean, new.cap);
    }

    fn task_of(&self, id: ModelId) -> String {
        let of_model = self.models.get(id).map(|model| model.found.task.clone());
        of_model.or_else(|| self.pipelines.get(id).map(|served| served.found.task.clone())).unwrap_or_default()
    }

    fn judge(&self, about: About<'_>, here: Here, told: Option<Tokens>, found: &mut Found) -> Travel {
        let mut terms = Terms { here, ..Terms::default() };
        let fills = self.fills(about.model, about.payload);
        let (serving, stronger) = self.serving((about.model, fills), about.payload, about.is_handed_on);
        // Which version a site has, nobody tells.
        terms.capable = if about.is_pinned { Set::NONE } else { serving };
        terms.stronger = stronger.and(terms.capable);
        let class = edge_core::classify::of_claim(
            crate::driver::pipeline::claim(about.claimed),
            about.caller.origin(),
            &self.config.policy,
        );
        let source = match about.caller {
            Caller::Bus { uid, .. } | Caller::Peer { uid, .. } => Source::Bus { uid: *uid },
            Caller::Broker { .. } => Source::Mqtt { topic: about.topic },
        };
        let ask = Ask { model: about.model, task: about.task, source, class };
        let said = self.looking.rules.terms(&ask, self.config.routing.objective);
        said.put(&mut terms);
        let rules = self.looking.rules.told(said.spoke).map(|(name, says)| (name.to_owned(), says.to_string()));
        found.rules = rules.collect();
        found.class = match about.claimed {
            None => "unlabelled: the policy's default".into(),
            Some(word) => format!("the caller says {word}"),
        };
        let mut travel = Travel {
            judged_by: self.looking.life,
            fills,
            rules: found.rules.iter().map(|(name, _)| Arc::from(name.as_str())).collect(),
            check: said.check,
            sample: said.sample,
            ..Travel::default()
        };
        // Of a payload that is only told of, nothing can be read, and nothing be found unreadable.
        if about.is_there {
            self.look_into((about.payload, about.kind), &mut terms, class, &said, found, &mut travel);
        }
        if let Some(told) = told.filter(|told| *told != Tokens::default()) {
            terms.tokens = told;
        }
        travel.terms = terms;
        travel
    }

    /// What is in the payload: it can only make the class stricter, unless a rule has what was found taken out.
    fn look_into(
        &self,
        (payload, kind): (&Payload, Option<&str>),
        terms: &mut Terms,
        class: DataClass,
        said: &Said,
        found: &mut Found,
        travel: &mut Travel,
    ) {
        let leaves = terms
            .capable
            .iter()
            .any(|id| self.sites.get(id).is_some_and(|known| known.config.core.zone > edge_core::Zone::Device));
        let wants_difficulty = said.difficulty && !terms.stronger.is_empty();
        let is_text = is_text(payload);
        if !is_text && self.looking.detectors.is_none() {
            return;
        }
        let Some(parts) = read(payload) else {
            // Nobody could look: the strictest.
            if self.looking.detectors.is_some() && leaves {
                terms.ceiling = DataClass::Regulated;
                travel.cap = Some(DataClass::Regulated);
                found.detected.push("too large to look into, or in a descriptor that cannot be: regulated".into());
            }
            return;
        };
        let (detectors, rules) = self.looking.detectors.as_ref().unwrap_or(&self.looking.built_in);
        let look = inspect::look(parts.iter().map(Owned::part), detectors, rules);
        terms.tokens = tokens(&look, payload, terms.tokens);
        if wants_difficulty {
            let (difficulty, words) = self.difficulty(&parts, kind);
            (terms.difficulty, found.difficulty) = (difficulty, words);
            travel.rated_by = self.evidence.life();
        }
        if self.looking.detectors.is_none() {
            return;
        }
        travel.cap = look.cap;
        let Some(cap) = look.cap else { return };
        let names = found_names(&look, detectors);
        let why = match &look.unreadable {
            Some(why) => format!("cannot be read ({why}): {}", cap.as_str()),
            None => format!("found {}: {}", names.join(", "), cap.as_str()),
        };
        let cleaned =
            said.redact.filter(|to| *to > class.min(cap)).and_then(|to| Some((to, clean(payload, detectors)?)));
        match cleaned {
            Some((to, (clean, replaced))) => {
                found.detected.push(format!("{why}; taken out by a rule, what is left is {}", to.as_str()));
                travel.redacted = u32::try_from(replaced.values().sum::<usize>()).unwrap_or(u32::MAX);
                travel.clean = Some(clean);
                terms.freed = Some(to);
                terms.ceiling = terms.ceiling.min(to);
            }
            None => {
                found.detected.push(why);
                terms.ceiling = terms.ceiling.min(cap);
            }
        }
    }

    fn difficulty(&self, parts: &[Owned], kind: Option<&str>) -> (Difficulty, String) {
        let Some(learnt) = &self.looking.learnt else {
            return (Difficulty::Unknown, "no learnt model can be asked: the safe side".into());
        };
        let mut text = String::new();
        for part in parts {
            inspect::text::texts(part.part(), |_, piece| {
                text.push_str(piece);
                text.push('\n');
            });
        }
        if let Some(why) = self.evidence.bars() {
            return (Difficulty::Unknown, format!("{why}: the safe side"));
        }
        let score = learnt.score(&mut self.looking.reader.borrow_mut(), &text, kind);
        match (score, learnt.guarantee.as_ref()) {
            (Score::Unknown(why), _) => {
                (Difficulty::Unknown, format!("{why:?}: unlike what was learnt from, the safe side"))
            }
            (Score::Known(_), None) => (Difficulty::Unknown, "no threshold was certified: the safe side".into()),
            (Score::Known(expected), Some(guarantee)) => {
                let (gain, threshold) = (expected.gain(), guarantee.threshold);
                let is_easy = gain <= threshold;
                let words = format!("a stronger site is expected to gain {gain:.3}; up to {threshold:.3} may stay");
                (if is_easy { Difficulty::Easy } else { Difficulty::Hard }, words)
            }
        }
    }

    /// Sites that serve a model in the form of this payload, and those whose answers are better. What another box handed on stays on
    /// this device, or two boxes without room would hand it to and fro.
    fn serving(&self, (model, fills): (&str, bool), payload: &Payload, is_handed_on: bool) -> (Set, Set) {
        let takes = |known: &Known| {
            let stays = known.config.core.zone == edge_core::Zone::Device
                && !matches!(known.config.protocol, Protocol::Sibling { .. });
            known.model(model).is_some() && takes(&known.config.protocol, payload, fills) && (stays || !is_handed_on)
        };
        let mut sets = (Set::NONE, Set::NONE);
        for (id, known) in self.sites.iter().filter(|(_, known)| takes(known)) {
            sets.0 = sets.0.with(id);
            if known.config.is_stronger(model) {
                sets.1 = sets.1.with(id);
            }
        }
        sets
    }

    /// The model that a pipeline begins with; the pipeline's own number if it is not there.
    fn first_stage(&self, served: &Served) -> ModelId {
        let stages = served.stages(&self.models).ok();
        stages.and_then(|stages| stages.as_slice().first().copied()).unwrap_or(served.id)
    }

    /// A request that is only asked about, as the core would get it.
    pub(super) fn meta_of_profile(&mut self, profile: &Profile) -> Result<(RequestMeta, Found), Failure> {
        let (name, version) = resolve::model_name(&profile.model, profile.options.version.as_deref())?;
        let (name, version) = (name.to_owned(), version.map(str::to_owned));
        let (caller, topic) = source(profile.source.as_deref())?;
        let content_type = profile.content_type.clone();
        let payload = match (&profile.text, &content_type) {
            (Some(text), kind) => Payload::Encoded {
                content_type: kind.clone().unwrap_or_else(|| "text/plain".into()),
                data: Blob::Inline(text.clone().into_bytes().into()),
            },
            (None, Some(kind)) => {
                Payload::Encoded { content_type: kind.clone(), data: Blob::Inline(bytes::Bytes::new()) }
            }
            (None, None) => Payload::Tensors(Vec::new()),
        };
        let is_tensors = matches!(payload, Payload::Tensors(_));
        let told = profile.bytes.or(profile.text.as_ref().map(|text| text.len() as u64));
        let bytes = told.unwrap_or(0);
        // What is refused before anything is decided is refused here likewise, by the same checks. A size that nobody told is not 0.
        let given = told.unwrap_or(1);
        let (model, here) = match self.models.find(&name, version.as_deref()) {
            Ok(bundle) => {
                let model = bundle.serves(if is_tensors { Kind::Tensors } else { Kind::Encoded });
                (self.check_told(model, &payload, given)?, Here::Yes)
            }
            Err(unknown) => match self.pipelines.find(&name, version.as_deref()) {
                // It is told of its first stage.
                Some(served) => {
                    self.check_picture(served, &payload, given)?;
                    (self.first_stage(served), Here::Yes)
                }
                None => {
                    let model = self.sites.model_elsewhere(&name).ok_or(unknown)?;
                    self.check_bytes(None, given)?;
                    (model, Here::NoModel)
                }
            },
        };
        let task = self.task_of(model);
        let about = About {
            model: &name,
            task: &task,
            caller: &caller,
            topic,
            claimed: profile.options.data_class.as_deref(),
            payload: &payload,
            kind: profile.options.task.as_deref(),
            is_pinned: version.is_some(),
            is_handed_on: profile.options.hops > 0,
            is_there: profile.text.is_some(),
        };
        let mut found = Found::default();
        let tokens = Tokens { input: profile.input_tokens, output: profile.output_tokens };
        let terms = self.judge(about, here, Some(tokens), &mut found).terms;
        let deadline = profile.options.deadline_ms.map(|ms| self.now.after(std::time::Duration::from_millis(ms)));
        let meta = RequestMeta {
            id: RequestId(0),
            parent: None,
            client: edge_core::ClientId(0),
            share: ShareId::new(0),
            model,
            deadline,
            class: crate::driver::pipeline::claim(profile.options.data_class.as_deref()),
            priority: profile.options.priority,
            deferrable: profile.options.deferrable,
            bytes: Bytes(bytes),
            origin: caller.origin(),
            work: if is_tensors || here == Here::NoModel { Work::Tensors } else { Work::Encoded },
            cost: Cost::ONE,
            most_rows: None,
            deaths: 0,
            terms,
        };
        Ok((meta, found))
    }

    /// Whether a model takes a payload that is only told of, as far as that can be said without its content. The model, if so.
    fn check_told(&self, id: ModelId, payload: &Payload, bytes: u64) -> Result<ModelId, Failure> {
        let Some((model, loaded)) = self.models.get(id).zip(self.models.spec(id)) else {
            // Only other sites could serve it now, and whether they take it is theirs to say.
            return self.check_bytes(None, bytes).map(|_| id);
        };
        if let Payload::Encoded { content_type, .. } = payload {
            check_encoded(content_type, bytes, loaded)?;
        }
        self.check_bytes(model.found.max_payload_bytes, bytes).map(|_| id)
    }

    /// A decision as it is kept, before it is made.
    pub(in crate::driver) fn record_decision(&mut self, meta: &RequestMeta, entry: &RequestId) {
        let Some(weight) = self.book.wants_decision() else { return };
        let core = self.core.explain(self.now, meta);
        let Some(entry) = self.entries.get(entry) else { return };
        let record = super::replay::Record::new(&core, meta, entry, &self.sites, &self.task_of(meta.model));
        match serde_json::to_vec(&record) {
            Ok(bytes) => self.book.decided(&entry.info.model, weight, bytes),
            Err(error) => tracing::debug!(%error, "a decision could not be written down"),
        }
    }
}

/// What waited on the disk has no freer class than it was put there with.
fn cap(terms: &mut Terms, options: &Options) {
    terms.ceiling = options.put_off_as.map_or(terms.ceiling, |class| class.min(terms.ceiling));
}

/// Who would ask, and on which topic.
fn source(word: Option<&str>) -> Result<(Caller, &str), Failure> {
    let bus = |uid| (Caller::Bus { name: "".into(), uid }, "");
    let broker = |topic| (Caller::Broker { reply_topic: "".into() }, topic);
    match word {
        None | Some("bus") => Ok(bus(rustix::process::getuid().as_raw())),
        Some("mqtt") => Ok(broker("")),
        Some(word) => match (word.strip_prefix("bus:"), word.strip_prefix("mqtt:")) {
            (Some(uid), _) => uid.parse().map(bus).map_err(|_| bad_source(word)),
            (None, Some(topic)) => Ok(broker(topic)),
            (None, None) => Err(bad_source(word)),
        },
    }
}

fn bad_source(word: &str) -> Failure {
    let word = resolve::shorten(word);
    Failure::invalid(format!("option source: `{word}` given: takes bus, bus:UID, mqtt or mqtt:TOPIC"))
}

/// One part of a payload, in memory.
struct Owned {
    name: String,
    /// A datatype of tensors; `None` for an encoded payload.
    datatype: Option<String>,
    bytes: bytes::Bytes,
    is_chat: bool,
}

impl Owned {
    fn part(&self) -> Part<'_> {
        match &self.datatype {
            Some(datatype) => Part::Tensor { name: &self.name, datatype, bytes: &self.bytes },
            None if self.is_chat => Part::Chat(&self.bytes),
            None => Part::Encoded { content_type: &self.name, bytes: &self.bytes },
        }
    }
}

/// The parts of a payload that may be text; `None` if one is too large, or cannot be read. What is read here is what leaves: no
/// caller can change what is in memory or in a sealed file.
fn read(payload: &Payload) -> Option<Vec<Owned>> {
    match payload {
        Payload::Encoded { content_type, data } => {
            if crate::driver::intake::size_of(data) > MOST_TEXT && is_text(payload) {
                return None;
            }
            let kind = essence(content_type);
            let is_media = ["image/", "audio/", "video/"].iter().any(|media| kind.starts_with(media));
            // A picture is not read: it is known to be one.
            let bytes = if is_media { bytes::Bytes::new() } else { stored::bytes_of(data).ok()? };
            let is_chat = kind.eq_ignore_ascii_case(CHAT);
            Some(vec![Owned { name: content_type.clone(), datatype: None, bytes, is_chat }])
        }
        Payload::Tensors(given) => given
            .iter()
            .map(|tensor| {
                let is_text = tensor.datatype == "BYTES";
                if is_text && tensor.data.len() > MOST_TEXT {
                    return None;
                }
                // Numbers are not read: they are known to be none.
                let bytes = if is_text { stored::bytes_of(&tensor.data).ok()? } else { bytes::Bytes::new() };
                let datatype = Some(tensor.datatype.clone());
                Some(Owned { name: tensor.name.clone(), datatype, bytes, is_chat: false })
            })
            .collect(),
    }
}

fn is_text(payload: &Payload) -> bool {
    match payload {
        Payload::Encoded { content_type, .. } => {
            let kind = essence(content_type);
            kind.starts_with("text/") || kind.eq_ignore_ascii_case(CHAT)
        }
        Payload::Tensors(given) => given.iter().any(|tensor| tensor.datatype == "BYTES"),
    }
}

/// A payload without what detectors find in it; `None` if it cannot be made.
fn clean(payload: &Payload, detectors: &Detectors) -> Option<(Payload, std::collections::BTreeMap<String, usize>)> {
    let Payload::Encoded { content_type, data } = payload else { return None };
    let bytes = stored::bytes_of(data).ok()?;
    let redacted = if essence(content_type).eq_ignore_ascii_case(CHAT) {
        redact::document(&bytes, detectors).ok()?
    } else if essence(content_type).starts_with("text/") {
        redact::text(std::str::from_utf8(&bytes).ok()?, detectors).ok()?
    } else {
        return None;
    };
    let data = Blob::Inline(redacted.text.into_bytes().into());
    Some((Payload::Encoded { content_type: content_type.clone(), data }, redacted.replaced))
}

/// Tokens of a chat: its text as estimated, and what its body allows for the answer.
fn tokens(look: &Look, payload: &Payload, before: Tokens) -> Tokens {
    let Payload::Encoded { content_type, data } = payload else { return before };
    if !essence(content_type).eq_ignore_ascii_case(CHAT) || look.messages == 0 {
        return before;
    }
    let output = stored::bytes_of(data).ok().and_then(|bytes| {
        let body: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
        let most = body.get("max_completion_tokens").or_else(|| body.get("max_tokens"))?;
        u32::try_from(most.as_u64()?).ok()
    });
    Tokens { input: u32::try_from(look.tokens).unwrap_or(u32::MAX).max(1), output: output.unwrap_or(0) }
}

fn takes(protocol: &Protocol, payload: &Payload, fills: bool) -> bool {
    match (protocol, payload) {
        (Protocol::Oip { .. }, Payload::Tensors(_)) | (Protocol::Sibling { .. }, _) => true,
        (Protocol::OpenAi { .. }, Payload::Encoded { content_type, .. }) => {
            essence(content_type).eq_ignore_ascii_case(CHAT)
        }
        (Protocol::Oip { .. }, Payload::Encoded { .. }) => fills,
        (Protocol::OpenAi { .. }, Payload::Tensors(_)) => false,
    }
}

/// The same, of a request of which only the form is known.
pub(super) fn takes_form(protocol: &Protocol, tensors: bool, fills: bool) -> bool {
    match protocol {
        Protocol::Oip { .. } => tensors || fills,
        Protocol::OpenAi { .. } => !tensors,
        Protocol::Sibling { .. } => true,
    }
}

fn found_names<'a>(look: &Look, detectors: &'a Detectors) -> Vec<&'a str> {
    let built_in = BUILT_IN.iter().enumerate().filter(|(place, _)| look.found.has_built_in(*place));
    let own = detectors.own_names().iter().enumerate().filter(|(place, _)| look.found.has_own(*place));
    built_in.map(|(_, name)| *name).chain(own.map(|(_, name)| name.as_str())).collect()
}

fn detectors(detect: &crate::config::routing::DetectConfig) -> Result<(Detectors, ClassRules), String> {
    let words = |faults: Vec<crate::inspect::detect::Fault>| {
        faults.iter().map(|fault| format!("{}: {}", fault.key, fault.what)).collect::<Vec<_>>().join("; ")
    };
    let detectors = Detectors::new(&detect.patterns).map_err(words)?;
    let words_of = |classes: &std::collections::BTreeMap<String, DataClass>| {
        classes.iter().map(|(name, class)| (name.clone(), class.as_str().to_owned())).collect()
    };
    let mut rules =
        ClassRules::read(detectors.own_names(), &words_of(&detect.classes), &words_of(&detect.pattern_classes))
            .map_err(words)?;
    rules.not_text = detect.not_text;
    Ok((detectors, rules))
}
