//! What is tried when a model is measured, and what becomes of the measurements: pure functions between the setups of a
//! bundle, the core's ways and points, and the plan as it is shown and kept.

use edge_core::tune::choose::{Objective, choose};
use edge_core::tune::right::{Accepted, Proof};
use edge_core::tune::ways::{Build, ways};
use edge_core::tune::{Point, Way};
use edge_engine::protocol::{Precision, Setup, Trial};
use edge_wire::plan::{Plan, PlanChoice, PlanPoint, PlanWay};

use super::super::models::{Kind, LANES_EACH};
use crate::store::{Losses, too_lossy};

/// Largest difference from the reference at which tensor requests are given to a way. The contract allows two hundredths on
/// any input; only some inputs can be tried, so half of it is kept for those that were not.
pub const CLOSE: f64 = 0.01;

/// What came of the trial of one setup.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How right it answers.
    pub trial: Option<Trial>,
    /// Why it could not be tried, or not to the end.
    pub fault: Option<String>,
    /// Share of the task's measure that its variant is stated to lose, and how much of it the bundle accepts.
    pub loss: f64,
    pub max_loss: f64,
}

impl Report {
    /// Nothing was tried yet of a setup of this variant.
    pub fn of(setup: &Setup, losses: &Losses) -> Report {
        Report { loss: losses.of_variant(&setup.variant), max_loss: losses.accepted, ..Report::default() }
    }

    fn proof(&self) -> Option<Proof> {
        let trial = self.trial.as_ref()?;
        let apart = trial.difference.as_ref().ok().copied();
        Some(Proof { goldens: trial.goldens.is_ok(), apart, loss: self.loss })
    }

    fn accepted(&self) -> Accepted {
        Accepted { loss: self.max_loss, apart: CLOSE }
    }

    fn encoded(&self) -> bool {
        self.proof().is_some_and(|proof| proof.encoded(&self.accepted()))
    }

    fn tensors(&self) -> bool {
        self.proof().is_some_and(|proof| proof.tensors(&self.accepted()))
    }

    /// Whether it is worth measuring.
    pub fn is_good(&self) -> bool {
        self.encoded() || self.tensors()
    }

    fn reason(&self) -> String {
        if let Some(fault) = &self.fault {
            return fault.clone();
        }
        let Some(trial) = &self.trial else { return "not tried".into() };
        let mut reasons = Vec::new();
        if let Err(why) = &trial.goldens {
            reasons.push(format!("not for encoded requests: {why}"));
        } else if !self.encoded() {
            reasons.push(format!("not for encoded requests: {}", too_lossy(self.loss, self.max_loss)));
        }
        match &trial.difference {
            Ok(apart) if *apart > CLOSE => reasons.push(format!(
                "not for tensors: an output differs by {apart:.3} from the reference, accepted is up to {CLOSE}"
            )),
            Err(why) => reasons.push(format!("not for tensors: {why}")),
            Ok(_) => {}
        }
        reasons.join("; ")
    }
}

/// The setups to try for a bundle whose manifest names these, on so many cores; one provider after the other, as each is
/// tried in a host of its own.
pub fn setups(manifest: &[Setup], cores: u16) -> Vec<Setup> {
    let mut builds: Vec<&Setup> = Vec::new();
    for setup in manifest {
        if !builds.iter().any(|other| (&other.variant, &other.provider) == (&setup.variant, &setup.provider)) {
            builds.push(setup);
        }
    }
    let mut providers: Vec<&str> = Vec::new();
    for setup in &builds {
        if !providers.contains(&setup.provider.as_str()) {
            providers.push(&setup.provider);
        }
    }
    builds.sort_by_key(|setup| providers.iter().position(|provider| *provider == setup.provider));
    let kinds: Vec<Build> = builds
        .iter()
        .map(|setup| Build {
            on_cores: matches!(setup.provider.as_str(), "cpu" | "openvino"),
            reduced: setup.provider != "cpu",
        })
        .collect();
    let setup = |shape: edge_core::tune::ways::Shape| {
        let build = builds.get(shape.build)?;
        let precision = if shape.reduced { Precision::Reduced } else { Precision::Exact };
        Some(Setup { precision, threads: shape.threads, instances: shape.instances, ..(*build).clone() })
    };
    ways(&kinds, cores).into_iter().filter_map(setup).collect()
}

