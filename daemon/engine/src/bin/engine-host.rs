//! The engine host alone, for this crate's tests and bench; the product starts it as `edged engine-host`. The socket is
//! its standard input, as there. With `--probe FIFO` a thread that was there before the host reads lines from that FIFO,
//! tries to reach a network and a bus, and says on standard output how that went.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

fn main() {
    if let Some(fifo) = std::env::args().skip_while(|argument| argument != "--probe").nth(1) {
        std::thread::spawn(move || probe(&fifo));
    }
    let code = match std::io::stdin().as_fd().try_clone_to_owned() {
        Ok(socket) => edge_engine::host::main(socket),
        Err(error) => {
            eprintln!("engine-host: take the socket: {error}");
            1
        }
    };
    std::process::exit(code);
}

fn probe(fifo: &str) {
    let Ok(lines) = File::open(fifo) else { return };
    for line in BufReader::new(lines).lines() {
        let Ok(target) = line else { return };
        let (tcp, unix) = target.split_once(' ').unwrap_or((&target, ""));
        let tcp = tcp.parse::<SocketAddr>().map_or_else(
            |error| error.to_string(),
            |address| said(TcpStream::connect_timeout(&address, Duration::from_secs(1))),
        );
        let results = [
            tcp,
            said(UnixStream::connect(unix)),
            said(UdpSocket::bind("127.0.0.1:0")),
            said(UnixListener::bind(format!("{unix}.new"))),
            said(rustix::net::socketpair(AddressFamily::INET, SocketType::STREAM, SocketFlags::empty(), None)),
            said(rustix::net::socket(AddressFamily::UNIX, SocketType::DGRAM, None)),
            said(packets_to(unix)),
            said(from_others()),
            said(listens()),
        ];
        println!("{}", results.join(","));
        let _ = std::io::stdout().flush();
    }
}

/// Connects a socket of the one kind that a graphics driver may make.
fn packets_to(path: &str) -> rustix::io::Result<()> {
    let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)
}

/// Makes such a socket, gives it a name and listens on it.
fn listens() -> rustix::io::Result<rustix::fd::OwnedFd> {
    let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None)?;
    // The kernel chooses an abstract name that nobody has.
    rustix::net::bind(&socket, &SocketAddrUnix::new_unnamed())?;
    rustix::net::listen(&socket, 1)?;
    Ok(socket)
}

/// Lets others come to it.
fn from_others() -> rustix::io::Result<rustix::fd::OwnedFd> {
    rustix::net::accept(listens()?)
}

fn said<T, E: Into<std::io::Error>>(result: Result<T, E>) -> String {
    match result {
        Ok(_) => "reached".into(),
        Err(error) => format!("{:?}", error.into().kind()),
    }
}
