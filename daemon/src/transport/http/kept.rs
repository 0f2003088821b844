//! The last scrape, for whoever asks soon after: however many ask, the loop is asked a few times a second at most, and the text is
//! made once.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use edge_core::Mono;
use tokio::sync::Mutex;

use super::metrics::{self, Around, Form};
use super::places::Places;
use super::traffic::Traffic;
use crate::driver::clock::Clock;
use crate::handle::{Handle, Message, Scrape};

/// So long a scrape is the same for everybody.
const FRESH: Duration = Duration::from_millis(250);
/// A loop that has not answered by then is not waited for: it turns many times in this time, or is stuck.
const PATIENCE: Duration = Duration::from_secs(2);

/// What was scraped, and the texts that were made of it.
#[derive(Debug)]
struct Last {
    at: Mono,
    around: Around,
    scrape: Arc<Scrape>,
    texts: [Option<Bytes>; Form::ALL.len()],
}

/// The way to the loop.
#[derive(Debug)]
pub struct Kept {
    handle: Handle,
    clock: Clock,
    last: Mutex<Option<Last>>,
}

impl Kept {
    pub fn new(handle: Handle, clock: Clock) -> Kept {
        Kept { handle, clock, last: Mutex::default() }
    }

    /// The state as it is now, or was a moment ago; `None` if the loop does not answer.
    pub async fn scrape(&self, places: &Places, traffic: &Traffic) -> Option<Arc<Scrape>> {
        let mut last = self.last.lock().await;
        Some(self.fresh(&mut last, places, traffic).await?.scrape.clone())
    }

    /// The same as text.
    pub async fn text(&self, form: Form, places: &Places, traffic: &Traffic) -> Option<Bytes> {
        let mut last = self.last.lock().await;
        let last = self.fresh(&mut last, places, traffic).await?;
        let place = Form::ALL.iter().position(|known| *known == form)?;
        if let Some(text) = last.texts.get(place).cloned().flatten() {
            return Some(text);
        }
        let text = metrics::text(&last.scrape, &last.around, form).map(Bytes::from);
        let text = text.inspect_err(|error| tracing::error!(%error, "write the metrics")).ok()?;
        if let Some(kept) = last.texts.get_mut(place) {
            *kept = Some(text.clone());
        }
        Some(text)
    }

    async fn fresh<'a>(&self, last: &'a mut Option<Last>, places: &Places, traffic: &Traffic) -> Option<&'a mut Last> {
        let asked = self.clock.now();
        if last.as_ref().is_none_or(|last| asked.since(last.at) >= FRESH) {
            let ask = self.handle.ask(|done| Message::Scrape { done });
            let scrape = tokio::time::timeout(PATIENCE, ask).await.ok()?.ok()?;
            let at = self.clock.now();
            let waited = at.since(asked).saturating_sub(scrape.took);
            let around = Around { waited, places: places.counted(), answered: traffic.counted() };
            *last = Some(Last { at, around, scrape: Arc::new(*scrape), texts: [const { None }; _] });
        }
        last.as_mut()
    }
}

#[cfg(test)]
mod tests {
    use edge_wire::dto::Status;
    use tokio::sync::{mpsc, watch};

    use super::*;

    fn kept() -> (Kept, mpsc::Receiver<Message>) {
        let (inbox, messages) = mpsc::channel(8);
        let (_status, watcher) = watch::channel(Arc::new(Status::default()));
        (Kept::new(Handle::new(inbox, watcher), Clock::start()), messages)
    }

    #[tokio::test(start_paused = true)]
    async fn the_loop_is_asked_once_for_many_and_again_when_time_has_passed() {
        let (kept, mut messages) = kept();
        let asked = tokio::spawn(async move {
            let mut asked = 0;
            while let Some(Message::Scrape { done }) = messages.recv().await {
                asked += 1;
                done.send(Box::default()).unwrap();
            }
            asked
        });
        let (places, traffic) = (Places::new(4), Traffic::default());
        for _ in 0..10 {
            assert!(kept.text(Form::OpenMetrics, &places, &traffic).await.is_some());
            assert!(kept.text(Form::Prometheus, &places, &traffic).await.is_some());
            assert!(kept.scrape(&places, &traffic).await.is_some());
        }
        tokio::time::advance(FRESH).await;
        assert!(kept.scrape(&places, &traffic).await.is_some());
        drop(kept);
        assert_eq!(asked.await.unwrap(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_does_not_answer_is_not_waited_for() {
        let (kept, _messages) = kept();
        assert!(kept.scrape(&Places::new(4), &Traffic::default()).await.is_none());
    }
}
