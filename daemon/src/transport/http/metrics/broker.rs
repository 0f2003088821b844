//! The link to the broker, what waits for it, and bindings.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use edge_wire::dto::{BindingStatus, MqttStatus, OutboxStatus, Status};

use super::out::{Column, Out, count, truth};
use super::table;

pub(super) fn write(out: &mut Out<'_>, status: &Status) -> fmt::Result {
    let mqtt = &status.mqtt;
    // Without a broker there is nothing that could be 0.
    if !matches!(mqtt.state.as_str(), "" | "off") {
        link(out, mqtt)?;
        outbox(out, &mqtt.outbox)?;
        bindings(out, &mqtt.bindings)?;
    }
    let node = &status.sparkplug;
    if !matches!(node.state.as_str(), "" | "off") {
        out.value(&table::EDGE_NODE, truth(node.state == "born"))?;
        out.value(&table::HISTORY, count(node.history_waiting))?;
        out.value(&table::HISTORY_LOST, count(node.history_lost))?;
    }
    Ok(())
}

fn link(out: &mut Out<'_>, mqtt: &MqttStatus) -> fmt::Result {
    out.value(&table::CONNECTED, truth(mqtt.state == "connected"))?;
    out.value(&table::PREFERRED, truth(mqtt.is_preferred()))?;
    out.value(&table::CONNECTS, count(mqtt.connects))?;
    out.value(&table::PING, mqtt.ping_us.map(|us| Duration::from_micros(us).as_secs_f64()))?;
    out.value(&table::RECEIVED, count(mqtt.received))?;
    out.value(&table::REPLIES_WAITING, f64::from(mqtt.replies_waiting))?;
    let lost = [("dropped", mqtt.replies_dropped), ("refused", mqtt.replies_refused)];
    out.values(&table::REPLIES_LOST, lost.map(|(why, number)| ([why], count(number))))?;
    out.value(&table::JOURNALED, f64::from(mqtt.journaled))?;
    out.value(&table::UNJOURNALED, count(mqtt.unjournaled))?;
    let mut ends: BTreeMap<&str, i64> = BTreeMap::new();
    for certificate in &mqtt.certificates {
        let end = ends.entry(&certificate.of).or_insert(certificate.not_after_s);
        *end = certificate.not_after_s.min(*end);
    }
    let seconds = |end: i64| u64::try_from(end).map_or(0.0, count);
    out.values(&table::CERTIFICATE, ends.into_iter().map(|(of, end)| ([of], seconds(end))))
}

fn outbox(out: &mut Out<'_>, outbox: &OutboxStatus) -> fmt::Result {
    let OutboxStatus { dropped, expired, refused, unreadable, unsent, .. } = *outbox;
    out.value(&table::OUTBOX, count(outbox.waiting))?;
    out.value(&table::OUTBOX_BYTES, count(outbox.waiting_bytes))?;
    out.value(&table::OUTBOX_DISK, count(outbox.stored))?;
    out.value(&table::OUTBOX_SENT, count(outbox.sent))?;
    out.value(&table::OUTBOX_LATE, count(outbox.late))?;
    out.value(&table::OUTBOX_REPLACED, count(outbox.replaced))?;
    let lost = [
        ("dropped", dropped),
        ("expired", expired),
        ("refused", refused),
        ("unreadable", unreadable),
        ("unsent", unsent),
    ];
    out.values(&table::OUTBOX_LOST, lost.map(|(why, number)| ([why], count(number))))
}

fn bindings(out: &mut Out<'_>, all: &[BindingStatus]) -> fmt::Result {
    let frames = all.iter().flat_map(|one| {
        let fates = [
            ("received", one.received),
            ("submitted", one.submitted),
            ("done", one.done),
            ("failed", one.failed),
            ("skipped", one.skipped),
            ("overloaded", one.overloaded),
            ("circular", one.circular),
            ("retained", one.retained),
        ];
        fates.map(|(fate, number)| ([one.name.as_str(), fate], count(number)))
    });
    out.values(&table::FRAMES, frames)?;
    let columns: [Column<BindingStatus>; 6] = [
        (&table::FRAMES_WAITING, |one| Some(count(one.waiting))),
        (&table::FRAMES_OPEN, |one| Some(count(one.open))),
        (&table::SOURCES, |one| Some(count(one.sources))),
        (&table::FRAME_AGE, |one| answered(one).map(|_| Duration::from_micros(one.last_age_us).as_secs_f64())),
        (&table::FRAME_AT, answered),
        (&table::BINDING_BROKEN, |one| Some(truth(!one.problem.is_empty()))),
    ];
    for (family, of) in columns {
        let known = all.iter().filter_map(|one| Some(([one.name.as_str()], of(one)?)));
        out.values(family, known)?;
    }
    Ok(())
}

/// When the last frame was answered, if one was.
fn answered(one: &BindingStatus) -> Option<f64> {
    let at = humantime::parse_rfc3339(&one.last_at).ok()?;
    Some(at.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs_f64())
}
