//! The real daemon on each simulated machine: what it says of it over the bus, that this moves, and that nothing is left
//! behind.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use edge_tests::clock::{PATIENCE, eventually};
use edge_tests::places;
use edge_tests::runner::block_on;
use edge_tests::stack::{Setup, Stack};
use edge_tests::versions::edgectl;
use edge_wire::dto::Status;
use edge_wire::hardware::Hardware;

/// A machine, its name for itself, its zones, its rails and its modes with the present one first.
type Row = (&'static str, &'static str, &'static str, &'static str, &'static [&'static str]);

const ORIN: &str = "cpu gpu cv0 cv1 cv2 soc0 soc1 soc2 tj";
const AGX: &str = "cpu gpu cv0 cv1 cv2 soc0 soc1 soc2 tj tboard_tegra tdiode_tegra";
const NANO_RAILS: &str = "VDD_IN VDD_CPU_GPU_CV VDD_SOC";
const AGX_RAILS: &str = "VDD_GPU_SOC VDD_CPU_CV VIN_SYS_5V0 VDDQ_VDD2_1V8AO";

const BOARDS: [Row; 6] = [
    ("orin-nano", "NVIDIA Jetson Orin Nano Developer Kit", ORIN, NANO_RAILS, &["15W", "15W", "7W"]),
    (
        "orin-nano-super",
        "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
        ORIN,
        NANO_RAILS,
        &["MAXN_SUPER", "15W", "25W", "MAXN_SUPER", "7W"],
    ),
    (
        "orin-nx",
        "NVIDIA Jetson Orin NX Engineering Reference Developer Kit",
        ORIN,
        NANO_RAILS,
        &["25W", "MAXN", "10W", "15W", "25W"],
    ),
    ("agx-orin", "NVIDIA Jetson AGX Orin Developer Kit", AGX, AGX_RAILS, &["MAXN", "MAXN", "15W", "30W", "50W"]),
    (
        "agx-orin-jp5",
        "Jetson AGX Orin Developer Kit",
        AGX,
        "VDD_GPU_SOC VDD_CPU_CV VIN_SYS_5V0 VDDQ_VDD2_1V8AO VDD_CAM",
        &["MAXN", "MAXN", "15W", "30W", "50W"],
    ),
    (
        "thor",
        "NVIDIA Jetson AGX Thor Developer Kit",
        "cpu gpu soc012 soc345 tj",
        "VDD_GPU VDD_CPU_SOC_MSS VIN_SYS_5V0",
        &["120W", "MAXN", "120W"],
    ),
];
const OTHERS: [Row; 4] = [
    ("pc-nvidia", "Precision 3660 Tower", "acpitz x86_pkg_temp gpu", "", &[""]),
    ("rpi5-hailo8l", "Raspberry Pi 5 Model B Rev 1.0", "cpu npu", "", &[""]),
    ("rpi5-hailo10h", "Raspberry Pi 5 Model B Rev 1.0", "cpu npu", "", &[""]),
    ("pc", "OptiPlex 7000", "acpitz x86_pkg_temp", "", &[""]),
];

async fn start(machine: &str) -> Result<Stack> {
    Setup::new().without_broker().argument("--sim").argument(&format!("machine={machine}")).start().await
}

fn names<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// Trips of a zone, in words.
fn trips(hardware: &Hardware, zone: &str) -> Vec<String> {
    let zone = hardware.zones.iter().find(|found| found.name == zone);
    let trips = zone.map(|zone| zone.trips.as_slice()).unwrap_or_default();
    trips.iter().map(|trip| format!("{} {}", trip.kind, trip.temp_c)).collect()
}

fn value(status: &Status, name: &str) -> Option<f64> {
    status.readings.iter().find(|reading| reading.name == name)?.value
}

