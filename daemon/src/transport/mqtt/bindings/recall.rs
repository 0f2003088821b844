//! Values that outlive what published them: those of an earlier life of the daemon, those of a binding that is no more, and those
//! that the broker did not take.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use edge_core::{Mono, Priority};

use super::circle::PATH;
use super::{Binder, Todo};
use crate::binding::flat::{self, Field, Format};
use crate::binding::template::Values;
use crate::transport::mqtt::egress::JSON;
use crate::transport::mqtt::heard::Heard;
use crate::transport::mqtt::packet::Qos;

impl Binder {
    /// Sources of which an earlier life of the daemon published values. Those on topics of now go stale unless they are heard of;
    /// those on others, as their binding is gone or has other topics, are said to be stale at once.
    pub fn recall(&mut self, now: Mono, at: SystemTime, heard: Vec<Heard>) {
        for one in heard {
            let other = self.take_up(now, at, &one);
            self.take_back(at, &one, &other);
        }
        self.changed = true;
    }

    /// Gives the topics of those values that no binding publishes there any more.
    fn take_up(&mut self, now: Mono, at: SystemTime, heard: &Heard) -> BTreeMap<Field, String> {
        let topics = heard.topics.iter().filter_map(|(word, topic)| Some((Field::from_word(word)?, topic.clone())));
        let all: BTreeMap<Field, String> = topics.collect();
        let Some(bound) = self.all.iter_mut().find(|bound| bound.config.name == heard.binding) else { return all };
        let config = Arc::clone(&bound.config);
        let (Some(flat), Some(memory)) = (&config.flat, &mut bound.flat) else { return all };
        let captures: Vec<&str> = heard.captures.iter().map(String::as_str).collect();
        let (fixed, source) = (config.fixed(&self.node, &self.prefix), heard.source.as_str());
        let is_now = |(field, topic): &(Field, String)| {
            let values = Values { captures: &captures, source, fixed, field: Some(*field) };
            flat.rules.fields.contains(field) && flat.topic.expand(&values).as_ref() == Some(topic)
        };
        let (same, other): (Vec<_>, Vec<_>) = all.into_iter().partition(is_now);
        if !same.is_empty() {
            memory.recall(now, source, same.into_iter().map(|(field, _)| field).collect(), at);
            bound.captures.insert(source.into(), heard.captures.clone());
            self.discover(&config, &captures, source);
        }
        other.into_iter().collect()
    }

    fn take_back(&mut self, at: SystemTime, heard: &Heard, topics: &BTreeMap<Field, String>) {
        self.is_other |= !topics.is_empty();
        if !heard.retain {
            return;
        }
        let fields: Vec<Field> = topics.keys().copied().collect();
        let (format, content_type) = if heard.json { (Format::Json, JSON) } else { (Format::Plain, "text/plain") };
        let user = vec![(PATH.to_owned(), self.circle.start(&heard.binding))];
        let mut letters = Vec::new();
        for point in flat::stale(&fields, format, at) {
            if let Some(topic) = topics.get(&point.field) {
                let payload = point.payload.into();
                letters.push(self.letter(
                    topic.clone(),
                    payload,
                    content_type,
                    (Qos::AtLeastOnce, true),
                    true,
                    user.clone(),
                ));
            }
        }
        if !letters.is_empty() {
            tracing::info!(binding = %heard.binding, source = %heard.source, "values of an earlier configuration are marked as stale");
            self.todo.push_back(Todo::Post { job: None, rank: Priority::Normal, letters });
        }
    }

    /// What a later life has to know of the sources of which values are published; nothing if that is what it was.
    pub fn take_heard(&mut self) -> Option<Vec<Heard>> {
        let flats = self.all.iter_mut().filter_map(|bound| bound.flat.as_mut());
        let changed = flats.filter_map(|flat| flat.take_changed().then_some(())).count();
        if changed == 0 && !std::mem::take(&mut self.is_other) {
            return None;
        }
        let mut heard = Vec::new();
        for bound in &self.all {
            let (Some(flat), Some(memory)) = (&bound.config.flat, &bound.flat) else { continue };
            for (source, fields) in memory.known() {
                let captures = bound.captures.get(source).cloned().unwrap_or_default();
                let stands: Vec<&str> = captures.iter().map(String::as_str).collect();
                let fixed = bound.config.fixed(&self.node, &self.prefix);
                let topic = |field| {
                    let values = Values { captures: &stands, source, fixed, field: Some(field) };
                    Some((field.as_str().to_owned(), flat.topic.expand(&values)?))
                };
                heard.push(Heard {
                    binding: bound.config.name.clone(),
                    source: source.to_string(),
                    topics: fields.into_iter().filter_map(topic).collect(),
                    captures,
                    json: flat.rules.format == Format::Json,
                    retain: flat.retain,
                });
            }
        }
        Some(heard)
    }

    /// The broker refused a message. If it was a value, that is not known there, and goes again with the next answer.
    pub fn refused(&mut self, topic: &str) {
        for bound in &mut self.all {
            let (Some(flat), Some(memory)) = (&bound.config.flat, &mut bound.flat) else { continue };
            let fixed = bound.config.fixed(&self.node, &self.prefix);
            let mut found = None;
            for (source, fields) in memory.known() {
                let captures: Vec<&str> =
                    bound.captures.get(source).into_iter().flatten().map(String::as_str).collect();
                let is_it = |field: &Field| {
                    let values = Values { captures: &captures, source, fixed, field: Some(*field) };
                    flat.topic.expand(&values).as_deref() == Some(topic)
                };
                found = fields.into_iter().find(is_it).map(|field| (Arc::clone(source), field));
                if found.is_some() {
                    break;
                }
            }
            if let Some((source, field)) = found {
                memory.unsay(&source, field);
            }
        }
    }
}
