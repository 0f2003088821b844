//! The thread of pulls: one at a time, the others wait in the order in which they came.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use tokio::sync::mpsc;

use super::part::Wish;
use super::work::{self, Setup};
use super::{Ask, Event, Failed, Pulled};

/// A pull that runs.
struct Running {
    id: u64,
    work: Pin<Box<dyn Future<Output = Result<Pulled, String>>>>,
}

/// Carries out what is asked, until nobody asks any more.
pub async fn run(setup: Setup, mut asks: mpsc::Receiver<Ask>, out: mpsc::Sender<Event>) {
    let setup = Rc::new(setup);
    // Bounded by the driver, who counts the pulls that it asks for.
    let mut waiting: VecDeque<(u64, Wish)> = VecDeque::new();
    let mut running: Option<Running> = None;
    loop {
        if running.is_none()
            && let Some((id, wish)) = waiting.pop_front()
        {
            running = Some(begin(&setup, id, wish, &out));
        }
        tokio::select! {
            ask = asks.recv() => match ask {
                Some(Ask::Pull { id, wish }) => {
                    if running.is_some() {
                        let text = "waiting for the pulls before it".to_owned();
                        // It is told again when it begins.
                        drop(out.try_send(Event::Phase { id, text, percent: None }));
                    }
                    waiting.push_back((id, *wish));
                }
                Some(Ask::Cancel { id }) => {
                    let known = waiting.iter().any(|(waits, _)| *waits == id) || running.as_ref().is_some_and(|now| now.id == id);
                    waiting.retain(|(waits, _)| *waits != id);
                    running = running.filter(|now| now.id != id);
                    if known && out.send(Event::Ended { id, result: Err(Failed::Cancelled) }).await.is_err() {
                        return;
                    }
                }
                Some(Ask::Installed { key, dir }) => installed(&setup, &key, dir),
                Some(Ask::Forget { key }) => setup.shelf.forget(&key),
                None => return,
            },
            (id, result) = next(&mut running) => {
                running = None;
                if out.send(Event::Ended { id, result: result.map_err(Failed::Why) }).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn begin(setup: &Rc<Setup>, id: u64, wish: Wish, out: &mpsc::Sender<Event>) -> Running {
    let (setup, out) = (Rc::clone(setup), out.clone());
    Running { id, work: Box::pin(async move { work::pull(&setup, id, &wish, &out).await }) }
}

/// The result of what runs; waits for ever where nothing does. Safe to cancel.
async fn next(running: &mut Option<Running>) -> (u64, Result<Pulled, String>) {
    match running {
        Some(Running { id, work }) => (*id, work.await),
        None => std::future::pending().await,
    }
}

/// The archive is not needed any more; that it is installed is.
fn installed(setup: &Setup, key: &str, dir: std::path::PathBuf) {
    match setup.shelf.mark_installed(key, dir) {
        Ok(()) => setup.shelf.drop_part(key),
        Err(error) => tracing::error!(%error, "that a pull is installed could not be noted"),
    }
}