/// Everything that was found out.
pub struct Found<'a> {
    pub setups: &'a [Setup],
    pub reports: &'a [Report],
    pub ways: &'a [Way],
    pub points: &'a [Point],
    /// The model takes encoded payloads.
    pub encoded: bool,
    /// The rail by which energy was metered.
    pub rail: Option<&'a str>,
}

/// Fills in what was measured, and what is chosen of it.
pub fn plan(found: &Found<'_>, plan: Plan) -> Plan {
    let Found { setups, reports, ways, points, encoded, rail } = found;
    let rows = setups.iter().zip(*reports).enumerate();
    let plan_ways = rows.map(|(at, (setup, report))| row(setup, report, points.iter().filter(|point| point.way == at)));
    let (mut choices, mut remarks) = (Vec::new(), Vec::new());
    for kind in Kind::ALL {
        if kind == Kind::Encoded && !encoded {
            continue;
        }
        let good = |way: usize| {
            reports.get(way).is_some_and(|report| match kind {
                Kind::Encoded => report.encoded(),
                Kind::Tensors => report.tensors(),
            })
        };
        for objective in Objective::ALL {
            let Some(chosen) = choose(ways, points, objective, good) else { continue };
            choices.push(PlanChoice {
                requests: kind.as_str().into(),
                objective: objective.as_str().into(),
                way: u32::try_from(chosen.way).unwrap_or(u32::MAX),
                instances: chosen.lanes.into(),
                batch: chosen.batch.into(),
                p50_us: u64::try_from(chosen.alone.as_micros()).unwrap_or(u64::MAX),
                per_second: rate(chosen.rate_milli),
                energy_mj: chosen.item_uj.map(rate),
            });
        }
        if !choices.iter().any(|choice| choice.requests == kind.as_str()) {
            remarks.push(format!(
                "no way answers {} requests closely enough: they are served as the manifest says",
                kind.as_str()
            ));
        }
    }
    remarks.push(match rail {
        Some(rail) => {
            format!("energy is that of the whole rail {rail} while the model ran, what else took it included")
        }
        None => "no energy: this box has no power rail that can be read, so there is no choice by efficiency".into(),
    });
    Plan { ways: plan_ways.collect(), choices, remarks, ..plan }
}

fn row<'a>(setup: &Setup, report: &Report, points: impl Iterator<Item = &'a Point>) -> PlanWay {
    PlanWay {
        variant: setup.variant.clone(),
        provider: setup.provider.clone(),
        precision: setup.precision.as_str().into(),
        threads: setup.threads.into(),
        instances: setup.instances.into(),
        encoded: report.encoded(),
        tensors: report.tensors(),
        difference: report
            .trial
            .as_ref()
            .and_then(|trial| trial.difference.as_ref().ok())
            .copied()
            .filter(|apart| apart.is_finite()),
        reason: report.reason(),
        points: points
            .map(|point| PlanPoint {
                sessions: point.lanes.into(),
                batch: point.batch.into(),
                p50_us: u64::try_from(point.took.as_micros()).unwrap_or(u64::MAX),
                per_second: rate(point.rate_milli()),
                energy_mj: point.item_uj().map(rate),
            })
            .collect(),
    }
}

/// Thousandths as a number.
#[expect(clippy::cast_precision_loss, reason = "a figure for people; exact below 2^53")]
fn rate(milli: u64) -> f64 {
    milli as f64 / 1000.0
}

