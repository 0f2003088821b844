use std::sync::Arc;

use edge_core::Mono;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::telemetry::Sampler;
use crate::telemetry::sensed::{self, Sensed};
use crate::telemetry::traps;

fn at(seconds: u64) -> Mono {
    Mono::from_nanos(seconds * 1_000_000_000)
}

/// The files of a machine, not moving by themselves.
fn still(board: &'static Board) -> (TempDir, Running) {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::make(board, &dir.path().join("root")).unwrap();
    (dir, running)
}

fn sampler(running: &Running) -> Sampler {
    Sampler::new(&running.root, &running.root).with(source(&running.root)).simulated(running.life.name)
}

fn board(name: &str) -> &'static Board {
    BOARDS.into_iter().find(|board| board.name == name).unwrap()
}

/// What a machine must show: zones, rails, the present mode, and clocks.
#[test]
fn each_machine_is_read_as_what_it_is() {
    let orin = "cpu gpu cv0 cv1 cv2 soc0 soc1 soc2 tj";
    let nano = "VDD_IN VDD_CPU_GPU_CV VDD_SOC";
    let agx = "VDD_GPU_SOC VDD_CPU_CV VIN_SYS_5V0 VDDQ_VDD2_1V8AO";
    for (name, zones, rails, mode, clocks) in [
        ("orin-nano", orin, nano, "15W", "cpu0 cpu4 gpu emc"),
        ("orin-nano-super", orin, nano, "MAXN_SUPER", "cpu0 cpu4 gpu emc"),
        ("orin-nx", orin, nano, "25W", "cpu0 cpu4 gpu emc"),
        ("agx-orin", &format!("{orin} tboard_tegra tdiode_tegra"), agx, "MAXN", "cpu0 cpu4 cpu8 gpu emc"),
        (
            "agx-orin-jp5",
            &format!("{orin} tboard_tegra tdiode_tegra"),
            &format!("{agx} VDD_CAM"),
            "MAXN",
            "cpu0 cpu4 cpu8 gpu emc",
        ),
        ("thor", "cpu gpu soc012 soc345 tj", "VDD_GPU VDD_CPU_SOC_MSS VIN_SYS_5V0", "120W", "cpu0 cpu4 gpu gpu-nvd"),
        ("pc-nvidia", "acpitz x86_pkg_temp gpu", "", "", "cpu0 cpu1 cpu2 cpu3 gpu"),
        ("rpi5-hailo8l", "cpu npu", "", "", "cpu0 npu"),
        ("rpi5-hailo10h", "cpu npu", "", "", "cpu0 npu"),
        ("pc", "acpitz x86_pkg_temp", "", "", "cpu0 cpu1 cpu2 cpu3"),
    ] {
        let (_dir, mut running) = still(board(name));
        let mut sampler = sampler(&running);
        sampler.read(at(0));
        let mut history = Vec::new();
        for second in 10..30 {
            running.life.step(1.0, None, None);
            running.arrive().unwrap();
            running.show().unwrap();
            history.push(Arc::new(sampler.read(at(second))));
        }
        let shown = sensed::hardware(history.last().unwrap());
        let names = |names: Vec<&String>| names.into_iter().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(names(shown.zones.iter().map(|zone| &zone.name).collect()), *zones, "{name}");
        assert_eq!(names(shown.rails.iter().map(|rail| &rail.name).collect()), *rails, "{name}");
        assert_eq!(names(shown.clocks.iter().map(|clock| &clock.name).collect()), clocks, "{name}");
        assert_eq!((shown.power_mode.as_str(), shown.simulated.as_str()), (mode, name));
        let asleep = shown.zones.iter().filter(|zone| zone.temp_c.absent == "not_yet").count();
        assert_eq!(asleep, shown.zones.iter().filter(|zone| zone.name.starts_with("cv")).count(), "{name}: {shown:?}");
        for trap in traps::traps(&history) {
            assert!(!trap.hinders, "{name} is healthy: {trap:?}");
        }
        for zone in shown.zones.iter().filter(|zone| zone.temp_c.absent.is_empty()) {
            let celsius = zone.temp_c.value.unwrap();
            assert!((20.0..95.0).contains(&celsius), "{name} {}: {celsius}", zone.name);
        }
    }
}

