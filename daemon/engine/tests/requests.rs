//! Requests of tensors against tiny models: every datatype, batches, bad input, late and stopped requests.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use edge_engine::protocol::{Data, ErrorKind, Input, MemberDone, Output, TensorData, ToHost, Want};
use support::{Host, PATIENCE, bytes, f32s, inline, member, memfd, open_memfd, test_bundle, to_f32s};

fn row(from: f32, rows: usize) -> Vec<u8> {
    f32s(&(0..rows * 4).map(|n| from + n as f32).collect::<Vec<_>>())
}

fn sums(result: &Result<Output, edge_engine::protocol::HostError>) -> (Vec<i64>, Vec<f32>) {
    let Ok(Output::Tensors(tensors)) = result else { panic!("{result:?}") };
    (tensors[0].shape.clone(), to_f32s(&bytes(&tensors[0].data, &[])))
}

fn add_host() -> Option<Host> {
    let mut host = Host::start()?;
    let loaded = host.load(&test_bundle("add"));
    assert_eq!((loaded.batched, loaded.max_batch, loaded.goldens_passed), (true, 8, 1));
    Some(host)
}

#[test]
fn members_of_a_batch_get_what_they_would_have_got_alone() {
    let Some(mut host) = add_host() else { return };
    let request = |id: u64, from: f32, rows: usize| {
        let shape = [i64::try_from(rows).unwrap(), 4];
        let tensors = vec![inline(0, &shape, &row(from, rows)), inline(1, &shape, &row(0.0, rows))];
        member(id, Input::Tensors { tensors, want: Want::Inline })
    };
    let bad = member(9, Input::Tensors { tensors: vec![inline(0, &[1, 4], &row(0.0, 1))], want: Want::Inline });
    let members = vec![request(1, 10.0, 1), request(2, 20.0, 3), bad, request(3, 30.0, 2)];
    host.run(0, members, &[]);
    let (members, _) = host.ran();
    assert_eq!(members.iter().map(|member| member.id).collect::<Vec<_>>(), [1, 2, 9, 3]);
    for (at, from, rows) in [(0, 10.0, 1usize), (1, 20.0, 3), (3, 30.0, 2)] {
        let expected: Vec<f32> = (0..rows * 4).map(|n| from + 2.0 * n as f32).collect();
        assert_eq!(sums(&members[at].result), (vec![i64::try_from(rows).unwrap(), 4], expected));
    }
    let error = members[2].result.as_ref().unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::InvalidInput, "input b is missing"));
}

#[test]
fn a_tensor_at_an_odd_offset_of_a_memfd_is_taken() {
    let Some(mut host) = add_host() else { return };
    let mut content = vec![0xee; 3];
    content.extend(row(1.0, 1));
    let fd = memfd(&content);
    let sealed = Data::Sealed { fd: 0, offset: 3, len: 16 };
    let tensors = vec![
        TensorData { index: 0, shape: vec![1, 4], data: sealed.clone() },
        TensorData { index: 1, shape: vec![1, 4], data: sealed },
    ];
    host.run(0, vec![member(1, Input::Tensors { tensors, want: Want::Inline })], &[&fd]);
    assert_eq!(sums(&host.ran().0[0].result), (vec![1, 4], vec![2.0, 4.0, 6.0, 8.0]));
}

