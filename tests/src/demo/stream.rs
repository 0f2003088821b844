//! The stream of the demonstration: which requests there are, what marks the payload of each, and where each may go in which
//! situation. Must not know how a request is sent.

use serde_json::json;

use crate::answer::{Options, Tensor, options};

/// What the box is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Situation {
    /// All is well.
    Idle,
    /// Its thermometers say that nothing may run.
    Hot,
    /// Nothing gets through to the plant, and nothing says so.
    CutOff,
    /// The day's budget for the cloud is spent.
    Spent,
    /// The last three at once.
    All,
}

impl Situation {
    /// In the order of the table.
    pub const EACH: [Situation; 5] =
        [Situation::Idle, Situation::Hot, Situation::CutOff, Situation::Spent, Situation::All];

    /// Head of its column.
    pub fn title(self) -> &'static str {
        match self {
            Situation::Idle => "idle",
            Situation::Hot => "hot",
            Situation::CutOff => "cut off",
            Situation::Spent => "over budget",
            Situation::All => "all at once",
        }
    }

    /// Its place in [`Situation::EACH`].
    pub fn column(self) -> usize {
        Situation::EACH.iter().position(|each| *each == self).unwrap_or_default()
    }
}

/// Where a request may end, as an expectation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Served by the box itself.
    Here,
    /// By the second server on the box.
    Side,
    /// By the server on the premises.
    Plant,
    /// By the cloud.
    Cloud,
    /// Refused with one of these codes.
    No(&'static [&'static str]),
}

impl End {
    /// The word in the table.
    pub fn word(self) -> &'static str {
        match self {
            End::Here => "here",
            End::Side => "side",
            End::Plant => "plant",
            End::Cloud => "cloud",
            End::No(_) => "no",
        }
    }
}

