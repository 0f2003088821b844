//! A binding as sentences, so that whoever wrote it can see whether it says what was meant.

use std::fmt::Write as _;
use std::time::Duration;

use edge_wire::mqtt::topic::Topics;

use super::flat::{Field, Format, Verdict};
use super::gate::Take;
use super::look::Payload;
use super::template::Fixed;
use crate::config::bindings::{After, BindingConfig, Flat, Source};

/// What a binding does, in words, on a box of this name with topics below this prefix.
pub fn sentences(binding: &BindingConfig, node: &str, prefix: &str) -> String {
    let fixed = binding.fixed(node, prefix);
    let mut text = format!("binding {:?} takes {}", binding.name, source(binding));
    let version = binding.version.as_deref().map(|version| format!(":{version}")).unwrap_or_default();
    // A String takes everything.
    let _ = write!(text, ", {}, and gives each to the model {}{version}", turns(binding), binding.model);
    if let Some(deadline) = binding.deadline {
        let _ = write!(text, ", to be answered within {}", time(deadline));
    }
    if let Some(class) = binding.data_class {
        let _ = write!(text, ", as {} data", class.as_str());
    }
    if binding.priority != edge_core::Priority::Normal {
        let _ = write!(text, ", with {} priority", binding.priority.as_str());
    }
    let _ = write!(text, ". Answers go to {:?} with QoS {}", binding.result.filled(&fixed), binding.qos);
    if binding.retain {
        text.push_str(", kept by the broker");
    }
    if binding.last {
        let topic = Topics::new(prefix, node).last(&binding.model, "{source}");
        let _ = write!(text, "; the broker keeps the last one of each source on {topic:?}");
    }
    text.push('.');
    if let Some(flat) = &binding.flat {
        let _ = write!(text, " {}", values(flat, &fixed));
    }
    text
}

fn source(binding: &BindingConfig) -> String {
    match &binding.source {
        Source::Topic(filter) if binding.reference.is_some() => {
            format!("{} that messages on {:?} name", what(&binding.payload), filter.as_str())
        }
        Source::Topic(filter) => format!("{} from {:?}", what(&binding.payload), filter.as_str()),
        Source::Folder(folder) => {
            let after = match &folder.after {
                After::Delete => "deleted once their answers are safe".into(),
                After::Keep => "kept, and taken again by the next start".into(),
                After::Move(dir) => format!("moved to {} once their answers are safe", dir.display()),
            };
            format!("files {:?} of {}, which are {after}", folder.pattern.as_str(), folder.dir.display())
        }
        Source::Snapshot(camera) => {
            let url = crate::http::shown(&camera.url);
            let login = if camera.credential.is_some() { " with a password" } else { "" };
            format!("the picture at {url}{login} every {}", time(camera.interval))
        }
        Source::Device(camera) => {
            let every = camera.interval.map(|interval| format!(" every {}", time(interval))).unwrap_or_default();
            format!("pictures of {}x{} from {}{every}", camera.width, camera.height, camera.path.display())
        }
    }
}

fn what(payload: &Payload) -> String {
    match payload {
        Payload::Auto => "frames".into(),
        Payload::Type(named) => format!("frames ({named})"),
    }
}

fn turns(binding: &BindingConfig) -> String {
    let limits = &binding.limits;
    let mut text = match limits.take {
        Take::Newest => format!("of each source only the newest, {} under way at once", limits.max_open),
        Take::Every => {
            format!("every one in order, {} under way at once and {} waiting", limits.max_open, limits.max_waiting)
        }
    };
    if limits.interval > Duration::ZERO {
        let _ = write!(text, ", at most one of each source every {}", time(limits.interval));
    }
    text
}

fn values(flat: &Flat, fixed: &Fixed<'_>) -> String {
    let rules = &flat.rules;
    let fields: Vec<&str> = rules.fields.iter().map(|field| field.as_str()).collect();
    let when = if rules.on_change { "when they change" } else { "with every answer" };
    let kept = if flat.retain { ", kept by the broker" } else { "" };
    let format = match rules.format {
        Format::Plain => "plain values",
        Format::Json => "values with time and quality",
    };
    let mut text = format!("{} go as {format} to {:?} {when}{kept}", fields.join(", "), flat.topic.filled(fixed));
    if rules.fields.contains(&Field::Ok) {
        let _ = write!(text, "; ok is true for {}", yes(&rules.verdict));
    }
    if let Some(span) = rules.stale_after {
        let _ = write!(text, "; without a good answer for {} they are stale", time(span));
    }
    text.push('.');
    text
}

fn yes(verdict: &Verdict) -> String {
    let classes: Vec<String> = verdict.classes.iter().map(|class| format!("{class:?}")).collect();
    let class = (!classes.is_empty()).then(|| format!("a class of {}", classes.join(" or ")));
    let score = verdict.min_score.map(|least| format!("a score of at least {least}"));
    let count = match (verdict.min_count, verdict.max_count) {
        (Some(least), Some(most)) if least == most => Some(format!("a count of {most}")),
        (Some(least), Some(most)) => Some(format!("a count of {least} to {most}")),
        (Some(least), None) => Some(format!("a count of at least {least}")),
        (None, Some(most)) => Some(format!("a count of at most {most}")),
        (None, None) => None,
    };
    let all: Vec<String> = class.into_iter().chain(score).chain(count).collect();
    if all.is_empty() { "every answer".into() } else { all.join(" with ") }
}

fn time(span: Duration) -> String {
    humantime::format_duration(span).to_string()
}
