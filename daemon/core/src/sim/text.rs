//! Logs as plain text, one line per event (its time in nanoseconds first) and per action (behind `>`):
//!
//! ```text
//! # comment
//! 0 policy max_waiting=16 ...
//! 1000 arrived id=1 client=2 share=2 model=0 deadline=5001000 class=unlabelled priority=normal ...
//! > accept id=1 verdict=local reason=unmeasured class=regulated deadline=5001000 predicted=-
//! > run lane=0 model=0 ids=1
//! ```
//!
//! Events are written and read; actions are only written, as a replay compares their text. The first event of a log is
//! the policy that the core starts with.

mod sample;
mod sites;

use core::fmt::Write;
use core::time::Duration;

use crate::action::{Action, Change};
use crate::chunks::Why;
use crate::event::{Event, LaneRange, ModelState};
use crate::id::{ClientId, HostId, LaneId, ModelId, RequestId, ShareId};
use crate::members::{Ids, MemberResult, Results};
use crate::policy::Policy;
use crate::request::{ClassClaim, DataClass, Origin, Priority, RequestMeta, Work};
use crate::stages::Stages;
use crate::units::{Bytes, Cost, Mono, Ratio, Span};
use crate::verdict::{Fault, Outcome, Refusal, RefusalCode, Verdict};

/// One event as a line, without its end.
pub fn event(at: Mono, event: &Event) -> String {
    let text = match event {
        Event::Arrived(meta) => arrived(meta),
        Event::ParentArrived { meta, stages, default_deadline } => {
            let mut text =
                format!("parent_{} default_deadline={} stages=", arrived(meta), option(default_deadline.map(nanos)));
            for (index, model) in stages.as_slice().iter().enumerate() {
                append(&mut text, format_args!("{}{}", if index > 0 { "," } else { "" }, model.0));
            }
            text
        }
        Event::Finished { id, result } => {
            format!("finished id={} result={}", id.0, result.map_or_else(Fault::as_str, |()| "ok"))
        }
        Event::Prepared { id, result, took } => {
            let result = result.map_or_else(|fault| fault.as_str().to_owned(), |cost| cost.units().to_string());
            format!("prepared id={} result={result} took={}", id.0, nanos(*took))
        }
        Event::BatchDone { lane, took, results } => {
            let mut text = format!("batch_done lane={} took={} results=", lane.0, nanos(*took));
            for (index, item) in results.as_slice().iter().enumerate() {
                let word = item.result.map_or_else(Fault::as_str, |()| "ok");
                append(&mut text, format_args!("{}{}:{word}", if index > 0 { "," } else { "" }, item.id.0));
            }
            text
        }
        Event::Cancelled { id } => format!("cancelled id={}", id.0),
        Event::CutOff { id } => format!("cut_off id={}", id.0),
        Event::ClientLeft { client } => format!("client_left client={}", client.0),
        Event::ModelState { model, state } => model_state(*model, *state),
        Event::Measured { model, batch, took } => {
            format!("measured model={} batch={batch} took={}", model.0, nanos(*took))
        }
        Event::Planned { model, batch, took } => {
            format!("planned model={} batch={batch} took={}", model.0, nanos(*took))
        }
        Event::Sampled(sample) => sample::write(sample),
        Event::Held(held) => format!("held held={held}"),
        Event::Placed { model, host } => format!("placed model={} host={}", model.0, host.0),
        Event::Moved { from, to } => format!("moved from={} to={}", from.0, to.0),
        Event::Follow { id, to } => format!("follow id={} to={}", id.0, to.0),
        Event::HostDown { host } => format!("host_down host={}", host.0),
        Event::HostUp { host } => format!("host_up host={}", host.0),
        Event::SiteDone(trip) => sites::site_done(trip),
        Event::SiteBegan { id, site } => format!("site_began id={} site={}", id.0, site.0),
        Event::SiteProbed { site, result } => sites::site_probed(*site, *result),
        Event::SiteLoad { site, off, wait } => format!("site_load site={} off={off} wait={}", site.0, nanos(*wait)),
        Event::Spent { site, today } => format!("spent site={} today={}", site.0, today.0),
        Event::Checked { id, doubtful } => format!("checked id={} doubtful={doubtful}", id.0),
        Event::Deferred { waiting } => format!("deferred waiting={waiting}"),
        Event::TakenUp => "taken_up".to_owned(),
        Event::Policy(policy) => self::policy(policy),
        Event::Drain => "drain".to_owned(),
        Event::Resume => "resume".to_owned(),
        Event::Tick => "tick".to_owned(),
    };
    format!("{} {text}", at.as_nanos())
}

