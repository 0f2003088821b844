//! What is published of an answer: the JSON, the same retained as the last of its source, and flat values.

use std::time::SystemTime;

use bytes::Bytes;
use edge_core::Mono;
use edge_wire::error::ErrorCode;
use edge_wire::mqtt::home;

use super::circle::PATH;
use super::frame::Frame;
use super::{Answered, Binder, Bound, Todo};
use crate::binding::flat::{self, Facts, Seen, Told};
use crate::binding::template::Values;
use crate::config::bindings::BindingConfig;
use crate::driver::clock;
use crate::request::{Output, Reply};
use crate::transport::mqtt::egress::{self, JSON};
use crate::transport::mqtt::outbox::Letter;
use crate::transport::mqtt::packet::{Outbound, Qos};
use crate::transport::mqtt::session::JobId;
use crate::transport::sparkplug::metrics::Quality;
use crate::transport::sparkplug::metrics::bindings::{BindingResult, Field};

impl Binder {
    /// An answer leaves, in the order of its source.
    pub(super) fn release(&mut self, now: Mono, binding: usize, source: &str, answered: Answered) {
        let most = self.max_reply_bytes;
        let Answered { frame, id, reply } = answered;
        let Some(bound) = self.all.get_mut(binding) else { return };
        bound.tally.answered(now, &frame, &reply);
        let is_new = bound.remember(source, &frame);
        let config = std::sync::Arc::clone(&bound.config);
        let seen = match &reply.result {
            _ if bound.flat.is_none() && !self.has_hosts => Seen::Answer(Facts::default()),
            Ok(output) => Seen::Answer(flat::facts(&document(output))),
            Err(failure) => Seen::Failure(failure.code.as_str()),
        };
        if self.has_hosts {
            self.tell(binding, source, &frame, &seen);
        }
        let flat = self.all.get_mut(binding).and_then(|bound| bound.flat.as_mut());
        let (told, forgotten) = match flat {
            Some(flat) => (Some(flat.answered(now, source, seen, frame.at)), flat.take_forgotten()),
            None => (None, Vec::new()),
        };
        forgotten.into_iter().for_each(|told| self.publish_stale(binding, told));
        if let (Some(job), Err(failure)) = (frame.job, &reply.result) {
            self.todo.push_back(Todo::Failed { job, passes: passes(failure.code) });
        }
        let body = body(&config, source, &frame.path, frame.at, &id, &reply, most);
        let captures = frame.captures();
        if is_new {
            self.discover(&config, &captures, source);
        }
        let user = vec![(PATH.to_owned(), frame.path.to_string())];
        let mut letters = Vec::new();
        if let Some(topic) = self.result_topic(&config, &captures, source) {
            letters.push(self.letter(topic, body.clone(), JSON, (qos(config.qos), config.retain), false, user.clone()));
        }
        if config.last {
            let topic = self.topics.last(&config.model, source);
            letters.push(self.letter(topic, body, JSON, (qos(config.qos), true), true, user.clone()));
        }
        if let Some(told) = told {
            letters.extend(self.points(&config, &captures, told, &user));
        }
        self.todo.push_back(Todo::Post { job: frame.job, rank: config.priority, letters });
    }

    /// The topics of a source that was not heard of before.
    pub(super) fn discover(&mut self, config: &BindingConfig, captures: &[&str], source: &str) {
        let Some(flat) = &config.flat else { return };
        for field in &flat.rules.fields {
            let fixed = config.fixed(&self.node, &self.prefix);
            let topic = flat.topic.expand(&Values { captures, source, fixed, field: Some(*field) });
            self.discovered.extend(topic.map(|topic| home::Flat {
                binding: config.name.clone(),
                source: source.to_owned(),
                field: field.as_str(),
                topic,
                is_json: flat.rules.format == flat::Format::Json,
            }));
        }
    }

    /// The same for SCADA hosts, which show the last answer of each binding, of whatever source.
    fn tell(&mut self, binding: usize, source: &str, frame: &Frame, seen: &Seen<'_>) {
        let Some(bound) = self.all.get(binding) else { return };
        let text = |name: &str, text: String| (name.to_owned(), Field::Text(text));
        let mut fields = vec![text("source", source.to_owned())];
        let (quality, reason, is_ok) = match seen {
            Seen::Answer(facts) => {
                fields.extend(facts.class.clone().map(|class| text("class", class)));
                fields.extend(facts.score.map(|score| ("score".to_owned(), Field::Number(score))));
                let count = facts.count.and_then(|count| i64::try_from(count).ok());
                fields.extend(count.map(|count| ("count".to_owned(), Field::Whole(count))));
                fields.extend(facts.text.clone().map(|said| text("text", said)));
                (Quality::Good, String::new(), bound.config.is_ok(facts))
            }
            Seen::Failure(code) => (Quality::Bad, (*code).to_owned(), false),
        };
        fields.push(("ok".to_owned(), Field::Flag(is_ok)));
        let since = frame.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let (results, errors) = bound.tally.results();
        self.todo.push_back(Todo::Tell(Box::new(BindingResult {
            binding: bound.config.name.clone(),
            fields,
            quality,
            reason,
            at_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            results,
            errors,
        })));
    }

