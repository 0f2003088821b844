//! A link to a broker that keeps back or changes packets on the way from it, as a broker with a fault of its own does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What becomes of packets from the broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None,
    /// No acknowledgement of a message passes (PUBACK, PUBREC, PUBCOMP).
    Forgets,
    /// Each CONNACK says that there is no session, whatever there is.
    Amnesia,
}

/// A running link; connections through it end with the value.
#[derive(Debug)]
pub struct Tamper {
    port: u16,
    fault: watch::Sender<Fault>,
    /// Counts up; a connection of an earlier number ends.
    age: watch::Sender<u64>,
    kept_back: Arc<AtomicU64>,
}

impl Tamper {
    /// To `port` of the loopback.
    pub fn to(port: u16, fault: Fault) -> Result<Tamper> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).context("listen")?;
        listener.set_nonblocking(true)?;
        let own = listener.local_addr()?.port();
        let ((fault, told), (age, ages)) = (watch::channel(fault), watch::channel(0));
        let kept_back = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&kept_back);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("tamper".into()).spawn(move || {
            runtime.block_on(async {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                let mut gone = told.clone();
                loop {
                    let accepted = tokio::select! {
                        accepted = listener.accept() => accepted,
                        () = async { while gone.changed().await.is_ok() {} } => return,
                    };
                    let Ok((near, _)) = accepted else { return };
                    tokio::spawn(connection(near, port, told.clone(), ages.clone(), Arc::clone(&counted)));
                }
            });
        })?;
        Ok(Tamper { port: own, fault, age, kept_back })
    }

    /// Port on 127.0.0.1 that leads to the broker.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Changes what it does, from the next packet on.
    pub fn change(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// Ends every connection that there is.
    pub fn cut(&self) {
        self.age.send_modify(|age| *age += 1);
    }

    /// Packets that were kept back so far.
    pub fn kept_back(&self) -> u64 {
        self.kept_back.load(Ordering::SeqCst)
    }
}

async fn connection(
    mut near: TcpStream,
    port: u16,
    fault: watch::Receiver<Fault>,
    mut ages: watch::Receiver<u64>,
    kept_back: Arc<AtomicU64>,
) {
    let Ok(mut far) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    near.set_nodelay(true).ok();
    far.set_nodelay(true).ok();
    ages.mark_unchanged();
    let (mut near_read, near_write) = near.split();
    let (far_read, mut far_write) = far.split();
    tokio::select! {
        _ = tokio::io::copy(&mut near_read, &mut far_write) => {}
        _ = down(far_read, near_write, fault, &kept_back) => {}
        _ = ages.changed() => {}
    }
}

/// Passes on packet by packet.
async fn down(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    fault: watch::Receiver<Fault>,
    kept_back: &AtomicU64,
) -> std::io::Result<()> {
    loop {
        let mut packet = vec![from.read_u8().await?];
        let (mut rest, mut shift) = (0_usize, 0);
        loop {
            let byte = from.read_u8().await?;
            packet.push(byte);
            rest |= usize::from(byte & 0x7F) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let head = packet.len();
        packet.resize(head + rest, 0);
        from.read_exact(packet.get_mut(head..).unwrap_or_default()).await?;
        let kind = packet.first().map_or(0, |first| first >> 4);
        let now = *fault.borrow();
        match (now, kind) {
            (Fault::Forgets, 4 | 5 | 7) => {
                kept_back.fetch_add(1, Ordering::SeqCst);
                continue;
            }
            (Fault::Amnesia, 2) => {
                if let Some(flags) = packet.get_mut(head) {
                    *flags &= !1;
                }
            }
            _ => {}
        }
        to.write_all(&packet).await?;
    }
}