#[test]
fn bad_tensors_are_refused_by_name_and_the_next_request_is_served() {
    let Some(mut host) = add_host() else { return };
    let open = open_memfd(&row(0.0, 1));
    let short = memfd(&[0; 15]);
    let (good, sixteen) = ([1i64, 4], Data::Inline(row(0.0, 1)));
    let sealed = |offset: u64, len: u64| Data::Sealed { fd: 0, offset, len };
    let cases = [
        (&good[..], sealed(0, 16), &open, "input a: memfd without the seal SHRINK, GROW, WRITE: takes"),
        (&good, sealed(0, 16), &short, "input a: offset 0 and length 16 reach beyond the 15 bytes of the memfd"),
        (&good, sealed(u64::MAX, 16), &short, "input a: offset 18446744073709551615 and length 16 reach beyond"),
        (&good, sealed(0, 15), &short, "input a: 15 bytes, the shape [1, 4] of FP32 needs 4 elements of 4 bytes"),
        (&[1, 5], sixteen.clone(), &short, "input a: dimension 1 is 5, accepted is 4"),
        (&[0, 4], sixteen.clone(), &short, "input a: dimension 0 is 0, accepted is at least 1"),
        (&[-1, 4], sixteen.clone(), &short, "input a: dimension 0 is -1, accepted is at least 1"),
        (&[4], sixteen.clone(), &short, "input a: 1 dimensions, accepted are 2"),
        (&[i64::MAX, 4], sixteen, &short, "input a: shape [9223372036854775807, 4] has too many elements"),
        (&good, Data::Inline(vec![0; 17]), &short, "input a: 17 bytes, the shape [1, 4] of FP32 needs 4 elements"),
        (&good, Data::Sealed { fd: 7, offset: 0, len: 16 }, &short, "input a: descriptor 7 was not sent (1 were)"),
    ];
    for (shape, data, fd, expected) in cases {
        let tensors = vec![TensorData { index: 0, shape: shape.to_vec(), data }, inline(1, &[1, 4], &row(0.0, 1))];
        let members = vec![member(1, Input::Tensors { tensors, want: Want::Inline })];
        host.run(0, members, &[fd]);
        let error = host.ran().0[0].result.clone().unwrap_err();
        assert!(error.message.starts_with(expected), "{} instead of {expected}", error.message);
        assert_eq!(error.kind, ErrorKind::InvalidInput);
    }
    assert!(host.infer(&[(&[1, 4], &row(0.0, 1)), (&[1, 4], &row(0.0, 1))]).is_ok());
    let error = host.infer(&[(&[1, 4], &row(0.0, 1)), (&[2, 4], &row(0.0, 2))]);
    assert!(error.is_ok(), "broadcasting is the model's business: {error:?}");
    let error = host.infer(&[(&[2, 4], &row(0.0, 2)), (&[3, 4], &row(0.0, 3))]).unwrap_err();
    assert!(error.message.starts_with("onnxruntime: "), "{error:?}");
}

#[test]
fn every_datatype_comes_back_as_it_went() {
    let Some(mut host) = Host::start() else { return };
    let loaded = host.load(&test_bundle("echo-types"));
    let text = |words: [&str; 2]| -> Vec<u8> {
        words
            .iter()
            .flat_map(|word| [&u32::try_from(word.len()).unwrap().to_le_bytes(), word.as_bytes()].concat())
            .collect()
    };
    let values: Vec<Vec<u8>> = loaded
        .inputs
        .iter()
        .map(|spec| match spec.datatype.size() {
            0 => text(["a", "\u{fc}ber"]),
            1 => vec![1, 0],
            size => (0..size * 2).map(|n| u8::try_from(n).unwrap() + 1).collect(),
        })
        .collect();
    assert_eq!(loaded.inputs.len(), 13);
    let shape = [1i64, 2];
    let inputs: Vec<(&[i64], &[u8])> = values.iter().map(|bytes| (&shape[..], &bytes[..])).collect();
    let outputs = host.infer(&inputs).unwrap();
    for (spec, (value, output)) in loaded.outputs.iter().zip(values.iter().zip(&outputs)) {
        assert_eq!((&output.0[..], &output.1), (&shape[..], value), "{}", spec.name);
    }

    let mut odd = values.clone();
    odd[0] = vec![1, 2];
    let inputs: Vec<(&[i64], &[u8])> = odd.iter().map(|bytes| (&shape[..], &bytes[..])).collect();
    assert_eq!(host.infer(&inputs).unwrap_err().message, "input bool: a BOOL element is neither 0 nor 1");
    let mut odd = values.clone();
    odd[12] = text(["a", "b"])[..9].to_vec();
    let inputs: Vec<(&[i64], &[u8])> = odd.iter().map(|bytes| (&shape[..], &bytes[..])).collect();
    assert_eq!(host.infer(&inputs).unwrap_err().message, "input bytes: an element reaches beyond the data");
}

#[test]
fn strings_are_batched_too() {
    let Some(mut host) = Host::start() else { return };
    let loaded = host.load(&test_bundle("echo-types"));
    let request = |id: u64, letter: u8| {
        let tensors = loaded.inputs.iter().enumerate().map(|(index, spec)| match spec.datatype.size() {
            0 => inline(index, &[1, 2], &[&[1, 0, 0, 0, letter][..], &[0, 0, 0, 0]].concat()),
            size => inline(index, &[1, 2], &vec![u8::from(letter == b'x'); size * 2]),
        });
        member(id, Input::Tensors { tensors: tensors.collect(), want: Want::Inline })
    };
    host.run(0, vec![request(1, b'x'), request(2, b'y')], &[]);
    for (member, letter) in host.ran().0.iter().zip([b'x', b'y']) {
        let Ok(Output::Tensors(tensors)) = &member.result else { panic!("{member:?}") };
        assert_eq!(bytes(&tensors[12].data, &[]), [1, 0, 0, 0, letter, 0, 0, 0, 0]);
        assert_eq!(bytes(&tensors[10].data, &[]), vec![u8::from(letter == b'x'); 8]);
    }
}

