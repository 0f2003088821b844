//! What watches the machine and reserves it: `top`, `governor`, `hold`, and what `status` and `doctor` say of the machine.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use edge_wire::dto::Status;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::bus::PrivateBus;
use crate::support::canned;
use crate::support::fake::Fake;
use crate::support::transcript::{Edgectl, check};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A daemon that works, and knows what the governor learnt.
fn busy(bus: &PrivateBus, status: Status) -> Fake {
    let fake = Fake::start(bus, status.clone());
    let mut script = fake.script.lock().unwrap();
    script.works = true;
    script.governor = Some(canned::report(status.governor));
    drop(script);
    fake
}

/// Waits for something that another process brings about.
#[expect(clippy::disallowed_methods, reason = "the command is another process, whose time is real")]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "no {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn one_look_is_printed_as_text_where_nobody_watches() {
    let bus = PrivateBus::start();
    let edgectl = Edgectl::on(&bus).with("LANG", "C.UTF-8");
    let mut runs = vec![edgectl.tell(&["top", "--once"])];
    {
        let _fake = busy(&bus, canned::hot());
        runs.extend(edgectl.tell_all(&[
            &["top", "--interval", "200ms"],
            &["top", "--interval", "200ms", "--width", "120"],
            &["top", "--interval", "200ms", "--width", "60", "--ascii"],
        ]));
    }
    {
        let _fake = busy(&bus, canned::hot());
        runs.push(edgectl.tell(&["top", "--interval", "200ms", "--json"]));
    }
    let _fake = Fake::start(&bus, canned::bare());
    runs.push(Edgectl::on(&bus).tell(&["top", "--once", "--interval", "200ms"]));
    assert!(runs.iter().all(|run| !run.contains('\u{1b}')), "{runs:#?}");
    check("top", &runs);
}

#[test]
fn what_the_governor_learnt_is_shown_with_a_chart_of_the_last_hour() {
    let bus = PrivateBus::start();
    let edgectl = Edgectl::on(&bus).with("LANG", "C.UTF-8");
    let fake = busy(&bus, canned::hot());
    let mut runs = edgectl.tell_all(&[&["governor"], &["governor", "show", "--ascii"]]);
    if let Some(report) = &mut fake.script.lock().unwrap().governor {
        report.history.drain(..358);
    }
    runs.push(edgectl.tell(&["governor", "--json"]));
    fake.script.lock().unwrap().governor = Some(canned::report(canned::bare().governor));
    runs.push(Edgectl::on(&bus).tell(&["governor"]));
    fake.script.lock().unwrap().governor = None;
    runs.push(edgectl.tell(&["governor"]));
    check("governor", &runs);
}

#[test]
fn the_machine_has_its_place_in_status_and_doctor() {
    let bus = PrivateBus::start();
    let edgectl = Edgectl::beside_daemon(&bus, "configuration is valid", 0);
    let mut held = canned::hot();
    held.governor.regime = "critical".into();
    held.governor.capacity.held = "firmware update".into();
    let mut blind = canned::bare();
    blind.governor.regime = "blind".into();
    blind.governor.reason = "no thermometer has answered for 30 s".into();
    let mut runs = Vec::new();
    for status in [canned::hot(), canned::bare(), held, blind] {
        let _fake = Fake::start(&bus, status);
        runs.extend(edgectl.tell_all(&[&["status"], &["doctor"]]));
    }
    check("machine", &runs);
}

#[test]
fn the_device_is_held_while_a_command_runs_whose_exit_is_handed_on() {
    let bus = PrivateBus::start();
    let edgectl = Edgectl::on(&bus);
    let fake = Fake::start(&bus, canned::serving());
    let runs = edgectl.tell_all(&[
        &["hold", "--why", "firmware update", "--", "sh", "-c", "echo flashed; exit 7"],
        &["hold", "--why", "firmware update", "--", "sh", "-c", "kill -TERM $$"],
        &["hold", "--why", "firmware update", "--", "./missing.sh"],
        &["hold", "--why", "nothing", "--", "sh", "-c", "echo must not run"],
        &["hold", "--why", "nothing", "--json"],
    ]);
    let told: Vec<String> = runs.iter().map(|run| without_time(run)).collect();
    check("hold", &told);
    until("release", || fake.calls().iter().filter(|call| *call == "let go").count() == 3);
    let calls: Vec<String> = fake.calls().into_iter().filter(|call| call != "Describe").collect();
    assert_eq!(calls.iter().filter(|call| *call == "hold firmware update").count(), 3, "{calls:?}");
}

