//! Bad input at the level of the transport: each row is answered with its code, and the next request is served.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::OwnedFd;

use edge_wire::error::{ErrorCode, Refused};
use edge_wire::names;
use edge_wire::proxy::InferenceProxy;
use edge_wire::tensor::{FdTensor, Tensor};
use rustix::fs::SealFlags;
use zbus::message::Flags;
use zbus::{Fd, Message, Variant};

use crate::fake::{
    Allow, Client, SEALS, client, client_with, fd_tensor, limits, memfd, no_options, refused, release, soon, until,
};

async fn still_serves(client: &Client) {
    let inference = InferenceProxy::new(&client.connection).await.unwrap();
    soon("the next request", inference.infer_fd("echo", &[fd_tensor("a", b"abc")], &no_options())).await.unwrap();
}

fn check(no: &Refused, code: ErrorCode, words: &[&str]) {
    assert_eq!(no.code, code, "{}", no.message);
    for word in words {
        assert!(no.message.contains(word), "\"{word}\" is not in: {}", no.message);
    }
}

#[tokio::test]
async fn descriptors_that_are_not_what_they_should_be_are_named() {
    use ErrorCode::{InvalidInput, TooLarge};
    let client = client().await;
    let inference = InferenceProxy::new(&client.connection).await.unwrap();
    let at = |fd: OwnedFd, offset, length| FdTensor { fd: fd.into(), offset, length, ..fd_tensor("x", b"x") };
    let hundred = || memfd(&[0; 100], SEALS);
    let (pipe, _writer) = rustix::pipe::pipe().unwrap();
    let rows: [(FdTensor, ErrorCode, &[&str]); 10] = [
        (at(memfd(&[0; 100], SealFlags::empty()), 0, 100), InvalidInput, &["input x", "SHRINK, GROW, WRITE"]),
        (at(memfd(&[0; 100], SealFlags::SHRINK | SealFlags::GROW), 0, 100), InvalidInput, &["input x", "WRITE"]),
        (at(hundred(), 0, 101), InvalidInput, &["input x", "length 101", "100 bytes"]),
        (at(hundred(), 101, 1), InvalidInput, &["input x", "offset 101"]),
        (at(hundred(), u64::MAX, 2), InvalidInput, &["input x", "offset"]),
        (at(hundred(), 1, u64::MAX), InvalidInput, &["input x", "length"]),
        (at(pipe, 0, 1), InvalidInput, &["input x", "not a memfd"]),
        (at(File::open("/dev/zero").unwrap().into(), 0, 1), InvalidInput, &["input x", "not a memfd"]),
        (at(File::open("/").unwrap().into(), 0, 1), InvalidInput, &["input x", "not a memfd"]),
        (at(memfd(&vec![0; (1 << 20) + 1], SEALS), 0, (1 << 20) + 1), TooLarge, &["1048577", "1048576"]),
    ];
    for (tensor, code, words) in rows {
        check(&refused(soon("no", inference.infer_fd("echo", &[tensor], &no_options())).await), code, words);
    }
    still_serves(&client).await;
}

#[tokio::test]
async fn payloads_that_cannot_be_read_or_are_out_of_range_are_named() {
    use ErrorCode::{InvalidInput, TooLarge};
    let client = client().await;
    let inference = InferenceProxy::new(&client.connection).await.unwrap();
    let (_pipe, writer) = rustix::pipe::pipe().unwrap();
    let rows: [(OwnedFd, ErrorCode, &str); 6] = [
        (memfd(&[], SEALS), InvalidInput, "empty"),
        (memfd(&[], SealFlags::empty()), InvalidInput, "empty"),
        (File::open("/").unwrap().into(), InvalidInput, "directory"),
        (writer, InvalidInput, "reading"),
        (memfd(&vec![0; (1 << 20) + 1], SEALS), TooLarge, "1 to 1048576"),
        (memfd(&vec![0; (1 << 20) + 1], SealFlags::empty()), TooLarge, "1 to 1048576"),
    ];
    for (fd, code, words) in rows {
        for encoded in [true, false] {
            let options = no_options();
            let no = match encoded {
                true => refused(inference.infer_encoded("echo", "image/png", Fd::from(&fd), &options).await),
                false => refused(inference.submit("echo", "image/png", Fd::from(&fd), &options).await),
            };
            check(&no, code, &["payload", words]);
        }
    }
    still_serves(&client).await;
}

