//! Traps of the field that a machine can be caught in: what is wrong with it by what it tells, each with a remedy. Pure
//! functions of samples; what only costs speed by somebody's choice is a note and hinders nothing.

use std::sync::Arc;

use edge_wire::dto::Problem;

use super::powermode::board_mismatch;
use super::reading::{Absence, Reading};
use super::sensed::{ClockRate, Fan, Sensed, Zone};

/// Samples that must agree before a clock is called stuck, or a fan dead.
pub const SAMPLES: usize = 10;
/// Samples on end in which a zone must fail: one may be a hiccup of its bus.
const FAILING: usize = 3;
/// Degrees Celsius at which a fan must turn.
const FAN_BY: f64 = 60.0;
/// Percent of load at which a clock must not stay at its minimum.
const BUSY: f64 = 90.0;
/// A clock up to this much above its minimum is at its minimum.
const NEAR: f64 = 1.05;
/// A clock that runs at no more than this share of what it should is at half.
const HALF: f64 = 0.55;

/// Something that was noticed.
#[derive(Clone, Debug, PartialEq)]
pub struct Trap {
    pub problem: Problem,
    /// Whether the box is not as it should be; else it is information.
    pub hinders: bool,
}

/// What is wrong, by the last samples, the oldest first.
pub fn traps(history: &[Arc<Sensed>]) -> Vec<Trap> {
    let Some(now) = history.last() else { return Vec::new() };
    let long = &history[history.len().saturating_sub(SAMPLES)..];
    let mut traps: Vec<Trap> = Vec::new();
    traps.extend(table_of_another_board(now));
    traps.extend(still_fans(long));
    traps.extend(capped(now));
    traps.extend(stuck_clock(long));
    traps.extend(half_clock(long));
    traps.extend(failing_zones(history));
    traps
}

fn trap(hinders: bool, subject: &str, what: String, remedy: &str) -> Trap {
    Trap { problem: Problem { subject: subject.into(), what, remedy: remedy.into() }, hinders }
}

fn table_of_another_board(now: &Sensed) -> Option<Trap> {
    let what = board_mismatch(&now.model, &now.power_modes.conf, &now.power_modes.modes)?;
    let remedy = "let /etc/nvpmodel.conf be a link to the table of this board in /etc/nvpmodel, and start nvpmodel.service \
                  again: modes are looked up by name, and a wrong table sets wrong clocks";
    Some(trap(true, "power mode", what, remedy))
}

/// Fans that do not turn while it is hot, or although they are driven.
fn still_fans(long: &[Arc<Sensed>]) -> Vec<Trap> {
    let Some(now) = long.last().filter(|_| long.len() == SAMPLES) else { return Vec::new() };
    let hottest = |sensed: &Sensed| sensed.zones.iter().filter_map(|zone| zone.temp_c.value()).fold(f64::MIN, f64::max);
    let of = |name: &str, sensed: &Sensed| sensed.fans.iter().find(|fan| *fan.name == *name).cloned();
    let always = |name: &str, test: &dyn Fn(&Fan, &Sensed) -> bool| {
        long.iter().all(|sensed| of(name, sensed).is_some_and(|fan| test(&fan, sensed)))
    };
    let mut traps = Vec::new();
    for fan in &now.fans {
        let subject = format!("fan {}", fan.name);
        if always(&fan.name, &|fan, _| fan.rpm.value() == Some(0.0) && fan.percent.value() > Some(0.0)) {
            let percent = fan.percent.value().unwrap_or_default();
            let what = format!("it is driven with {percent:.0}% and does not turn");
            traps.push(trap(true, &subject, what, "look whether something blocks the fan, and at its plug"));
        } else if always(&fan.name, &|fan, sensed| fan.percent.value() == Some(0.0) && hottest(sensed) > FAN_BY) {
            let what = format!("it is off while the hottest zone is at {:.0} °C", hottest(now));
            let remedy = "look at `systemctl status nvfancontrol` (on a Jetson), or at what else drives the fan here";
            traps.push(trap(true, &subject, what, remedy));
        }
    }
    traps
}