/// The kind of request by whose choice this kind is served. A model that takes no encoded payloads has no choice for them,
/// though its ways answer right: nothing is loaded besides what its tensors are given to.
fn decisive(plan: &Plan, kind: Kind) -> Kind {
    let is_chosen = plan.choices.iter().any(|choice| choice.requests == kind.as_str());
    let answers = plan.ways.iter().any(|way| way.encoded && !way.points.is_empty());
    match kind {
        Kind::Encoded if !is_chosen && answers => Kind::Tensors,
        Kind::Encoded | Kind::Tensors => kind,
    }
}

/// The way that a plan has for this kind of request.
pub fn chosen<'a>(plan: &'a Plan, kind: Kind, objective: &str) -> Option<(Setup, &'a PlanWay)> {
    let kind = decisive(plan, kind);
    let of_kind = || plan.choices.iter().filter(|choice| choice.requests == kind.as_str());
    // Without a rail there is no choice by efficiency: what does most with the box is next to it.
    let choice = of_kind().find(|choice| choice.objective == objective);
    let choice = choice.or_else(|| of_kind().find(|choice| choice.objective == Objective::Throughput.as_str()))?;
    let way = plan.ways.get(usize::try_from(choice.way).ok()?)?;
    let instances = u16::try_from(choice.instances).ok()?.clamp(1, LANES_EACH);
    Some((Setup { instances, ..setup(way)? }, way))
}

/// What of a plan a bundle with these setups in its manifest cannot be served by; `None` if nothing.
pub fn foreign(plan: &Plan, manifest: &[Setup]) -> Option<String> {
    plan.choices.iter().find_map(|choice| {
        let Some(way) = usize::try_from(choice.way).ok().and_then(|way| plan.ways.get(way)) else {
            return Some(format!("it chooses way {} of {}", choice.way, plan.ways.len()));
        };
        let known = |setup: &Setup| (&setup.variant, &setup.provider) == (&way.variant, &way.provider);
        (!manifest.iter().any(known))
            .then(|| format!("it chooses {} on {}, which the bundle does not have", way.variant, way.provider))
    })
}

/// Whether a plan allows a setup for this kind of request: one that was not tried may do.
pub fn allows(plan: &Plan, kind: Kind, wanted: &Setup) -> bool {
    let same = |way: &&PlanWay| {
        (&way.variant, &way.provider, way.precision.as_str())
            == (&wanted.variant, &wanted.provider, wanted.precision.as_str())
    };
    plan.ways.iter().filter(same).all(|way| match kind {
        Kind::Encoded => way.encoded || way.points.is_empty(),
        Kind::Tensors => way.tensors || way.points.is_empty(),
    })
}

fn setup(way: &PlanWay) -> Option<Setup> {
    let precision = [Precision::Exact, Precision::Reduced].into_iter().find(|known| known.as_str() == way.precision)?;
    Some(Setup {
        variant: way.variant.clone(),
        provider: way.provider.clone(),
        precision,
        threads: u16::try_from(way.threads).ok()?.clamp(1, 64),
        instances: u16::try_from(way.instances).ok()?.clamp(1, LANES_EACH),
    })
}