/// One action as a line, without its end.
pub fn action(action: &Action) -> String {
    match action {
        Action::Accept { id, verdict, class, deadline, predicted } => {
            let mut text = format!(
                "> accept id={} verdict={} reason={} class={} deadline={} predicted={}",
                id.0,
                verdict.as_str(),
                verdict.reason(),
                class.as_str(),
                deadline.as_nanos(),
                option(predicted.map(nanos))
            );
            if let Verdict::Spill(site, _) = verdict {
                append(&mut text, format_args!(" site={}", site.0));
            }
            text
        }
        Action::Divide { id, size } => {
            let why = match size.why() {
                Why::Time => "time",
                Why::Row => "row",
                Why::Most => "most",
                Why::Cost => "cost",
                Why::Unmeasured => "unmeasured",
            };
            format!("> divide id={} rows={} why={why}", id.0, size.rows())
        }
        Action::Prepare { id, model } => format!("> prepare id={} model={}", id.0, model.0),
        Action::RunBatch { lane, model, ids } => {
            format!("> run lane={} model={} ids={}", lane.0, model.0, list(ids))
        }
        Action::Forget { id } => format!("> forget id={}", id.0),
        Action::Abort { id } => format!("> abort id={}", id.0),
        Action::Spill { id, site, reason, reserved } => {
            format!("> spill id={} site={} reason={} reserved={}", id.0, site.0, reason.as_str(), reserved.0)
        }
        Action::CallOff { id, site } => format!("> call_off id={} site={}", id.0, site.0),
        Action::Stay { id, reason } => format!("> stay id={} reason={}", id.0, reason.as_str()),
        Action::Check { id } => format!("> check id={}", id.0),
        Action::Probe { site } => format!("> probe site={}", site.0),
        Action::TakeUp { most } => format!("> take_up most={most}"),
        Action::Announce(Change::Site { site, passing }) => format!("> announce site={} passing={passing}", site.0),
        Action::Settle { id, outcome } => format!("> settle id={} {}", id.0, self::outcome(*outcome)),
        Action::RestartHost { host, lane } => format!("> restart_host host={} lane={}", host.0, lane.0),
        Action::Announce(Change::Draining) => "> announce draining".to_owned(),
        Action::Announce(Change::Drained) => "> announce drained".to_owned(),
        Action::Announce(Change::Serving) => "> announce serving".to_owned(),
        Action::Announce(Change::Regime { from, to, cause }) => {
            format!("> announce regime from={} to={} cause={cause:?}", from.as_str(), to.as_str())
        }
    }
}

/// The event of a line, or what is wrong with it.
pub fn read(line: &str) -> Result<(Mono, Event), String> {
    let mut words = line.split_whitespace();
    let at = words.next().and_then(|word| word.parse().ok()).map(Mono::from_nanos);
    let at = at.ok_or_else(|| format!("no time at the start of: {line}"))?;
    let kind = words.next().unwrap_or_default();
    let fields = Fields { line, words: words.collect() };
    fields.event(kind).map(|event| (at, event))
}

fn arrived(meta: &RequestMeta) -> String {
    let class = match meta.class {
        ClassClaim::Unlabelled => "unlabelled",
        ClassClaim::Unknown => "unknown",
        ClassClaim::Claimed(class) => class.as_str(),
    };
    format!(
        "arrived id={} parent={} client={} share={} model={} deadline={} class={class} priority={} deferrable={} bytes={} \
         origin={} work={} cost={} most_rows={} deaths={}{}",
        meta.id.0,
        option(meta.parent.map(|id| id.0)),
        meta.client.0,
        meta.share.number(),
        meta.model.0,
        option(meta.deadline.map(Mono::as_nanos)),
        meta.priority.as_str(),
        meta.deferrable,
        meta.bytes.0,
        meta.origin.as_str(),
        work_word(meta.work),
        meta.cost.units(),
        option(meta.most_rows.map(u64::from)),
        meta.deaths,
        sites::terms(&meta.terms)
    )
}

