//! `edged quality learn ...`: what `edgectl route learn` runs. One JSON record on standard output; exit code 0, 1 (something that
//! could not be done), 2 (what was asked for makes no sense).

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use edge_core::units::Ratio;
use serde::Serialize;
use thiserror::Error;

use super::learn::{Aim, KEPT_AT, Lesson, learn};
use super::model::ModelError;
use super::plot;
use super::table::{self, MAX_BYTES, TableError};
use super::train::TrainError;

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
        source: std::io::Error,
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
    #[error("write {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("write the model")]
    Model(#[from] ModelError),
    #[error("write the record")]
    Record(#[from] serde_json::Error),
}

/// What was learnt, in numbers.
#[derive(Debug, Serialize)]
pub struct Record {
    pub path: String,
    pub bytes: usize,
    pub date: String,
    pub rows_trained: u32,
    pub rows_held_out: u32,
    pub weak_quality: f32,
    pub strong_quality: f32,
    /// By cross-validation; 0.5 is chance. Absent if the stronger site gains nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apgr: Option<f64>,
    /// Share that may stay local at 95% of the strong quality.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_local: Option<f64>,
    /// Absent: nothing could be certified, and nothing stays local by this model's word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guarantee: Option<GuaranteeRecord>,
    pub tasks: Vec<TaskRecord>,
    pub remarks: Vec<String>,
}

/// A threshold and what is promised of it.
#[derive(Debug, Serialize)]
pub struct GuaranteeRecord {
    pub threshold: f32,
    pub target_loss: f32,
    pub confidence: f32,
    pub kept_local: f32,
    pub loss_held_out: f32,
    pub p_value: f64,
}

/// What the stronger site gains in a task.
#[derive(Debug, Serialize)]
pub struct TaskRecord {
    pub task: String,
    pub rows: u32,
    pub gain_measured: f32,
    pub gain: f32,
}

/// Does it, and prints what came of it.
pub fn run(command: &QualityCommand) -> ExitCode {
    let done = done(command).and_then(|record| Ok(serde_json::to_string(&record)?));
    match done {
        Ok(record) => {
            println!("{record}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}", chain(&error));
            ExitCode::from(if matches!(error, QualityError::Usage(_)) { 2 } else { 1 })
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn done(command: &QualityCommand) -> Result<Record, QualityError> {
    let QualityCommand::Learn { table, out, target_loss, confidence, seed, date, plot } = command;
    let aim = Aim {
        target_loss: share("--target-loss", *target_loss)?,
        confidence: share("--confidence", *confidence)?,
        seed: *seed,
        date: day(date)?,
        source: table.file_name().unwrap_or_default().to_string_lossy().chars().take(32).collect(),
    };
    let rows = table::read(&text(table)?).map_err(|source| QualityError::Table { path: table.clone(), source })?;
    let lesson = learn(&rows, &aim).map_err(|source| QualityError::Train { path: table.clone(), source })?;
    let bytes = lesson.learnt.write()?;
    write(out, &bytes)?;
    if let Some(path) = plot {
        let sent = lesson.learnt.guarantee.map(|guarantee| 1.0 - f64::from(guarantee.kept));
        let drawn = lesson.curve.as_ref().map(|curve| plot::svg(curve, sent));
        drawn.map_or(Ok(()), |svg| write(path, svg.as_bytes()))?;
    }
    Ok(record(&lesson, out, bytes.len()))
}

fn record(lesson: &Lesson, out: &Path, bytes: usize) -> Record {
    let Lesson { learnt, curve, certified } = lesson;
    let mut remarks = Vec::new();
    if curve.is_none() {
        remarks.push("the stronger site gains nothing over these rows: there is no curve".to_owned());
    }
    if certified.is_none() {
        remarks
            .push("no threshold could be certified: more labels, a larger target loss or less confidence".to_owned());
    }
    let guarantee = learnt.guarantee.zip(*certified).map(|(guarantee, certified)| GuaranteeRecord {
        threshold: guarantee.threshold,
        target_loss: guarantee.target_loss,
        confidence: guarantee.confidence,
        kept_local: guarantee.kept,
        loss_held_out: guarantee.loss,
        p_value: certified.p_value,
    });
    let task = |task: &super::model::TaskGain| TaskRecord {
        task: task.name.clone(),
        rows: task.rows,
        gain_measured: task.measured,
        gain: task.shrunk,
    };
    Record {
        path: out.display().to_string(),
        bytes,
        date: learnt.about.date.clone(),
        rows_trained: learnt.about.trained,
        rows_held_out: learnt.about.held_out,
        weak_quality: learnt.about.weak,
        strong_quality: learnt.about.strong,
        apgr: curve.as_ref().and_then(super::curve::Curve::apgr),
        kept_local: curve.as_ref().map(|curve| curve.kept_at(KEPT_AT)),
        guarantee,
        tasks: learnt.tasks.iter().map(task).collect(),
        remarks,
    }
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

fn write(path: &Path, bytes: &[u8]) -> Result<(), QualityError> {
    std::fs::write(path, bytes).map_err(|source| QualityError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod cli_tests {
    use super::*;

    fn asked(dir: &Path, target_loss: f64) -> QualityCommand {
        QualityCommand::Learn {
            table: dir.join("table.csv"),
            out: dir.join("model"),
            target_loss,
            confidence: 0.9,
            seed: 1,
            date: "2026-11-28".into(),
            plot: Some(dir.join("curve.svg")),
        }
    }

    #[test]
    fn a_table_becomes_a_file_a_picture_and_a_record() {
        let dir = tempfile::tempdir().unwrap();
        let mut text = String::from("prompt,weak,strong,task\n");
        for row in super::super::tests::rows(1_000, 5) {
            text.push_str(&format!("{},{},{},{}\n", row.text, row.weak, row.strong, row.task.unwrap()));
        }
        std::fs::write(dir.path().join("table.csv"), text).unwrap();
        let record = done(&asked(dir.path(), 0.1)).unwrap();
        let learnt = super::super::model::Learnt::read(&std::fs::read(&record.path).unwrap()).unwrap();
        assert_eq!((record.rows_trained + record.rows_held_out, learnt.about.date.as_str()), (1_000, "2026-11-28"));
        assert!(record.apgr.unwrap() > 0.6, "{record:?}");
        let guarantee = record.guarantee.unwrap();
        assert!(guarantee.loss_held_out <= 0.1 && guarantee.kept_local > 0.2, "{guarantee:?}");
        assert!(std::fs::read_to_string(dir.path().join("curve.svg")).unwrap().contains("certified"));
        let record = done(&asked(dir.path(), 0.001)).unwrap();
        assert!(record.guarantee.is_none() && record.remarks.len() == 1, "{record:?}");
    }

    #[test]
    fn what_makes_no_sense_is_named_with_the_range() {
        let dir = tempfile::tempdir().unwrap();
        let said = |error: QualityError| chain(&error);
        assert_eq!(
            said(done(&asked(dir.path(), 1.5)).unwrap_err()),
            "--target-loss 1.5: takes a number above 0 and below 1"
        );
        assert!(said(done(&asked(dir.path(), 0.1)).unwrap_err()).contains("table.csv: No such file"));
        assert!(day("28.11.2026").is_err() && day("2026-11-28").is_ok());
    }
}
