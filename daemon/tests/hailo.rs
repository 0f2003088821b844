//! The probe of Hailo devices with its real child: the built program, and libraries made here from C by the names and
//! layouts of hailort.h.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use edged::telemetry::hailort::{Answer, Device, Hailo, Plan, Probe, Told};

const PROGRAM: &str = env!("CARGO_BIN_EXE_edged");
const ADDRESS: &str = "0000:01:00.0";

/// One device, whose first thermometer counts how often it was opened. What a test defines takes the place of what is
/// behind `#ifndef`.
const FAKE: &str = r#"
    #include <errno.h>
    #include <stdint.h>
    #include <sys/socket.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <unistd.h>
    #ifndef VERSION
    #define VERSION 4, 23, 0
    #endif
    #ifndef OPEN
    #define OPEN 0
    #endif
    #ifndef TEMPERATURE
    #define TEMPERATURE (void)0
    #endif
    #ifndef SAMPLES
    #define SAMPLES 8
    #endif
    #ifndef POWER
    #define POWER 0
    #endif
    #ifndef ARCHITECTURE
    #define ARCHITECTURE 2
    #endif
    #ifndef PROTECTED
    #define PROTECTED 1
    #endif

    struct cpp { int magic; };
    struct device { struct cpp *cpp; };
    static struct cpp the_cpp = { 42 };
    static struct device the_device = { &the_cpp };
    static int opened, held;

    int hailo_get_library_version(uint32_t *version) {
        uint32_t told[3] = { VERSION };
        memcpy(version, told, sizeof told);
        return 0;
    }
    const char *hailo_get_status_message(int status) { return status == 73 ? "HAILO_DEVICE_IN_USE" : "HAILO_SOMETHING"; }
    int hailo_scan_devices(void *parameters, char (*ids)[32], size_t *length) {
        printf("[HailoRT] [warning] printed by the library\n");
        fflush(stdout);
        if (parameters || *length < 1) return 2;
        strcpy(ids[0], "0000:01:00.0");
        *length = 1;
        return 0;
    }
    int hailo_create_device_by_id(const char *id, struct device **device) {
        if (strcmp(id, "0000:01:00.0")) return 61;
        opened++;
        if (OPEN) return OPEN;
        if (held++) abort();
        *device = &the_device;
        return 0;
    }
    int hailo_release_device(struct device *device) { held--; return device != &the_device; }
    int hailo_identify(void *device, unsigned char *identity) {
        struct { uint32_t protocol, firmware[3], logger; uint8_t length; char board[32]; uint8_t release, extended;
                 int32_t architecture; uint8_t serial_length; char serial[16]; } told =
            { 2, { 4, 23, 1 }, 0, 5, "Board", 1, 0, ARCHITECTURE, 0, "" };
        memcpy(identity, &told, sizeof told);
        return 0;
    }
    int hailo_get_extended_device_information(void *device, unsigned char *information) {
        uint32_t clock = 400000000;
        memset(information, 0xff, 96);
        memcpy(information, &clock, sizeof clock);
        return 0;
    }
    int hailo_get_chip_temperature(void *device, void *temperature) {
        struct { float ts0, ts1; uint16_t samples; } told = { 40.0f + opened, 48.5f, SAMPLES };
        TEMPERATURE;
        if (!held) return 2;
        memcpy(temperature, &told, sizeof told);
        return 0;
    }
    int hailo_power_measurement(void *device, int rail, int kind, float *watts) {
        if (rail != 0x7fffffff || kind != 0x7fffffff) return 2;
        *watts = 2.5f;
        return POWER;
    }
    int hailo_get_throttling_state(void *device, uint8_t *active) { *active = PROTECTED; return 0; }
    #ifdef HEALTH
    struct level { float at, until; uint32_t clock; };
    struct health { uint8_t ocp, ocp_zone; float red_current; uint8_t ocp_throttling, throttling, zone; int8_t level;
                    struct level levels[4]; int32_t orange, orange_until, red, red_until; uint32_t clocks[2]; };
    struct expected { struct health value; int status; };
    struct expected _ZN7hailort6Device22get_health_informationEv(struct cpp *this) {
        struct expected told = { { 1, 0, 12.0f, 1, 1, 1, 1, { { 95, 92, 350000000 }, { 98, 94, 300000000 },
            { 101, 97, 250000000 }, { 104, 100, 200000000 } }, 104, 99, 120, 110, { 400000000, 400000000 } }, 0 };
        HEALTH;
        if (this->magic != 42) told.status = 2;
        return told;
    }
    #endif
"#;

/// A machine with one device, and a library made with these definitions.
struct Machine {
    root: tempfile::TempDir,
    library: PathBuf,
}

