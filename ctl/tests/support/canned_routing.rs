//! Records of other sites, as a daemon would give them on some box.
#![allow(dead_code, reason = "not every test uses every record")]

use edge_wire::dto::{Counters, Info, Problem, Status, Trace, TraceStep};
use edge_wire::sites::{
    AuditEntry, Explanation, FallbackCount, Replay, ReplayShare, RoutingStatus, RuleAnswer, SiteAnswer, SiteStatus,
    UsageRow,
};

use super::canned;

fn site(name: &str, zone: &str, protocol: &str, address: &str, models: &[&str]) -> SiteStatus {
    SiteStatus {
        name: name.into(),
        zone: zone.into(),
        protocol: protocol.into(),
        address: address.into(),
        state: "passing".into(),
        models: models.iter().map(|&model| model.into()).collect(),
        max_open: 64,
        ..SiteStatus::default()
    }
}

fn plant() -> SiteStatus {
    SiteStatus {
        p50_ms: 38.2,
        p95_ms: 96.4,
        observed: 412,
        error_rate: 0.002,
        open: 3,
        done: 18_211,
        failed: 36,
        ..site(
            "plant-triton",
            "premises",
            "oip",
            "https://triton.plant.example:8000",
            &["surface-defects", "text-line"],
        )
    }
}

fn cloud() -> SiteStatus {
    SiteStatus {
        p50_ms: 352.0,
        p95_ms: 1980.0,
        observed: 96,
        done: 1021,
        failed: 4,
        spent_usd: 1.2345,
        budget_usd: Some(5.0),
        prices_as_of: "2026-11-02".into(),
        ..site("cloud-a", "cloud", "openai", "https://api.example.com/v1", &["chat"])
    }
}

fn sibling() -> SiteStatus {
    SiteStatus {
        p50_ms: 110.0,
        p95_ms: 420.0,
        observed: 2,
        done: 2,
        open: 8,
        max_open: 8,
        waiting: 3,
        ..site("press-8", "premises", "sibling", "press-8", &[])
    }
}

/// A box in order with three sites.
pub fn with_sites() -> Status {
    let fallback =
        |failure: &str, step: &str, count| FallbackCount { failure: failure.into(), step: step.into(), count };
    Status {
        routing: RoutingStatus {
            sites: vec![plant(), cloud(), sibling()],
            fallbacks: vec![
                fallback("heat", "site", 12),
                fallback("queue_full", "wait", 14),
                fallback("site_down", "here", 1),
            ],
            away: 3,
            deferred: 14,
            spilled: 1021,
            audit_fault: String::new(),
            serving: true,
            wait_ms: 40,
        },
        counters: Counters { spilled: 1021, deferred: 14, ..canned::serving().counters },
        ..canned::serving()
    }
}

/// The same on a bad day: one site does not answer, one has no credential, one has spent its money, and the disk is full.
pub fn with_trouble() -> Status {
    let mut status = with_sites();
    let sites = &mut status.routing.sites;
    sites[0].state = "tripped".into();
    sites[0].reason = "no connection within 3000 ms: connection refused (os error 111)".into();
    sites[0].retry_in_ms = Some(12_400);
    sites[0].error_rate = 0.71;
    sites[1].spent_usd = 5.0;
    sites[1].prices_as_of = "2026-01-15".into();
    sites[2].state = "off".into();
    sites[2].reason = "not heard of for 5 min".into();
    status.routing.audit_fault = "write the ledger: no space left on device (os error 28)".into();
    let problem = |subject: &str, what: &str, remedy: &str| Problem {
        subject: subject.into(),
        what: what.into(),
        remedy: remedy.into(),
    };
    status.problems = vec![
        problem(
            "site plant-triton",
            "not asked now: no connection within 3000 ms: connection refused (os error 111)",
            "look at the network, the site's `url`, and whether it runs",
        ),
        problem(
            "site \"cloud-a\": price.as_of",
            "the price is of 2026-01-15, 317 days ago, and older than 180 days",
            "look the prices up again, and set the day",
        ),
    ];
    status.state = "degraded".into();
    status.reason = "site plant-triton: not asked now".into();
    status
}

fn rule(layer: &str, rule: &str, said: &str) -> RuleAnswer {
    RuleAnswer { layer: layer.into(), rule: rule.into(), said: said.into() }
}

fn answer(site: &str, zone: &str, (likely_ms, sure_ms): (f64, f64), bar: &str, why: &str) -> SiteAnswer {
    SiteAnswer {
        site: site.into(),
        zone: zone.into(),
        bar: bar.into(),
        why: why.into(),
        likely_ms,
        sure_ms,
        cost_usd: None,
    }
}

/// A chat that is sent to the cloud, a part's picture that must not leave, a text for this box, a batch for the night, and a box
/// without sites.
pub fn explanations() -> Vec<Explanation> {
    vec![chat(), confined(), here(), night(), alone()]
}