#[test]
fn sixty_four_outputs_each_have_a_memfd_of_their_own() {
    let Some(mut host) = add_host() else { return };
    let request = |id: u64| {
        let tensors = vec![inline(0, &[1, 4], &row(0.0, 1)), inline(1, &[1, 4], &row(0.0, 1))];
        member(id, Input::Tensors { tensors, want: Want::Sealed })
    };
    host.run(0, (0..64).map(request).collect(), &[]);
    let (members, fds) = host.ran();
    assert_eq!((members.len(), fds.len()), (64, 64));
    for member in members {
        let Ok(Output::Tensors(tensors)) = member.result else { panic!("failed") };
        assert_eq!(to_f32s(&bytes(&tensors[0].data, &fds)), [0.0, 2.0, 4.0, 6.0]);
    }
}

#[test]
fn a_request_that_is_too_late_is_not_run() {
    let Some(mut host) = add_host() else { return };
    let mut late = member(1, Input::Tensors { tensors: vec![], want: Want::Inline });
    late.start_before = 1;
    host.run(0, vec![late], &[]);
    let error = host.ran().0[0].result.clone().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Late, "{error:?}");
}

fn spin(host: &Host, id: u64, trips: i64) {
    let tensors = vec![inline(0, &[1], &trips.to_le_bytes())];
    host.run(0, vec![member(id, Input::Tensors { tensors, want: Want::Inline })], &[]);
}

#[test]
fn a_running_request_can_be_stopped_and_the_lane_serves_on() {
    let Some(mut host) = Host::start() else { return };
    host.load(&test_bundle("spin"));
    spin(&host, 1, i64::MAX);
    busy(&host);
    spin(&host, 2, 5);
    spin(&host, 3, 5);
    host.send(&ToHost::Discard { id: 1 }, &[]);
    let (members, _) = host.ran();
    assert_eq!((members[0].id, members[0].result.as_ref().unwrap_err().kind), (1, ErrorKind::Stopped));
    for id in [2, 3] {
        let (members, _) = host.ran();
        assert_eq!((members[0].id, sums(&members[0].result).1), (id, vec![256.0]));
    }
}

/// A batch of requests that run together for so many trips each.
fn spin_together(host: &Host, members: &[(u64, i64)]) {
    let one = |(id, trips): &(u64, i64)| {
        let tensors = vec![inline(0, &[1, 1], &trips.to_le_bytes())];
        member(*id, Input::Tensors { tensors, want: Want::Inline })
    };
    host.run(0, members.iter().map(one).collect(), &[]);
}

#[test]
fn a_batch_is_stopped_when_nobody_wants_any_of_it_and_not_before() {
    let Some(mut host) = Host::start() else { return };
    host.load(&test_bundle("spin-together"));
    spin_together(&host, &[(1, i64::MAX), (2, 5), (3, 5)]);
    busy(&host);
    host.send(&ToHost::Discard { id: 1 }, &[]);
    host.send(&ToHost::Discard { id: 3 }, &[]);
    // Two of three are gone: the third one is still computed for.
    busy(&host);
    spin_together(&host, &[(4, 5), (5, 5)]);
    host.send(&ToHost::Discard { id: 4 }, &[]);
    host.send(&ToHost::Discard { id: 2 }, &[]);
    let ends = |members: Vec<MemberDone>| -> Vec<(u64, Option<ErrorKind>)> {
        members.iter().map(|member| (member.id, member.result.as_ref().err().map(|error| error.kind))).collect()
    };
    let stopped = Some(ErrorKind::Stopped);
    assert_eq!(ends(host.ran().0), [(1, stopped), (2, stopped), (3, stopped)]);
    // The lane serves on, without the member that was given up while it waited.
    assert_eq!(ends(host.ran().0), [(4, stopped), (5, None)]);
    // One that was answered is given up too late, and stops nothing.
    host.send(&ToHost::Discard { id: 5 }, &[]);
    spin_together(&host, &[(6, 5), (7, 5)]);
    assert_eq!(ends(host.ran().0), [(6, None), (7, None)]);
}

/// Waits until the host computes: the first request has got to the runtime.
fn busy(host: &Host) {
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", host.child.id())).unwrap();
        let rest = stat.rsplit(')').next().unwrap().to_owned();
        rest.split_whitespace().nth(11).unwrap().parse::<u64>().unwrap()
    };
    let now = || rustix::time::clock_gettime(rustix::time::ClockId::Monotonic).tv_sec;
    let (before, start) = (ticks(), now());
    while ticks() < before + 5 {
        assert!(now() - start < PATIENCE.tv_sec, "the host does not compute");
        std::thread::yield_now();
    }
}