#[tokio::test]
async fn options_out_of_range_are_named_with_what_they_take() {
    let client = client().await;
    let inference = InferenceProxy::new(&client.connection).await.unwrap();
    let rows: [(&str, Variant<'static>, &str); 8] = [
        ("deadline_ms", 0u32.into(), "1 to 604800000"),
        ("deadline_ms", (-5i64).into(), "1 to 604800000"),
        ("deadline_ms", u64::MAX.into(), "1 to 604800000"),
        ("deadline_ms", "soon".into(), "1 to 604800000"),
        ("priority", "urgent".into(), "high, normal, low"),
        ("deferrable", 1u8.into(), "true or false"),
        ("request_id", "".into(), "1 to 128"),
        ("data_class", 7u8.into(), "regulated, internal or public"),
    ];
    for (name, value, takes) in rows {
        let options = HashMap::from([(name, value)]);
        let no = refused(inference.infer("echo", &[], &options).await);
        check(&no, ErrorCode::InvalidInput, &[name, takes]);
    }
    still_serves(&client).await;
}

#[tokio::test]
async fn tensors_that_no_message_should_hold_are_refused() {
    let client = client().await;
    let inference = InferenceProxy::new(&client.connection).await.unwrap();
    let tensor = |bytes: usize, shape: Vec<u64>| Tensor {
        name: "x".into(),
        datatype: "UINT8".into(),
        shape,
        data: vec![0; bytes].into(),
    };
    let rows: [(Vec<Tensor>, ErrorCode, &[&str]); 5] = [
        (vec![tensor(140 << 10, vec![1]); 2], ErrorCode::TooLarge, &["286720", "262144", "InferFd"]),
        (vec![tensor(400 << 10, vec![1])], ErrorCode::TooLarge, &["262144", "InferFd"]),
        (vec![tensor(1, vec![1, 1 << 63])], ErrorCode::InvalidInput, &["inputs.x.shape[1]"]),
        (vec![tensor(1, vec![1; 65])], ErrorCode::InvalidInput, &["more than 64"]),
        (vec![tensor(0, vec![]); 257], ErrorCode::InvalidInput, &["more than 256"]),
    ];
    for (inputs, code, words) in rows {
        check(&refused(soon("no", inference.infer("echo", &inputs, &no_options())).await), code, words);
    }
    let no = refused(inference.infer("big", &[], &no_options()).await);
    check(&no, ErrorCode::TooLarge, &["outputs", "1048576", "InferFd"]);
    let no = refused(inference.infer_fd("many", &[], &no_options()).await);
    check(&no, ErrorCode::TooLarge, &["17 outputs", "at most 16"]);
    still_serves(&client).await;
}

#[tokio::test]
async fn seventeen_descriptors_are_refused_and_sixteen_are_not() {
    let client = client().await;
    let inference = InferenceProxy::new(&client.connection).await.unwrap();
    let tensors = |count: usize| (0..count).map(|n| fd_tensor(&format!("t{n}"), b"abc")).collect::<Vec<_>>();
    for count in [17, 100, 253] {
        let no = refused(soon("no", inference.infer_fd("echo", &tensors(count), &no_options())).await);
        check(&no, ErrorCode::InvalidInput, &[&format!("{count} descriptors"), "at most 16"]);
    }
    let (outputs, _) = soon("yes", inference.infer_fd("echo", &tensors(16), &no_options())).await.unwrap();
    assert_eq!(outputs.len(), 16);
}

#[tokio::test]
async fn calls_of_another_shape_are_named_with_the_shape_they_should_have() {
    let client = client().await;
    let call = |method: &'static str| {
        let connection = client.connection.clone();
        async move {
            let (path, interface) = (names::ROOT_PATH, Some(names::INFERENCE));
            refused(connection.call_method(None::<&str>, path, interface, method, &("m", 7u32)).await)
        }
    };
    let rows = [
        ("Infer", "sa(ssatay)a{sv}"),
        ("InferFd", "sa(ssathtt)a{sv}"),
        ("InferEncoded", "ssha{sv}"),
        ("Submit", "ssha{sv}"),
        ("Cancel", "takes s"),
        ("Connect", "a{sv}"),
    ];
    for (method, takes) in rows {
        check(&call(method).await, ErrorCode::InvalidInput, &[method, "\"su\"", takes]);
    }
    still_serves(&client).await;
}

