//! `edged quality learn ...`: what `edgectl route learn` runs. One JSON record on standard output; exit code 0, 1 (nothing could be
//! promised, or something could not be done), 2 (what was asked for, or a file that was named, cannot be used).

use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use edge_core::units::Ratio;
use edge_wire::learn::{Guarantee, Learnt, Setting, TaskGain};
use rustix::fs::{Access, access};
use thiserror::Error;

use super::learn::{Aim, KEPT_AT, Lesson, learn};
use super::model::ModelError;
use super::plot;
use super::table::{self, MAX_BYTES, TableError};
use super::train::TrainError;
use crate::driver::chain;

/// What is to be done about quality.
#[derive(Debug, Subcommand)]
pub enum QualityCommand {
    /// Learn from a table of outcomes when a stronger site helps
    Learn {
        table: PathBuf,
        #[arg(long)]
        out: PathBuf,
        #[arg(long, default_value_t = 0.05)]
        target_loss: f64,
        #[arg(long, default_value_t = 0.95)]
        confidence: f64,
        /// Which rows are held out
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Today, for the file: YYYY-MM-DD
        #[arg(long)]
        date: String,
        #[arg(long)]
        plot: Option<PathBuf>,
    },
}

/// Why nothing came of it.
#[derive(Debug, Error)]
pub enum QualityError {
    #[error("{0}")]
    Usage(String),
    #[error("read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} has more than {MAX_BYTES} bytes")]
    Large { path: PathBuf },
    #[error("read {path}")]
    Table {
        path: PathBuf,
        #[source]
        source: TableError,
    },
    #[error("learn from {path}")]
    Train {
        path: PathBuf,
        #[source]
        source: TrainError,
    },
    #[error("{option} {path} is there already, and nothing is written over: name another file, or remove it")]
    Taken { option: &'static str, path: PathBuf },
    #[error("write {option} {path}")]
    Write {
        option: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("write the model")]
    Model(#[from] ModelError),
    #[error("write the record")]
    Record(#[from] serde_json::Error),
}

impl QualityError {
    fn exit(&self) -> ExitCode {
        ExitCode::from(if matches!(self, QualityError::Model(_) | QualityError::Record(_)) { 1 } else { 2 })
    }
}

/// Does it, and prints what came of it.
pub fn run(command: &QualityCommand) -> ExitCode {
    let done = done(command).and_then(|record| Ok((serde_json::to_string(&record)?, record.guarantee.is_some())));
    match done {
        Ok((record, is_sure)) => {
            println!("{record}");
            if is_sure { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("{}", chain(&error));
            error.exit()
        }
    }
}

fn done(command: &QualityCommand) -> Result<Learnt, QualityError> {
    let QualityCommand::Learn { table, out, target_loss, confidence, seed, date, plot } = command;
    let aim = Aim {
        target_loss: share("--target-loss", *target_loss)?,
        confidence: share("--confidence", *confidence)?,
        seed: *seed,
        date: day(date)?,
        source: table.file_name().unwrap_or_default().to_string_lossy().chars().take(32).collect(),
    };
    // Learning takes a while: what could not be written is said before.
    free("--out", out)?;
    if let Some(plot) = plot {
        free("--plot", plot)?;
        if plot == out {
            return Err(QualityError::Usage(format!(
                "--plot {} is the file of --out: name another one",
                plot.display()
            )));
        }
    }
    let rows = table::read(&text(table)?).map_err(|source| QualityError::Table { path: table.clone(), source })?;
    let lesson = learn(&rows, &aim).map_err(|source| QualityError::Train { path: table.clone(), source })?;
    if let Some((path, curve)) = plot.as_ref().zip(lesson.curve.as_ref()) {
        let sent = lesson.learnt.guarantee.map(|guarantee| 1.0 - f64::from(guarantee.kept));
        write("--plot", path, plot::svg(curve, sent).as_bytes())?;
    }
    let mut record = record(&lesson, &aim, table);
    // By a model without a threshold no text could stay; where one is in use, it is better kept.
    if lesson.learnt.guarantee.is_some() {
        let bytes = lesson.learnt.write()?;
        write("--out", out, &bytes)?;
        record.path = out.display().to_string();
        record.bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        record.settings = settings(out);
    }
    Ok(record)
}

fn record(lesson: &Lesson, aim: &Aim, table: &Path) -> Learnt {
    let Lesson { learnt, curve, certified, .. } = lesson;
    let about = &learnt.about;
    let mut remarks = Vec::new();
    if curve.is_none() {
        let super::learn::Gap { mean, error } = lesson.gap;
        remarks.push(format!(
            "the stronger site gains nothing over these rows that could be told from chance (on average {mean:.4}, give or \
             take {error:.4}): there is nothing to recover, and no score to learn"
        ));
    } else if certified.is_none() {
        remarks.push(
            "no threshold keeps this promise: take more rows, a larger --target-loss, or a smaller --confidence"
                .to_owned(),
        );
    }
    let guarantee = learnt.guarantee.zip(*certified).map(|(guarantee, certified)| Guarantee {
        threshold: guarantee.threshold,
        kept_local: guarantee.kept,
        loss_held_out: guarantee.loss,
        p_value: certified.p_value,
    });
    let task = |task: &super::model::TaskGain| TaskGain {
        task: task.name.clone(),
        rows: task.rows,
        gain_measured: task.measured,
        gain: task.shrunk,
    };
    Learnt {
        table: table.display().to_string(),
        date: about.date.clone(),
        seed: aim.seed,
        rows_read: about.trained.saturating_add(about.held_out),
        rows_trained: about.trained,
        rows_held_out: about.held_out,
        rows_tested: if curve.is_some() { about.trained } else { 0 },
        weak_quality: about.weak,
        strong_quality: about.strong,
        apgr: curve.as_ref().and_then(super::curve::Curve::apgr),
        kept_local: curve.as_ref().map(|curve| curve.kept_at(KEPT_AT)),
        target_loss: small(aim.target_loss),
        confidence: small(aim.confidence),
        guarantee,
        tasks: learnt.tasks.iter().map(task).collect(),
        remarks,
        ..Learnt::default()
    }
}

/// What makes a daemon ask this file.
fn settings(out: &Path) -> Vec<Setting> {
    let path = std::path::absolute(out).unwrap_or_else(|_| out.to_owned());
    let setting = |key: &str, value: toml::Value| Setting { key: key.into(), value: value.to_string() };
    vec![
        setting("routing.difficulty_model", path.display().to_string().into()),
        setting("rule.difficulty", true.into()),
    ]
}

#[expect(clippy::cast_possible_truncation, reason = "as it is in the file, which needs no more digits")]
fn small(value: Ratio) -> f32 {
    value.get() as f32
}

fn share(option: &str, value: f64) -> Result<Ratio, QualityError> {
    let good = Ratio::new(value).filter(|_| value > 0.0 && value < 1.0);
    good.ok_or_else(|| QualityError::Usage(format!("{option} {value}: takes a number above 0 and below 1")))
}

fn day(text: &str) -> Result<String, QualityError> {
    let is_day = text.len() == 10
        && text
            .bytes()
            .enumerate()
            .all(|(at, byte)| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() });
    if is_day { Ok(text.to_owned()) } else { Err(QualityError::Usage(format!("--date {text}: takes YYYY-MM-DD"))) }
}

fn text(path: &Path) -> Result<String, QualityError> {
    let failed = |source| QualityError::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut text = String::new();
    let read = file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
    if u64::try_from(read).unwrap_or(u64::MAX) > MAX_BYTES {
        return Err(QualityError::Large { path: path.to_owned() });
    }
    Ok(text)
}

/// There is room for a file of this name.
fn free(option: &'static str, path: &Path) -> Result<(), QualityError> {
    if path.symlink_metadata().is_ok() {
        return Err(QualityError::Taken { option, path: path.to_owned() });
    }
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    access(dir, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| QualityError::Write {
        option,
        path: path.to_owned(),
        source: error.into(),
    })
}

/// A new file, whole or not at all.
fn write(option: &'static str, path: &Path, bytes: &[u8]) -> Result<(), QualityError> {
    let failed = |source| QualityError::Write { option, path: path.to_owned(), source };
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|error| {
        // Half of a file would be in the way of the next try. If it cannot go either, the first error says why.
        let _ = std::fs::remove_file(path);
        failed(error)
    })
}

#[cfg(test)]
mod cli_tests {
    use super::*;

    fn asked(dir: &Path, out: &str, target_loss: f64) -> QualityCommand {
        QualityCommand::Learn {
            table: dir.join("table.csv"),
            out: dir.join(out),
            target_loss,
            confidence: 0.9,
            seed: 1,
            date: "2026-11-28".into(),
            plot: Some(dir.join(out).with_extension("svg")),
        }
    }

    fn table(dir: &Path, rows: u64) {
        let mut text = String::from("prompt,weak,strong,task\n");
        for row in super::super::tests::rows(rows, 5) {
            text.push_str(&format!("{},{},{},{}\n", row.text, row.weak, row.strong, row.task.unwrap()));
        }
        std::fs::write(dir.join("table.csv"), text).unwrap();
    }

    #[test]
    fn a_table_becomes_a_file_a_picture_and_a_record() {
        let dir = tempfile::tempdir().unwrap();
        table(dir.path(), 1_000);
        let record = done(&asked(dir.path(), "model", 0.1)).unwrap();
        let learnt = super::super::model::Learnt::read(&std::fs::read(&record.path).unwrap()).unwrap();
        assert_eq!((record.rows_trained + record.rows_held_out, learnt.about.date.as_str()), (1_000, "2026-11-28"));
        assert_eq!((record.rows_read, record.rows_tested), (1_000, record.rows_trained));
        assert!(record.apgr.unwrap() > 0.6, "{record:?}");
        let (guarantee, kept) = (record.guarantee.unwrap(), learnt.guarantee.unwrap());
        assert!(guarantee.loss_held_out <= 0.1 && guarantee.kept_local > 0.2, "{guarantee:?}");
        assert_eq!((guarantee.threshold, record.target_loss), (kept.threshold, kept.target_loss));
        assert!(std::fs::read_to_string(dir.path().join("model.svg")).unwrap().contains("certified"));
        let reference = crate::config::keys::reference();
        assert_eq!(record.settings.len(), 2);
        for Setting { key, .. } in &record.settings {
            let (table, name) = key.split_once('.').unwrap();
            let section = reference.split("\n## ").find(|section| section.trim_start_matches('[').starts_with(table));
            assert!(section.unwrap().contains(&format!("\n| `{name}` ")), "{key}");
        }
    }

    #[test]
    fn without_a_promise_no_file_is_written() {
        let dir = tempfile::tempdir().unwrap();
        table(dir.path(), 400);
        let record = done(&asked(dir.path(), "model", 0.001)).unwrap();
        assert!(record.guarantee.is_none() && record.remarks.len() == 1, "{record:?}");
        assert_eq!((record.path.as_str(), record.bytes, record.settings.len()), ("", 0, 0));
        assert!(!dir.path().join("model").exists() && dir.path().join("model.svg").exists());
    }

    #[test]
    fn where_the_stronger_site_gains_nothing_that_is_said_and_nothing_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let mut text = String::from("prompt,weak,strong\n");
        // Either is right half of the time, and one row more of the strong one is chance.
        for at in 0..600 {
            text.push_str(&format!("q{at} word{},{},{}\n", at % 7, at % 2, if at == 0 { 1 } else { at / 2 % 2 }));
        }
        std::fs::write(dir.path().join("table.csv"), text).unwrap();
        let record = done(&asked(dir.path(), "model", 0.9)).unwrap();
        assert!(record.guarantee.is_none() && record.apgr.is_none(), "{record:?}");
        assert!(record.remarks.len() == 1 && record.remarks[0].contains("nothing to recover"), "{:?}", record.remarks);
        assert!(!dir.path().join("model").exists() && !dir.path().join("model.svg").exists());
    }

    #[test]
    fn a_table_of_the_number_of_rows_that_is_named_is_enough_and_one_less_is_not() {
        let dir = tempfile::tempdir().unwrap();
        table(dir.path(), 60);
        let QualityError::Train { source: TrainError::Rows { found: 60, needed }, .. } =
            done(&asked(dir.path(), "model", 0.1)).unwrap_err()
        else {
            panic!("60 rows were enough, or too few for another reason");
        };
        table(dir.path(), needed - 1);
        assert!(matches!(done(&asked(dir.path(), "model", 0.1)), Err(QualityError::Train { .. })));
        table(dir.path(), needed);
        assert_eq!(done(&asked(dir.path(), "model", 0.1)).unwrap().rows_read, u32::try_from(needed).unwrap());
    }

    #[test]
    fn what_makes_no_sense_is_named_with_the_range() {
        let dir = tempfile::tempdir().unwrap();
        let said = |error: QualityError| chain(&error);
        assert_eq!(
            said(done(&asked(dir.path(), "model", 1.5)).unwrap_err()),
            "--target-loss 1.5: takes a number above 0 and below 1"
        );
        assert!(said(done(&asked(dir.path(), "model", 0.1)).unwrap_err()).contains("table.csv: No such file"));
        assert!(day("28.11.2026").is_err() && day("2026-11-28").is_ok());
    }
}
