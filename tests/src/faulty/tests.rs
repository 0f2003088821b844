use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};

use super::*;
use crate::clock::{PATIENCE, Stopwatch, eventually_blocking};

/// Sends back what it gets, and then ends.
fn echo() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let (mut from, mut to) = (stream.try_clone().unwrap(), stream);
                std::io::copy(&mut from, &mut to).ok();
                to.shutdown(Shutdown::Write).ok();
            });
        }
    });
    port
}

fn connect(link: &Faulty) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", link.port())).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn there_and_back(link: &Faulty, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = connect(link);
    stream.write_all(bytes)?;
    stream.shutdown(Shutdown::Write)?;
    let mut back = Vec::new();
    stream.read_to_end(&mut back).map(|_| back)
}

#[test]
fn a_good_link_passes_everything_and_counts_it() {
    let link = Faulty::to(echo()).unwrap();
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 251) as u8).collect();
    assert!(there_and_back(&link, &bytes).unwrap() == bytes);
    for direction in [Direction::Up, Direction::Down] {
        assert_eq!((link.sent(direction), link.passed(direction)), (1_000_000, 1_000_000));
    }
    assert!(link.carried(Direction::Up, &bytes[500_000..501_000]).unwrap());
    assert!(!link.carried(Direction::Up, b"a marker").unwrap());
    assert_eq!(link.connections(), 1);
}

#[test]
fn a_delay_and_a_limit_take_their_time() {
    let link = Faulty::to(echo()).unwrap();
    link.change(|faults| faults.up.delay = Duration::from_millis(60));
    let watch = Stopwatch::start();
    assert_eq!(there_and_back(&link, b"x").unwrap(), b"x");
    assert!(watch.elapsed() >= Duration::from_millis(60), "{:?}", watch.elapsed());
    link.heal();
    link.change(|faults| faults.down.bytes_per_second = Some(100_000));
    let watch = Stopwatch::start();
    assert_eq!(there_and_back(&link, &[7; 10_000]).unwrap().len(), 10_000);
    assert!(watch.elapsed() >= Duration::from_millis(95), "{:?}", watch.elapsed());
}

#[test]
fn stalls_lose_nothing_and_take_their_time() {
    let link = Faulty::to(echo()).unwrap();
    link.change(|faults| faults.up.stall = Some((1_000, Duration::from_millis(10))));
    let watch = Stopwatch::start();
    assert_eq!(there_and_back(&link, &[7; 5_500]).unwrap(), [7; 5_500]);
    assert!(watch.elapsed() >= Duration::from_millis(50), "{:?}", watch.elapsed());
}

#[test]
fn a_reset_comes_after_exactly_so_many_bytes() {
    let link = Faulty::to(echo()).unwrap();
    link.change(|faults| faults.up.reset_after = Some(1_234));
    assert_eq!(there_and_back(&link, &[7; 100_000]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(link.passed(Direction::Up), 1_234);
}

#[test]
fn a_half_closed_way_ends_after_so_many_bytes_while_the_other_lives() {
    let link = Faulty::to(echo()).unwrap();
    link.change(|faults| faults.down.close_after = Some(10));
    assert_eq!(there_and_back(&link, &[7; 1_000]).unwrap(), [7; 10]);
    eventually_blocking("all of it went up", PATIENCE, || Ok((link.passed(Direction::Up) == 1_000).then_some(())))
        .unwrap();
}

#[test]
fn what_falls_into_a_black_hole_has_been_sent_and_not_passed() {
    let link = Faulty::to(echo()).unwrap();
    link.change(|faults| faults.up.black_hole = true);
    let mut stream = connect(&link);
    stream.write_all(b"a secret").unwrap();
    eventually_blocking("it was sent", PATIENCE, || Ok((link.sent(Direction::Up) == 8).then_some(()))).unwrap();
    assert_eq!(link.passed(Direction::Up), 0);
    assert!(link.carried(Direction::Up, b"secret").unwrap());
}

#[test]
fn a_parted_link_is_silent_and_goes_on_where_it_stopped() {
    let link = Faulty::to(echo()).unwrap();
    let mut stream = connect(&link);
    let mut back = [0];
    stream.write_all(b"a").unwrap();
    stream.read_exact(&mut back).unwrap();
    link.part(true);
    stream.write_all(b"b").unwrap();
    eventually_blocking("it was sent", PATIENCE, || Ok((link.sent(Direction::Up) == 2).then_some(()))).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(30))).unwrap();
    assert_eq!(stream.read(&mut back).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(link.passed(Direction::Up), 1);
    link.part(false);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"b");
}

#[test]
fn a_refusing_link_resets_who_connects() {
    let link = Faulty::to(echo()).unwrap();
    link.change(|faults| faults.refusing = true);
    let mut stream = connect(&link);
    let fault = stream.write_all(b"x").and_then(|()| stream.read_exact(&mut [0])).unwrap_err();
    assert!(matches!(fault.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{fault}");
    assert_eq!((link.connections(), link.sent(Direction::Up)), (1, 0));
}

#[test]
fn connections_end_with_the_link() {
    let link = Faulty::to(echo()).unwrap();
    let mut stream = connect(&link);
    stream.write_all(b"a").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    drop(link);
    assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
}
