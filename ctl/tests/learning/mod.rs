//! Learning from a table of outcomes, by the daemon's own binary: what comes of a good table, and what is said of others.

use std::fmt::Write as _;
use std::fs;

use serde_json::Value;

use crate::support::bus::PrivateBus;
use crate::support::transcript::Edgectl;

/// Sums, at which the weak model mostly fails, and questions of facts, at which both are mostly right.
fn outcomes(rows: u32) -> String {
    let mut state = 7_u32;
    let mut draw = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % 100
    };
    let mut text = String::from("task,prompt,weak,strong\n");
    for _ in 0..rows {
        let is_sum = draw() < 40;
        let place = ["north", "south", "river", "mountain"][usize::try_from(draw() % 4).unwrap()];
        let (task, prompt, fails) = match is_sum {
            true => ("sums", format!("Calculate the sum of {} and {} exactly.", draw(), draw()), 60),
            false => ("facts", format!("Which city lies in the {place} of the country named first?"), 10),
        };
        let (weak, strong) = (draw() >= fails, u8::from(draw() >= 10));
        writeln!(text, "{task},\"{prompt}\nAnswer:\",{weak},{strong}").unwrap();
    }
    text
}

/// Exit code, answer, and what was said beside it.
fn learn(edgectl: &Edgectl<'_>, words: &[&str]) -> (Option<i32>, String, String) {
    let output = edgectl.run(&[&["route", "learn"], words].concat());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn what_was_learnt_is_written_promised_and_taken_by_a_configuration_as_it_is_printed() {
    let bus = PrivateBus::start();
    let edgectl = Edgectl::on(&bus);
    fs::write(bus.path().join("outcomes.csv"), outcomes(1_000)).unwrap();
    let good = ["outcomes.csv", "--target-loss", "0.1", "--confidence", "0.9", "--date", "2026-11-28"];
    let (code, out, err) =
        learn(&edgectl, &[&good[..], &["--out", "a.model", "--plot", "curve.svg", "--json"]].concat());
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let learnt: Value = serde_json::from_str(&out).unwrap();
    let number = |key: &str| learnt[key].as_f64().unwrap();
    let words = ["table", "path", "date"].map(|key| learnt[key].as_str().unwrap());
    assert_eq!(words, ["outcomes.csv", "a.model", "2026-11-28"]);
    assert_eq!((number("rows_read"), number("rows_trained") + number("rows_held_out")), (1000.0, 1000.0));
    assert_eq!((number("rows_tested"), number("seed")), (number("rows_trained"), 1.0));
    assert_eq!((number("target_loss"), number("confidence")), (0.1, 0.9));
    assert!(number("apgr") > 0.6 && number("weak_quality") < number("strong_quality"), "{out}");
    let guarantee = &learnt["guarantee"];
    assert!(guarantee["loss_held_out"].as_f64().unwrap() < 0.1, "{out}");
    assert!(guarantee["p_value"].as_f64().unwrap() <= 0.1, "{out}");
    assert!(guarantee["kept_local"].as_f64().unwrap() > 0.2 && guarantee["threshold"].is_number(), "{out}");
    let tasks: Vec<&str> =
        learnt["tasks"].as_array().unwrap().iter().map(|task| task["task"].as_str().unwrap()).collect();
    assert_eq!(tasks, ["facts", "sums"]);
    let file = fs::read(bus.path().join("a.model")).unwrap();
    assert!(file.starts_with(b"EDQUAL"), "another kind of file");
    assert_eq!(learnt["bytes"].as_u64().unwrap(), u64::try_from(file.len()).unwrap());
    assert!(fs::read_to_string(bus.path().join("curve.svg")).unwrap().contains("<svg"));

    let (code, out, _) = learn(&edgectl, &[&good[..], &["--out", "b.model"]].concat());
    assert_eq!(code, Some(0), "{out}");
    assert_eq!(fs::read(bus.path().join("b.model")).unwrap(), file, "the same table and seed give the same file");
    for line in
        ["learnt from outcomes.csv: b.model, ", "  rows       1000 read: ", "  promised   a mean loss of at most 0.1 "]
    {
        assert!(out.lines().any(|told| told.starts_with(line)), "{line}: {out}");
    }
    // What stands indented below its title is a configuration.
    let (_, below) = out.split_once("in the configuration:\n").unwrap();
    let lines: Vec<&str> = below.lines().take_while(|line| line.is_empty() || line.starts_with("  ")).collect();
    assert!(lines.join("\n").contains(&format!("difficulty_model = \"{}/b.model\"", bus.path().display())), "{out}");
    fs::write(bus.path().join("my.toml"), lines.join("\n")).unwrap();
    let checked = edgectl.run(&["config", "check", "--config", "my.toml"]);
    assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&checked.stdout));
}

