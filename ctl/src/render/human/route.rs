//! `edgectl route`: the verdict on a request in one sentence and everything that was asked, and what another policy would have made
//! of those that were.

use edge_wire::error::ErrorCode;
use edge_wire::sites::{Explanation, Replay, ReplayShare, RuleAnswer, SiteAnswer};

use crate::render::table::{Align, clean, field, paragraph, table};
use crate::render::units::{count, millis, percent, usd};

/// The explanation; `node` is the name of this box.
pub fn explanation(explanation: &Explanation, node: &str) -> String {
    let parts = [
        paragraph("", &clean(&sentence(explanation, node))),
        facts(explanation),
        rules(&explanation.rules),
        sites(explanation),
        otherwise(&explanation.otherwise),
    ];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

/// What would become of it.
fn sentence(explanation: &Explanation, node: &str) -> String {
    let Explanation { model, reason, site, .. } = explanation;
    let here = if site.is_empty() { node } else { site.as_str() };
    match explanation.verdict.as_str() {
        "local" => format!("{model} would be served by this box, {here} ({reason}){}", in_time(explanation)),
        "speculate" => format!(
            "{model} would be served by this box, {here}, and a stronger site asked if its answer is doubtful ({reason}){}",
            in_time(explanation)
        ),
        "spill" => format!("{model} would be sent to {} ({reason}){}", at(explanation), expected(explanation)),
        "defer" => format!("{model} would wait on the disk until something can serve it ({reason})"),
        "refuse" => format!("{model} would be refused: {} ({reason})", code(&explanation.code)),
        verdict => format!("{model}: {verdict} ({reason}) {site}"),
    }
}

fn in_time(explanation: &Explanation) -> String {
    let of = format!("of {} until the deadline", millis(explanation.deadline_ms));
    match explanation.predicted_ms {
        Some(predicted) => format!(": done in about {}, {of}", millis(predicted)),
        None => format!(": how long it takes was never measured, {of}"),
    }
}

/// `cloud-a in zone cloud`.
fn at(explanation: &Explanation) -> String {
    match chosen(explanation) {
        Some(site) => format!("{} in zone {}", site.site, site.zone),
        None => explanation.site.clone(),
    }
}

fn expected(explanation: &Explanation) -> String {
    let Some(site) = chosen(explanation) else { return String::new() };
    let cost = site.cost_usd.map_or(String::new(), |cost| format!("; {} USD", usd(cost)));
    format!(
        ": answered in about {}, nearly always within {}, of {} until the deadline{cost}",
        millis(site.likely_ms),
        millis(site.sure_ms),
        millis(explanation.deadline_ms)
    )
}

fn chosen(explanation: &Explanation) -> Option<&SiteAnswer> {
    explanation.sites.iter().find(|site| site.site == explanation.site)
}

/// A code with its meaning.
fn code(word: &str) -> String {
    let known = ErrorCode::ALL.iter().find(|(_, known, ..)| *known == word);
    known.map_or_else(|| word.to_owned(), |(.., meaning)| format!("{word}, {meaning}"))
}

fn facts(explanation: &Explanation) -> String {
    let Explanation { data_class, farthest, deadline_ms, here, wait_ms, service_ms, predicted_ms, .. } = explanation;
    let run = service_ms.map_or("its run was never measured".into(), |run| format!("{} to run", millis(run)));
    let done = predicted_ms.map_or(String::new(), |done| format!(", done in {}", millis(done)));
    [
        field("class", &clean(&format!("{data_class}: may reach zone {farthest} and no farther"))),
        field("deadline", &format!("in {}", millis(*deadline_ms))),
        field("this box", &clean(&format!("{here}: {} to wait, {run}{done}", millis(*wait_ms)))),
    ]
    .concat()
}

fn rules(rules: &[RuleAnswer]) -> String {
    if rules.is_empty() {
        return String::new();
    }
    let row = |rule: &RuleAnswer| {
        let name = if rule.rule.is_empty() { "-" } else { &rule.rule };
        // A rule may match and say nothing of where a request goes.
        let said = if rule.said.is_empty() { "nothing of it" } else { &rule.said };
        vec![clean(&rule.layer), clean(name), clean(said)]
    };
    let rows: Vec<Vec<String>> = rules.iter().map(row).collect();
    table(&[("ASKED", Align::Left), ("RULE", Align::Left), ("SAID", Align::Left)], &rows)
}

fn sites(explanation: &Explanation) -> String {
    if explanation.sites.is_empty() {
        return "no other site could be asked: there is no [[site]] in the configuration\n".into();
    }
    let row = |site: &SiteAnswer| {
        let cost = site.cost_usd.map_or("-".into(), usd);
        let says = match site.bar.as_str() {
            "" if explanation.verdict == "spill" && site.site == explanation.site => match explanation.waits_ms {
                None => "taken".into(),
                Some(most) => format!("taken; waits for a place there, at most {}", millis(most)),
            },
            "" if site.why.is_empty() => "could serve it".into(),
            "" => site.why.clone(),
            bar => format!("{bar}: {}", site.why),
        };
        // What a site would take for something that it does not serve says nothing.
        let numbers = match site.bar.as_str() {
            "not_served" => ["-"; 3].map(String::from),
            _ => [millis(site.likely_ms), millis(site.sure_ms), cost],
        };
        [clean(&site.site), clean(&site.zone)].into_iter().chain(numbers).chain([clean(&says)]).collect()
    };
    let rows: Vec<Vec<String>> = explanation.sites.iter().map(row).collect();
    let head = [
        ("SITE", Align::Left),
        ("ZONE", Align::Left),
        ("LIKELY", Align::Right),
        ("SURE", Align::Right),
        ("USD", Align::Right),
        ("WOULD IT SERVE", Align::Left),
    ];
    table(&head, &rows)
}

fn otherwise(sentences: &[String]) -> String {
    if sentences.is_empty() {
        return String::new();
    }
    let lines: String = sentences.iter().map(|sentence| paragraph("  ", &clean(sentence))).collect();
    format!("WHAT WOULD HAVE HAD TO DIFFER\n{lines}")
}

/// What another policy would have made of the decisions.
pub fn replay(replay: &Replay) -> String {
    if replay.decisions == 0 {
        return "no decision of this time is recorded: see `routing.decisions_max_rows`\n".into();
    }
    let Replay { decisions, from, until, .. } = replay;
    let head = format!("{} from {from} until {until}", count(*decisions, "decision"));
    let parts =
        [paragraph("", &clean(&head)), shares(&replay.shares, *decisions), sums(replay), caveats(&replay.caveats)];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

fn shares(shares: &[ReplayShare], decisions: u64) -> String {
    let of = |number: u64| share(number, decisions);
    let row = |share: &ReplayShare| {
        let zone = if share.zone.is_empty() { "-" } else { &share.zone };
        let (was, would_be) = (share.was, share.would_be);
        vec![clean(&share.site), clean(zone), was.to_string(), of(was), would_be.to_string(), of(would_be)]
    };
    let rows: Vec<Vec<String>> = shares.iter().map(row).collect();
    let head = [
        ("SITE", Align::Left),
        ("ZONE", Align::Left),
        ("WAS", Align::Right),
        ("", Align::Right),
        ("WOULD BE", Align::Right),
        ("", Align::Right),
    ];
    table(&head, &rows)
}

#[expect(clippy::cast_precision_loss, reason = "a share for people")]
fn share(part: u64, all: u64) -> String {
    percent(part as f64 / all.max(1) as f64)
}

fn sums(replay: &Replay) -> String {
    let newly = match replay.newly_leaving.as_slice() {
        [] => "nothing that stays here now, and nothing goes farther".into(),
        classes => format!("{}: these stay here now, or go less far", classes.join(", ")),
    };
    [
        field("cost", &format!("{} USD, would be {} USD", usd(replay.cost_was_usd), usd(replay.cost_would_be_usd))),
        field("in time", &format!("{}, would be {}", percent(replay.in_time_was), percent(replay.in_time_would_be))),
        field("left", &format!("{} left the device, {} would", replay.left_was, replay.left_would_be)),
        field("newly", &clean(&newly)),
    ]
    .concat()
}

fn caveats(caveats: &[String]) -> String {
    let lines = caveats.iter().map(|caveat| paragraph("  ", &clean(caveat)));
    let lines: String = lines.collect();
    if lines.is_empty() { lines } else { format!("WHAT THE RECORDS DO NOT TELL\n{lines}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(verdict: &str, reason: &str) -> Explanation {
        Explanation {
            model: "chat".into(),
            verdict: verdict.into(),
            reason: reason.into(),
            deadline_ms: 5000.0,
            ..Explanation::default()
        }
    }

    #[test]
    fn each_verdict_is_one_sentence_of_its_own() {
        let local = Explanation { site: "press-7".into(), predicted_ms: Some(84.0), ..of("local", "feasible") };
        let expected =
            "chat would be served by this box, press-7 (feasible): done in about 84.0 ms, of 5.00 s until the deadline";
        assert_eq!(sentence(&local, "press-7"), expected);
        let site = SiteAnswer {
            site: "cloud-a".into(),
            zone: "cloud".into(),
            likely_ms: 350.0,
            sure_ms: 2000.0,
            cost_usd: Some(0.00042),
            ..SiteAnswer::default()
        };
        let spill = Explanation { site: "cloud-a".into(), sites: vec![site], ..of("spill", "predicted_wait") };
        let expected = "chat would be sent to cloud-a in zone cloud (predicted_wait): answered in about 350.0 ms, nearly always \
                        within 2.00 s, of 5.00 s until the deadline; 0.00042 USD";
        assert_eq!(sentence(&spill, "press-7"), expected);
        let refused = Explanation { code: "confined".into(), ..of("refuse", "queue_full") };
        let expected = "chat would be refused: confined, may not leave the device, which cannot serve it (queue_full)";
        assert_eq!(sentence(&refused, "press-7"), expected);
        let speculate = sentence(&of("speculate", "feasible"), "press-7");
        assert!(speculate.contains("this box, press-7, and a stronger site asked if"), "{speculate}");
        assert!(sentence(&of("defer", "queue_full"), "").contains("wait on the disk"));
        assert!(sentence(&of("teleport", "why_not"), "").contains("teleport (why_not)"));
    }

    #[test]
    fn a_site_that_serves_is_marked_only_if_it_is_the_one() {
        let site = |name: &str| SiteAnswer { site: name.into(), why: "could serve it".into(), ..SiteAnswer::default() };
        let spill = Explanation { site: "a".into(), sites: vec![site("a"), site("b")], ..of("spill", "faster") };
        let shown = sites(&spill);
        let marks: Vec<bool> = shown.lines().skip(1).map(|line| line.ends_with("taken")).collect();
        assert_eq!(marks, [true, false], "{shown}");
    }
}
