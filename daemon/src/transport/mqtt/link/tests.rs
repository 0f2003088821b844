use tokio::io::{DuplexStream, duplex, split};
use tokio::time::advance;

use super::*;
use crate::config::MqttProtocol;
use crate::transport::mqtt::packet::Qos;

const KEEP_ALIVE: Duration = Duration::from_secs(20);
const PONG: [u8; 2] = [0xD0, 0];
const PINGREQ: u8 = 0xC0;

/// A link over one end of a pipe, and what the transport has of it.
struct Under {
    far: DuplexStream,
    packets: mpsc::Sender<ToBroker>,
    _received: mpsc::Receiver<FromBroker>,
    told: watch::Receiver<Told>,
    task: JoinHandle<Result<(), LinkError>>,
    clock: Clock,
}

/// A link whose pipe holds so many bytes.
fn under(bytes: usize) -> Under {
    let (near, far) = duplex(bytes);
    let (packets, to_send) = mpsc::channel(TO_SEND);
    let (sender, received) = mpsc::channel(RECEIVED);
    let (tell, told) = watch::channel(Told::default());
    let clock = Clock::start();
    let task = tokio::spawn(async move {
        let (reader, writer) = split(near);
        let ends = Ends { to_send, received: sender, told: tell, clock };
        Wire::new(Codec::new(MqttProtocol::V5, 1 << 20)).forward(reader, writer, ends, KEEP_ALIVE).await
    });
    Under { far, packets, _received: received, told, task, clock }
}

fn message(bytes: usize) -> ToBroker {
    let message = crate::transport::mqtt::packet::Outbound {
        topic: "t".into(),
        payload: Bytes::from(vec![0; bytes]),
        qos: Qos::AtMostOnce,
        content_type: "text/plain".into(),
        ..Default::default()
    };
    ToBroker::Publish { packet_id: 0, again: false, message }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_goes_silent_is_noticed_within_five_quarters_of_a_keep_alive() {
    let Under { mut far, packets, _received, told, task, clock } = under(1 << 16);
    // It answers for three minutes, a second late each time, and then swallows everything.
    let lived_until = clock.now().after(Duration::from_secs(180));
    let mut heard = clock.now();
    let mut buffer = [0; 64];
    let silent = async {
        loop {
            let read = far.read(&mut buffer).await.unwrap_or_default();
            if read == 0 {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            if clock.now() < lived_until && buffer[..read].contains(&PINGREQ) {
                heard = clock.now();
                far.write_all(&PONG).await.unwrap();
            }
        }
    };
    let ended = tokio::select! {
        ended = task => ended.unwrap(),
        () = silent => unreachable!("it has no end"),
    };
    assert!(matches!(ended, Err(LinkError::Dead(Dead::Silent(_)))), "{ended:?}");
    let noticed_after = clock.now().since(heard);
    assert!(noticed_after <= KEEP_ALIVE * 5 / 4 && clock.now() > lived_until, "{noticed_after:?}");
    assert_eq!(told.borrow().ping_us, Some(1_000_000));
    drop(packets);
}

#[tokio::test(start_paused = true)]
async fn a_full_window_hides_a_dead_link_from_nobody() {
    for says_something in [false, true] {
        let Under { mut far, packets, _received, told: _told, task, clock } = under(1 << 10);
        let began = clock.now();
        packets.send(message(100_000)).await.unwrap();
        // It never reads. Perhaps it goes on speaking, as one does whose way back alone is broken.
        let speak = async {
            loop {
                tokio::time::sleep(Duration::from_secs(2)).await;
                if says_something {
                    far.write_all(&PONG).await.unwrap();
                }
            }
        };
        let ended = tokio::select! {
            ended = task => ended.unwrap(),
            () = speak => unreachable!("it has no end"),
        };
        match (ended, says_something) {
            (Err(LinkError::Dead(Dead::Silent(_))), false) | (Err(LinkError::Dead(Dead::Stuck(_))), true) => {}
            (other, _) => panic!("{other:?}"),
        }
        assert!(clock.now().since(began) <= KEEP_ALIVE * 3 / 2, "{:?}", clock.now().since(began));
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_line_on_which_bytes_move_is_alive() {
    let Under { mut far, packets, _received, told: _told, task, clock: _clock } = under(1 << 10);
    packets.send(message(100_000)).await.unwrap();
    let mut taken = 0;
    let mut buffer = [0; 1024];
    while taken < 100_000 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        taken += far.read(&mut buffer).await.unwrap();
    }
    assert!(!task.is_finished(), "100 s went by, five keep-alives");
}

#[tokio::test(start_paused = true)]
async fn pings_are_sent_while_there_is_always_something_to_read() {
    let Under { far, packets, _received, told: _told, task, clock } = under(1 << 12);
    let (mut from_link, mut to_link) = split(far);
    let flood = tokio::spawn(async move { while to_link.write_all(&PONG.repeat(2048)).await.is_ok() {} });
    let pings = tokio::spawn(async move {
        let (mut count, mut buffer) = (0, [0; 64]);
        while let Ok(read @ 1..) = from_link.read(&mut buffer).await {
            count += buffer[..read].iter().filter(|byte| **byte == PINGREQ).count();
        }
        count
    });
    let began = clock.now();
    while clock.now().since(began) < KEEP_ALIVE * 10 {
        advance(Duration::from_millis(500)).await;
        tokio::task::yield_now().await;
    }
    packets.send(ToBroker::Disconnect).await.unwrap();
    task.await.unwrap().unwrap();
    flood.abort();
    let pings = pings.await.unwrap();
    assert!((19..=21).contains(&pings), "{pings} pings in ten keep-alives");
}

#[tokio::test(start_paused = true)]
async fn what_was_handed_over_is_sent_when_the_connection_is_left_without_a_good_bye() {
    let Under { mut far, packets, _received, told: _told, task, clock: _clock } = under(1 << 16);
    packets.send(message(10)).await.unwrap();
    packets.send(ToBroker::PubAck(7)).await.unwrap();
    drop(packets);
    task.await.unwrap().unwrap();
    let mut all = Vec::new();
    far.read_to_end(&mut all).await.unwrap();
    assert_eq!(all.first(), Some(&0x30));
    assert!(all.ends_with(&[0x40, 2, 0, 7]) || all.ends_with(&[0x40, 3, 0, 7, 0]), "{all:?}");
}