/// `None` where there is no compiler.
fn machine(defines: &[&str]) -> Option<Machine> {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "sys/class/hailo_chardev/hailo0/device_id", "1e60:2864");
    let (source, library) = (root.path().join("fake.c"), root.path().join("usr/lib/libhailort.so.4.23.0"));
    fs::create_dir_all(library.parent().unwrap()).unwrap();
    fs::write(&source, FAKE).unwrap();
    let defines = defines.iter().map(|define| format!("-D{define}"));
    let made =
        Command::new("cc").args(["-shared", "-fPIC", "-w", "-o"]).arg(&library).args(defines).arg(&source).output();
    let made = match made {
        Ok(made) => made,
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "cc: {error}");
            println!("SKIPPED: no C compiler: cc: {error} (make need)");
            return None;
        }
    };
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Some(Machine { root, library })
}

fn write(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// A machine that is busy with other tests may take long to start a child.
fn plan(program: &Path, root: &Path) -> Plan {
    Plan { within: Duration::from_secs(60), ..Plan::new(program.to_owned(), root.to_owned()) }
}

impl Machine {
    fn plan(&self) -> Plan {
        plan(Path::new(PROGRAM), self.root.path())
    }

    fn probe(&self) -> Probe {
        Probe::new(self.plan())
    }
}

/// A child without a daemon.
struct Asked {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Asked {
    fn start(root: &Path, arguments: &[&str]) -> Asked {
        let mut child = Command::new(PROGRAM)
            .arg("--root")
            .arg(root)
            .arg("probe-hailo")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Asked { child, input, output }
    }

    fn ask(&mut self, line: &str) -> Answer {
        self.input.write_all(format!("{line}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{answer:?}: {error}"))
    }

    fn read(&mut self) -> Device {
        let mut answer = self.ask("read");
        assert_eq!((answer.absent.as_str(), answer.devices.len()), ("", 1), "{answer:?}");
        answer.devices.remove(0)
    }
}

#[test]
fn a_library_of_version_4_tells_all_with_steps_and_trips() {
    let Some(machine) = machine(&["HEALTH=(void)0"]) else { return };
    let mut probe = machine.probe();
    let (told, wait) = probe.turn();
    assert_eq!(wait, Duration::from_secs(5));
    let npu = &told.accelerators[0];
    assert_eq!((npu.kind.as_str(), npu.name.as_str(), npu.driver.as_str()), ("npu", "Hailo-8L", "4.23.0"));
    assert_eq!((npu.told_by.as_str(), npu.power_w.value, npu.note.as_str()), ("libhailort", Some(2.5), ""));
    assert_eq!(npu.throttled_by, "medium");
    assert_eq!(npu.load_percent.absent, "unsupported");
    let zones: Vec<_> = told.zones.iter().map(|zone| (zone.name.as_str(), zone.temp_c.value)).collect();
    assert_eq!(zones, [("npu", Some(41.0)), ("npu#2", Some(48.5))]);
    let trips: Vec<_> =
        told.zones[0].trips.iter().map(|trip| (trip.kind.as_str(), trip.temp_c, trip.hysteresis_c)).collect();
    assert_eq!(
        trips,
        [
            ("passive", 95.0, 3.0),
            ("passive", 98.0, 4.0),
            ("passive", 101.0, 4.0),
            ("passive", 104.0, 4.0),
            ("hot", 104.0, 5.0),
            ("critical", 120.0, 10.0)
        ]
    );
    assert_eq!((told.clocks[0].name.as_str(), told.clocks[0].hz.value), ("npu", Some(400e6)));
}

#[test]
fn a_device_that_rests_is_told_as_it_was_read_last_and_the_child_ends_with_its_input() {
    let Some(machine) = machine(&[]) else { return };
    let mut child = Asked::start(machine.root.path(), &[]);
    let first = child.read();
    assert_eq!((first.id.as_str(), first.firmware.as_str()), (ADDRESS, "4.23.1"));
    let second = child.read();
    assert_eq!(second.temps_c[0].value, Some(41.0), "opened once, whatever the library prints: {second:?}");
    assert!(second.age_ms >= first.age_ms);
    assert!(child.ask("write").absent.contains("asked for \"write\""));
    drop(child.input);
    assert!(child.child.wait().unwrap().success());
}

#[test]
fn a_library_of_version_5_tells_no_steps_and_its_method_is_left_alone() {
    let defines = ["VERSION=5,1,1", "ARCHITECTURE=6", "HEALTH=abort()", "PROTECTED=0"];
    let Some(machine) = machine(&defines) else { return };
    let (told, _) = machine.probe().turn();
    let npu = &told.accelerators[0];
    assert_eq!((npu.name.as_str(), npu.driver.as_str(), npu.throttled_by.as_str()), ("Hailo-10H", "5.1.1", ""));
    let note = "its protection against heat is switched off; libhailort 5.1.1 does not tell how far it throttles";
    assert_eq!(npu.note, note);
    assert_eq!((told.zones[0].temp_c.value, told.zones[0].trips.len()), (Some(41.0), 0));
}

#[test]
fn a_library_of_another_major_is_refused_by_its_version() {
    for (version, word) in [("VERSION=6,1,0", "too new: libhailort 6.1"), ("VERSION=3,9,0", "too old: libhailort 3.9")]
    {
        let Some(machine) = machine(&[version, "OPEN=(abort(),0)"]) else { return };
        let (told, _) = machine.probe().turn();
        let want = format!("failed: {word} is not known to this version of edged");
        assert!(told.zones[0].temp_c.absent.starts_with(&want), "{told:?}");
        assert!(told.accelerators[0].note.starts_with(word), "{told:?}");
    }
}

/// Told as failed everywhere, with the reason; the next child is not started yet.
fn failed(probe: &mut Probe, words: &[&str]) -> Told {
    let (told, wait) = probe.turn();
    for absent in [&told.zones[0].temp_c.absent, &told.clocks[0].hz.absent, &told.accelerators[0].power_w.absent] {
        assert!(absent.starts_with("failed: ") && words.iter().all(|word| absent.contains(word)), "{absent}");
    }
    assert_eq!((wait, probe.child()), (Duration::from_secs(5), None));
    assert_eq!(probe.turn().0, told, "until the pause is over");
    told
}

#[test]
fn a_crash_in_the_library_ends_the_child_alone() {
    let Some(machine) = machine(&["TEMPERATURE=(*(volatile int*)0=1)"]) else { return };
    failed(&mut machine.probe(), &["SIGSEGV"]);
}

#[test]
fn a_library_that_reaches_for_a_network_gets_none() {
    // The second thermometer tells what came of it.
    let reach =
        "TEMPERATURE=(told.ts1=(socket(AF_INET,SOCK_STREAM,0)<0&&errno==EPERM&&socket(AF_UNIX,SOCK_STREAM,0)<0))";
    let Some(machine) = machine(&[reach]) else { return };
    let (told, _) = machine.probe().turn();
    assert_eq!(told.zones[1].temp_c.value, Some(1.0));
}

#[test]
fn a_library_that_hangs_is_ended_in_time() {
    let Some(machine) = machine(&["TEMPERATURE=pause()"]) else { return };
    let mut probe = Probe::new(Plan { within: Duration::from_millis(500), ..machine.plan() });
    failed(&mut probe, &["did not answer within 500 ms"]);
}

#[test]
fn nonsense_ends_the_child() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "sys/class/hailo_chardev/hailo0/device_id", "1e60:2864");
    for (script, words) in [
        ("read line; echo hot", "expected value"),
        ("read line; echo '{}'; echo more; read line", ""),
        ("read line; exec tr '\\0' x < /dev/zero", "more than 65536 bytes without an end"),
        ("read line; exit 7", "exit status: 7"),
    ] {
        let program = root.path().join("program");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let mut probe = Probe::new(plan(&program, root.path()));
        let (mut told, _) = probe.turn();
        if words.is_empty() {
            // The second line may come with the first, or be taken for the next answer: no answer it is.
            told = probe.turn().0;
        }
        let absent = &told.zones[0].temp_c.absent;
        assert!(absent.starts_with("failed: the process that reads libhailort ") && absent.contains(words), "{absent}");
    }
}