fn chat() -> Explanation {
    let cloud =
        SiteAnswer { cost_usd: Some(0.00042), ..answer("cloud-a", "cloud", (352.0, 1980.0), "", "could serve it") };
    let sites = vec![
        answer(
            "plant-triton",
            "premises",
            (38.2, 96.4),
            "not_served",
            "does not serve this model in this form: see its `models` and `protocol`",
        ),
        cloud,
        answer("press-8", "premises", (110.0, 420.0), "full", "8 requests are open there, the most that may be"),
    ];
    Explanation {
        model: "chat".into(),
        verdict: "spill".into(),
        reason: "predicted_wait".into(),
        site: "cloud-a".into(),
        data_class: "public".into(),
        farthest: "cloud".into(),
        deadline_ms: 5000.0,
        here: "predicted_wait".into(),
        wait_ms: 7120.0,
        service_ms: Some(1810.0),
        predicted_ms: Some(8930.0),
        rules: vec![
            rule("class", "", "public: may reach zone cloud and no farther (the caller says public)"),
            rule("detectors", "", "found nothing: public"),
            rule("rule", "chat-stays-in-the-union", "jurisdiction EU, retention 0 days, no training"),
            rule("here", "", "predicted_wait: 7120.0 ms to wait, 1810.0 ms to run, 5000 ms until the deadline"),
            rule("objective", "", "cheapest_within_slo"),
        ],
        sites,
        otherwise: vec![
            "this box would serve it if not: deadline_ms: the work ahead of this request takes longer than its deadline allows".into(),
            "this box would serve it with a deadline 3930 ms later".into(),
            "site press-8 could serve it if it were not that it 8 requests are open there, the most that may be".into(),
        ],
        ..Explanation::default()
    }
}

fn confined() -> Explanation {
    let far = |zone: &str| format!("is in zone {zone}; regulated data may reach device and no farther");
    let unserved = "does not serve this model in this form: see its `models` and `protocol`";
    Explanation {
        model: "surface-defects".into(),
        verdict: "refuse".into(),
        reason: "model_unavailable".into(),
        code: "confined".into(),
        data_class: "regulated".into(),
        farthest: "device".into(),
        deadline_ms: 500.0,
        here: "model_unavailable".into(),
        wait_ms: 0.0,
        service_ms: Some(41.2),
        predicted_ms: None,
        rules: vec![
            rule("class", "", "regulated: may reach zone device and no farther (the caller says regulated)"),
            rule("here", "", "model_unavailable: 0.0 ms to wait, 41.2 ms to run, 500 ms until the deadline"),
            rule("objective", "", "cheapest_within_slo"),
        ],
        sites: vec![
            answer("plant-triton", "premises", (38.2, 96.4), "data_class", &far("premises")),
            answer("cloud-a", "cloud", (352.0, 1980.0), "not_served", unserved),
            answer("press-8", "premises", (110.0, 420.0), "data_class", &far("premises")),
        ],
        otherwise: vec![
            "this box would serve it if not: the model cannot be served now".into(),
            format!("site plant-triton could serve it if it were not that it {}", far("premises")),
            format!("site press-8 could serve it if it were not that it {}", far("premises")),
        ],
        ..Explanation::default()
    }
}

fn here() -> Explanation {
    Explanation {
        model: "text-line".into(),
        verdict: "local".into(),
        reason: "feasible".into(),
        site: "press-7".into(),
        data_class: "regulated".into(),
        farthest: "device".into(),
        deadline_ms: 50.0,
        here: "feasible".into(),
        wait_ms: 1.2,
        service_ms: Some(8.1),
        predicted_ms: Some(9.3),
        rules: vec![
            rule("class", "", "regulated: may reach zone device and no farther (unlabelled: the policy's default)"),
            rule("here", "", "feasible: 1.2 ms to wait, 8.1 ms to run, 50 ms until the deadline"),
            rule("objective", "", "cheapest_within_slo"),
        ],
        sites: vec![answer(
            "plant-triton",
            "premises",
            (38.2, 96.4),
            "too_slow",
            "nearly all its answers take up to 96 ms; 50 ms are left",
        )],
        ..Explanation::default()
    }
}

fn night() -> Explanation {
    let said = "5.0000 of 5.0000 USD are spent today, and this one would cost 0.031000";
    Explanation {
        model: "report".into(),
        verdict: "defer".into(),
        reason: "budget_spent".into(),
        data_class: "public".into(),
        farthest: "cloud".into(),
        deadline_ms: 43_200_000.0,
        here: "only_there".into(),
        rules: vec![
            rule("class", "", "public: may reach zone cloud and no farther (the caller says public)"),
            rule("fallback", "", "budget_spent: site, here, wait"),
        ],
        sites: vec![SiteAnswer {
            cost_usd: Some(0.031),
            ..answer("cloud-a", "cloud", (2100.0, 9200.0), "budget", said)
        }],
        otherwise: vec![format!("site cloud-a could serve it if it were not that it {said}")],
        ..Explanation::default()
    }
}

fn alone() -> Explanation {
    Explanation { model: "file-type".into(), sites: vec![], ..here() }
}

