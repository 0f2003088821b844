//! Keeps the transport running: an attempt that ends by a fault of its own is made again after a pause that grows.
//!
//! What a lost attempt had in hand is not lost: the broker delivers again what was not acknowledged, and what was is in
//! the journal, which counts the fault as a crash, so that a request that causes it twice is not run a third time.

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Pause before the first new attempt; doubles with each one.
const FIRST: Duration = Duration::from_secs(1);
/// Longest pause.
const LONGEST: Duration = Duration::from_secs(60);

/// Runs attempts until one ends in good order, or until an end is asked for while none runs.
///
/// `attempt` gets the number of faults so far; `told` gets each fault and the pause that follows.
pub async fn supervise<S, F>(
    mut stop: watch::Receiver<Option<S>>,
    mut attempt: impl FnMut(u32) -> F,
    mut told: impl FnMut(&str, Duration),
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut faults = 0;
    loop {
        let running: JoinHandle<()> = tokio::spawn(attempt(faults));
        let why = match running.await {
            Ok(()) => return,
            Err(error) => error.to_string(),
        };
        let pause = FIRST.saturating_mul(1 << faults.min(10)).min(LONGEST);
        faults = faults.saturating_add(1);
        told(&why, pause);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            // An error means that nobody is left who could ask.
            _asked = stop.wait_for(Option::is_some) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_panics_is_made_again_after_a_pause_that_grows() {
        let (_keep, stop) = watch::channel(None::<()>);
        let mut pauses = Vec::new();
        let attempt = |faults| async move { assert!(faults >= 3, "fault {faults}") };
        supervise(stop, attempt, |why, pause| {
            assert!(why.contains("fault"), "{why}");
            pauses.push(pause.as_secs());
        })
        .await;
        assert_eq!(pauses, [1, 2, 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn no_new_attempt_is_made_once_an_end_is_asked_for() {
        let (ask, stop) = watch::channel(None::<()>);
        let attempts = Arc::new(AtomicU32::new(0));
        let counted = attempts.clone();
        let attempt = move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            async { panic!("fault") }
        };
        supervise(stop, attempt, |_, _| {
            ask.send_replace(Some(()));
        })
        .await;
        assert_eq!(attempts.load(Ordering::Relaxed), 1);
    }
}