#[test]
fn a_device_of_another_program_is_not_yet_told_and_left_alone() {
    for (status, note) in [("OPEN=73", "in use by another program"), ("OPEN=74", "in use by another program")] {
        let Some(machine) = machine(&[status]) else { return };
        let (told, _) = machine.probe().turn();
        let npu = &told.accelerators[0];
        assert_eq!((npu.note.as_str(), npu.power_w.absent.as_str()), (note, "not_yet"));
        assert_eq!(told.zones[0].temp_c.absent, "not_yet");
    }
}

#[test]
fn a_driver_of_another_version_is_told_with_what_helps() {
    let Some(machine) = machine(&["OPEN=76"]) else { return };
    write(machine.root.path(), "sys/module/hailo_pci/version", "4.20.0\n");
    let (told, _) = machine.probe().turn();
    let note = &told.accelerators[0].note;
    assert!(note.contains("driver 4.20.0 and libhailort 4.23.0 do not fit"), "{note}");
    assert!(
        note.contains("(status 76)") && note.contains("install the Hailo driver and libhailort of the same version")
    );
}

#[test]
fn what_a_board_does_not_have_is_unsupported_and_what_was_not_sampled_not_yet() {
    let Some(machine) = machine(&["SAMPLES=0", "POWER=48"]) else { return };
    let (told, _) = machine.probe().turn();
    let temps: Vec<_> = told.zones.iter().map(|zone| zone.temp_c.absent.as_str()).collect();
    assert_eq!(temps, ["not_yet", "not_yet"]);
    assert_eq!(told.accelerators[0].power_w.absent, "unsupported");
    assert_eq!(told.clocks[0].hz.value, Some(400e6), "the rest is told");
}

