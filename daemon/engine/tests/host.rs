//! The engine host as a child process: what it gives up, what it answers, how it ends.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use edge_engine::protocol::{Data, FromHost, Input, Output, TensorData, ToHost, Want};
use support::{Host, bundle, bytes, f32s, member, memfd, to_f32s};

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
    assert_eq!(tries, ["PermissionDenied"; 5]);

    let outputs = host.infer(&[(&DIRECTION, &picture())]).unwrap();
    let scores = to_f32s(&outputs[0].1);
    assert!((scores.iter().sum::<f32>() - 1.0).abs() < 1e-3, "{scores:?}");
}

#[test]
fn a_tensor_in_a_sealed_memfd_gets_its_outputs_in_fresh_sealed_memfds() {
    let Some(mut host) = Host::start() else { return };
    host.load(&bundle("text-direction"));
    let fd = memfd(&picture());
    let len = picture().len() as u64;
    let tensor = TensorData { index: 0, shape: DIRECTION.to_vec(), data: Data::Sealed { fd: 0, offset: 0, len } };
    let input = Input::Tensors { tensors: vec![tensor], want: Want::Sealed };
    host.send(&ToHost::Run { lane: 0, members: vec![member(5, input)] }, &[&fd]);
    let (FromHost::Ran { lane: 0, members, took_ns }, fds) = host.receive() else { panic!("no answer") };
    assert!(took_ns > 0);
    let Ok(Output::Tensors(outputs)) = &members[0].result else { panic!("{members:?}") };
    assert_eq!((fds.len(), outputs[0].shape.as_slice()), (1, &[1i64, 2][..]));
    let scores = to_f32s(&bytes(&outputs[0].data, &fds));
    assert!((scores.iter().sum::<f32>() - 1.0).abs() < 1e-3, "{scores:?}");
}
