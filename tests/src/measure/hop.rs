//! The least that a server in another process costs: one socket, one sealed memfd each way, one thread, no daemon.
//!
//! It shows how much of a ratio is the machine's price for going to another process and back (wake-ups, caches that
//! others used meanwhile), and how much is the product's.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

use crate::clock::Stopwatch;
use crate::memfd;

/// Asks `calls` times, one after the other, with the same memfd, and rests after each. Gives the times.
pub fn ask(stream: &UnixStream, calls: u32, rest: Duration, payload: &[u8]) -> Result<Vec<Duration>> {
    let payload = memfd::sealed(payload)?;
    let mut latencies = Vec::new();
    for _ in 0..calls {
        let watch = Stopwatch::start();
        send(stream, payload.as_fd())?;
        receive(stream)?.context("the server left")?;
        latencies.push(watch.elapsed());
        if !rest.is_zero() {
            crate::clock::rest(rest);
        }
    }
    Ok(latencies)
}

/// Answers until the peer leaves: reads what came into `room`, and sends what `run` makes of it. Gives the count.
pub fn serve<T>(
    stream: &UnixStream,
    state: &mut T,
    room: impl Fn(&mut T) -> Result<&mut [u8]>,
    run: impl Fn(&mut T) -> Result<Vec<u8>>,
) -> Result<u32> {
    let mut served = 0;
    while let Some(payload) = receive(stream)? {
        let room = room(state)?;
        let read = rustix::io::pread(&payload, &mut *room, 0)?;
        ensure!(read == room.len(), "the payload is short");
        send(stream, memfd::sealed(&run(state)?)?.as_fd())?;
        served += 1;
    }
    Ok(served)
}

fn send(stream: &UnixStream, fd: std::os::fd::BorrowedFd<'_>) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [fd];
    ensure!(control.push(SendAncillaryMessage::ScmRights(&fds)), "no room for a descriptor");
    sendmsg(stream, &[IoSlice::new(b"x")], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn receive(stream: &UnixStream) -> Result<Option<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let got = recvmsg(stream, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    if got.bytes == 0 {
        return Ok(None);
    }
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    Ok(Some(fd.context("a message without a descriptor")?))
}
