//! The thread of pulls: all of them are under way, one at a time asks the network. What fetches nothing (it waits to try again,
//! for a window, for its turn) keeps no other one from fetching. Lists of what the fleet is to have are small, and wait for none.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use tokio::sync::mpsc;

use super::part::Wish;
use super::work::{self, Setup};
use super::{Ask, Event, Failed, Pulled};
use crate::fleet::source::{Desired, look};

type Work<T> = Pin<Box<dyn Future<Output = T>>>;

/// A pull that is under way.
struct Running {
    id: u64,
    work: Work<Result<Pulled, String>>,
}

/// Carries out what is asked, until nobody asks any more.
pub async fn run(setup: Setup, mut asks: mpsc::Receiver<Ask>, out: mpsc::Sender<Event>) {
    let setup = Rc::new(setup);
    // Bounded by the driver, who counts the pulls that it asks for.
    let mut running: Vec<Running> = Vec::new();
    let mut looking: Option<Work<Desired>> = None;
    loop {
        tokio::select! {
            ask = asks.recv() => match ask {
                Some(Ask::Pull { id, wish }) => running.push(begin(&setup, id, *wish, &out)),
                Some(Ask::Cancel { id }) => {
                    let before = running.len();
                    running.retain(|now| now.id != id);
                    let known = running.len() < before;
                    if known && out.send(Event::Ended { id, result: Err(Failed::Cancelled) }).await.is_err() {
                        return;
                    }
                }
                Some(Ask::Installed { key, dir }) => installed(&setup, &key, dir),
                Some(Ask::Forget { key }) => setup.shelf.forget(&key),
                Some(Ask::Look) => {
                    // What lies on the box holds at once, however long a server takes.
                    if out.send(Event::Known(Box::new(setup.fleet.known()))).await.is_err() {
                        return;
                    }
                    let setup = Rc::clone(&setup);
                    looking = Some(Box::pin(async move { look(&setup.fleet, &setup.config).await }));
                }
                None => return,
            },
            (id, result) = next(&mut running) => {
                running.retain(|now| now.id != id);
                if out.send(Event::Ended { id, result: result.map_err(Failed::Why) }).await.is_err() {
                    return;
                }
            }
            desired = seen(&mut looking) => {
                looking = None;
                if out.send(Event::Desired(Box::new(desired))).await.is_err() {
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

/// The result of the first that has one; waits for ever where nothing runs. Safe to cancel.
async fn next(running: &mut [Running]) -> (u64, Result<Pulled, String>) {
    poll_fn(|context| {
        for now in running.iter_mut() {
            if let Poll::Ready(result) = now.work.as_mut().poll(context) {
                return Poll::Ready((now.id, result));
            }
        }
        Poll::Pending
    })
    .await
}

/// What the lists say; waits for ever where nobody looks. Safe to cancel.
async fn seen(looking: &mut Option<Work<Desired>>) -> Desired {
    match looking {
        Some(work) => work.await,
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
