//! `edgectl route learn`: the daemon's binary does the work, and no daemon is asked.

use edge_wire::learn::Learnt;

use crate::calendar::Instant;
use crate::cli::{Common, LearnArgs};
use crate::clock;
use crate::edged::{QUALITY, Words};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::{self, Answer};
use crate::render::{human, json};

pub async fn run(common: &Common, args: &LearnArgs) -> Result<Answer, Failure> {
    let mut words = Words::new(QUALITY, "learn", args.table.as_os_str());
    words.option("--out", Some(&args.out));
    words.option("--target-loss", Some(&args.target_loss));
    words.option("--confidence", Some(&args.confidence));
    words.option("--seed", Some(&args.seed.to_string()));
    words.option("--date", Some(args.date.as_ref().unwrap_or(&today())));
    words.option("--plot", args.plot.as_deref());
    out::progress("edgectl: learning ...");
    let (learnt, is_sure): (Learnt, bool) = words.ask().await?;
    let text = if common.json { json::record(&learnt) } else { human::learn::learnt(&learnt) };
    Ok(Answer::done(text).ending(if is_sure { Exit::Done } else { Exit::Refused }))
}

fn today() -> String {
    let now = Instant::at(i64::try_from(clock::unix_seconds()).unwrap_or(i64::MAX));
    now.rfc3339().chars().take_while(|letter| *letter != 'T').collect()
}