/// How long it took differs.
fn without_time(run: &str) -> String {
    let line = |line: &str| match line.split_once("let go after ") {
        Some((before, rest)) => {
            let (_, why) = rest.split_once(':').unwrap_or_default();
            format!("{before}let go after TIME:{why}\n")
        }
        None => format!("{line}\n"),
    };
    run.lines().map(line).collect()
}

fn holding(edgectl: &Edgectl<'_>, args: &[&str]) -> Child {
    edgectl.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn tell(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), signal).unwrap();
}

#[test]
fn a_hold_without_a_command_ends_with_a_signal_and_outlives_the_daemon() {
    let bus = PrivateBus::start();
    let edgectl = Edgectl::on(&bus);
    let first = Fake::start(&bus, canned::serving());
    let mut child = holding(&edgectl, &["hold", "--why", "measuring", "--json"]);
    let mut said = String::new();
    let mut complaints = BufReader::new(child.stderr.take().unwrap());
    complaints.read_line(&mut said).unwrap();
    assert!(said.starts_with("held: measuring"), "{said}");
    drop(first);
    let second = Fake::start(&bus, canned::serving());
    until("hold by the next daemon", || second.calls().contains(&"hold measuring".to_owned()));
    tell(&child, Signal::INT);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(told["why"] == "measuring" && told["held_ms"].is_u64(), "{told}");
    complaints.read_to_string(&mut said).unwrap();
    assert!(said.contains("is not held") && said.contains("held again"), "{said}");
    until("release", || second.calls().contains(&"let go".to_owned()));
}

#[test]
fn a_hold_ends_when_nobody_is_left_who_could_end_it() {
    let bus = PrivateBus::start();
    let edgectl = Edgectl::on(&bus);
    let fake = Fake::start(&bus, canned::serving());
    let mut child = holding(&edgectl, &["hold", "--why", "measuring"]);
    until("hold", || fake.calls().contains(&"hold measuring".to_owned()));
    drop((child.stdout.take(), child.stderr.take()));
    until("end", || child.try_wait().unwrap().is_some());
    until("release", || fake.calls().contains(&"let go".to_owned()));
}

#[test]
fn a_signal_is_passed_on_to_the_command_which_ends_in_its_own_time() {
    let bus = PrivateBus::start();
    let edgectl = Edgectl::on(&bus);
    let fake = Fake::start(&bus, canned::serving());
    let line = "trap 'echo cleaned up; exit 9' TERM; echo ready; while :; do sleep 0.05; done";
    let mut child = holding(&edgectl, &["hold", "--why", "measuring", "--", "sh", "-c", line]);
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    said.read_line(&mut first).unwrap();
    assert_eq!(first, "ready\n");
    assert!(!fake.calls().contains(&"let go".to_owned()));
    tell(&child, Signal::TERM);
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert_eq!((rest.as_str(), child.wait().unwrap().code()), ("cleaned up\n", Some(9)));
    until("release", || fake.calls().contains(&"let go".to_owned()));
}

#[test]
fn the_exit_of_a_command_that_ran_on_another_box_is_handed_on() {
    use std::os::unix::fs::PermissionsExt;
    let bus = PrivateBus::start();
    let ssh = bus.path().join("ssh");
    fs::write(&ssh, "#!/bin/sh\necho \"$@\"\nexit 42\n").unwrap();
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).unwrap();
    let edgectl = Edgectl::on(&bus).with("PATH", &format!("{}:/usr/bin:/bin", bus.path().display()));
    let output = edgectl.run(&["--host", "press-7", "hold", "--why", "new firmware", "--", "./flash.sh"]);
    assert_eq!(output.status.code(), Some(42));
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        said, "-- press-7 edgectl 'hold' '--why' 'new firmware' '--' './flash.sh'\n",
        "no terminal is here to ask for"
    );
}

/// `edgectl top` on a terminal of 80 columns and 24 rows, in a shell that tells afterwards whether it is as it was before.
struct Terminal {
    child: Child,
    shown: Vec<u8>,
}

impl Terminal {
    fn start(bus: &PrivateBus) -> Terminal {
        Terminal::with(bus, &[])
    }

