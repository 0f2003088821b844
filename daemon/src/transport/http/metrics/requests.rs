//! What became of requests, how long they took, and what waits.

use std::fmt;
use std::time::Duration;

use edge_wire::dto::Status;

use super::out::{Out, count};
use super::table;
use crate::driver::counts::Counts;

/// `metered` says whether a power rail is read: energy that nobody measured is not 0.
pub(super) fn write(out: &mut Out<'_>, status: &Status, counts: &Counts, metered: bool) -> fmt::Result {
    let ended = counts.models.iter().flat_map(|(model, of)| {
        of.endings.iter().map(move |(ending, number)| {
            let labels = [model.as_str(), ending.transport, ending.verdict, ending.outcome, ending.code];
            (labels, count(*number))
        })
    });
    out.values(&table::ENDED, ended)?;
    out.values(&table::REFUSED, counts.refusals.iter().map(|(reason, number)| ([*reason], count(*number))))?;
    let sums = &status.counters;
    out.value(&table::ARRIVED, count(sums.arrived))?;
    out.value(&table::DUPLICATES, count(sums.duplicates))?;
    out.value(&table::DEFERRED, count(sums.deferred))?;
    out.value(&table::SPILLED, count(sums.spilled))?;
    waiting(out, status)?;
    let of = || counts.models.iter().map(|(model, of)| ([model.as_str()], of));
    out.durations(&table::TOTAL, of().map(|(model, of)| (model, &of.total)))?;
    out.durations(&table::QUEUE, of().map(|(model, of)| (model, &of.queue)))?;
    out.durations(&table::COMPUTE, of().map(|(model, of)| (model, &of.compute)))?;
    let tokens =
        of().flat_map(|([model], of)| [(model, "input", of.input_tokens), (model, "output", of.output_tokens)]);
    let told = tokens.filter(|(.., number)| *number > 0);
    out.values(&table::TOKENS, told.map(|(model, direction, number)| ([model, direction], count(number))))?;
    let sent = of().filter(|(_, of)| of.sent_bytes > 0);
    out.values(&table::SENT, sent.map(|(model, of)| (model, count(of.sent_bytes))))?;
    out.values(&table::COST, of().filter(|(_, of)| of.cost_usd > 0.0).map(|(model, of)| (model, of.cost_usd)))?;
    let energy = of().filter(|([model], _)| metered && !model.is_empty());
    out.values(&table::REQUEST_ENERGY, energy.map(|(model, of)| (model, of.energy_mj / 1000.0)))
}

/// Versions of a model wait together.
fn waiting(out: &mut Out<'_>, status: &Status) -> fmt::Result {
    let mut waiting = std::collections::BTreeMap::<&str, u64>::new();
    for model in status.models.iter().filter(|model| !super::models::is_part(model)) {
        *waiting.entry(&model.name).or_default() += u64::from(model.waiting);
    }
    out.values(&table::WAITING, waiting.into_iter().map(|(model, number)| ([model], count(number))))?;
    out.value(&table::RUNNING, f64::from(status.running))?;
    out.value(&table::AWAY, f64::from(status.routing.away))?;
    out.value(&table::ON_DISK, count(status.routing.deferred))?;
    out.value(&table::PREDICTED_WAIT, Duration::from_millis(status.routing.wait_ms).as_secs_f64())
}
