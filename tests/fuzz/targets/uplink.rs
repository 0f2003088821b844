//! What other sites answer: tensors in JSON and behind it, streams of chunks. What is taken fits its shape; however a stream is
//! cut, it is read the same; what is told of the rest is short.
#![no_main]

use bytes::Bytes;
use edge_engine::protocol::Datatype;
use edged::request::Blob;
use edged::uplink::oip;
use edged::uplink::openai::reader::{Broken, OF_CHAT, Reader, whole};
use edged::uplink::sse::{Event, Splitter};
use libfuzzer_sys::fuzz_target;

/// The longest sentence about something that came from outside.
const MOST: usize = 4000;

fn tensors(payload: &[u8], header_len: Option<usize>) {
    match oip::read(&Bytes::copy_from_slice(payload), header_len, &[]) {
        Ok(outputs) => {
            for output in outputs {
                let Blob::Inline(data) = output.data else { panic!("not in memory") };
                let elements: u64 = output.shape.iter().map(|size| *size as u64).product();
                if output.datatype != Datatype::Bytes {
                    assert_eq!(data.len() as u64, elements * output.datatype.size() as u64);
                }
            }
        }
        Err(why) => assert!(!why.is_empty() && why.len() < MOST, "{why}"),
    }
}

fn events(parts: &[&[u8]]) -> (Vec<Event>, Option<Event>) {
    let (mut splitter, mut out) = (Splitter::default(), Vec::new());
    for part in parts {
        if splitter.push(part, &mut out).is_err() {
            return (out, None);
        }
    }
    (out, splitter.rest())
}

fn chunks(parts: &[&[u8]]) -> (Vec<Bytes>, bool) {
    let (mut reader, mut out) = (Reader::new(OF_CHAT), Vec::new());
    for part in parts {
        if let Err(broken) = reader.push(part, &mut out) {
            let (Broken::Garbage(why) | Broken::Failed(why)) = broken;
            assert!(why.len() < MOST, "{why}");
            return (out, false);
        }
    }
    let ended = reader.end().is_ok();
    (out, ended)
}

fuzz_target!(|input: (u8, u16, &[u8])| {
    let (what, at, bytes) = input;
    let at = usize::from(at);
    match what % 4 {
        0 => tensors(bytes, None),
        1 => tensors(bytes, Some(at)),
        2 => {
            let (front, back) = bytes.split_at(at.min(bytes.len()));
            assert_eq!(events(&[front, back]), events(&[bytes]));
            let (taken, ended) = chunks(&[bytes]);
            assert_eq!(chunks(&[front, back]), (taken.clone(), ended));
            for chunk in taken {
                assert!(!chunk.contains(&b'\n'));
            }
        }
        _ => {
            if let Ok(chat) = whole(&Bytes::copy_from_slice(bytes)) {
                assert!(chat.body.is_some() && chat.chunks == 0);
            }
        }
    }
});