    /// With these variables in its environment.
    fn with(bus: &PrivateBus, variables: &[(&str, &str)]) -> Terminal {
        let edgectl = Edgectl::on(bus);
        let line = "stty cols 80 rows 24; before=$(stty -g); sh -c 'echo $$ > pid; exec edgectl top --interval 200ms'; \
                    code=$?; [ \"$before\" = \"$(stty -g)\" ] && echo restored $code";
        let built = std::path::Path::new(env!("CARGO_BIN_EXE_edgectl")).parent().unwrap();
        let mut command = edgectl.command(&[]);
        // The same environment with a program around it.
        let mut around = Command::new("script");
        around.args(["-qec", line, "/dev/null"]).current_dir(command.get_current_dir().unwrap()).env_clear();
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                around.env(name, value);
            }
        }
        around.env("PATH", format!("{}:/usr/bin:/bin", built.display())).env("TERM", "xterm").env("LANG", "C.UTF-8");
        around.envs(variables.iter().copied());
        command = around;
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        Terminal { child, shown: Vec::new() }
    }

    /// Reads what is drawn until this text is.
    fn read_until(&mut self, text: &str) {
        let out = self.child.stdout.as_mut().unwrap();
        let mut part = [0; 4096];
        while !String::from_utf8_lossy(&self.shown).contains(text) {
            let length = out.read(&mut part).unwrap();
            assert!(length > 0, "it ended without {text:?}: {:?}", String::from_utf8_lossy(&self.shown));
            self.shown.extend(&part[..length]);
        }
    }

    /// What was on the terminal until the shell ended.
    fn end(mut self) -> String {
        self.child.stdout.take().unwrap().read_to_end(&mut self.shown).unwrap();
        self.child.wait().unwrap();
        String::from_utf8_lossy(&self.shown).into_owned()
    }
}

fn looks(fake: &Fake) -> usize {
    fake.calls().iter().filter(|call| *call == "Describe").count()
}

#[test]
fn the_screen_is_drawn_follows_a_restart_and_gives_the_terminal_back() {
    let bus = PrivateBus::start();
    let first = busy(&bus, canned::hot());
    let mut terminal = Terminal::start(&bus);
    until("looks", || looks(&first) > 3);
    drop(first);
    // Nobody is there for as long as it takes until that is on the screen.
    terminal.read_until("NO ANSWER");
    let second = busy(&bus, Status { pid: 4711, ..canned::hot() });
    until("looks at the next daemon", || looks(&second) > 3);
    terminal.child.stdin.as_mut().unwrap().write_all(b"hpq").unwrap();
    let shown = terminal.end();
    for expected in ["\u{1b}[?1049h", "\u{1b}[?1049l", "\u{1b}[?25h", "press-7", "NO ANSWER", "restored 0"] {
        assert!(shown.contains(expected), "no {expected:?} in {shown:?}");
    }
}

#[test]
fn a_signal_gives_the_terminal_back_too() {
    let bus = PrivateBus::start();
    let fake = busy(&bus, canned::hot());
    let terminal = Terminal::start(&bus);
    until("looks", || looks(&fake) > 2);
    let pid: i32 = fs::read_to_string(bus.path().join("pid")).unwrap().trim().parse().unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    let shown = terminal.end();
    assert!(shown.contains("\u{1b}[?1049l") && shown.contains("restored 130"), "{shown:?}");
}

/// Whether a colour is set for the letters, in one of the two ways that terminals know.
fn has_colours(shown: &str) -> bool {
    shown
        .split("\u{1b}[")
        .skip(1)
        .filter_map(|rest| rest.split_once('m'))
        .any(|(code, _)| code.starts_with("38;") || matches!(code, "31" | "32" | "33"))
}

#[test]
fn colours_are_left_out_where_nobody_wants_them() {
    let bus = PrivateBus::start();
    let shown_with = |variables: &[(&str, &str)]| {
        let fake = busy(&bus, canned::hot());
        let mut terminal = Terminal::with(&bus, variables);
        until("looks", || looks(&fake) > 2);
        terminal.child.stdin.as_mut().unwrap().write_all(b"q").unwrap();
        terminal.end()
    };
    let coloured = shown_with(&[]);
    assert!(has_colours(&coloured), "{coloured:?}");
    let plain = shown_with(&[("NO_COLOR", "1")]);
    assert!(plain.contains("THROTTLED") && !has_colours(&plain), "{plain:?}");
}

#[test]
fn a_dumb_terminal_gets_text() {
    let bus = PrivateBus::start();
    let _fake = busy(&bus, canned::hot());
    let shown = Terminal::with(&bus, &[("TERM", "dumb")]).end();
    assert!(shown.contains("THROTTLED") && shown.contains("restored 0") && !shown.contains('\u{1b}'), "{shown:?}");
}