#[test]
fn what_is_special_about_a_machine_is_there() {
    let seen = |name: &str| {
        let (dir, running) = still(board(name));
        let sensed = sampler(&running).read(at(0));
        (dir, running, sensed)
    };
    let (_dir, _, nx) = seen("orin-nx");
    let gpu = nx.clocks.iter().find(|clock| &*clock.name == "gpu").unwrap();
    assert_eq!((gpu.max_hz, gpu.top_hz), (Some(408e6), Some(918e6)));
    assert!(nx.fans[0].percent.value().is_some() && nx.fans[0].rpm.is_unsupported());
    let surface: Vec<_> = nx.zones[0].trips.iter().map(|trip| (trip.kind.as_str(), trip.temp_c)).collect();
    assert_eq!(surface, [("surface", 70.0), ("passive", 99.0), ("critical", 104.5)]);
    let note = traps::traps(&[Arc::new(nx)]);
    assert_eq!(note.iter().map(|trap| trap.hinders).collect::<Vec<_>>(), [false]);

    let (_dir, mut running, agx) = seen("agx-orin");
    assert!(agx.clocks.iter().all(|clock| !clock.name.starts_with("gpu")), "it comes late");
    running.life.step(1.0, Some(0.0), None);
    running.show().unwrap();
    let gpu = |running: &Running| sampler(running).read(at(0)).zones[1].temp_c.value();
    assert_eq!(gpu(&running), None, "without work it has no power");
    running.life.step(1.0, Some(0.5), None);
    running.show().unwrap();
    assert!(gpu(&running).is_some());

    let (_dir, _, jp5) = seen("agx-orin-jp5");
    let off = jp5.rails.iter().find(|rail| &*rail.name == "VDD_CAM").unwrap();
    assert!(off.power_w.absence().unwrap().word().starts_with("failed: "));
    assert_eq!(&*jp5.software, "L4T 35.4.1 (JetPack 5.1.2)");
    let (_dir, _, card) = seen("pc-nvidia");
    assert_eq!((card.accelerators[0].told_by, &*card.accelerators[0].driver), ("nvml", "550.163.01"));
    let (_dir, _, npu) = seen("rpi5-hailo10h");
    assert_eq!((npu.accelerators.len(), &*npu.accelerators[0].name), (1, "Hailo-10H"));
    let (_dir, running, _) = seen("orin-nano");
    assert_eq!(crate::telemetry::rail::Rail::find(&running.root).unwrap().name, "VDD_IN");
}

#[test]
fn a_machine_moves_and_is_taken_away_with_those_of_daemons_that_are_gone() {
    let runtime = tempfile::tempdir().unwrap();
    let stale = runtime.path().join("machines/pc-4194305");
    fs::create_dir_all(&stale).unwrap();
    let other = runtime.path().join("machines/mine");
    fs::create_dir_all(&other).unwrap();
    let machine = Machine::start(board("orin-nano"), runtime.path()).unwrap();
    assert!(!stale.exists() && other.exists());
    let stat = machine.root.join("proc/stat");
    let first = node::text(&stat);
    while node::text(&stat) == first {
        std::thread::yield_now();
    }
    let root = machine.root.clone();
    drop(machine);
    assert!(!root.exists());
}

#[test]
fn an_unknown_machine_is_refused_with_those_there_are() {
    assert_eq!(asked("machine=pc").unwrap().name, "pc");
    for (text, key) in [
        ("machine=toaster", "unknown machine \"toaster\": there are orin-nano, "),
        ("machine=", "unknown machine \"\""),
        ("model=pc", "unknown key \"model\""),
        ("pc", "unknown key \"pc\""),
        ("", "unknown key"),
    ] {
        let why = asked(text).unwrap_err();
        assert!(why.contains(key) && why.contains("rpi5-hailo10h"), "{text}: {why}");
    }
}

/// Every value is finite and within its range.
fn check(sensed: &Sensed) -> Result<(), TestCaseError> {
    let within = |reading: &crate::telemetry::Reading<f64>, (least, most): (f64, f64), what: &str| {
        let Some(value) = reading.value() else { return Ok(()) };
        prop_assert!(value.is_finite() && (least..=most).contains(&value), "{what}: {value}");
        Ok(())
    };
    for zone in &sensed.zones {
        within(&zone.temp_c, (-60.0, 200.0), &zone.name)?;
        for trip in zone.trips.iter() {
            prop_assert!(trip.temp_c > 0.0 && trip.temp_c <= 200.0, "{trip:?}");
            prop_assert!((0.0..=trip.temp_c).contains(&trip.hysteresis_c), "{trip:?}");
        }
    }
    for cooler in &sensed.coolers {
        within(&cooler.state, (0.0, 1e5), &cooler.name)?;
    }
    for clock in &sensed.clocks {
        within(&clock.hz, (0.0, 1e11), &clock.name)?;
        for limit in [clock.min_hz, clock.max_hz, clock.top_hz].into_iter().flatten() {
            prop_assert!(limit > 0.0 && limit <= 1e11, "{}: {limit}", clock.name);
        }
    }
    for rail in &sensed.rails {
        within(&rail.power_w, (-1e4, 1e4), &rail.name)?;
        within(&rail.volts, (0.0, 100.0), &rail.name)?;
        within(&rail.amperes, (-100.0, 100.0), &rail.name)?;
        prop_assert!(rail.warn_amperes.is_none_or(|warn| warn > 0.0 && warn <= 100.0));
    }
    for fan in &sensed.fans {
        within(&fan.percent, (0.0, 100.0), &fan.name)?;
        within(&fan.rpm, (0.0, 1e5), &fan.name)?;
    }
    for counter in &sensed.over_current {
        within(&counter.events, (0.0, 1e18), &counter.name)?;
    }
    for one in &sensed.accelerators {
        within(&one.load_percent, (0.0, 100.0), &one.name)?;
        within(&one.power_w, (0.0, 1e4), &one.name)?;
        within(&one.memory_free_bytes, (0.0, 1e15), &one.name)?;
    }
    within(&sensed.load.cpu_percent, (0.0, 100.0), "cpu")?;
    within(&sensed.load.average_1m, (0.0, 1e6), "average")?;
    within(&sensed.load.memory_available, (0.0, 1e20), "available")?;
    let _ = (sensed::hardware(sensed), sensed::readings(sensed), traps::traps(&[Arc::new(sensed.clone())]));
    Ok(())
}

