//! A simulated engine host: the same messages, made-up models with fixed service times, answers that say "simulated".
//! For demonstrations, for the command's tests and for trying a policy without hardware.

use std::collections::HashMap;
use std::time::Duration;

use edge_engine::protocol::{
    Data, Datatype, ErrorKind, FromHost, HostError, Input, LoadFault, LoadModel, LoadedModel, MemberDone, Output,
    ProviderIdentity, ProviderReport, Run, TensorData, TensorSpec, ToHost,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{HostEvent, SendError};

/// A made-up model.
#[derive(Clone, Copy, Debug)]
pub struct SimModel {
    pub name: &'static str,
    pub task: &'static str,
    pub description: &'static str,
    pub content_types: &'static [&'static str],
    input: (&'static str, Datatype, &'static [i64]),
    output: (&'static str, Datatype, &'static [i64]),
    service: Duration,
    document: &'static str,
}

/// The made-up models, named like the demo bundles.
pub const MODELS: &[SimModel] = &[
    SimModel {
        name: "text-line",
        task: "text-recognition",
        description: "Simulated: reads one line of printed text",
        content_types: &["image/jpeg", "image/png"],
        input: ("x", Datatype::Fp32, &[-1, 3, 48, -1]),
        output: ("text", Datatype::Fp32, &[-1, 1]),
        service: Duration::from_millis(35),
        document: r#"{"text":"SIMULATED","confidence":1.0,"simulated":true}"#,
    },
    SimModel {
        name: "text-direction",
        task: "classification",
        description: "Simulated: tells upright text from upside-down text",
        content_types: &["image/jpeg", "image/png"],
        input: ("x", Datatype::Fp32, &[-1, 3, 48, 192]),
        output: ("direction", Datatype::Fp32, &[-1, 2]),
        service: Duration::from_micros(1500),
        document: r#"{"label":"0","score":1.0,"labels":[{"label":"0","score":1.0}],"simulated":true}"#,
    },
    SimModel {
        name: "text-boxes",
        task: "text-detection",
        description: "Simulated: finds printed text in a picture",
        content_types: &["image/jpeg", "image/png"],
        input: ("x", Datatype::Fp32, &[-1, 3, -1, -1]),
        output: ("map", Datatype::Fp32, &[-1, 1]),
        service: Duration::from_millis(120),
        document: concat!(
            r#"{"width":640,"height":480,"#,
            r#""boxes":[{"polygon":[[40,40],[600,40],[600,120],[40,120]],"score":1.0}],"simulated":true}"#
        ),
    },
    SimModel {
        name: "file-type",
        task: "file-type",
        description: "Simulated: tells the type of a file",
        content_types: &["application/octet-stream", "text/plain"],
        input: ("bytes", Datatype::Int32, &[-1, 2048]),
        output: ("label", Datatype::Fp32, &[-1, 2]),
        service: Duration::from_millis(10),
        document: concat!(
            r#"{"label":"txt","mime_type":"text/plain","group":"text","description":"Simulated text document","#,
            r#""extensions":["txt"],"is_text":true,"score":1.0,"model_label":"txt","overwrite_reason":"none","#,
            r#""simulated":true}"#
        ),
    },
    SimModel {
        name: "speech",
        task: "speech-segments",
        description: "Simulated: finds speech in a recording",
        content_types: &["audio/wav"],
        input: ("input", Datatype::Fp32, &[-1, 576]),
        output: ("output", Datatype::Fp32, &[-1, 1]),
        service: Duration::from_millis(5),
        document: r#"{"segments":[],"speech_ms":0,"duration_ms":0,"sample_rate":16000,"simulated":true}"#,
    },
];

/// The simulator's end of the channel.
#[derive(Debug)]
pub struct Simulator {
    events: mpsc::Receiver<FromHost>,
    sender: mpsc::Sender<FromHost>,
    lanes: HashMap<u16, Lane>,
}

#[derive(Debug)]
struct Lane {
    batches: mpsc::Sender<Run>,
    task: JoinHandle<()>,
}

impl Simulator {
    /// A simulator without models.
    pub fn start() -> Simulator {
        // More than the core ever lets run at once; a lane waits when it is full.
        let (sender, events) = mpsc::channel(1024);
        Simulator { events, sender, lanes: HashMap::new() }
    }