/// A power mode that lets the graphics processor do less than it can: somebody's choice, and good to know.
fn capped(now: &Sensed) -> Option<Trap> {
    let clock = now.clocks.iter().find(|clock| &*clock.name == "gpu")?;
    let mode = now.power_modes.present.as_ref().ok()?;
    let (max, top) = (clock.max_hz?, clock.top_hz?);
    (max < top).then(|| {
        let what = format!(
            "the mode {mode} lets the graphics processor go up to {:.0} MHz of {:.0} MHz",
            max / 1e6,
            top / 1e6
        );
        let remedy = "nothing, if that is meant; `nvpmodel -q` and `nvpmodel -m` show and set the mode";
        trap(false, "power mode", what, remedy)
    })
}

/// The graphics processor stays at its minimum while it has much to do.
fn stuck_clock(long: &[Arc<Sensed>]) -> Option<Trap> {
    let now = long.last().filter(|_| long.len() == SAMPLES)?;
    let gpu = |sensed: &Sensed| sensed.clocks.iter().find(|clock| &*clock.name == "gpu").cloned();
    let load = |sensed: &Sensed| sensed.accelerators.iter().find(|one| one.kind == "gpu")?.load_percent.value();
    let at_minimum = |clock: ClockRate| {
        let (hz, min, max) = (clock.hz.value()?, clock.min_hz?, clock.max_hz?);
        Some(hz <= min * NEAR && max > min * NEAR)
    };
    let stuck = |sensed: &Arc<Sensed>| load(sensed) > Some(BUSY) && gpu(sensed).and_then(at_minimum) == Some(true);
    let clock = gpu(now)?;
    long.iter().all(stuck).then(|| {
        let what = format!(
            "the graphics processor stays at {:.0} MHz, its least, although it is busy to {:.0}%",
            clock.hz.value().unwrap_or_default() / 1e6,
            load(now).unwrap_or_default()
        );
        let remedy = "look at the power supply and at the temperatures (`edgectl status`); a restart of the board frees a \
                      clock that is stuck";
        trap(true, "clock gpu", what, remedy)
    })
}

/// A neural processor at half of its clock: slow, cool, and without an error.
fn half_clock(long: &[Arc<Sensed>]) -> Option<Trap> {
    let now = long.last().filter(|_| long.len() == SAMPLES)?;
    let npu = |sensed: &Sensed| sensed.clocks.iter().find(|clock| clock.name.starts_with("npu")).cloned();
    let cool = |sensed: &Sensed| sensed.accelerators.iter().all(|one| one.kind != "npu" || one.throttled_by.is_empty());
    let at_half = |clock: ClockRate| Some(clock.hz.value()? <= clock.top_hz? * HALF);
    let half = |sensed: &Arc<Sensed>| cool(sensed) && npu(sensed).and_then(at_half) == Some(true);
    let clock = npu(now)?;
    long.iter().all(half).then(|| {
        let what = format!(
            "the neural processor runs at {:.0} MHz of {:.0} MHz, and nothing throttles it",
            clock.hz.value().unwrap_or_default() / 1e6,
            clock.top_hz.unwrap_or_default() / 1e6
        );
        trap(true, "clock npu", what, "switch the box off and on again: a restart alone may leave the clock as it is")
    })
}