/// What may happen to a file.
#[derive(Clone, Debug)]
enum Harm {
    Bytes(Vec<u8>),
    Missing,
    Dir,
    Dangling,
}

fn harm() -> impl Strategy<Value = Harm> {
    let odd = ["", "-256000", "-1", "1e30", "NaN", "inf", "pmode:99999999999", "-9e18", "18446744073709551616", "0x"];
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(Harm::Bytes),
        proptest::sample::select(odd.to_vec()).prop_map(|text| Harm::Bytes(text.as_bytes().to_vec())),
        any::<i64>().prop_map(|number| Harm::Bytes(number.to_string().into_bytes())),
        Just(Harm::Missing),
        Just(Harm::Dir),
        Just(Harm::Dangling),
    ]
}

fn apply(path: &Path, harm: &Harm) {
    let gone = fs::remove_file(path).or_else(|_| fs::remove_dir_all(path));
    let made = match harm {
        Harm::Bytes(bytes) => fs::write(path, bytes),
        Harm::Missing => Ok(()),
        Harm::Dir => fs::create_dir(path),
        Harm::Dangling => std::os::unix::fs::symlink("nowhere", path),
    };
    // What is below something that became a file, or a loop, cannot be harmed any more.
    drop((gone, made));
}

/// Every file of a machine, and every link.
fn paths(running: &Running) -> Vec<PathBuf> {
    let files = running.tree.files.iter().filter(|(_, entry)| *entry != Entry::Dir).map(|(path, _)| path);
    let moving = running.tree.moving.iter().map(|moving| &moving.path);
    files.chain(moving).map(|path| running.root.join(path)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whatever_files_say_every_value_is_within_its_range(
        number in 0..BOARDS.len(),
        harms in proptest::collection::vec((any::<prop::sample::Index>(), harm()), 1..60),
    ) {
        let (_dir, running) = still(BOARDS[number]);
        let mut sampler = sampler(&running);
        check(&sampler.read(at(0)))?;
        let paths = paths(&running);
        for (second, (index, harm)) in (1..).zip(&harms) {
            apply(&paths[index.index(paths.len())], harm);
            check(&sampler.read(at(second)))?;
        }
        check(&sampler.read(at(1000)))?;
        check(&Sampler::new(&running.root, &running.root).with(source(&running.root)).read(at(0)))?;
    }
}

/// Each file of a machine spoiled in each way, one at a time and all at once.
#[test]
fn no_way_to_spoil_a_file_makes_a_probe_panic_or_lie() {
    let ways: Vec<Harm> = ["", "\n", "x", "-256000", "-5", "1e30", "99999999999999999999"]
        .iter()
        .map(|text| Harm::Bytes(text.as_bytes().to_vec()))
        .chain([Harm::Missing, Harm::Dir, Harm::Dangling])
        .collect();
    for name in ["orin-nano", "agx-orin-jp5", "rpi5-hailo10h"] {
        for way in &ways {
            let (_dir, running) = still(board(name));
            let mut sampler = sampler(&running);
            sampler.read(at(0));
            for (second, path) in (1..).zip(paths(&running)) {
                apply(&path, way);
                check(&sampler.read(at(second))).unwrap();
            }
            let spoiled = sampler.read(at(2000));
            check(&spoiled).unwrap();
            if matches!(way, Harm::Missing | Harm::Dir | Harm::Dangling) {
                let shown = sensed::hardware(&spoiled);
                assert!(shown.zones.is_empty() && shown.rails.is_empty() && shown.fans.is_empty(), "{name} {way:?}");
            }
        }
    }
}