#[test]
fn a_request_that_is_discarded_while_it_waits_does_not_run() {
    let Some(mut host) = Host::start() else { return };
    host.load(&test_bundle("spin"));
    spin(&host, 1, i64::MAX);
    spin(&host, 2, 5);
    host.send(&ToHost::Discard { id: 2 }, &[]);
    host.send(&ToHost::Discard { id: 1 }, &[]);
    for id in [1, 2] {
        let (members, _) = host.ran();
        assert_eq!((members[0].id, members[0].result.as_ref().unwrap_err().kind), (id, ErrorKind::Stopped));
    }
}

#[test]
fn what_was_not_prepared_cannot_run() {
    let Some(mut host) = add_host() else { return };
    host.run(0, vec![member(77, Input::Prepared)], &[]);
    let error = host.ran().0[0].result.clone().unwrap_err();
    assert_eq!(error.message, "nothing is prepared for this request");
    let error = host.infer_encoded("image/png", b"x").unwrap_err();
    assert_eq!(error.message, "the model takes tensors only, no encoded payload");
}

/// What a sealed output is called: by that it is known who wrote it.
fn name_of(fds: &[std::os::fd::OwnedFd]) -> String {
    use std::os::fd::AsRawFd;
    let link = std::fs::read_link(format!("/proc/self/fd/{}", fds[0].as_raw_fd())).unwrap();
    link.to_str().unwrap().split(':').nth(1).unwrap().split(' ').next().unwrap().to_owned()
}

/// Runs the model on one input of so many numbers; name of the memfd of the output, its shape and its numbers.
fn run_large(host: &mut Host, inputs: &[&[f32]], shape: &[i64]) -> (String, Vec<i64>, Vec<f32>) {
    let fds: Vec<_> = inputs.iter().map(|numbers| memfd(&f32s(numbers))).collect();
    let sealed =
        |at: usize| Data::Sealed { fd: u16::try_from(at).unwrap(), offset: 0, len: inputs[at].len() as u64 * 4 };
    let tensor = |at: usize| TensorData { index: u16::try_from(at).unwrap(), shape: shape.to_vec(), data: sealed(at) };
    let tensors = (0..inputs.len()).map(tensor).collect();
    let id = host.id();
    host.run(0, vec![member(id, Input::Tensors { tensors, want: Want::Sealed })], &fds.iter().collect::<Vec<_>>());
    let (members, fds) = host.ran();
    let Ok(Output::Tensors(outputs)) = &members[0].result else { panic!("{:?}", members[0].result) };
    (name_of(&fds), outputs[0].shape.clone(), to_f32s(&bytes(&outputs[0].data, &fds)))
}

#[test]
fn a_large_output_of_known_shape_is_written_by_the_runtime_where_the_caller_reads_it() {
    let Some(mut host) = add_host() else { return };
    const ROWS: i64 = 20_000;
    let a: Vec<f32> = (0..ROWS * 4).map(|n| n as f32).collect();
    for (turn, expected) in ["edge-tensor", "edge-tensor", "edge-output", "edge-output"].iter().enumerate() {
        let b = vec![turn as f32; a.len()];
        let (name, shape, sums) = run_large(&mut host, &[&a, &b], &[ROWS, 4]);
        assert_eq!((name.as_str(), shape), (*expected, vec![ROWS, 4]));
        assert!(sums.iter().zip(&a).all(|(sum, a)| *sum == a + turn as f32), "turn {turn}");
    }
    // What is small is copied, and another shape is another case.
    for _ in 0..3 {
        assert_eq!(run_large(&mut host, &[&a[..8], &a[..8]], &[2, 4]).0, "edge-tensor");
    }
    assert_eq!(run_large(&mut host, &[&a[..4], &a[..4]], &[1, 4]).2, [0.0, 2.0, 4.0, 6.0]);
}

#[test]
fn an_output_that_is_not_as_large_as_those_before_is_answered_all_the_same() {
    let Some(mut host) = Host::start() else { return };
    host.load(&test_bundle("select"));
    const COUNT: usize = 100_000;
    let mut numbers: Vec<f32> = (0..COUNT).map(|n| 1.0 + n as f32).collect();
    let shape = [i64::try_from(COUNT).unwrap()];
    for expected in ["edge-tensor", "edge-tensor", "edge-output"] {
        let (name, _, kept) = run_large(&mut host, &[&numbers], &shape);
        assert_eq!((name.as_str(), &kept), (expected, &numbers));
    }
    numbers[..10].fill(-1.0);
    for _ in 0..4 {
        let (name, shape, kept) = run_large(&mut host, &[&numbers], &shape);
        assert_eq!((name.as_str(), shape[0]), ("edge-tensor", shape[0]));
        assert_eq!(kept, &numbers[10..]);
    }
}