/// A kind of request.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Two lines of the table: what it is, and what it demands.
    pub label: [&'static str; 2],
    pub model: &'static str,
    /// As the caller says; `None` if it says nothing, which counts as `regulated`.
    pub class: Option<&'static str>,
    pub deadline_ms: u32,
    pub deferrable: bool,
    /// The question of a chat; tensors without one.
    pub chat: Option<Chat>,
    pub count: usize,
    /// Where it may end, for each situation: any of these.
    pub expect: [&'static [End]; 5],
}

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chat {
    /// Without personal data.
    Plain,
    /// With an e-mail address in it.
    Personal,
}

const HERE: &[End] = &[End::Here];
const SIDE: &[End] = &[End::Side];
const PLANT: &[End] = &[End::Plant];
const CLOUD: &[End] = &[End::Cloud];
/// It waits on the disk until the box is well again, and any place may have it then.
const ANY: &[End] = &[End::Here, End::Plant];
const CONFINED: &[End] = &[End::No(&["confined"])];
const BUSY: &[End] = &[End::No(&["overloaded"])];
/// On a busy machine 50 ms may be too short here as well: then it is said so, and nobody else gets it.
const TIGHT: &[End] = &[End::Here, End::No(&["overloaded", "deadline_exceeded"])];
/// Until the breaker trips the deadline ends it.
const SILENT: &[End] = &[End::No(&["unavailable", "deadline_exceeded"])];
const SILENT_HOT: &[End] = &[End::No(&["overloaded", "unavailable", "deadline_exceeded"])];
const DEAR: &[End] = &[End::No(&["unavailable", "overloaded"])];

/// All kinds; 40 requests together. `inspect`, `sort`, `grade` and `nightly` are models of the box; `measure` lives at the plant
/// and `chat`, `clean` in the cloud only.
pub const KINDS: &[Kind] = &[
    Kind {
        label: ["inspect regulated", "2 s"],
        count: 4,
        expect: [HERE, SIDE, HERE, HERE, SIDE],
        ..tensors("inspect", Some("regulated"), 2_000)
    },
    Kind {
        label: ["inspect, no class", "2 s"],
        count: 3,
        expect: [HERE, SIDE, HERE, HERE, SIDE],
        ..tensors("inspect", None, 2_000)
    },
    Kind {
        label: ["sort internal", "2 s"],
        count: 4,
        expect: [HERE, PLANT, HERE, HERE, SILENT_HOT],
        ..tensors("sort", Some("internal"), 2_000)
    },
    Kind {
        label: ["sort public", "50 ms"],
        count: 4,
        expect: [TIGHT, BUSY, TIGHT, TIGHT, BUSY],
        ..tensors("sort", Some("public"), 50)
    },
    Kind {
        label: ["grade public", "5 s"],
        count: 4,
        expect: [HERE, CLOUD, HERE, HERE, DEAR],
        ..tensors("grade", Some("public"), 5_000)
    },
    Kind {
        label: ["nightly regulated", "deferrable"],
        count: 3,
        expect: [HERE, HERE, HERE, HERE, HERE],
        ..later(tensors("nightly", Some("regulated"), 0))
    },
    Kind {
        label: ["sort internal", "deferrable"],
        count: 3,
        expect: [HERE, ANY, HERE, HERE, ANY],
        ..later(tensors("sort", Some("internal"), 0))
    },
    Kind {
        label: ["measure internal", "2 s"],
        count: 3,
        expect: [PLANT, PLANT, SILENT, PLANT, SILENT],
        ..tensors("measure", Some("internal"), 2_000)
    },
    Kind {
        label: ["measure internal", "deferrable"],
        count: 3,
        expect: [PLANT; 5],
        ..later(tensors("measure", Some("internal"), 0))
    },
    Kind {
        label: ["chat public", "5 s"],
        count: 3,
        expect: [CLOUD, CLOUD, CLOUD, DEAR, DEAR],
        ..chat("chat", Chat::Plain, 5_000)
    },
    Kind { label: ["chat public", "deferrable"], count: 2, expect: [CLOUD; 5], ..later(chat("chat", Chat::Plain, 0)) },
    Kind {
        label: ["chat \"public\"", "e-mail in it"],
        count: 2,
        expect: [CONFINED; 5],
        ..chat("chat", Chat::Personal, 5_000)
    },
    Kind {
        label: ["clean public", "e-mail cut"],
        count: 2,
        expect: [CLOUD, CLOUD, CLOUD, DEAR, DEAR],
        ..chat("clean", Chat::Personal, 5_000)
    },
];

const fn tensors(model: &'static str, class: Option<&'static str>, deadline_ms: u32) -> Kind {
    let (label, expect) = (["", ""], [HERE; 5]);
    Kind { label, model, class, deadline_ms, deferrable: false, chat: None, count: 0, expect }
}

const fn chat(model: &'static str, chat: Chat, deadline_ms: u32) -> Kind {
    Kind { chat: Some(chat), ..tensors(model, Some("public"), deadline_ms) }
}

/// Until tomorrow, if need be: it may wait.
const fn later(kind: Kind) -> Kind {
    Kind { deferrable: true, deadline_ms: 600_000, ..kind }
}

/// One request of the stream.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub situation: Situation,
    /// Its place in [`KINDS`].
    pub kind: usize,
    /// Among all of the situation.
    pub number: u16,
}

/// The stream in a situation: kinds take turns, as callers do.
pub fn stream(situation: Situation) -> Vec<Request> {
    let rounds = KINDS.iter().map(|kind| kind.count).max().unwrap_or_default();
    let turns = (0..rounds)
        .flat_map(|round| (0..KINDS.len()).filter(move |kind| KINDS.get(*kind).is_some_and(|kind| round < kind.count)));
    (0..).zip(turns).map(|(number, kind)| Request { situation, kind, number }).collect()
}

/// The sum that each pair of tensors has, whatever they are: any place can be held to it.
pub const SUM: [f32; 4] = [10.0, 20.0, 30.0, 40.0];

