//! Orders as the driver would give them, and their ends.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use edge_engine::protocol::{Datatype, TensorSpec};
use edged::driver::clock::Clock;
use edged::request::{Blob, TensorIn, TensorOut};
use edged::uplink::{
    Answer, Content, Done, Event, Order, Probe, Probed, Protocol, Question, SiteAddress, Uplink, UplinkError, Version,
};

/// Longer than anything takes that is not broken.
pub const LONG: Duration = Duration::from_secs(20);

pub const OIP: Protocol = Protocol::Oip { binary: true };
pub const OIP_JSON: Protocol = Protocol::Oip { binary: false };

/// A site called `plant` at this address.
pub fn site(protocol: Protocol, url: &str) -> SiteAddress {
    SiteAddress {
        name: "plant".into(),
        protocol,
        url: url.parse().unwrap(),
        ca: None,
        identity: None,
        credential: None,
        proxy: None,
        proxy_credential: None,
        no_proxy: Vec::new(),
        version: Version::Negotiated,
        connect: LONG,
        idle: LONG,
        connections: 4,
    }
}

pub fn uplink() -> Uplink {
    Uplink::start(Clock::start(), 64).unwrap()
}

/// An order of that content.
pub fn order(site: impl Into<Arc<SiteAddress>>, content: Content) -> Order {
    Order {
        ticket: 7,
        site: site.into(),
        model: "defects".into(),
        version: None,
        content,
        budget: LONG,
        max_answer_bytes: 1 << 20,
        noted: true,
        stream: None,
    }
}

/// One tensor.
pub fn tensor(name: &str, datatype: &str, shape: &[i64], data: impl Into<Bytes>) -> TensorIn {
    TensorIn { name: name.into(), datatype: datatype.into(), shape: shape.into(), data: Blob::Inline(data.into()) }
}

/// Two numbers.
pub fn two() -> Content {
    let data: Vec<u8> = [0.5_f32, -2.0].iter().flat_map(|number| number.to_le_bytes()).collect();
    Content::Tensors { inputs: vec![tensor("x", "FP32", &[1, 2], data)], outputs: Vec::new() }
}

pub fn chat() -> Content {
    Content::Chat { body: Blob::Inline(Bytes::from_static(br#"{"messages":[{"role":"user","content":"hello"}]}"#)) }
}

pub fn spec(name: &str, datatype: Datatype, shape: &[i64]) -> TensorSpec {
    TensorSpec { name: name.into(), datatype, shape: shape.into() }
}

/// The end of the next order.
pub async fn next(uplink: &mut Uplink) -> Done {
    match tokio::time::timeout(LONG * 2, uplink.next()).await.expect("nothing came") {
        Event::Done(done) => *done,
        Event::Probed(probed) => panic!("{probed:?}"),
    }
}

/// Carries one order out.
pub async fn carry_out(order: Order) -> Done {
    let mut uplink = uplink();
    uplink.send(order).unwrap();
    next(&mut uplink).await
}

/// What is wrong with the answer of a site at that address to two numbers.
pub async fn trouble(site: SiteAddress) -> UplinkError {
    carry_out(order(site, two())).await.result.unwrap_err()
}

pub async fn probe(site: SiteAddress, what: Question) -> Probed {
    let mut uplink = uplink();
    uplink.probe(Probe { ticket: 3, site: site.into(), what, budget: LONG }).unwrap();
    match uplink.next().await {
        Event::Probed(probed) => *probed,
        Event::Done(done) => panic!("{done:?}"),
    }
}

pub fn tensors(done: Done) -> Vec<TensorOut> {
    match done.result.unwrap() {
        Answer::Tensors(tensors) => tensors,
        other => panic!("{other:?}"),
    }
}

pub fn data(tensor: &TensorOut) -> &[u8] {
    match &tensor.data {
        Blob::Inline(bytes) => bytes,
        other => panic!("{other:?}"),
    }
}

/// A file with a text in it; it goes with the directory.
pub fn file(dir: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}