fn model_state(model: ModelId, state: ModelState) -> String {
    match state {
        ModelState::Loading => format!("model_state model={} state=loading", model.0),
        ModelState::Unavailable => format!("model_state model={} state=unavailable", model.0),
        ModelState::Ready { lanes, max_batch, default_deadline } => format!(
            "model_state model={} state=ready first={} count={} max_batch={max_batch} default_deadline={}",
            model.0,
            lanes.first.0,
            lanes.count,
            option(default_deadline.map(nanos))
        ),
    }
}

fn policy(policy: &Policy) -> String {
    format!(
        "policy default_deadline={} max_deadline={} max_waiting={} max_waiting_bytes={} client_share={} lanes={} \
         preparing={} fan_out={} lower_share={} max_chunk={} max_batch={} unlabelled={} bus_ceiling={} broker_ceiling={} \
         hang_after={} restart_estimate={} {}{}",
        nanos(policy.default_deadline),
        nanos(policy.max_deadline),
        policy.max_waiting,
        policy.max_waiting_bytes.0,
        policy.client_share.get(),
        policy.lanes,
        policy.preparing,
        policy.fan_out,
        policy.lower_share.get(),
        nanos(policy.max_chunk),
        policy.max_batch,
        policy.unlabelled.as_str(),
        policy.bus_ceiling.as_str(),
        policy.broker_ceiling.as_str(),
        nanos(policy.hang_after),
        nanos(policy.restart_estimate),
        sample::write_limits(&policy.governor),
        sites::policy(policy)
    )
}

fn outcome(outcome: Outcome) -> String {
    match outcome {
        Outcome::Done | Outcome::Expired | Outcome::Cancelled => format!("outcome={}", outcome.as_str()),
        Outcome::Spilled(site) => format!("outcome=done site={}", site.0),
        Outcome::Deferred(reason) => format!("outcome=deferred reason={}", reason.as_str()),
        Outcome::Failed(fault) => format!("outcome=failed fault={}", fault.as_str()),
        Outcome::Shed(reason) => format!("outcome=shed reason={}", reason.as_str()),
        Outcome::Refused(refusal) => refused(refusal),
    }
}

fn refused(refusal: Refusal) -> String {
    let code = match refusal.code {
        RefusalCode::DeadlineExceeded => "deadline_exceeded",
        RefusalCode::Overloaded => "overloaded",
        RefusalCode::Unavailable => "unavailable",
        RefusalCode::Confined => "confined",
        RefusalCode::Internal => "internal",
    };
    let away = refusal.away.map_or_else(String::new, |bar| format!(" away={}", bar.as_str()));
    format!(
        "outcome=refused code={code} reason={} retry_after={} predicted={}{away}",
        Verdict::Refuse(refusal).reason(),
        option(refusal.retry_after.map(nanos)),
        option(refusal.predicted.map(nanos))
    )
}

fn work_word(work: Work) -> &'static str {
    match work {
        Work::Tensors => "tensors",
        Work::Encoded => "encoded",
    }
}

fn list(ids: &Ids) -> String {
    let mut text = String::new();
    for (index, id) in ids.as_slice().iter().enumerate() {
        append(&mut text, format_args!("{}{}", if index > 0 { "," } else { "" }, id.0));
    }
    text
}

fn append(text: &mut String, args: core::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = text.write_fmt(args);
}

fn nanos(span: Duration) -> u64 {
    Span::of(span).as_nanos()
}

fn option(value: Option<u64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// The `name=value` words of one line.
struct Fields<'a> {
    line: &'a str,
    words: Vec<&'a str>,
}