/// A call of `Infer` with this raw body.
async fn raw(client: &Client, body: &[u8], signature: &str) -> zbus::Result<Message> {
    let builder = Message::method_call(names::ROOT_PATH, "InferEncoded").interface(names::INFERENCE);
    // SAFETY: the body is meant to be wrong; it carries no descriptors, and only the daemon under test reads it.
    let message = unsafe { builder.build_raw_body(body, signature, vec![]) }.unwrap();
    let serial = message.primary_header().serial_num();
    let mut replies = zbus::MessageStream::from(&client.connection);
    client.connection.send(&message).await.unwrap();
    loop {
        let reply = crate::fake::next(&mut replies).await?;
        if reply.header().reply_serial() == Some(serial) {
            return match reply.message_type() {
                zbus::message::Type::Error => Err(reply.into()),
                _ => Ok(reply),
            };
        }
    }
}

#[tokio::test]
async fn bodies_that_lie_about_themselves_are_refused() {
    let client = client().await;
    let mut invalid_utf8 = vec![3, 0, 0, 0, b'm', 0xff, b'x', 0];
    invalid_utf8.extend([3, 0, 0, 0, b'a', b'/', b'b', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let mut no_such_descriptor = vec![1, 0, 0, 0, b'm', 0, 0, 0];
    no_such_descriptor.extend([1, 0, 0, 0, b't', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let cut_short = vec![200, 0, 0, 0, b'm'];
    for body in [invalid_utf8, no_such_descriptor, cut_short] {
        let no = refused(raw(&client, &body, "ssha{sv}").await);
        check(&no, ErrorCode::InvalidInput, &["InferEncoded"]);
    }
    still_serves(&client).await;
}

#[tokio::test]
async fn an_unknown_method_is_unknown_and_the_connection_stays() {
    let client = client().await;
    let (path, interface) = (names::ROOT_PATH, Some(names::INFERENCE));
    let error = client.connection.call_method(None::<&str>, path, interface, "Guess", &()).await.unwrap_err();
    assert!(matches!(&error, zbus::Error::FDO(no) if matches!(**no, zbus::fdo::Error::UnknownMethod(_))), "{error:?}");
    still_serves(&client).await;
}

#[tokio::test]
async fn a_call_that_wants_no_reply_is_served_and_gets_none() {
    let client = client().await;
    let call = |model: &str| {
        Message::method_call(names::ROOT_PATH, "Infer")
            .interface(names::INFERENCE)
            .with_flags(Flags::NO_REPLY_EXPECTED)
            .build(&(model, Vec::<Tensor>::new(), no_options()))
            .unwrap()
    };
    let mut messages = zbus::MessageStream::from(&client.connection);
    client.connection.send(&call("echo")).await.unwrap();
    client.connection.send(&call("no")).await.unwrap();
    until("served", || client.driver.seen.lock().unwrap().requests.len() == 2).await;
    still_serves(&client).await;
    // The first reply of all is the one to the call that wanted one.
    let mut first = crate::fake::next(&mut messages).await.unwrap();
    while first.message_type() == zbus::message::Type::Signal {
        first = crate::fake::next(&mut messages).await.unwrap();
    }
    assert_eq!(first.body().signature().to_string(), "(a(ssathtt)a{sv})");
}

#[tokio::test]
async fn a_caller_has_only_so_many_calls_open() {
    let client =
        client_with(Allow { infer: true, change: true }, edged::config::LimitsConfig { max_calls: 3, ..limits() })
            .await;
    let inference = InferenceProxy::new(&client.connection).await.unwrap();
    let options = no_options();
    let held = async {
        let holds = [(); 3].map(|()| inference.infer("hold", &[], &options));
        let [a, b, c] = holds;
        tokio::join!(a, b, c)
    };
    let beyond = async {
        until("held", || client.driver.seen.lock().unwrap().held.len() == 3).await;
        let no = refused(inference.infer("echo", &[], &options).await);
        check(&no, ErrorCode::Overloaded, &["too many calls"]);
        assert!(no.retry_after_ms.is_some());
        release(&client.driver.seen);
    };
    let (held, ()) = soon("all", async { tokio::join!(held, beyond) }).await;
    assert!(held.0.is_ok() && held.1.is_ok() && held.2.is_ok());
    still_serves(&client).await;
}