#[test]
fn what_cannot_be_promised_is_said_and_not_written() {
    let bus = PrivateBus::start();
    let edgectl = Edgectl::on(&bus);
    fs::write(bus.path().join("outcomes.csv"), outcomes(200)).unwrap();
    let words = ["outcomes.csv", "--out", "quality.model", "--target-loss", "0.001"];
    let (code, out, _) = learn(&edgectl, &words);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.starts_with("learnt from outcomes.csv, and nothing written"), "{out}");
    assert!(out.contains("threshold  none that promises a mean loss of at most 0.001"), "{out}");
    assert!(!out.contains("configuration"), "{out}");
    let (code, out, _) = learn(&edgectl, &[&words[..], &["--json"]].concat());
    let learnt: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &learnt["guarantee"], learnt["path"].as_str()), (Some(1), &Value::Null, Some("")));
    assert_eq!(learnt["settings"], Value::Array(Vec::new()));
    assert!(learnt["remarks"][0].as_str().unwrap().contains("--target-loss"), "{out}");
    assert!(!bus.path().join("quality.model").exists());
}

#[test]
fn a_table_or_a_file_that_cannot_be_used_is_named_with_what_is_wrong() {
    let bus = PrivateBus::start();
    let edgectl = Edgectl::on(&bus);
    let head = "prompt,weak,strong,task\n";
    let tables = [
        ("empty.csv", String::new()),
        ("nameless.csv", "Which city?,1,1\n".into()),
        ("no-strong.csv", "prompt,weak\na,1\n".into()),
        ("semicolons.csv", "prompt;weak;strong\na;1;1\n".into()),
        ("few.csv", outcomes(60)),
        ("word.csv", format!("{head}\"a\nb\",1,0,\nc,yes,1,\n")),
        ("range.csv", format!("{head}a,1,1.5,\n")),
        ("nan.csv", format!("{head}a,1,NaN,\n")),
        ("blank.csv", format!("{head}a,,1,\n")),
        ("short.csv", format!("{head}a,1,1,\nb,1\n")),
        ("quote.csv", format!("{head}a,1,1,\n\"b,1,1,\n")),
        ("task.csv", format!("{head}a,1,1,{}\n", "t".repeat(129))),
        ("good.csv", outcomes(100)),
    ];
    for (name, text) in &tables {
        fs::write(bus.path().join(name), text).unwrap();
    }
    fs::write(bus.path().join("latin.csv"), b"prompt,weak,strong\nf\xfcr,1,1\n").unwrap();
    fs::write(bus.path().join("kept"), "kept").unwrap();
    let out = ["--out", "quality.model"];
    let cases: [(&[&str], &[&str]); 22] = [
        (&["missing.csv"], &["read missing.csv: No such file"]),
        (&["."], &["read .: Is a directory"]),
        (&["latin.csv"], &["read latin.csv: ", "UTF-8"]),
        (&["empty.csv"], &["no line with the names of its columns", "prompt, weak and strong"]),
        (&["nameless.csv"], &["no column prompt", "\"Which city?,1,1\""]),
        (
            &["no-strong.csv"],
            &["read no-strong.csv: the table has no column strong", "prompt, weak and strong", "task"],
        ),
        (&["semicolons.csv"], &["no column prompt", "\"prompt;weak;strong\"", "commas between them"]),
        (&["few.csv"], &["learn from few.csv: 60 rows: at least ", " are needed"]),
        (&["word.csv"], &["row 2 (line 4): weak is \"yes\"; takes true, false, or 0 to 1"]),
        (&["range.csv"], &["row 1 (line 2): strong is \"1.5\"; takes true, false, or 0 to 1"]),
        (&["nan.csv"], &["row 1 (line 2): strong is \"NaN\""]),
        (&["blank.csv"], &["row 1 (line 2): weak is \"\""]),
        (&["short.csv"], &["row 2 (line 3): 2 values; the first line has 4"]),
        (&["quote.csv"], &["row 2 (line 3): a quote is opened and never closed"]),
        (&["task.csv"], &["row 1 (line 2): task is 129 bytes long; takes 1 to 128"]),
        (&["good.csv", "--out", "kept"], &["--out kept is there already"]),
        (&["good.csv", "--out", "no/quality.model"], &["write --out no/quality.model: No such file"]),
        (
            &["good.csv", "--out", "/proc/quality.model", "--target-loss", "0.4", "--confidence", "0.5"],
            &["write --out /proc/quality.model: "],
        ),
        (&["good.csv", "--plot", "kept"], &["--plot kept is there already"]),
        (&["good.csv", "--plot", "quality.model"], &["--plot quality.model is the file of --out"]),
        (&["good.csv", "--confidence", "1"], &["--confidence", "takes a number above 0 and below 1"]),
        (&["good.csv", "--date", "28.11.2026"], &["--date", "takes a day"]),
    ];
    for (words, wanted) in cases {
        let words = if words.contains(&"--out") { words.to_vec() } else { [words, &out].concat() };
        let (code, said, beside) = learn(&edgectl, &words);
        assert_eq!((code, said.as_str()), (Some(2), ""), "{words:?}: {beside}");
        for part in wanted {
            assert!(beside.contains(part), "{words:?}: no {part:?} in {beside}");
        }
        let (code, said, _) = learn(&edgectl, &[&words[..], &["--json"]].concat());
        let error: Value = serde_json::from_str(&said).unwrap();
        assert_eq!((code, error["error"]["code"].as_str()), (Some(2), Some("usage")), "{words:?}");
        assert!(!bus.path().join("quality.model").exists(), "{words:?}");
    }
    assert_eq!(fs::read(bus.path().join("kept")).unwrap(), b"kept");
}