#[test]
fn values_that_cannot_be_are_none() {
    let Some(machine) = machine(&["TEMPERATURE=(told.ts0=1e9f)", "HEALTH=(told.value.level=77)"]) else { return };
    let (told, _) = machine.probe().turn();
    assert_eq!(told.zones[0].temp_c.absent, "failed: a temperature of 1000000000 cannot be");
    assert_eq!(told.zones[1].temp_c.value, Some(48.5));
    let npu = &told.accelerators[0];
    assert!(npu.note.contains("values that cannot be") && npu.throttled_by.is_empty(), "{npu:?}");
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_another_child_keeps_to_the_c_interface() {
    let Some(machine) = machine(&["HEALTH=abort()"]) else { return };
    let mut probe = machine.probe();
    failed(&mut probe, &["SIGABRT"]);
    tokio::time::advance(Duration::from_secs(5)).await;
    let (told, _) = probe.turn();
    assert_eq!((told.zones[0].temp_c.value, told.zones[0].trips.len()), (Some(41.0), 0), "{told:?}");
    assert!(told.accelerators[0].note.contains("does not tell how far it throttles"));
}

#[tokio::test(start_paused = true)]
async fn a_child_that_crashes_again_is_started_after_a_longer_pause() {
    let Some(machine) = machine(&["TEMPERATURE=abort()"]) else { return };
    let mut probe = machine.probe();
    for pause in [5, 15, 45, 135, 300, 300] {
        let (told, wait) = probe.turn();
        assert!(told.zones[0].temp_c.absent.contains("SIGABRT"), "{told:?}");
        assert_eq!(wait, Duration::from_secs(pause));
        tokio::time::advance(wait).await;
    }
}

#[test]
fn a_library_that_is_named_is_the_one() {
    let Some(machine) = machine(&[]) else { return };
    let elsewhere = machine.root.path().join("hailo.so");
    fs::rename(&machine.library, &elsewhere).unwrap();
    let device = Asked::start(machine.root.path(), &["--library", elsewhere.to_str().unwrap()]).read();
    assert_eq!(device.temps_c[0].value, Some(41.0));
}

#[test]
fn without_the_library_it_is_told_what_to_install() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "sys/class/hailo_chardev/hailo0/device_id", "1e60:2864");
    write(root.path(), "sys/module/hailo_pci/version", "4.23.0\n");
    let mut probe = Probe::new(plan(Path::new(PROGRAM), root.path()));
    let (told, _) = probe.turn();
    let note = &told.accelerators[0].note;
    assert!(
        note.starts_with("no libhailort.so in ") && note.ends_with("install libhailort 4.23.0, the driver's version")
    );
    assert!(probe.child().is_some(), "the child is well");
    fs::write(root.path().join("no-library"), "text").unwrap();
    let library = Some(root.path().join("no-library"));
    let named = Plan { library, ..plan(Path::new(PROGRAM), root.path()) };
    let note = Probe::new(named).turn().0.accelerators[0].note.clone();
    assert!(note.starts_with("open ") && note.contains("no-library"), "{note}");
}

#[test]
fn the_asking_end_never_waits_and_ends_its_child() {
    let Some(machine) = machine(&[]) else { return };
    let hailo = Hailo::start(machine.plan()).unwrap();
    let told = loop {
        let told = hailo.latest();
        if !told.accelerators.is_empty() {
            break told;
        }
        std::thread::yield_now();
    };
    assert_eq!(told.zones[0].temp_c.value, Some(41.0));
    let children = || {
        let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path().join("cmdline")));
        let root = machine.root.path().to_str().unwrap().to_owned();
        processes.filter(|file| fs::read_to_string(file).is_ok_and(|line| line.contains(&root))).count()
    };
    assert_eq!(children(), 1);
    drop(hailo);
    while children() > 0 {
        std::thread::yield_now();
    }
}
