//! A D-Bus peer that speaks the bare protocol: it can send without ever reading, which no library allows.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use zbus::message::Message;

use crate::clock::PATIENCE;

/// A connection after the handshake, and nothing else.
#[derive(Debug)]
pub struct RawPeer {
    stream: UnixStream,
}

impl RawPeer {
    /// Authenticates on a fresh socket.
    pub fn over(mut stream: UnixStream) -> Result<RawPeer> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let uid = rustix::process::getuid().as_raw().to_string();
        let hex: String = uid.bytes().map(|byte| format!("{byte:02x}")).collect();
        stream.write_all(format!("\0AUTH EXTERNAL {hex}\r\n").as_bytes())?;
        expect(&mut stream, "OK ")?;
        stream.write_all(b"NEGOTIATE_UNIX_FD\r\n")?;
        expect(&mut stream, "AGREE_UNIX_FD")?;
        stream.write_all(b"BEGIN\r\n")?;
        Ok(RawPeer { stream })
    }

    /// The same on a bus, which wants a first call before all others.
    pub fn on_bus(socket: &Path) -> Result<RawPeer> {
        const BUS: &str = "org.freedesktop.DBus";
        let stream = UnixStream::connect(socket).with_context(|| format!("connect to {}", socket.display()))?;
        let mut peer = RawPeer::over(stream)?;
        let hello = Message::method_call("/org/freedesktop/DBus", "Hello").destination(BUS).interface(BUS).build(&())?;
        ensure!(peer.send(&hello, PATIENCE)?, "the bus takes no Hello");
        Ok(peer)
    }

    /// Sends a message without descriptors; `false` if the other side does not take it within `limit`.
    pub fn send(&mut self, message: &Message, limit: Duration) -> Result<bool> {
        self.stream.set_write_timeout(Some(limit))?;
        match self.stream.write_all(message.data()) {
            Ok(()) => Ok(true),
            Err(fault) if matches!(fault.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                Ok(false)
            }
            Err(fault) => Err(fault).context("send to the peer"),
        }
    }
}

fn expect(stream: &mut UnixStream, start: &str) -> Result<()> {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\r\n") {
        stream.read_exact(&mut byte).context("read the handshake")?;
        line.extend_from_slice(&byte);
    }
    let line = String::from_utf8_lossy(&line).into_owned();
    ensure!(line.starts_with(start), "the handshake wanted {start:?}, got {line:?}");
    Ok(())
}
