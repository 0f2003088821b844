//! Accelerators: what the files tell of them, and what others tell (a card's management library, a neural processor's
//! library), put together. Where both speak of the same thing, the files of the board have the word, and what they lack is
//! filled in.

use super::reading::Reading;
use super::sensed::{Accelerator, ClockRate, Cooler, Zone};

/// What somebody else tells of accelerators.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    pub accelerators: Vec<Accelerator>,
    /// Their thermometers, by the same rules of names as thermal zones.
    pub zones: Vec<Zone>,
    pub clocks: Vec<ClockRate>,
}

/// The integrated graphics processors of a board, by their clocks' loads.
pub fn integrated(loads: Vec<(String, String, Reading<f64>)>, coolers: &[Cooler]) -> Vec<Accelerator> {
    let one = |(clock, node, load): (String, String, Reading<f64>)| {
        // A part of the same processor has no load of its own.
        (clock == "gpu" || !load.is_unsupported()).then(|| Accelerator {
            load_percent: load,
            throttled_by: throttled_by(coolers),
            ..Accelerator::named("gpu", &format!("integrated, {node}"), "", "sysfs")
        })
    };
    loads.into_iter().filter_map(one).collect()
}

/// The cooling devices of the graphics processor that are at work.
fn throttled_by(coolers: &[Cooler]) -> String {
    let of_gpu = |cooler: &&Cooler| cooler.kind == "throttle" && cooler.name.contains("gpu");
    let works = |cooler: &&Cooler| cooler.state.value().is_some_and(|state| state > 0.0);
    coolers.iter().filter(of_gpu).filter(works).map(|cooler| &*cooler.name).collect::<Vec<_>>().join(", ")
}

/// Puts together what files tell and what others tell.
pub fn merge(
    zones: &mut Vec<Zone>,
    clocks: &mut Vec<ClockRate>,
    files: Vec<Accelerator>,
    told: Told,
) -> Vec<Accelerator> {
    let is_board = files.iter().any(|one| one.kind == "gpu");
    let knows_npu = told.accelerators.iter().any(|one| one.kind == "npu");
    let mut all: Vec<Accelerator> = files.into_iter().filter(|one| !(knows_npu && one.kind == "npu")).collect();
    let mut spare = is_board;
    for other in told.accelerators {
        // A board's only card is its integrated processor.
        match all.iter_mut().find(|one| one.kind == "gpu") {
            Some(own) if other.kind == "gpu" && std::mem::take(&mut spare) => fill(own, other),
            _ => all.push(other),
        }
    }
    for zone in told.zones {
        let known = zones.iter().any(|own| own.name == zone.name);
        match zones.iter_mut().find(|own| own.name == zone.name && own.temp_c.is_unsupported()) {
            Some(own) => *own = zone,
            None if known && is_board => {}
            None if known => {
                zones.push(Zone { name: free(&zone.name, |name| zones.iter().any(|z| *z.name == *name)), ..zone })
            }
            None => zones.push(zone),
        }
    }
    for clock in told.clocks {
        let known = clocks.iter().any(|own| own.name == clock.name);
        match known {
            true if is_board => {}
            true => clocks
                .push(ClockRate { name: free(&clock.name, |name| clocks.iter().any(|c| *c.name == *name)), ..clock }),
            false => clocks.push(clock),
        }
    }
    all
}

/// `name#2`, or the next number that nothing has.
fn free(name: &str, is_taken: impl Fn(&str) -> bool) -> std::sync::Arc<str> {
    let mut number = 2u32;
    loop {
        let candidate = format!("{name}#{number}");
        if !is_taken(&candidate) {
            return candidate.into();
        }
        number += 1;
    }
}

fn fill(own: &mut Accelerator, other: Accelerator) {
    let fill = |own: &mut Reading<f64>, other: Reading<f64>| {
        if own.value().is_none() && other.value().is_some() {
            *own = other;
        }
    };
    fill(&mut own.load_percent, other.load_percent);
    fill(&mut own.power_w, other.power_w);
    fill(&mut own.memory_free_bytes, other.memory_free_bytes);
    own.name = other.name;
    own.driver = other.driver;
    own.processes = own.processes.or(other.processes);
    if own.throttled_by.is_empty() {
        own.throttled_by = other.throttled_by;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use edge_core::Mono;

    use super::super::reading::Absence;
    use super::*;

    fn known(value: f64) -> Reading<f64> {
        Reading::of(Ok(value), Mono::default())
    }

    fn zone(name: &str, temp_c: Reading<f64>) -> Zone {
        Zone { name: name.into(), temp_c, trips: Arc::default() }
    }

    fn cooler(name: &str, kind: &'static str, state: f64) -> Cooler {
        Cooler { name: name.into(), kind, state: known(state), max_state: 2 }
    }

    #[test]
    fn on_a_board_the_files_have_the_word_and_the_library_fills_in() {
        let coolers = [cooler("gpu-throttle-alert", "throttle", 1.0), cooler("cpu-throttle-alert", "throttle", 1.0)];
        let files = integrated(vec![("gpu".into(), "17000000.gpu".into(), known(40.0))], &coolers);
        assert_eq!(files[0].throttled_by, "gpu-throttle-alert");
        let card = Accelerator { power_w: known(9.0), ..Accelerator::named("gpu", "Orin", "540.4.0", "nvml") };
        let told = Told {
            accelerators: vec![Accelerator { load_percent: Reading::Absent(Absence::NotYet), ..card }],
            zones: vec![zone("gpu", Reading::unsupported())],
            clocks: Vec::new(),
        };
        let mut zones = vec![zone("gpu", known(50.0))];
        let all = merge(&mut zones, &mut Vec::new(), files, told);
        assert_eq!((all.len(), &*all[0].name, all[0].told_by), (1, "Orin", "sysfs"));
        assert_eq!((all[0].load_percent.value(), all[0].power_w.value()), (Some(40.0), Some(9.0)));
        assert_eq!((zones.len(), zones[0].temp_c.value()), (1, Some(50.0)));
    }

    #[test]
    fn on_a_workstation_every_card_stands_for_itself() {
        let card = |name: &str| Accelerator::named("gpu", name, "1", "nvml");
        let told = Told {
            accelerators: vec![card("a"), card("b")],
            zones: vec![zone("gpu", known(1.0)), zone("gpu", known(2.0))],
            clocks: Vec::new(),
        };
        let mut zones = vec![zone("acpitz", known(27.0))];
        assert_eq!(merge(&mut zones, &mut Vec::new(), Vec::new(), told).len(), 2);
        assert_eq!(zones.iter().map(|zone| &*zone.name).collect::<Vec<_>>(), ["acpitz", "gpu", "gpu#2"]);
    }

    #[test]
    fn the_library_of_a_neural_processor_knows_more_than_the_driver() {
        let of = |told_by| Accelerator::named("npu", "Hailo-8", "4.20", told_by);
        let files = vec![of("sysfs")];
        let told = Told { accelerators: vec![of("libhailort")], ..Told::default() };
        let all = merge(&mut Vec::new(), &mut Vec::new(), files.clone(), told);
        assert_eq!(all.iter().map(|npu| npu.told_by).collect::<Vec<_>>(), ["libhailort"]);
        assert_eq!(merge(&mut Vec::new(), &mut Vec::new(), files, Told::default()).len(), 1);
    }
}