/// What is the same for all of them.
async fn shown(row: &Row) -> Result<Status> {
    let (machine, model, zones, rails, modes) = *row;
    let mut stack = start(machine).await?;
    let status = stack.status().await?;
    let hardware = &status.hardware;
    ensure!(status.simulated && hardware.simulated == machine, "{machine}: {hardware:?}");
    ensure!(status.platform.machine == model, "{machine}: {:?}", status.platform);
    ensure!(names(hardware.zones.iter().map(|zone| &zone.name)) == zones, "{machine}: {:?}", hardware.zones);
    ensure!(names(hardware.rails.iter().map(|rail| &rail.name)) == rails, "{machine}: {:?}", hardware.rails);
    let (present, all) = modes.split_first().context("a present mode")?;
    ensure!(hardware.power_mode == *present, "{machine}: {hardware:?}");
    ensure!(names(hardware.power_modes.iter().map(|mode| &mode.name)) == all.join(" "), "{machine}: {hardware:?}");
    ensure!(
        status.state == "serving",
        "{machine} is healthy: {} {}: {:?}",
        status.state,
        status.reason,
        status.problems
    );
    ensure!(value(&status, &format!("temperature_c.{}", hardware.zones[0].name)).is_some(), "{:?}", status.readings);
    let asleep = hardware.zones.iter().filter(|zone| zone.name.starts_with("cv"));
    ensure!(asleep.clone().all(|zone| zone.temp_c.absent == "not_yet"), "{machine}: {hardware:?}");
    let root = stack.dir().join("run/machines");
    ensure!(fs::read_dir(&root)?.count() == 1, "one machine runs");
    stack.daemon_mut()?.terminate()?;
    ensure!(fs::read_dir(&root)?.count() == 0, "its files are gone with it");
    Ok(status)
}

#[test]
fn each_board_is_told_with_its_zones_trips_rails_and_modes() -> Result<()> {
    block_on(async {
        for row in &BOARDS {
            let status = shown(row).await?;
            let (hardware, machine) = (&status.hardware, row.0);
            let of_cpu = ["surface 70", "passive 99", "critical 104.5"];
            ensure!(trips(hardware, "cpu") == of_cpu, "{machine}: {hardware:?}");
            ensure!(trips(hardware, "tj") == ["critical 104.5"], "{machine}: {hardware:?}");
            let notes: Vec<&str> = hardware.notes.iter().map(|note| note.subject.as_str()).collect();
            // What is simulated has no provider for graphics processors.
            let expected: &[&str] = if machine == "orin-nx" { &["power mode", "runtime"] } else { &["runtime"] };
            ensure!(notes == expected, "{machine}: {:?}", hardware.notes);
            ensure!(hardware.software.starts_with("L4T "), "{machine}: {}", hardware.software);
            ensure!(hardware.fans.iter().any(|fan| fan.percent.value.is_some()), "{machine}: {:?}", hardware.fans);
            ensure!(hardware.over_current.len() == 3, "{machine}: {hardware:?}");
            ensure!(hardware.over_current.iter().all(|counter| counter.events.value == Some(0.0)), "{hardware:?}");
            let power = format!("power_w.{}", hardware.rails[0].name);
            ensure!(value(&status, &power).is_some_and(|watts| watts > 1.0), "{machine}: {:?}", status.readings);
            let same = status.readings.iter().filter(|reading| reading.name == power).count();
            ensure!(same == 1, "{machine}: {:?}", status.readings);
        }
        Ok(())
    })?
}

#[test]
fn each_other_machine_is_told_with_its_accelerator() -> Result<()> {
    block_on(async {
        for row in &OTHERS {
            let status = shown(row).await?;
            let all = &status.hardware.accelerators;
            let seen: Vec<_> = all.iter().map(|one| format!("{} {} {}", one.kind, one.name, one.told_by)).collect();
            let expected = match row.0 {
                "pc-nvidia" => vec!["gpu NVIDIA RTX A2000 12GB nvml"],
                "rpi5-hailo8l" => vec!["npu Hailo-8L libhailort"],
                "rpi5-hailo10h" => vec!["npu Hailo-10H libhailort"],
                _ => Vec::new(),
            };
            ensure!(seen == expected, "{}: {all:?}", row.0);
            ensure!(status.hardware.power_mode_absent == "unsupported", "{}: {:?}", row.0, status.hardware);
        }
        Ok(())
    })?
}