/// Zones whose temperature could not be read for some samples on end.
fn failing_zones(history: &[Arc<Sensed>]) -> Vec<Trap> {
    let Some(before) = history.len().checked_sub(FAILING) else { return Vec::new() };
    let why = |zone: &Zone| match &zone.temp_c {
        Reading::Absent(Absence::Failed(why)) => Some(why.clone()),
        _ => None,
    };
    let fails = |sensed: &Arc<Sensed>, name: &str| sensed.zones.iter().any(|z| *z.name == *name && why(z).is_some());
    let failing = |zone: &Zone| {
        let why = why(zone).filter(|_| history[before..].iter().all(|sensed| fails(sensed, &zone.name)))?;
        let remedy = "if it stays so, look into the kernel's log (`journalctl -k`) for its driver; others are read on";
        let what = format!("its temperature cannot be read: {why}");
        Some(trap(true, &format!("zone {}", zone.name), what, remedy))
    };
    history.last().map(|now| now.zones.iter().filter_map(failing).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use edge_core::Mono;
    use edge_wire::hardware::PowerMode;

    use super::super::sensed::{Accelerator, PowerModes};
    use super::*;

    fn known(value: f64) -> Reading<f64> {
        Reading::of(Ok(value), Mono::default())
    }

    fn zone(temp_c: Reading<f64>) -> Zone {
        Zone { name: "tj".into(), temp_c, trips: Arc::default() }
    }

    fn clock(name: &str, mega: [f64; 4]) -> ClockRate {
        let [hz, min, max, top] = mega.map(|mega| mega * 1e6);
        ClockRate { name: name.into(), hz: known(hz), min_hz: Some(min), max_hz: Some(max), top_hz: Some(top) }
    }

    fn fan(percent: f64, rpm: Reading<f64>) -> Fan {
        Fan { name: "pwmfan".into(), percent: known(percent), rpm }
    }

    fn seen(samples: usize, sensed: &Sensed) -> Vec<String> {
        let history: Vec<Arc<Sensed>> = (0..samples).map(|_| Arc::new(sensed.clone())).collect();
        traps(&history).iter().map(|trap| format!("{} {}", trap.problem.subject, trap.hinders)).collect()
    }

    #[test]
    fn each_trap_is_noticed_and_a_healthy_machine_has_none() {
        let healthy = || Sensed {
            model: "NVIDIA Jetson Orin Nano Developer Kit".into(),
            zones: vec![zone(known(65.0))],
            clocks: vec![clock("gpu", [612.0, 306.0, 612.0, 612.0]), clock("npu", [800.0, 0.0, 800.0, 800.0])],
            fans: vec![fan(40.0, known(2000.0))],
            accelerators: vec![Accelerator {
                load_percent: known(95.0),
                ..Accelerator::named("gpu", "g", "", "sysfs")
            }],
            power_modes: PowerModes {
                present: Ok("15W".into()),
                modes: vec![PowerMode { id: 0, name: "15W".into() }].into(),
                conf: "/etc/nvpmodel/nvpmodel_p3767_0003.conf".into(),
            },
            ..Sensed::default()
        };
        assert!(seen(SAMPLES, &healthy()).is_empty());
        assert!(traps(&[]).is_empty() && seen(SAMPLES, &Sensed::default()).is_empty());
        let with = |change: &dyn Fn(&mut Sensed)| {
            let mut sensed = healthy();
            change(&mut sensed);
            sensed
        };
        let cases: [(&str, Sensed); 7] = [
            ("power mode true", with(&|s| s.power_modes.conf = "/etc/nvpmodel/nvpmodel_p3701_0000.conf".into())),
            ("fan pwmfan true", with(&|s| s.fans = vec![fan(0.0, Reading::unsupported())])),
            ("fan pwmfan true", with(&|s| s.fans = vec![fan(30.0, known(0.0))])),
            ("power mode false", with(&|s| s.clocks[0] = clock("gpu", [408.0, 306.0, 408.0, 918.0]))),
            ("clock gpu true", with(&|s| s.clocks[0] = clock("gpu", [306.0, 306.0, 612.0, 612.0]))),
            ("clock npu true", with(&|s| s.clocks[1] = clock("npu", [400.0, 0.0, 800.0, 800.0]))),
            ("zone tj true", with(&|s| s.zones = vec![zone(Reading::Absent(Absence::Failed("x".into())))])),
        ];
        for (expected, sensed) in &cases {
            assert_eq!(seen(SAMPLES, sensed), [*expected]);
        }
        for (_, sensed) in &cases[4..6] {
            assert!(seen(SAMPLES - 1, sensed).is_empty(), "a clock must stay there for a while");
        }
    }

    #[test]
    fn what_is_no_trap_is_not_called_one() {
        let asleep = Sensed { zones: vec![zone(Reading::Absent(Absence::NotYet))], ..Sensed::default() };
        assert!(seen(SAMPLES, &asleep).is_empty());
        let cool = Sensed { zones: vec![zone(known(40.0))], fans: vec![fan(0.0, known(0.0))], ..Sensed::default() };
        assert!(seen(SAMPLES, &cool).is_empty(), "a fan may rest while it is cool");
        let idle = Sensed { clocks: vec![clock("gpu", [306.0, 306.0, 612.0, 612.0])], ..Sensed::default() };
        assert!(seen(SAMPLES, &idle).is_empty(), "nobody knows that it is busy");
    }
}
