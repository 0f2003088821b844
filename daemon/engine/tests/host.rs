//! The engine host as a child process: what it gives up, what it answers, how it ends.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use edge_engine::protocol::{Data, FromHost, Input, Output, TensorData, Want};
use support::{Host, bundle, bytes, f32s, inline, member, memfd, test_bundle, to_f32s};

const DIRECTION: [i64; 4] = [1, 3, 48, 192];

fn picture() -> Vec<u8> {
    f32s(&(0..3 * 48 * 192).map(|n| (n % 97) as f32 / 97.0 - 0.5).collect::<Vec<_>>())
}

#[test]
fn the_host_infers_and_reaches_neither_network_nor_bus() {
    let Some(mut host) = Host::start() else { return };
    let loaded = host.load(&bundle("text-direction"));
    assert_eq!(loaded.inputs[0].shape, [-1, 3, 48, 192]);
    assert_eq!((loaded.providers[0].name.as_str(), loaded.providers[0].share), ("cpu", 1.0));

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bus");
    let _bus = UnixListener::bind(&path).unwrap();
    let network = TcpListener::bind("127.0.0.1:0").unwrap();
    let tries = host.probe(&network.local_addr().unwrap().to_string(), path.to_str().unwrap());
    assert_eq!(tries, ["PermissionDenied"; 9]);

    let outputs = host.infer(&[(&DIRECTION, &picture())]).unwrap();
    let scores = to_f32s(&outputs[0].1);
    assert!((scores.iter().sum::<f32>() - 1.0).abs() < 1e-3, "{scores:?}");
}

#[test]
fn a_host_for_a_graphics_processor_may_listen_where_nobody_can_come_and_no_more() {
    let Some(library) = support::library() else { return };
    for (provider, listens) in [("cuda", "reached"), ("tensorrt", "reached"), ("openvino", "PermissionDenied")] {
        let mut host = Host::spawn();
        host.send(&support::start_for(library.clone(), provider, None), &[]);
        // Whether the provider is there does not matter: what it may do is settled before.
        host.receive();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bus");
        let _bus = UnixListener::bind(&path).unwrap();
        let network = TcpListener::bind("127.0.0.1:0").unwrap();
        let tries = host.probe(&network.local_addr().unwrap().to_string(), path.to_str().unwrap());
        assert_eq!(tries[..8], ["PermissionDenied"; 8], "{provider}");
        assert_eq!(tries[8..], [listens], "{provider}");
    }
}

#[test]
fn a_tensor_in_a_sealed_memfd_gets_its_outputs_in_fresh_sealed_memfds() {
    let Some(mut host) = Host::start() else { return };
    host.load(&bundle("text-direction"));
    let fd = memfd(&picture());
    let len = picture().len() as u64;
    let tensor = TensorData { index: 0, shape: DIRECTION.to_vec(), data: Data::Sealed { fd: 0, offset: 0, len } };
    let input = Input::Tensors { tensors: vec![tensor], want: Want::Sealed };
    host.run(0, vec![member(5, input)], &[&fd]);
    let (FromHost::Ran { lane: 0, members, took_ns }, fds) = host.receive() else { panic!("no answer") };
    assert!(took_ns > 0);
    let Ok(Output::Tensors(outputs)) = &members[0].result else { panic!("{members:?}") };
    assert_eq!((fds.len(), outputs[0].shape.as_slice()), (1, &[1i64, 2][..]));
    let scores = to_f32s(&bytes(&outputs[0].data, &fds));
    assert!((scores.iter().sum::<f32>() - 1.0).abs() < 1e-3, "{scores:?}");
}

/// Lines of `/proc/PID/NAME`.
fn proc(host: &Host, name: &str) -> String {
    std::fs::read_to_string(format!("/proc/{}/{name}", host.child.id())).unwrap()
}

#[test]
fn every_thread_of_the_host_is_filtered_and_no_core_is_dumped() {
    let Some(mut host) = Host::start() else { return };
    host.load(&test_bundle("add"));
    let threads = std::fs::read_dir(format!("/proc/{}/task", host.child.id())).unwrap();
    let mut count = 0;
    for thread in threads {
        // One that ended meanwhile had nothing to lose.
        let Ok(status) = std::fs::read_to_string(thread.unwrap().path().join("status")) else { continue };
        assert!(status.contains("Seccomp:\t2") && status.contains("NoNewPrivs:\t1"), "{status}");
        count += 1;
    }
    assert!(count >= 4, "{count} threads");
    let limits = proc(&host, "limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["1", "1"], "{core}");
}

#[test]
fn signals_to_the_whole_service_do_not_end_the_host() {
    let Some(mut host) = Host::start() else { return };
    host.load(&test_bundle("add"));
    let pid = rustix::process::Pid::from_child(&host.child);
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT, rustix::process::Signal::HUP] {
        rustix::process::kill_process(pid, signal).unwrap();
    }
    let row = f32s(&[1.0, 2.0, 3.0, 4.0]);
    assert_eq!(to_f32s(&host.infer(&[(&[1, 4], &row), (&[1, 4], &row)]).unwrap()[0].1), [2.0, 4.0, 6.0, 8.0]);
    assert!(host.close().success());
}

#[test]
fn the_host_ends_with_the_channel_even_while_a_model_runs() {
    let Some(mut host) = Host::start() else { return };
    host.load(&test_bundle("spin"));
    let tensors = vec![inline(0, &[1], &i64::MAX.to_le_bytes())];
    let input = Input::Tensors { tensors, want: Want::Inline };
    host.run(0, vec![member(1, input)], &[]);
    assert!(host.close().success());
}
