//! What the host keeps of the memory that loads and large runs take for a while.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use edge_engine::protocol::{FromHost, ToHost};
use support::{Host, bundle};

const MIB: u64 = 1 << 20;
/// How often a model is loaded and forgotten.
const CYCLES: usize = 30;

/// Resident memory of the host without what it shares with files, bytes.
fn own_bytes(host: &Host) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{}/statm", host.child.id())).unwrap();
    let pages: Vec<u64> = statm.split_whitespace().flat_map(str::parse).collect();
    (pages[1] - pages[2]) * rustix::param::page_size() as u64
}

/// A request of a picture of this width and height.
fn picture(host: &mut Host, width: i64, height: i64) {
    let bytes = vec![0; usize::try_from(3 * width * height * 4).unwrap()];
    host.infer_sealed(&[(vec![1, 3, height, width], bytes)]).unwrap();
}

fn forget(host: &mut Host) {
    host.send(&ToHost::Unload { model: 0 }, &[]);
    host.receive_when(|message| matches!(message, FromHost::Unloaded { .. }));
}

#[test]
fn what_the_golden_answers_and_a_large_run_took_is_given_back() {
    let Some(mut host) = Host::start() else { return };
    let before = own_bytes(&host);
    let loaded = host.load(&bundle("text-boxes"));
    let after_load = own_bytes(&host);
    println!("before {} MiB, loaded {} MiB, said {} MiB", before / MIB, after_load / MIB, loaded.memory_bytes / MIB);
    assert!(after_load - before < 80 * MIB, "{} MiB after the load", (after_load - before) / MIB);
    assert!(loaded.memory_bytes.abs_diff(after_load - before) < 8 * MIB, "it says {} MiB", loaded.memory_bytes / MIB);

    for _ in 0..3 {
        picture(&mut host, 320, 320);
    }
    let usual = own_bytes(&host);
    picture(&mut host, 1280, 1280);
    let after_large = own_bytes(&host);
    println!("usual {} MiB, after a large run {} MiB", usual / MIB, after_large / MIB);
    assert!(after_large < usual + 32 * MIB, "{} MiB, then {} MiB", usual / MIB, after_large / MIB);
}

#[test]
fn loading_and_forgetting_a_model_again_and_again_takes_no_more_than_the_first_time() {
    let Some(mut host) = Host::start() else { return };
    let text_line = bundle("text-line");
    let mut loaded = Vec::new();
    for _ in 0..CYCLES {
        host.load(&text_line);
        loaded.push(own_bytes(&host));
        forget(&mut host);
    }
    // Each load fills what the ones before left in its own way, and some take a few MiB more for a while. What is kept for good
    // raises the least of several, too.
    let least = |part: &[u64]| part.iter().copied().min().unwrap_or_default();
    let (first, last) = (least(&loaded[..CYCLES / 3]), least(&loaded[CYCLES * 2 / 3..]));
    println!(
        "loaded {CYCLES} times: first third {} kB, last third {} kB at least: {:?}",
        first >> 10,
        last >> 10,
        loaded
    );
    assert!(last <= first + first / 20, "{} MiB at first, {} MiB after {CYCLES} loads", first / MIB, last / MIB);
}
