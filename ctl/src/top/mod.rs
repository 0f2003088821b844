//! What `edgectl top` knows between two looks: the last status, the rates, the last minutes, and whether anybody answers.
//! Pure: the time is passed in, as milliseconds of a clock that never jumps.

pub mod rates;
pub mod trail;

use edge_wire::dto::Status;
use edge_wire::governor::GovernorPoint;

use self::rates::Rates;
use self::trail::Trail;

/// All that a frame shows.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The last status.
    pub status: Status,
    /// What became of the sums between the last two; `None` until there were two, and after a restart.
    pub rates: Option<Rates>,
    /// The last minutes.
    pub trail: Trail,
    /// Why nobody answers, and since when.
    pub lost: Option<(String, i64)>,
    /// Nothing new is shown.
    pub paused: bool,
    /// The line that explains the keys is shown.
    pub help: bool,
    /// When the frame is drawn.
    pub now_ms: i64,
}

impl View {
    /// Begins with a status and what the governor remembers.
    pub fn new(status: Status, history: &[GovernorPoint], now_ms: i64) -> View {
        let mut trail = Trail::remembered(history, now_ms);
        trail.add(now_ms, trail::point(&status, None));
        View { status, trail, now_ms, ..View::default() }
    }

    /// Takes over what was found, or why nothing was; nothing while it is paused.
    pub fn take(&mut self, found: Result<Status, String>, now_ms: i64) {
        if self.paused {
            return;
        }
        self.now_ms = now_ms;
        match found {
            Ok(status) => {
                // The daemon publishes a few times a second; the same record twice has no rates of its own.
                if (status.pid, status.uptime_ms) != (self.status.pid, self.status.uptime_ms) {
                    self.rates = rates::between(&self.status, &status);
                }
                self.trail.add(now_ms, trail::point(&status, self.rates.as_ref()));
                self.status = status;
                self.lost = None;
            }
            Err(why) => {
                let since = self.lost.take().map_or(now_ms, |(_, since)| since);
                self.lost = Some((why, since));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(pid: u32, uptime_ms: u64, done: u64) -> Status {
        let counters = edge_wire::dto::Counters { done, ..Default::default() };
        Status { pid, uptime_ms, counters, ..Status::default() }
    }

    #[test]
    fn a_daemon_that_goes_and_comes_back_is_followed() {
        let mut view = View::new(status(1, 1000, 0), &[], 0);
        view.take(Ok(status(1, 2000, 8)), 1000);
        assert_eq!(view.rates.as_ref().unwrap().done_per_s, 8.0);
        view.take(Err("gone".into()), 2000);
        view.take(Err("still gone".into()), 3000);
        assert_eq!(view.lost, Some(("still gone".into(), 2000)), "since the first time");
        assert_eq!(view.status.uptime_ms, 2000, "what was known is still shown");
        view.take(Ok(status(2, 100, 0)), 4000);
        assert_eq!((view.lost.clone(), view.rates.clone(), view.status.pid), (None, None, 2));
    }

    #[test]
    fn the_same_record_twice_leaves_the_rates_as_they_were() {
        let mut view = View::new(status(1, 1000, 0), &[], 0);
        view.take(Ok(status(1, 2000, 8)), 1000);
        view.take(Ok(status(1, 2000, 8)), 1200);
        assert_eq!(view.rates.as_ref().unwrap().done_per_s, 8.0);
    }

    #[test]
    fn nothing_moves_while_it_is_paused_and_the_rates_span_the_pause() {
        let mut view = View::new(status(1, 1000, 0), &[], 0);
        view.paused = true;
        view.take(Ok(status(1, 2000, 8)), 1000);
        assert_eq!((view.status.uptime_ms, view.now_ms), (1000, 0));
        view.paused = false;
        view.take(Ok(status(1, 3000, 20)), 2000);
        assert_eq!(view.rates.as_ref().unwrap().done_per_s, 10.0);
    }
}
