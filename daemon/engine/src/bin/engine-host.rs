//! The engine host alone, for this crate's tests and bench; the product starts it as `edged engine-host`. With
//! `--probe` a thread that was there before the host waits for a line on standard input, tries to reach a network and a
//! bus, and says on standard output how that went.

use std::io::{BufRead, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

fn main() {
    if std::env::args().any(|argument| argument == "--probe") {
        std::thread::spawn(probe);
    }
    let code = match edge_engine::host::inherited_socket() {
        Ok(socket) => edge_engine::host::main(socket),
        Err(error) => {
            eprintln!("engine-host: {error}");
            2
        }
    };
    std::process::exit(code);
}

fn probe() {
    for line in std::io::stdin().lock().lines() {
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
            said(UnixStream::pair()),
        ];
        println!("{}", results.join(","));
        let _ = std::io::stdout().flush();
    }
}

fn said<T>(result: std::io::Result<T>) -> String {
    match result {
        Ok(_) => "reached".into(),
        Err(error) => format!("{:?}", error.kind()),
    }
}
