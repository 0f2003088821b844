//! What is asked in a soak, and what must come back: goldens, tensors with known outputs, and rows of bad input.

use anyhow::Result;
use serde_json::{Value, json};

use crate::answer::{Options, Outcome, Tensor, alike, expect_yes, options};
use crate::client::bus::BusClient;
use crate::client::routes::Example;
use crate::golden::{close, goldens};
use crate::measure::work::{FILE_TYPE, TEXT_DIRECTION};
use crate::media;
use crate::spin::{self, Spin};
use crate::stack::Stack;

/// How long the longest of them keeps a lane busy.
const SPIN_MS: i64 = 100;
/// Long enough for a restart of everything in between.
const DEADLINE_MS: u64 = 60_000;
/// What may be said to anybody when there is much to do or something was killed.
const BUSY: [&str; 3] = ["overloaded", "deadline_exceeded", "unavailable"];

/// What is sent.
#[derive(Clone, Debug)]
pub enum Payload {
    Tensors(Vec<Tensor>),
    Encoded {
        kind: &'static str,
        bytes: Vec<u8>,
    },
    /// A JSON body as it is, but for id and reply topic; on the broker only.
    Body(Value),
}

/// What must come back.
#[derive(Clone, Debug)]
pub enum Wanted {
    Outputs(Vec<Tensor>),
    Document(Value),
    /// Any result.
    Yes,
    /// This code.
    No(&'static str),
}

/// One kind of request.
#[derive(Clone, Debug)]
pub struct Job {
    pub what: String,
    pub model: &'static str,
    pub payload: Payload,
    pub options: Options,
    pub wanted: Wanted,
}

/// What an answer is worth.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Right,
    Busy,
    Wrong(String),
}

impl Job {
    fn new(what: &str, model: &'static str, payload: Payload, wanted: Wanted) -> Job {
        let options = options(json!({"deadline_ms": DEADLINE_MS}));
        Job { what: what.to_owned(), model, payload, options, wanted }
    }

    fn with(mut self, name: &str, value: Value) -> Job {
        self.options.insert(name.to_owned(), value);
        self
    }

    /// Whether it is to be served.
    pub fn is_good(&self) -> bool {
        !matches!(self.wanted, Wanted::No(_))
    }

    /// Holds an answer against what must come back.
    pub fn judge(&self, outcome: &Outcome) -> Verdict {
        let wrong = |why: String| Verdict::Wrong(why);
        match (outcome, &self.wanted) {
            (Err(no), Wanted::No(code)) if no.code == *code => Verdict::Right,
            (Err(no), _) if BUSY.contains(&no.code.as_str()) => Verdict::Busy,
            (Err(no), _) => wrong(format!("refused with {}: {}", no.code, no.message)),
            (Ok(_), Wanted::Yes) => Verdict::Right,
            (Ok(yes), Wanted::Document(document)) if close(&yes.document, document) => Verdict::Right,
            (Ok(yes), Wanted::Document(document)) => wrong(format!("{} instead of {document}", yes.document)),
            (Ok(yes), Wanted::Outputs(outputs)) => match alike(&self.what, &yes.outputs, outputs) {
                Ok(()) => Verdict::Right,
                Err(fault) => wrong(format!("{fault:#}")),
            },
            (Ok(_), Wanted::No(code)) => wrong(format!("served instead of {code}")),
        }
    }
}

/// All of them, good and bad in turn; the outputs of real models are those of the first answer.
pub async fn jobs(stack: &Stack) -> Result<Vec<Job>> {
    let client = stack.client().await?;
    let (good, bad) = (good(stack, &client).await?, bad()?);
    let mut all = Vec::new();
    for (number, job) in good.into_iter().enumerate() {
        all.push(job);
        all.push(bad[number % bad.len()].clone());
    }
    Ok(all)
}

async fn good(stack: &Stack, client: &BusClient) -> Result<Vec<Job>> {
    let mut all = Vec::new();
    for number in 0..4_u8 {
        let value = f32::from(number);
        let inputs = vec![Tensor::fp32("a", &[1, 4], &[value; 4]), Tensor::fp32("b", &[1, 4], &[1.0, 2.0, 3.0, 4.0])];
        let first = expect_yes("add", client.infer("add", &inputs, &Options::new()).await?)?;
        let sum = Tensor::fp32(&first.outputs[0].name, &[1, 4], &[1.0, 2.0, 3.0, 4.0].map(|other| value + other));
        all.push(Job::new("add", "add", Payload::Tensors(inputs), Wanted::Outputs(vec![sum])));
    }
    for work in [TEXT_DIRECTION, FILE_TYPE] {
        let inputs = vec![work.tensor()];
        let first = expect_yes(work.model, client.infer(work.model, &inputs, &Options::new()).await?)?;
        all.push(Job::new(work.model, work.model, Payload::Tensors(inputs), Wanted::Outputs(first.outputs)));
    }
    let echo = Example::from(stack, "echo-types").await?.inputs;
    all.push(Job::new("every type", "echo-types", Payload::Tensors(echo), Wanted::Yes));
    let spin = Spin::measure(stack).await?.lasting(SPIN_MS)?;
    all.push(Job::new("a spin", spin::MODEL, Payload::Tensors(spin), Wanted::Yes));
    for golden in goldens()? {
        let what = golden.file.file_name().unwrap_or_default().to_string_lossy();
        let payload = Payload::Encoded { kind: golden.kind, bytes: std::fs::read(&golden.file)? };
        all.push(Job::new(&what, golden.model, payload, Wanted::Document(golden.expected)));
    }
    Ok(all)
}

fn bad() -> Result<Vec<Job>> {
    let add = |a: Tensor| Payload::Tensors(vec![a, Tensor::fp32("b", &[1, 4], &[0.0; 4])]);
    let fine = || add(Tensor::fp32("a", &[1, 4], &[0.0; 4]));
    let short = Tensor::new("a", "FP32", &[1, 4], vec![0; 12]);
    let picture = |bytes: Vec<u8>| Payload::Encoded { kind: "image/jpeg", bytes };
    let jpeg = media::noise_jpeg(64, 48)?;
    let invalid = || Wanted::No("invalid_input");
    Ok(vec![
        Job::new("an unknown model", "nobody", fine(), Wanted::No("unknown_model")),
        Job::new("data too short", "add", add(short), invalid()),
        Job::new("a wrong rank", "add", add(Tensor::fp32("a", &[4], &[0.0; 4])), invalid()),
        Job::new("a wrong type", "add", add(Tensor::int32("a", &[1, 4], &[0; 4])), invalid()),
        Job::new("a missing input", "add", Payload::Tensors(Vec::new()), invalid()),
        Job::new("a deadline of a word", "add", fine(), invalid()).with("deadline_ms", json!("soon")),
        Job::new("a priority that is none", "add", fine(), invalid()).with("priority", json!("urgent")),
        Job::new("half a picture", "text-direction", picture(jpeg[..jpeg.len() / 2].to_vec()), invalid()),
        Job::new("a picture bomb", "text-line", picture(media::bomb_jpeg()?), Wanted::No("too_large")),
        Job::new("a sound for a reader", "text-line", Payload::Encoded { kind: "audio/wav", bytes: jpeg }, invalid()),
        Job::new("no body", "add", Payload::Body(json!({"inputs": 5})), invalid()),
        Job::new("two inputs", "add", Payload::Body(json!({"text": "a", "image": "aGk="})), invalid()),
    ])
}
