//! What hosts and strangers publish where an edge node listens: commands to the node (first byte 0), to a device (1) and a host's
//! word (2, 3 on another topic). Whatever the bytes, the node says births and data in order, and a refusal is short.
#![no_main]

use std::time::Duration;

use edge_core::Mono;
use edged::transport::sparkplug::metrics::{Device, Metric, Permits, Picture};
use edged::transport::sparkplug::node::{Action, Node, Now, Packet, Phase, Plan};
use edged::transport::sparkplug::payload::Payload;
use edged::transport::sparkplug::topic::Topics;
use libfuzzer_sys::fuzz_target;

/// A few births, and what changed besides.
const MOST: usize = 64;

fn node(primary_host: bool) -> Node {
    let plan = Plan {
        topics: Topics::new("g", "n"),
        permits: Permits { drain: true, activate: true },
        primary_host: primary_host.then(|| "h".to_owned()),
        servers: 2,
        history_per_second: 100,
    };
    let mut node = Node::new(plan, None);
    let metrics = vec![Metric::text("Device Control/Activate", "1.0.0"), Metric::flag("Health/Ready", true)];
    node.show(Picture {
        node: vec![Metric::flag("Node Control/Drain", false)],
        devices: [("d".to_owned(), Device { model: "m".into(), metrics })].into(),
    });
    node
}

/// Takes everything that there is; the numbers follow each other.
fn drain(node: &mut Node, now: Now, last: &mut Option<u64>) {
    let packets: Vec<Packet> = std::iter::from_fn(|| node.poll_packet(now)).take(MOST).collect();
    assert!(packets.len() < MOST, "no end of packets");
    for packet in packets {
        let Packet::Publish { topic, payload } = packet else { continue };
        let seq = Payload::read(&payload).unwrap().seq.unwrap();
        let follows = if topic.contains("/NBIRTH/") { 0 } else { last.map_or(0, |last| (last + 1) % 256) };
        assert_eq!(seq, follows, "{topic}");
        *last = Some(seq);
    }
    while let Some(action) = node.poll_action() {
        match action {
            Action::Refused(why) => assert!(why.to_string().len() < 400, "{why}"),
            Action::Doubt(what) => assert!(what.len() < 400, "{what}"),
            Action::Command(command) => assert!(command.words().len() < 200),
            Action::Keep(_) | Action::Fetch(_) | Action::Remove(_) => {}
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((what, payload)) = bytes.split_first() else { return };
    let mut now = Now { mono: Mono::from_nanos(1), wall_ms: 1 };
    let (mut node, mut last) = (node(*what >= 2), None);
    node.hello(now);
    node.connected();
    drain(&mut node, now, &mut last);
    node.subscribed(now, &[Ok(()), Ok(()), Ok(())]);
    drain(&mut node, now, &mut last);
    let topic = match what {
        0 => "spBv1.0/g/NCMD/n",
        1 => "spBv1.0/g/DCMD/n/d",
        2 => "spBv1.0/STATE/h",
        _ => "spBv1.0/STATE/other",
    };
    for part in payload.split(|byte| *byte == b'\n').take(8) {
        node.received(now, topic, if *what < 2 { payload } else { part }, false);
        drain(&mut node, now, &mut last);
        now.mono = now.mono.after(Duration::from_millis(400));
        node.tick(now);
        drain(&mut node, now, &mut last);
    }
    assert!(*what < 3 || !matches!(node.phase(), Phase::Born), "born without its host");
});