impl Fields<'_> {
    fn event(&self, kind: &str) -> Result<Event, String> {
        Ok(match kind {
            "arrived" => Event::Arrived(self.meta()?),
            "parent_arrived" => Event::ParentArrived {
                meta: self.meta()?,
                stages: self.one("stages", stages)?,
                default_deadline: self.optional("default_deadline")?.map(Duration::from_nanos),
            },
            "finished" => Event::Finished {
                id: self.id()?,
                result: self.one("result", |word| if word == "ok" { Some(Ok(())) } else { fault(word).map(Err) })?,
            },
            "prepared" => {
                Event::Prepared { id: self.id()?, result: self.one("result", cost_or_fault)?, took: self.span("took")? }
            }
            "batch_done" => Event::BatchDone {
                lane: LaneId(self.number("lane")?),
                took: self.span("took")?,
                results: self.one("results", results)?,
            },
            "cancelled" => Event::Cancelled { id: self.id()? },
            "cut_off" => Event::CutOff { id: self.id()? },
            "client_left" => Event::ClientLeft { client: ClientId(self.number("client")?) },
            "model_state" => Event::ModelState { model: ModelId(self.number("model")?), state: self.state()? },
            "measured" => Event::Measured {
                model: ModelId(self.number("model")?),
                batch: self.number("batch")?,
                took: self.span("took")?,
            },
            "planned" => Event::Planned {
                model: ModelId(self.number("model")?),
                batch: self.number("batch")?,
                took: self.span("took")?,
            },
            "sampled" => sample::read(self)?,
            "held" => Event::Held(self.number("held")?),
            "placed" => Event::Placed { model: ModelId(self.number("model")?), host: self.host()? },
            "moved" => Event::Moved { from: ModelId(self.number("from")?), to: ModelId(self.number("to")?) },
            "follow" => Event::Follow { id: RequestId(self.number("id")?), to: ModelId(self.number("to")?) },
            "host_down" => Event::HostDown { host: self.host()? },
            "host_up" => Event::HostUp { host: self.host()? },
            "policy" => Event::Policy(Box::new(self.policy()?)),
            "drain" => Event::Drain,
            "resume" => Event::Resume,
            "tick" => Event::Tick,
            _ => match sites::read(self, kind)? {
                Some(event) => event,
                None => return Err(format!("no such event: {}", self.line)),
            },
        })
    }

    fn meta(&self) -> Result<RequestMeta, String> {
        Ok(RequestMeta {
            id: self.id()?,
            parent: self.optional("parent")?.map(RequestId),
            client: ClientId(self.number("client")?),
            share: self.number("share").map(ShareId::new)?,
            model: ModelId(self.number("model")?),
            deadline: self.optional("deadline")?.map(Mono::from_nanos),
            class: self.one("class", |word| match word {
                "unlabelled" => Some(ClassClaim::Unlabelled),
                "unknown" => Some(ClassClaim::Unknown),
                word => DataClass::from_word(word).map(ClassClaim::Claimed),
            })?,
            priority: self.one("priority", Priority::from_word)?,
            deferrable: self.one("deferrable", |word| word.parse().ok())?,
            bytes: Bytes(self.number("bytes")?),
            origin: self.one("origin", |word| {
                [Origin::Bus, Origin::Broker].into_iter().find(|origin| origin.as_str() == word)
            })?,
            work: self
                .one("work", |word| [Work::Tensors, Work::Encoded].into_iter().find(|work| work_word(*work) == word))?,
            cost: self.number("cost").map(Cost::new)?,
            most_rows: if self.word("most_rows")? == "-" { None } else { Some(self.number("most_rows")?) },
            deaths: self.number("deaths")?,
            terms: sites::read_terms(self)?,
        })
    }

    fn state(&self) -> Result<ModelState, String> {
        match self.word("state")? {
            "loading" => Ok(ModelState::Loading),
            "unavailable" => Ok(ModelState::Unavailable),
            "ready" => Ok(ModelState::Ready {
                lanes: LaneRange { first: LaneId(self.number("first")?), count: self.number("count")? },
                max_batch: self.number("max_batch")?,
                default_deadline: self.optional("default_deadline")?.map(Duration::from_nanos),
            }),
            word => Err(format!("no such state: {word}")),
        }
    }

    fn policy(&self) -> Result<Policy, String> {
        let (sites, routing) = sites::read_policy(self)?;
        Ok(Policy {
            default_deadline: self.span("default_deadline")?,
            max_deadline: self.span("max_deadline")?,
            max_waiting: self.number("max_waiting")?,
            max_waiting_bytes: Bytes(self.number("max_waiting_bytes")?),
            client_share: self.one("client_share", |word| word.parse().ok().and_then(Ratio::new))?,
            lanes: self.number("lanes")?,
            preparing: self.number("preparing")?,
            fan_out: self.number("fan_out")?,
            lower_share: self.one("lower_share", |word| word.parse().ok().and_then(Ratio::new))?,
            max_chunk: self.span("max_chunk")?,
            max_batch: self.number("max_batch")?,
            unlabelled: self.one("unlabelled", DataClass::from_word)?,
            bus_ceiling: self.one("bus_ceiling", DataClass::from_word)?,
            broker_ceiling: self.one("broker_ceiling", DataClass::from_word)?,
            hang_after: self.span("hang_after")?,
            restart_estimate: self.span("restart_estimate")?,
            governor: sample::read_limits(self)?,
            sites,
            routing,
        })
    }

    fn word(&self, name: &str) -> Result<&str, String> {
        let value = |word: &&str| word.split_once('=').is_some_and(|(key, _)| key == name);
        let word = self.words.iter().copied().find(value).and_then(|word| word.split_once('='));
        word.map(|(_, value)| value).ok_or_else(|| format!("no {name} in: {}", self.line))
    }

    fn one<T>(&self, name: &str, read: impl Fn(&str) -> Option<T>) -> Result<T, String> {
        let word = self.word(name)?;
        read(word).ok_or_else(|| format!("{name} is not {word} in: {}", self.line))
    }

    /// What is read if the name is there, else the default.
    fn or<T>(&self, name: &str, default: T, read: impl Fn(&str) -> Option<T>) -> Result<T, String> {
        if self.word(name).is_ok() { self.one(name, read) } else { Ok(default) }
    }

    fn number<T: core::str::FromStr>(&self, name: &str) -> Result<T, String> {
        self.one(name, |word| word.parse().ok())
    }

    fn optional(&self, name: &str) -> Result<Option<u64>, String> {
        if self.word(name)? == "-" { Ok(None) } else { self.number(name).map(Some) }
    }

    fn span(&self, name: &str) -> Result<Duration, String> {
        self.number(name).map(Duration::from_nanos)
    }

    fn host(&self) -> Result<HostId, String> {
        self.number("host").map(HostId)
    }

    fn id(&self) -> Result<RequestId, String> {
        self.number("id").map(RequestId)
    }
}

fn fault(word: &str) -> Option<Fault> {
    use Fault::{Confined, Full, HostLost, Hung, InvalidInput, Late, Runtime, Site, Stopped, TooLarge};
    let all = [HostLost, Hung, Runtime, InvalidInput, TooLarge, Full, Late, Stopped, Site, Confined];
    all.into_iter().find(|fault| fault.as_str() == word)
}

fn cost_or_fault(word: &str) -> Option<Result<Cost, Fault>> {
    word.parse().ok().map(|units| Ok(Cost::new(units))).or_else(|| fault(word).map(Err))
}

fn stages(word: &str) -> Option<Stages> {
    let models = word.split(',').filter(|item| !item.is_empty()).map(|item| item.parse().ok().map(ModelId));
    Stages::new(&models.collect::<Option<Vec<ModelId>>>()?)
}

fn results(word: &str) -> Option<Results> {
    let mut results = Results::new();
    for item in word.split(',').filter(|item| !item.is_empty()) {
        let (id, result) = item.split_once(':')?;
        let result = if result == "ok" { Ok(()) } else { Err(fault(result)?) };
        results.push(MemberResult { id: RequestId(id.parse().ok()?), result }).then_some(())?;
    }
    Some(results)
}
