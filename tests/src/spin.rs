//! Requests that run for a chosen time: the tiny model `spin` counts as far as its input says.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::answer::{Options, Tensor, expect_yes};
use crate::client::bus::BusClient;
use crate::client::routes::Example;
use crate::stack::Stack;
use crate::usage;

/// Its logical name.
pub const MODEL: &str = "spin";
/// Rounds of the first try.
const FIRST: i64 = 2_000;
/// A run of so much processor time tells how fast the machine spins.
const ENOUGH: Duration = Duration::from_millis(20);
/// Runs of that length; the best of them counts.
const RUNS: usize = 3;

/// How fast this machine spins.
#[derive(Clone, Debug)]
pub struct Spin {
    example: Example,
    rounds_per_ms: i64,
}

impl Spin {
    /// Measures it with a few short runs. A machine that has other things to do never spins faster than it can, so that
    /// the fastest run is the nearest to the truth, and what lasts by it never lasts shorter.
    pub async fn measure(stack: &Stack) -> Result<Spin> {
        let (client, host) = (stack.client().await?, stack.host_pid().await?);
        let example = Example::from(stack, MODEL).await?;
        let mut spin = Spin { example, rounds_per_ms: 1 };
        let (mut rounds, mut good) = (FIRST, 0);
        while good < RUNS {
            let took = spin.run(&client, host, rounds).await?;
            let took_us = i64::try_from(took.as_micros())?.max(1);
            spin.rounds_per_ms = spin.rounds_per_ms.max(rounds * 1000 / took_us);
            if took >= ENOUGH {
                good += 1;
            } else {
                rounds *= 4;
            }
        }
        Ok(spin)
    }

    /// Processor time of one run: that of the whole engine host, or the time that the lane was busy if that is less,
    /// since other lanes may be at work.
    async fn run(&self, client: &BusClient, host: u32, rounds: i64) -> Result<Duration> {
        let before = usage::cpu_time(host)?;
        let outcome = client.infer(MODEL, &self.rounds(rounds)?, &Options::new()).await?;
        let worked = usage::cpu_time(host)?.saturating_sub(before);
        let yes = expect_yes("a short spin", outcome)?;
        let busy_us = yes.info["compute_us"].as_u64().with_context(|| format!("no compute_us in {}", yes.info))?;
        Ok(worked.min(Duration::from_micros(busy_us)))
    }

    /// Inputs that keep a lane busy for about this long, and longer where others want the processor too.
    pub fn lasting(&self, milliseconds: i64) -> Result<Vec<Tensor>> {
        self.rounds(self.rounds_per_ms * milliseconds)
    }

    fn rounds(&self, rounds: i64) -> Result<Vec<Tensor>> {
        let mut inputs = self.example.inputs.clone();
        let counter = inputs.iter_mut().find(|tensor| tensor.datatype == "INT64").context("spin takes a count")?;
        ensure!(counter.data.len() == 8, "spin takes one count, not {:?}", counter.shape);
        counter.data = rounds.to_le_bytes().to_vec();
        Ok(inputs)
    }
}