    /// Takes one message.
    pub fn send(&mut self, message: &ToHost) {
        match message {
            ToHost::Start { .. } => self.say(FromHost::Started {
                version: "simulated".into(),
                providers: vec!["simulated".into()],
                identity: ProviderIdentity::default(),
                own_bytes: 0,
            }),
            ToHost::Load(load) => match MODELS.get(usize::from(load.model)) {
                Some(model) => self.load(load, model),
                None => self.say(FromHost::LoadFailed {
                    model: load.model,
                    load: load.load,
                    fault: LoadFault::Bundle,
                    message: "no such simulated model".into(),
                }),
            },
            ToHost::Unload { model } => self.say(FromHost::Unloaded { model: *model, before_bytes: 0, after_bytes: 0 }),
            ToHost::Prepare { id, .. } => {
                self.say(FromHost::Prepared { id: *id, result: Ok(1), took_ns: 100_000, picture: None })
            }
            ToHost::Fill { ticket, .. } => self.say(FromHost::Filled { ticket: *ticket, result: Err(simulated()) }),
            ToHost::Interpret { ticket, .. } => {
                self.say(FromHost::Interpreted { ticket: *ticket, result: Err(simulated()) });
            }
            ToHost::Forget { .. } | ToHost::Discard { .. } => {}
        }
    }

    /// Gives a lane a batch.
    pub fn run(&mut self, lane: u16, batch: Run) -> Result<(), SendError> {
        let sent = self.lanes.get(&lane).map(|lane| lane.batches.try_send(batch));
        if matches!(sent, Some(Ok(()))) { Ok(()) } else { Err(SendError::NoLane(lane)) }
    }

    fn load(&mut self, load: &LoadModel, model: &'static SimModel) {
        for lane in load.first_lane..load.first_lane + 2 {
            let (batches, inbox) = mpsc::channel(4);
            let task = tokio::spawn(run_lane(lane, model, inbox, self.sender.clone()));
            self.lanes.insert(lane, Lane { batches, task });
        }
        let spec = |(name, datatype, shape): (&str, Datatype, &[i64])| TensorSpec {
            name: name.into(),
            datatype,
            shape: shape.into(),
        };
        self.say(FromHost::Loaded(LoadedModel {
            model: load.model,
            load: load.load,
            variant: crate::driver::models::SIMULATED.into(),
            inputs: vec![spec(model.input)],
            outputs: vec![spec(model.output)],
            batched: true,
            most_rows: Some(u32::MAX),
            profile_rows: u32::MAX,
            max_batch: 4,
            instances: 2,
            content_types: model.content_types.iter().map(|&kind| kind.to_owned()).collect(),
            providers: vec![ProviderReport { name: "simulated".into(), share: 1.0 }],
            load_ms: 0,
            goldens_passed: 0,
            service_ns: u64::try_from(model.service.as_nanos()).unwrap_or(u64::MAX),
            memory_bytes: 0,
            trial: None,
        }));
    }

    fn say(&self, message: FromHost) {
        if let Err(error) = self.sender.try_send(message) {
            tracing::warn!(%error, "the simulator's channel is full");
        }
    }

    /// The next event. Safe to cancel.
    pub async fn next(&mut self) -> HostEvent {
        match self.events.recv().await {
            Some(message) => HostEvent::Message(message, Vec::new()),
            None => HostEvent::Gone("the simulator ended".into()),
        }
    }

    /// Ends it.
    pub fn kill(&mut self) {
        for lane in self.lanes.values() {
            lane.task.abort();
        }
        self.events.close();
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn run_lane(lane: u16, model: &'static SimModel, mut inbox: mpsc::Receiver<Run>, out: mpsc::Sender<FromHost>) {
    while let Some(Run { members }) = inbox.recv().await {
        let took = model.service * members.iter().map(|member| rows(&member.input)).sum();
        tokio::time::sleep(took).await;
        let members = members.iter().map(|member| MemberDone { id: member.id, result: answer(model, &member.input) });
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        if out.send(FromHost::Ran { lane, took_ns, members: members.collect() }).await.is_err() {
            return;
        }
    }
}

/// Rows of the batch dimension that a member brings.
fn rows(input: &Input) -> u32 {
    let first = match input {
        Input::Prepared => None,
        Input::Tensors { tensors, .. } => tensors.first().and_then(|tensor| tensor.shape.first()),
    };
    first.and_then(|rows| u32::try_from(*rows).ok()).unwrap_or(1)
}

fn answer(model: &SimModel, input: &Input) -> Result<Output, HostError> {
    let Input::Tensors { tensors, .. } = input else {
        return Ok(Output::Document(Data::Inline(model.document.into())));
    };
    let items = tensors.first().and_then(|tensor| tensor.shape.first()).copied().unwrap_or(1);
    let mut shape: Vec<i64> = model.output.2.to_vec();
    if let Some(first) = shape.first_mut() {
        *first = items;
    }
    let elements = usize::try_from(shape.iter().product::<i64>())
        .map_err(|_| HostError { kind: ErrorKind::InvalidInput, message: "shape".into() })?;
    let data = Data::Inline(vec![0; elements * model.output.1.size()]);
    Ok(Output::Tensors(vec![TensorData { index: 0, shape, data }]))
}
fn simulated() -> HostError {
    HostError { kind: ErrorKind::Runtime, message: "a simulated host decodes nothing".into() }
}