impl Request {
    /// What it is.
    pub fn kind(&self) -> &'static Kind {
        KINDS.get(self.kind).unwrap_or(&KINDS[0])
    }

    /// Its own id.
    pub fn id(&self) -> String {
        format!("demo-{}-{:02}", self.situation.column(), self.number)
    }

    /// Four numbers that no other request has, and that add up exactly.
    fn numbers(&self) -> [f32; 4] {
        let column = u16::try_from(self.situation.column()).unwrap_or_default();
        let own = f32::from(1_000 * (column + 1) + self.number);
        [own + 0.5, -own - 0.25, own + 0.125, 0.75 - own]
    }

    /// Inputs of the model `add`.
    pub fn tensors(&self) -> [Tensor; 2] {
        let a = self.numbers();
        let mut b = SUM;
        b.iter_mut().zip(a).for_each(|(sum, part)| *sum -= part);
        [Tensor::fp32("a", &[1, 4], &a), Tensor::fp32("b", &[1, 4], &b)]
    }

    fn address(&self) -> String {
        format!("anna.berg.{}@werk.example", self.id())
    }

    /// The body of its chat.
    pub fn body(&self, chat: Chat) -> String {
        let question = match chat {
            Chat::Plain => format!("Why does the pump hum? ({})", self.id()),
            Chat::Personal => format!("Why does the pump hum? Tell {}, please. ({})", self.address(), self.id()),
        };
        json!({ "messages": [{ "role": "user", "content": question }], "max_tokens": 8 }).to_string()
    }

    /// Its options on any transport.
    pub fn options(&self) -> Options {
        let kind = self.kind();
        let mut given = json!({ "deadline_ms": kind.deadline_ms, "request_id": self.id() });
        if let Some(class) = kind.class {
            given["data_class"] = class.into();
        }
        if kind.deferrable {
            given["deferrable"] = true.into();
        }
        options(given)
    }

    /// What it would be known by on a link: tensors as bytes and as numbers of JSON, the text of a chat.
    pub fn markers(&self) -> Vec<Vec<u8>> {
        match self.kind().chat {
            Some(_) => vec![format!("({})", self.id()).into_bytes()],
            None => {
                let [first, second, ..] = self.numbers();
                let raw = self.tensors().map(|tensor| tensor.data);
                let json = ["", " "].map(|space| format!("{first},{space}{second}").into_bytes());
                raw.into_iter().chain(json).collect()
            }
        }
    }

    /// What must never be on a link that leaves the box.
    pub fn secrets(&self) -> Vec<Vec<u8>> {
        let kind = self.kind();
        match (kind.class, kind.chat, kind.model) {
            (None | Some("regulated"), _, _) => self.markers(),
            (_, Some(Chat::Personal), "clean") => vec![self.address().into_bytes()],
            (_, Some(Chat::Personal), _) => {
                let mut all = self.markers();
                all.push(self.address().into_bytes());
                all
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_has_forty_requests_and_each_is_marked_by_what_no_other_has() {
        let all: Vec<Request> = Situation::EACH.into_iter().flat_map(stream).collect();
        assert_eq!(all.len(), 200);
        let mut markers: Vec<Vec<u8>> = all.iter().flat_map(Request::markers).collect();
        let many = markers.len();
        markers.sort();
        markers.dedup();
        assert_eq!(markers.len(), many);
    }

    #[test]
    fn the_tensors_of_every_request_add_up_exactly() {
        for request in Situation::EACH.into_iter().flat_map(stream) {
            let [a, b] = request.tensors().map(|tensor| tensor.floats().unwrap());
            let sum: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
            assert_eq!(sum, SUM, "{request:?}");
        }
    }

    #[test]
    fn what_is_regulated_or_personal_is_secret_and_nothing_else() {
        for request in stream(Situation::Idle) {
            let kind = request.kind();
            let stays =
                kind.class != Some("public") && kind.class != Some("internal") || kind.chat == Some(Chat::Personal);
            assert_eq!(!request.secrets().is_empty(), stays, "{kind:?}");
        }
    }
}
