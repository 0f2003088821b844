//! Requests that run for a chosen time: the tiny model `spin` counts as far as its input says.

use anyhow::{Context, Result, ensure};

use crate::answer::{Options, Tensor, expect_yes};
use crate::client::bus::BusClient;
use crate::client::routes::Example;
use crate::stack::Stack;

/// Its logical name.
pub const MODEL: &str = "spin";
/// Rounds of the first try.
const FIRST: i64 = 2_000;

/// How fast this machine spins.
#[derive(Clone, Debug)]
pub struct Spin {
    example: Example,
    rounds_per_ms: i64,
}

impl Spin {
    /// Measures it with a short run or two.
    pub async fn measure(stack: &Stack) -> Result<Spin> {
        let client = stack.client().await?;
        let example = Example::from(stack, MODEL).await?;
        let mut spin = Spin { example, rounds_per_ms: 1 };
        let mut rounds = FIRST;
        // Long enough a run to be measured, whatever the machine.
        for _ in 0..6 {
            let took_us = spin.run(&client, rounds).await?;
            spin.rounds_per_ms = (rounds * 1000 / took_us.max(1)).max(1);
            if took_us > 20_000 {
                return Ok(spin);
            }
            rounds *= 8;
        }
        Ok(spin)
    }

    async fn run(&self, client: &BusClient, rounds: i64) -> Result<i64> {
        let outcome = client.infer(MODEL, &self.rounds(rounds)?, &Options::new()).await?;
        let yes = expect_yes("a short spin", outcome)?;
        yes.info["compute_us"].as_i64().with_context(|| format!("no compute_us in {}", yes.info))
    }

    /// Inputs that keep a lane busy for about this long.
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
