//! The body of a call on D-Bus; the first byte is the method, the second the number of descriptors beside it.
#![no_main]

use std::fs::File;
use std::os::fd::OwnedFd;

use edged::request::Failure;
use edged::transport::dbus::arguments::{Encoded, Infer, InferFd, check_size, read};
use libfuzzer_sys::fuzz_target;
use zbus::Message;

/// Room for tensors inside a message.
const INLINE: u64 = 1 << 20;
/// The longest sentence about a call.
const MOST: usize = 2000;

fuzz_target!(|bytes: &[u8]| {
    let Some((&[method, fds], body)) = bytes.split_first_chunk::<2>() else { return };
    match method % 3 {
        0 => {
            let Some(message) = message("Infer", "sa(ssatay)a{sv}", body, fds) else { return };
            let body = message.body();
            let read = read::<Infer<'_>>("Infer", &body);
            told(read.as_ref().err());
            if let Ok((_, inputs, given)) = &read {
                let held: usize = inputs.0.iter().map(|input| input.data.len()).sum();
                assert!(held <= body.data().bytes().len());
                told(given.0.as_ref().err());
            }
        }
        1 => {
            let Some(message) = message("InferFd", "sa(ssathtt)a{sv}", body, fds) else { return };
            told(read::<InferFd<'_>>("InferFd", &message.body()).err().as_ref());
        }
        _ => {
            let Some(message) = message("InferEncoded", "ssha{sv}", body, fds) else { return };
            told(read::<Encoded<'_>>("InferEncoded", &message.body()).err().as_ref());
        }
    }
});

fn message(method: &str, signature: &str, body: &[u8], fds: u8) -> Option<Message> {
    let fds = (0..fds % 4).map(|_| OwnedFd::from(File::open("/dev/null").expect("open /dev/null")).into()).collect();
    let call = Message::method_call("/org/edged/Edge1", method);
    // SAFETY: that the body is no body of this signature is what is tried here; a stranger can send the same.
    let message = unsafe { call.build_raw_body(body, signature, fds) }.ok()?;
    check_size(&message, INLINE).ok()?;
    Some(message)
}

fn told(failure: Option<&Failure>) {
    if let Some(failure) = failure {
        assert!(!failure.message.is_empty() && failure.message.len() <= MOST, "{}", failure.message);
    }
}