#[test]
fn a_machine_moves_as_it_is_told_to_and_its_late_clock_is_found() -> Result<()> {
    block_on(async {
        let mut stack = start("agx-orin").await?;
        let client = stack.client().await?;
        let pid = stack.daemon()?.process.pid();
        let root = stack.dir().join(format!("run/machines/agx-orin-{pid}"));
        fs::write(root.join("sim/load"), "1.0")?;
        let busy = async || {
            let status = client.status().await?;
            let clock = value(&status, "clock_hz.gpu").is_some_and(|hz| hz > 1.3e9);
            let load = value(&status, "gpu_load_percent") == Some(100.0);
            Ok((clock && load).then_some(()))
        };
        eventually("the graphics processor is found, and busy", PATIENCE, busy).await?;
        fs::remove_file(root.join("sys/class/thermal/thermal_zone8/type"))?;
        let gone = async || {
            let status = client.status().await?;
            let tj = status.hardware.zones.iter().find(|zone| zone.name == "tj").context("no tj")?.clone();
            let told = status.problems.iter().any(|problem| problem.subject == "zone tj" && !problem.remedy.is_empty());
            Ok((tj.temp_c.absent == "failed: gone" && told && status.state == "degraded").then_some(()))
        };
        eventually("a zone that vanished is gone, and a problem", PATIENCE, gone).await?;
        stack.daemon_mut()?.process.crash()?;
        ensure!(root.exists(), "nobody took it away");
        stack.start_daemon().await?;
        ensure!(!root.exists(), "the next daemon does");
        Ok(())
    })?
}

#[test]
fn an_unknown_machine_is_a_usage_error_that_lists_those_there_are() -> Result<()> {
    let edged = places::binary("edged")?;
    for (arguments, says) in [
        (&["--sim", "machine=toaster"][..], "unknown machine \"toaster\": there are orin-nano, orin-nano-super, "),
        (&["--sim", "model=pc"], "unknown key \"model\": `machine=NAME`, with NAME one of orin-nano, "),
        (&["--sim", "machine=pc", "--root", "/tmp"], "give one of them"),
    ] {
        let output = Command::new(&edged).args(arguments).arg("--check-config").output()?;
        let told = String::from_utf8_lossy(&output.stderr).replace('\n', " ");
        ensure!(output.status.code() == Some(2) && told.contains(says), "{arguments:?}: {told}");
    }
    let plain = Command::new(&edged).args(["--sim", "--check-config"]).output()?;
    ensure!(plain.status.success(), "{plain:?}");
    Ok(())
}

#[test]
fn a_board_whose_runtime_cannot_use_its_graphics_says_so_and_is_well() -> Result<()> {
    block_on(async {
        let said = |stack: &Stack, words: &[&str]| -> Result<(Option<i32>, String)> {
            let (code, out, err) = edgectl(stack, words)?;
            Ok((code, format!("{out} {err}").split_whitespace().collect::<Vec<_>>().join(" ")))
        };
        for (machine, config, told) in [
            ("orin-nano", "", true),
            // Nobody wants it.
            ("orin-nano", "[engine]\nproviders = ['cpu']", false),
            ("rpi5-hailo8l", "", false),
        ] {
            let setup = Setup::new().without_broker().config(config).argument("--sim");
            let stack = setup.argument(&format!("machine={machine}")).start().await?;
            for verb in ["status", "doctor"] {
                let (_, text) = said(&stack, &[verb])?;
                let says =
                    text.contains("CPU only: no GPU runtime") && text.contains("`edgectl runtime install FILE.whl`");
                ensure!(says == told, "{machine} {config} {verb}: {text}");
            }
            let (code, text) = said(&stack, &["status", "--check"])?;
            ensure!(code == Some(0), "it is good to know, and no fault: {machine} {config}: {code:?} {text}");
        }
        Ok(())
    })?
}