/// What left the device: the newest first.
pub fn audit() -> Vec<AuditEntry> {
    let entry = |at: &str, request_id: &str, outcome: &str, took_ms| AuditEntry {
        at: at.into(),
        request_id: request_id.into(),
        caller: "bus :1.42 (uid 1000)".into(),
        model: "chat".into(),
        site: "cloud-a".into(),
        zone: "cloud".into(),
        protocol: "openai".into(),
        claimed: "public".into(),
        data_class: "public".into(),
        reason: "predicted_wait".into(),
        bytes: 2112,
        digest: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".into(),
        attempt: 1,
        outcome: outcome.into(),
        took_ms,
        cost_usd: 0.00042,
        ..AuditEntry::default()
    };
    vec![
        AuditEntry { cost_usd: 0.0, ..entry("2026-11-28T10:07:03.250000Z", "chat-9", "open", 0.0) },
        AuditEntry {
            data_class: "internal".into(),
            site: "press-8".into(),
            zone: "premises".into(),
            protocol: "sibling".into(),
            attempt: 2,
            reason: "site_down".into(),
            rules: "office-chat".into(),
            redacted: "card 1, email 2".into(),
            cost_usd: 0.0,
            ..entry("2026-11-28T10:05:59.000000Z", "chat-8", "ok", 118.0)
        },
        entry("2026-11-28T10:05:55.100000Z", "chat-8", "timeout", 3000.0),
        AuditEntry {
            caller: "mqtt edge/press-7/result/text-line".into(),
            model: "text-line".into(),
            site: "plant-triton".into(),
            zone: "premises".into(),
            protocol: "oip".into(),
            claimed: String::new(),
            data_class: "internal".into(),
            reason: "throttled".into(),
            bytes: 110_592,
            cost_usd: 0.0,
            ..entry("2026-11-27T22:00:01.007000Z", "line-4", "ok", 41.0)
        },
    ]
}

/// What was served in an hour.
pub fn usage() -> Vec<UsageRow> {
    let row = |model: &str, site: &str, verdict: &str, count, p50_ms: f64| UsageRow {
        from: "2026-11-28T10:00:00.000000Z".into(),
        span_s: 3600,
        model: model.into(),
        site: site.into(),
        verdict: verdict.into(),
        count,
        p50_ms,
        p95_ms: p50_ms * 2.0,
        p99_ms: p50_ms * 3.5,
        ..UsageRow::default()
    };
    vec![
        UsageRow { energy_j: 412.6, failed: 1, ..row("text-line", "press-7", "local", 1402, 9.3) },
        UsageRow {
            input_tokens: 412_000,
            output_tokens: 61_200,
            sent_bytes: 2_211_840,
            cost_usd: 0.4312,
            failed: 4,
            ..row("chat", "cloud-a", "spill", 1021, 352.0)
        },
        row("report", "", "defer", 14, 0.0),
        row("chat", "", "refuse", 12, 0.0),
    ]
}

/// Seven days under a policy that lets less out.
pub fn replay() -> Replay {
    let share =
        |site: &str, zone: &str, was, would_be| ReplayShare { site: site.into(), zone: zone.into(), was, would_be };
    Replay {
        decisions: 48_211,
        from: "2026-11-21T10:00:00.000000Z".into(),
        until: "2026-11-28T10:00:00.000000Z".into(),
        shares: vec![
            share("press-7", "", 46_000, 46_000),
            share("cloud-a", "cloud", 2011, 900),
            share("plant-triton", "premises", 0, 1000),
            share("refused", "", 200, 311),
        ],
        cost_was_usd: 1.2345,
        cost_would_be_usd: 0.5512,
        in_time_was: 0.9921,
        in_time_would_be: 0.9889,
        left_was: 2011,
        left_would_be: 1900,
        newly_leaving: vec!["internal 12".into()],
        caveats: vec![
            "what waits here, and what is open at sites, is taken as it was: a policy that sends less away would have longer waits here"
                .into(),
        ],
    }
}

/// What comes with the answer of a request that another site served.
pub fn away() -> Info {
    Info {
        version: String::new(),
        variant: String::new(),
        verdict: "spill".into(),
        reason: "predicted_wait".into(),
        site: "cloud-a".into(),
        zone: "cloud".into(),
        data_class: "public".into(),
        provider: String::new(),
        compute_us: 352_000,
        total_us: 355_120,
        batch: 0,
        cost_usd: 0.00042,
        ..canned::info()
    }
}

/// What became of that request.
pub fn trace_of_away() -> Trace {
    let step = |at_us, step: &str, detail: &str| TraceStep { at_us, step: step.into(), detail: detail.into() };
    Trace {
        request_id: "chat-9".into(),
        caller: "bus :1.42 (uid 1000)".into(),
        model: "chat".into(),
        outcome: "done".into(),
        received_at: "2026-11-28T10:07:03.120Z".into(),
        steps: vec![
            step(0, "received", "2112 bytes"),
            step(61, "sent", "to site cloud-a (cloud): predicted_wait"),
            step(355_000, "returned", "site cloud-a: answered after 352.0 ms"),
            step(355_120, "settled", "done"),
        ],
        info: Some(Info { request_id: "chat-9".into(), model: "chat".into(), ..away() }),
        ..Trace::default()
    }
}