/// What was measured of a setup with all its sessions at work: batch and time of a run.
pub fn curve(plan: &Plan, wanted: &Setup) -> Vec<(u16, std::time::Duration)> {
    let same =
        |way: &&PlanWay| setup(way).is_some_and(|found| Setup { instances: wanted.instances, ..found } == *wanted);
    let points = plan.ways.iter().filter(same).flat_map(|way| &way.points);
    let at_work = points.filter(|point| point.sessions == u32::from(wanted.instances));
    at_work
        .filter_map(|point| Some((u16::try_from(point.batch).ok()?, std::time::Duration::from_micros(point.p50_us))))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn setup_on(provider: &str, threads: u16, instances: u16) -> Setup {
        Setup { variant: "fp32".into(), provider: provider.into(), precision: Precision::Exact, threads, instances }
    }

    #[test]
    fn each_variant_and_provider_is_tried_in_each_shape_provider_by_provider() {
        let other = Setup { variant: "int8".into(), ..setup_on("openvino", 1, 1) };
        let manifest = [setup_on("openvino", 1, 2), setup_on("cpu", 1, 2), other];
        let tried: Vec<String> = setups(&manifest, 2)
            .iter()
            .map(|s| format!("{} {} {} {}x{}", s.variant, s.provider, s.precision.as_str(), s.instances, s.threads))
            .collect();
        let expected = [
            "fp32 openvino exact 2x1",
            "fp32 openvino exact 1x2",
            "fp32 openvino reduced 2x1",
            "fp32 openvino reduced 1x2",
            "int8 openvino exact 2x1",
            "int8 openvino exact 1x2",
            "int8 openvino reduced 2x1",
            "int8 openvino reduced 1x2",
            "fp32 cpu exact 2x1",
            "fp32 cpu exact 1x2",
        ];
        assert_eq!(tried, expected);
    }

    fn report(goldens: bool, difference: f64) -> Report {
        let goldens = if goldens { Ok(()) } else { Err("golden a.png: at text".into()) };
        let trial = Some(Trial { goldens, difference: Ok(difference), cost: 1 });
        Report { trial, ..Report::default() }
    }

    /// The plan of three setups: the second is twice as fast, the third four times.
    fn made(reports: &[Report; 3]) -> Plan {
        let setups = [
            setup_on("cpu", 1, 2),
            setup_on("cpu", 2, 1),
            Setup { precision: Precision::Reduced, ..setup_on("openvino", 1, 1) },
        ];
        let ways = [
            Way { instances: 2, threads: 1, max_batch: 1 },
            Way { instances: 1, threads: 2, max_batch: 1 },
            Way { instances: 1, threads: 1, max_batch: 1 },
        ];
        let point = |way, lanes, ms| Point { way, lanes, batch: 1, took: Duration::from_millis(ms), power_mw: None };
        let points = [point(0, 1, 40), point(0, 2, 40), point(1, 1, 20), point(2, 1, 10)];
        plan(
            &Found { setups: &setups, reports, ways: &ways, points: &points, encoded: true, rail: None },
            Plan::default(),
        )
    }

    fn provider_of(plan: &Plan, kind: Kind) -> String {
        chosen(plan, kind, "latency")
            .map_or("none".into(), |(setup, _)| format!("{} {}", setup.provider, setup.threads))
    }

    #[test]
    fn encoded_and_tensor_requests_may_get_different_plans() {
        let fast_but_rough = made(&[report(true, 0.0), report(true, 0.0), report(true, 0.03)]);
        assert_eq!(provider_of(&fast_but_rough, Kind::Encoded), "openvino 1");
        assert_eq!(provider_of(&fast_but_rough, Kind::Tensors), "cpu 2");
        assert!(fast_but_rough.ways[2].reason.contains("differs by 0.030 from the reference, accepted is up to 0.01"));
        let wrong = made(&[report(true, 0.0), report(true, 0.0), report(false, 0.005)]);
        assert_eq!(provider_of(&wrong, Kind::Encoded), "cpu 2");
        assert_eq!(provider_of(&wrong, Kind::Tensors), "openvino 1");
        let rough = Setup { precision: Precision::Reduced, ..setup_on("openvino", 1, 1) };
        assert!(allows(&fast_but_rough, Kind::Encoded, &rough) && !allows(&fast_but_rough, Kind::Tensors, &rough));
    }

    #[test]
    fn a_variant_that_loses_more_than_its_bundle_accepts_answers_no_encoded_requests() {
        let losses = |accepted| Losses { stated: [("fp32".to_owned(), 0.02)].into(), accepted };
        let lossy = |accepted| Report {
            trial: report(true, 0.03).trial,
            ..Report::of(&setup_on("openvino", 1, 1), &losses(accepted))
        };
        let good = || report(true, 0.0);
        for (accepted, serves) in [(0.0, "cpu 2"), (0.019, "cpu 2"), (0.02, "openvino 1")] {
            let plan = made(&[good(), good(), lossy(accepted)]);
            assert_eq!(provider_of(&plan, Kind::Encoded), serves, "{accepted}");
            assert_eq!(provider_of(&plan, Kind::Tensors), "cpu 2", "two hundredths, whatever the bundle accepts");
            assert_eq!(plan.ways[2].encoded, serves == "openvino 1");
            let said = plan.ways[2].reason.contains("loses 0.02 of the task's measure, the bundle's max_loss is 0");
            assert_eq!(said, serves == "cpu 2", "{}", plan.ways[2].reason);
        }
    }

    #[test]
    fn a_model_that_takes_tensors_alone_is_served_in_one_way() {
        let mut plan = made(&[report(true, 0.0), report(true, 0.0), report(true, 0.0)]);
        plan.choices.retain(|choice| choice.requests == "tensors");
        assert_eq!(provider_of(&plan, Kind::Tensors), "openvino 1");
        assert_eq!(provider_of(&plan, Kind::Encoded), "openvino 1");
        // Where encoded requests are not answered right they are served as the manifest says, not by the tensors' way.
        plan.ways.iter_mut().for_each(|way| way.encoded = false);
        assert_eq!(provider_of(&plan, Kind::Encoded), "none");
    }

    #[test]
    fn where_nothing_is_close_enough_the_manifest_serves_and_that_is_said() {
        let plan = made(&[report(false, 0.5), report(false, 0.5), report(false, 0.5)]);
        assert_eq!(
            (provider_of(&plan, Kind::Encoded), provider_of(&plan, Kind::Tensors)),
            ("none".into(), "none".into())
        );
        assert!(plan.remarks[0].contains("no way answers encoded requests closely enough"), "{:?}", plan.remarks);
    }

    #[test]
    fn the_curve_is_that_of_the_sessions_that_are_loaded() {
        let plan = made(&[report(true, 0.0), report(true, 0.0), report(true, 0.0)]);
        assert_eq!(curve(&plan, &setup_on("cpu", 1, 2)), [(1, Duration::from_millis(40))]);
        assert_eq!(curve(&plan, &setup_on("cpu", 8, 2)), []);
    }

    #[test]
    fn a_plan_that_chooses_what_the_bundle_does_not_have_is_foreign() {
        let manifest = [setup_on("cpu", 1, 2), setup_on("openvino", 1, 1)];
        let plan = made(&[report(true, 0.0), report(true, 0.0), report(true, 0.0)]);
        assert_eq!(foreign(&plan, &manifest), None);
        type Spoil = fn(&mut Plan);
        let cases: [(Spoil, &str); 3] = [
            (|plan| plan.ways.iter_mut().for_each(|way| way.provider = "../x".into()), "fp32 on ../x, which"),
            (|plan| plan.ways.iter_mut().for_each(|way| way.variant = "int8".into()), "int8 on "),
            (|plan| plan.choices.iter_mut().for_each(|choice| choice.way = 3), "way 3 of 3"),
        ];
        for (spoil, said) in cases {
            let mut plan = plan.clone();
            spoil(&mut plan);
            assert!(foreign(&plan, &manifest).is_some_and(|why| why.contains(said)), "{said}");
        }
    }

    #[test]
    fn a_plan_file_of_any_content_asks_for_no_more_sessions_than_a_setup_has_lanes() {
        for (instances, expected) in [(0, 1), (2, 2), (16, 16), (17, 16), (60_000, 16)] {
            let mut plan = made(&[report(true, 0.0), report(true, 0.0), report(true, 0.0)]);
            plan.choices.iter_mut().for_each(|choice| choice.instances = instances);
            let (setup, _) = chosen(&plan, Kind::Tensors, "latency").unwrap();
            assert_eq!(setup.instances, expected);
        }
    }

    #[test]
    fn by_efficiency_without_a_rail_what_does_most_is_kept() {
        let plan = made(&[report(true, 0.0), report(true, 0.0), report(true, 0.0)]);
        assert_eq!(chosen(&plan, Kind::Tensors, "efficiency"), chosen(&plan, Kind::Tensors, "throughput"));
        assert!(chosen(&plan, Kind::Tensors, "efficiency").is_some());
    }
}
