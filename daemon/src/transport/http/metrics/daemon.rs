//! The daemon itself: what runs, how it is, and what it costs to ask.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::Around;
use super::out::{Out, count, truth};
use super::table;
use crate::handle::Scrape;

const STATES: [&str; 5] = ["starting", "serving", "degraded", "draining", "drained"];

pub(super) fn write(out: &mut Out<'_>, scrape: &Scrape, around: &Around) -> fmt::Result {
    let status = &scrape.status;
    let simulated = match (status.simulated, status.hardware.simulated.is_empty()) {
        (false, _) => "",
        (true, true) => "engine",
        (true, false) => "machine",
    };
    let platform = &status.platform;
    let build = [status.version.as_str(), &status.node, &platform.machine, &platform.architecture, simulated];
    out.facts(&table::BUILD, [build])?;
    out.states(&table::STATE, &STATES, &status.state)?;
    out.value(&table::READY, truth(status.routing.serving))?;
    out.value(&table::UPTIME, Duration::from_millis(status.uptime_ms).as_secs_f64())?;
    let mut problems: BTreeMap<&str, u64> = BTreeMap::new();
    for problem in &status.problems {
        let subject = problem.subject.split(' ').next().unwrap_or_default();
        *problems.entry(subject).or_default() += 1;
    }
    out.values(&table::PROBLEMS, problems.into_iter().map(|(subject, number)| ([subject], count(number))))?;
    out.value(&table::CONFIG_PENDING, count(status.config_pending.len() as u64))?;
    let resident = [("daemon", status.rss_bytes), ("engine", status.engine.rss_bytes)];
    let resident = resident.into_iter().filter(|(_, bytes)| *bytes > 0);
    out.values(&table::RESIDENT, resident.map(|(process, bytes)| ([process], count(bytes))))?;
    out.value(&table::LOOP_WAIT, around.waited.as_secs_f64())?;
    out.value(&table::LOOP_SCRAPE, scrape.took.as_secs_f64())?;
    out.value(&table::HTTP_CONNECTIONS, count(around.places.open as u64))?;
    let turned_away = [("all", around.places.turned_away_all), ("caller", around.places.turned_away_caller)];
    out.values(&table::HTTP_TURNED_AWAY, turned_away.map(|(why, number)| ([why], count(number))))?;
    let answers = around.answered.iter().map(|((route, status), number)| (*route, status.to_string(), *number));
    let answers: Vec<(&str, String, u64)> = answers.collect();
    let answers = answers.iter().map(|(route, status, number)| ([*route, status.as_str()], count(*number)));
    out.values(&table::HTTP_ANSWERS, answers)
}