    /// Values that have changed though no answer came.
    pub(super) fn publish_stale(&mut self, binding: usize, told: Told) {
        let Some(bound) = self.all.get(binding) else { return };
        let config = std::sync::Arc::clone(&bound.config);
        let captures = bound.captures.get(&told.source).cloned().unwrap_or_default();
        let captures: Vec<&str> = captures.iter().map(String::as_str).collect();
        let user = vec![(PATH.to_owned(), self.circle.start(&config.name))];
        let letters = self.points(&config, &captures, told, &user);
        self.todo.push_back(Todo::Post { job: None::<JobId>, rank: config.priority, letters });
    }

    pub(super) fn result_topic(&self, config: &BindingConfig, captures: &[&str], source: &str) -> Option<String> {
        let fixed = config.fixed(&self.node, &self.prefix);
        config.result.expand(&Values { captures, source, fixed, field: None })
    }

    fn points(
        &mut self,
        config: &BindingConfig,
        captures: &[&str],
        told: Told,
        user: &[(String, String)],
    ) -> Vec<Letter> {
        let Some(flat) = &config.flat else { return Vec::new() };
        let topic = |field: flat::Field| {
            let fixed = config.fixed(&self.node, &self.prefix);
            flat.topic.expand(&Values { captures, source: &told.source, fixed, field: Some(field) })
        };
        let points: Vec<(String, String)> =
            told.points.iter().filter_map(|point| Some((topic(point.field)?, point.payload.clone()))).collect();
        let how = (qos(config.qos), flat.retain);
        let mut letters = Vec::new();
        for (topic, payload) in points {
            let content_type = if payload.starts_with('{') { JSON } else { "text/plain" };
            letters.push(self.letter(topic, payload.into(), content_type, how, true, user.to_vec()));
        }
        letters
    }

    pub(super) fn letter(
        &mut self,
        topic: String,
        payload: Bytes,
        content_type: &'static str,
        (qos, retain): (Qos, bool),
        newest: bool,
        user: Vec<(String, String)>,
    ) -> Letter {
        self.circle.publishes(&topic);
        let content_type = content_type.into();
        let message = Outbound { topic, payload, qos, retain, content_type, user, ..Outbound::default() };
        Letter { message, newest, made_ms: self.now_ms }
    }
}

impl Bound {
    /// Keeps what the wildcards stood for; whether that is new.
    fn remember(&mut self, source: &str, frame: &Frame) -> bool {
        if self.captures.get(source).is_some_and(|known| *known == frame.captures) {
            return false;
        }
        // Of sources that were forgotten everywhere else.
        if self.captures.len() > self.config.limits.max_sources.saturating_mul(2) {
            self.captures.clear();
        }
        self.captures.insert(source.into(), frame.captures.clone());
        true
    }
}

/// The JSON of an answer: as that of a request, with whose it is before it.
fn body(
    config: &BindingConfig,
    source: &str,
    path: &str,
    at: SystemTime,
    id: &str,
    reply: &Reply,
    most: usize,
) -> Bytes {
    let own = serde_json::json!({ "binding": config.name, "source": source, "time": clock::rfc3339(at) });
    let own = own.to_string();
    let path = serde_json::Value::from(path).to_string();
    let head = format!("{{\"{PATH}\":{path},{},", own.trim_start_matches('{').trim_end_matches('}'));
    let stored = egress::encode(Some(id), reply, most.saturating_sub(head.len()));
    let rest = stored.body.strip_prefix(b"{").unwrap_or(&stored.body);
    [head.as_bytes(), rest].concat().into()
}

/// The document of an answer; tensors say nothing that fits on a topic of its own.
fn document(output: &Output) -> serde_json::Value {
    match output {
        Output::Document(text) => serde_json::from_str(text).unwrap_or_default(),
        Output::Tensors(_) => serde_json::Value::Null,
    }
}

/// Whether the same frame may be answered later, without anything that its sender would have to change.
fn passes(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::Unavailable | ErrorCode::Overloaded | ErrorCode::UnknownModel)
}

fn qos(number: u8) -> Qos {
    match number {
        0 => Qos::AtMostOnce,
        1 => Qos::AtLeastOnce,
        _ => Qos::ExactlyOnce,
    }
}
