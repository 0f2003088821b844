//! The governor against simulated thermal machines in virtual time: the table of plants with and without it, the promised
//! numbers of heat, and a picture of one run. Nothing here measures this machine: the figures are the same on every one.

mod course;

use std::path::Path;

use anyhow::{Context, Result};
use edge_core::sim::heated::{Result as Run, Trial, missed_ahead, run};
use edge_core::sim::plant::{Kind, Parameters};

use crate::measure::picture;
use crate::measure::table::{Promise, Table};

/// Air around the plants, degrees Celsius.
const AMBIENTS: [f64; 3] = [25.0, 45.0, 60.0];
/// Work that comes in, as a share of what the lanes can do.
const LOADS: [f64; 3] = [0.6, 1.0, 1.5];
/// Length of a run, seconds.
const SECONDS: u64 = 7200;

/// Prints the table of plants, and adds the promised numbers.
pub fn rows(table: &mut Table) {
    println!(
        "| plant | ambient | load | optimum | governor | of it | in time | throttled | without | of it | in time | throttled |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    let (mut throttled, mut share, mut in_time, mut missed) = (0, f64::INFINITY, f64::INFINITY, 0.0_f64);
    for kind in Kind::ALL {
        for ambient in AMBIENTS {
            for load in LOADS {
                let optimum = Parameters::draw(kind, ambient, 0).optimum(load);
                let of = |governed| run(Trial::new(kind, ambient, load, 0, governed), SECONDS, |_, _, _| ());
                let (with, without) = (of(true), of(false));
                let place = format!("| {} | {ambient} C | {:.0}% |", kind.as_str(), load * 100.0);
                println!("{place} {optimum:.3} | {} | {} |", cells(&with, optimum), cells(&without, optimum));
                throttled += with.throttled;
                share = share.min(with.work / optimum);
                in_time = in_time.min(with.in_time());
                missed = missed.max(missed_ahead(Trial::new(kind, ambient, load, 0, true)));
            }
        }
    }
    let note = || String::from("the worst of 27, simulated");
    table.add("heat: times that the hardware throttled", "", Promise::AtMost(0.0), f64::from(throttled), note());
    table.add("heat: work / that of the best constant duty", "x", Promise::AtLeast(0.97), share, note());
    table.add("heat: accepted requests in time", "%", Promise::AtLeast(99.0), in_time * 100.0, note());
    table.add("heat: miss a minute ahead, after ten", "K", Promise::AtMost(1.5), missed, note());
}

/// Work, its share of the optimum, requests in time, and how often the hardware throttled.
fn cells(run: &Run, optimum: f64) -> String {
    format!("{:.3} | {:.3} | {:.2}% | {}", run.work, run.work / optimum, run.in_time() * 100.0, run.throttled)
}

/// Draws two hours of a closed box in hot air into a folder: `heat.svg` and `heat.png`.
pub fn draw(folder: &Path) -> Result<()> {
    let drawing = course::drawing(Kind::Sealed, 45.0, 1.0, SECONDS);
    let (svg, png) = (folder.join("heat.svg"), folder.join("heat.png"));
    std::fs::write(&svg, drawing.svg()).with_context(|| format!("writing {}", svg.display()))?;
    picture::of(&drawing).save(&png).with_context(|| format!("writing {}", png.display()))?;
    println!("drew {} and {}", svg.display(), png.display());
    Ok(())
}
