//! Rules between bindings, and between them and the box: none hears what another one or the box says, none says what the box
//! hears, and no message is delivered twice.

use edge_wire::mqtt::home;
use edge_wire::mqtt::topic::Topics;

use super::super::Discovery;
use super::super::raw::Fault;
use super::super::records::Record;
use super::*;
use crate::binding::flat::Field;
use crate::binding::template::{Pattern, overlaps};

/// One topic template of a binding.
struct Output<'a> {
    binding: &'a str,
    key: &'static str,
    template: &'a Template,
    pattern: Pattern,
}

/// Every fault between these bindings.
pub fn faults(known: &[(&Record, BindingConfig)], around: &Around<'_>) -> Vec<Fault> {
    let prefix = around.mqtt.map(|mqtt| mqtt.prefix.as_str()).unwrap_or_default();
    let topics = Topics::new(prefix, around.node);
    let mut faults = Vec::new();
    let outputs: Vec<Output<'_>> =
        known.iter().flat_map(|(_, binding)| outputs(binding, around.node, prefix)).collect();
    for (place, (record, binding)) in known.iter().enumerate() {
        let own = outputs.iter().filter(|output| output.binding == binding.name);
        faults.extend(own.clone().filter_map(|output| taken(record, output, &topics)));
        let others = known.iter().take(place).map(|(_, other)| other.name.as_str());
        let others: Vec<&Output<'_>> =
            others.flat_map(|name| outputs.iter().filter(move |output| output.binding == name)).collect();
        faults.extend(own.filter_map(|output| writes_over(record, output, &others)));
        let folders = known.iter().take(place).map(|(_, other)| other);
        faults.extend(folders.filter_map(|other| shares_folder(record, binding, other)));
        let Some(filter) = binding.filter() else { continue };
        faults.extend(
            outputs
                .iter()
                .filter(|output| overlaps(filter, &output.pattern))
                .map(|output| hears(record, filter, output)),
        );
        faults.extend(hears_box(record, filter, &topics, around));
        let earlier = known.iter().take(place).filter_map(|(_, other)| Some((other, other.filter()?)));
        faults.extend(earlier.filter(|(_, other)| *other != filter && other.overlaps(filter)).map(|(other, earlier)| {
            let text = format!(
                "{:?} and {:?} of the binding {:?} match the same topics and are not the same: a broker may then deliver a message twice; give both the same filter, or ones that have no topic in common",
                filter.as_str(),
                earlier.as_str(),
                other.name
            );
            record.fault("topic", text)
        }));
    }
    faults
}

fn outputs<'a>(binding: &'a BindingConfig, node: &str, prefix: &str) -> Vec<Output<'a>> {
    let fixed = binding.fixed(node, prefix);
    let output = |key, template: &'a Template, fields: &[Field]| Output {
        binding: binding.name.as_str(),
        key,
        pattern: template.pattern(&fixed, fields),
        template,
    };
    let flat = binding.flat.as_ref().map(|flat| output("flat.topic", &flat.topic, &flat.rules.fields));
    [output("result", &binding.result, &[])].into_iter().chain(flat).collect()
}

/// Values of two bindings on one topic would be read as those of one. Answers in JSON say whose they are.
fn writes_over(record: &Record, output: &Output<'_>, others: &[&Output<'_>]) -> Option<Fault> {
    let is_value = |output: &Output<'_>| output.key == "flat.topic";
    let other =
        others.iter().find(|other| (is_value(output) || is_value(other)) && output.pattern.meets(&other.pattern))?;
    let text = format!(
        "{:?} can be a topic of the binding {:?}'s `{}` {:?}, and one would write over the other: takes {{binding}} or a word of its own in it",
        output.template.as_str(),
        other.binding,
        other.key,
        other.template.as_str()
    );
    Some(record.fault(output.key, text))
}

/// Each would take the files from under the other.
fn shares_folder(record: &Record, binding: &BindingConfig, other: &BindingConfig) -> Option<Fault> {
    let (Source::Folder(own), Source::Folder(others)) = (&binding.source, &other.source) else { return None };
    let is_same = own.dir.components().eq(others.dir.components());
    let patterns = [own.pattern.as_str(), others.pattern.as_str()];
    if !is_same || !(patterns[0] == patterns[1] || patterns.contains(&"*")) {
        return None;
    }
    let takes = "takes a folder of its own, or another `pattern`";
    let text = format!("{} gives its files to the binding {:?}: {takes}", own.dir.display(), other.name);
    Some(record.fault("folder", text))
}

fn hears(record: &Record, filter: &Filter, output: &Output<'_>) -> Fault {
    let (filter, key, template, name) = (filter.as_str(), output.key, output.template.as_str(), output.binding);
    let whose = match record.name.as_deref() == Some(name) {
        true => "its own".to_owned(),
        false => format!("the binding {name:?}'s"),
    };
    let text = format!(
        "{filter:?} matches {whose} `{key}` {template:?}, which would go round for ever: takes a filter without it"
    );
    record.fault("topic", text)
}

/// What this box says or takes already.
fn hears_box(record: &Record, filter: &Filter, topics: &Topics, around: &Around<'_>) -> Option<Fault> {
    let mqtt = around.mqtt?;
    let group = mqtt.group.as_ref().map(|group| topics.group_filter(group));
    let (how, discovery) = &mqtt.home_assistant;
    let home = (*how != Discovery::Off).then(|| home::own_filter(discovery, around.node));
    let plant = around.sparkplug.map(|(group, node)| format!("spBv1.0/{group}/+/{node}/#"));
    let own = [topics.own_filter(), topics.fleet_filter()].into_iter().chain(group).chain(home).chain(plant);
    let own = own.into_iter().find(|own| Filter::parse(own).is_ok_and(|own| own.overlaps(filter)))?;
    let text = format!(
        "{:?} matches topics of {own:?}, on which this box speaks or takes requests itself: takes a filter without them",
        filter.as_str()
    );
    Some(record.fault("topic", text))
}

/// Where a box takes requests or speaks of itself.
fn taken(record: &Record, output: &Output<'_>, topics: &Topics) -> Option<Fault> {
    let taken = topics.taken_filters();
    let taken = taken.iter().find(|taken| Filter::parse(taken).is_ok_and(|taken| overlaps(&taken, &output.pattern)))?;
    let text = format!(
        "{:?} can be a topic of {taken:?}, where boxes take requests or speak of themselves: takes another template",
        output.template.as_str()
    );
    Some(record.fault(output.key, text))
}
