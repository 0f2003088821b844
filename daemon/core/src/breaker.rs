//! Decides whether a site may be asked now, from how its last answers were. Must not know what is asked, what the site is,
//! or where else a request could go.
//!
//! ```text
//!                 failures in a row, failures by rate, a credential refused
//!   Passing ──────────────────────────────────────────────────────────────► Tripped { until }
//!      ▲                                                                      │        ▲
//!      │                                                  the pause is over:  │        │ the probe failed, was lost,
//!      │                                                   one probe is sent  ▼        │ or was told to come later
//!      └──────────────── the probe was answered ───────────────────────── Probing { since }
//! ```
//!
//! **Why these two counts.** A site that is gone fails every time: failures *in a row* show that after a handful, however
//! much traffic there was before. A site that is half broken (one of two servers behind its address) hardly ever fails
//! five times in a row: for that there is the *rate* over the last half minute, which says nothing below a minimum count,
//! because one failure of two is no rate. The window is of time and not of requests, so that what a quiet site did an hour
//! ago does not count.
//!
//! A site that says it is busy is well: it is held for as long as it asks, within bounds, and nothing counts as a failure.
//! Answers to requests that were sent before the site tripped change nothing: only the probe closes.

use crate::units::{Mono, Span};

/// Weight of failures in a row at which a site trips.
const ROW: u32 = 5;
/// The window of the rate, in slots: a slot is dropped as a whole, so the window is 27 to 30 s long.
const SLOTS: usize = 10;
const SLOT: Span = Span::from_millis(3_000);
/// Answers in the window before the rate says anything. Of a site that fails 5% of the time, 10 of 20 failing is a one in
/// a hundred million event; 3 of 6 would be one in 450.
const LEAST: u32 = 20;
/// A site trips when at least one answer in so many fails: where half fails, another place is better.
const RATE: u32 = 2;
/// The first pause is at most so long, the longest at most that long; each is twice the one before.
const PAUSE_FIRST: Span = Span::from_millis(1_000);
const PAUSE_MOST: Span = Span::from_millis(60_000);
/// The jitter never makes a pause shorter than this: a site that refuses at once is not to be asked in a tight loop.
const PAUSE_LEAST: Span = Span::from_millis(250);
/// A site that passed for so long since it was closed starts again with the first pause; one that flaps does not.
const STEADY: Span = Span::from_millis(60_000);
/// The pause after a refused credential: only somebody who renews it ends that, see [`Breaker::renewed`].
const CREDENTIAL: Span = Span::from_millis(300_000);
/// A probe without an answer for so long counts as failed.
const PROBE_LOST: Span = Span::from_millis(30_000);
/// How long a busy site is held: if it does not say, at least, at most.
const HOLD_UNSAID: Span = Span::from_millis(1_000);
const HOLD_LEAST: Span = Span::from_millis(100);
const HOLD_MOST: Span = Span::from_millis(600_000);

/// In what way a site failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection: refused, reset, no name, no route, a certificate that does not hold.
    Unreachable,
    /// No whole answer in the time there was.
    TimedOut,
    /// An answer that says that the server failed.
    Server,
    /// An answer that is none: half a body, not what the protocol says, too large.
    Garbage,
    /// The site takes no more now, and may say for how long.
    Busy {
        /// What it said.
        retry_after: Option<Span>,
    },
    /// The site does not accept the credential.
    Credential,
}

impl Failure {
    /// The word used on every surface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Failure::Unreachable => "unreachable",
            Failure::TimedOut => "timed_out",
            Failure::Server => "server_error",
            Failure::Garbage => "garbage",
            Failure::Busy { .. } => "busy",
            Failure::Credential => "credential",
        }
    }

    /// How much it weighs in a row. Without a connection there is no doubt about whose fault it is; a time-out may be a
    /// deadline that was short.
    const fn weight(self) -> u32 {
        match self {
            Failure::Unreachable => 2,
            Failure::TimedOut | Failure::Server | Failure::Garbage => 1,
            Failure::Busy { .. } => 0,
            Failure::Credential => ROW,
        }
    }
}

/// In which state the gate is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Requests pass.
    #[default]
    Passing,
    /// Nothing passes before `until`; then one probe.
    Tripped {
        /// The end of the pause.
        until: Mono,
        /// How often it tripped in a row, this time included.
        times: u8,
    },
    /// One probe is under way, and nothing else passes.
    Probing {
        /// When it was sent. Its result has to name that.
        since: Mono,
        /// How often it tripped in a row.
        times: u8,
    },
}

impl State {
    /// The word used on every surface.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Passing => "passing",
            State::Tripped { .. } => "tripped",
            State::Probing { .. } => "probing",
        }
    }
}

/// May a request go to the site now?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// It may.
    Yes,
    /// It may, alone, as the probe: its result goes to [`Breaker::probed`] with this time.
    Probe {
        /// Names the probe.
        since: Mono,
    },
    /// It may not.
    No {
        /// Not before then. While a probe is under way: when that is given up.
        until: Mono,
    },
}

/// What moves the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    /// The counts say that it must trip, for so long.
    Trip(Span),
    /// A request wants to pass.
    Asked,
    /// The probe was answered.
    ProbePassed,
    /// The probe was not answered well; pause for so long. The flag: as often in a row as before.
    ProbeFailed(Span, bool),
    /// What held it was repaired.
    Renewed,
}

/// The one transition. `times` is how often it tripped before, if it passes now.
fn next(state: State, input: Input, times: u8, now: Mono) -> State {
    match (state, input) {
        (State::Passing, Input::Trip(pause)) => {
            State::Tripped { until: pause.from(now), times: times.saturating_add(1) }
        }
        (State::Tripped { until, times }, Input::Asked) if until <= now => State::Probing { since: now, times },
        (State::Probing { .. }, Input::ProbePassed) => State::Passing,
        (State::Probing { times, .. }, Input::ProbeFailed(pause, same)) => {
            State::Tripped { until: pause.from(now), times: times.saturating_add(u8::from(!same)) }
        }
        (State::Tripped { times, .. }, Input::Renewed) => State::Tripped { until: now, times },
        (unmoved, _) => unmoved,
    }
}

/// Answers of one slot of the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Slot {
    number: u64,
    answers: u32,
    failed: u32,
}

/// The gate of one site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    state: State,
    slots: [Slot; SLOTS],
    /// Weight of the failures since the last success.
    row: u32,
    /// Busy until then.
    held: Mono,
    /// When it was closed last, and how often it had tripped by then.
    closed: Mono,
    times: u8,
    cause: Option<Failure>,
}

impl Breaker {
    /// Whether a request could pass, without sending it: for choosing among sites.
    pub fn look(&self, now: Mono) -> Gate {
        let held = |gate| if self.held > now { Gate::No { until: self.held } } else { gate };
        match self.state {
            State::Passing => held(Gate::Yes),
            State::Tripped { until, .. } if until <= now => held(Gate::Probe { since: now }),
            State::Tripped { until, .. } => Gate::No { until },
            State::Probing { since, .. } => Gate::No { until: PROBE_LOST.from(since) },
        }
    }

    /// Whether the request that is about to be sent may pass. [`Gate::Probe`] is said once; until its result is known, or
    /// it is lost, nothing else passes. `jitter` as in [`Breaker::failed`].
    pub fn may_pass(&mut self, now: Mono, jitter: u64) -> Gate {
        if let State::Probing { since, .. } = self.state
            && Span::between(since, now) >= PROBE_LOST
        {
            self.probed(now, since, Err(Failure::TimedOut), jitter);
        }
        let gate = self.look(now);
        if matches!(gate, Gate::Probe { .. }) {
            self.state = next(self.state, Input::Asked, self.times, now);
        }
        gate
    }

    /// A request that was no probe was answered. A refusal of the request itself (its fault, not the site's) is an answer.
    pub fn succeeded(&mut self, now: Mono) {
        if self.state == State::Passing {
            self.row = 0;
            let slot = self.slot(now);
            slot.answers = slot.answers.saturating_add(1);
        }
    }

    /// A request that was no probe failed. `jitter` is any number that differs from box to box (of the request's id and the
    /// box's name, say): it spreads the end of the pause, so that boxes that lost a site together do not come back together.
    pub fn failed(&mut self, now: Mono, failure: Failure, jitter: u64) {
        if let Failure::Busy { retry_after } = failure {
            self.held = self.held.max(hold(retry_after).from(now));
            return;
        }
        if self.state != State::Passing {
            return;
        }
        self.cause = Some(failure);
        self.row = self.row.saturating_add(failure.weight());
        let slot = self.slot(now);
        (slot.answers, slot.failed) = (slot.answers.saturating_add(1), slot.failed.saturating_add(1));
        let (answers, failed) = self.window(now);
        if self.row >= ROW || (answers >= LEAST && failed.saturating_mul(RATE) >= answers) {
            if Span::between(self.closed, now) >= STEADY {
                self.times = 0;
            }
            self.state = next(self.state, Input::Trip(pause(failure, self.times, jitter)), self.times, now);
        }
    }

    /// The result of the probe that was sent at `since`. That of one that was given up, or of none, changes nothing.
    pub fn probed(&mut self, now: Mono, since: Mono, result: Result<(), Failure>, jitter: u64) {
        let State::Probing { since: awaited, times } = self.state else { return };
        if awaited != since {
            return;
        }
        let input = match result {
            Ok(()) => Input::ProbePassed,
            Err(Failure::Busy { retry_after }) => Input::ProbeFailed(hold(retry_after), true),
            Err(failure) => {
                self.cause = Some(failure);
                Input::ProbeFailed(pause(failure, times, jitter), false)
            }
        };
        self.state = next(self.state, input, times, now);
        if self.state == State::Passing {
            // What is in the window is of the time before.
            *self = Breaker { held: self.held, closed: now, times, ..Breaker::default() };
        }
    }

    /// The operator renewed the credential or repaired the site: the pause ends, and the next request probes.
    pub fn renewed(&mut self, now: Mono) {
        self.held = Mono::default();
        self.state = next(self.state, Input::Renewed, self.times, now);
    }

    /// The state, for status.
    pub fn state(&self) -> State {
        self.state
    }

    /// The last failure that counted, as long as it may be why the site is not passing.
    pub fn cause(&self) -> Option<Failure> {
        self.cause
    }

    /// Until when the site asked not to be asked.
    pub fn held(&self, now: Mono) -> Option<Mono> {
        (self.held > now).then_some(self.held)
    }

    fn slot(&mut self, now: Mono) -> &mut Slot {
        let number = number(now);
        let slot = &mut self.slots[place(number)];
        if slot.number != number {
            *slot = Slot { number, ..Slot::default() };
        }
        slot
    }

    /// Answers and failures of the window.
    fn window(&self, now: Mono) -> (u32, u32) {
        let number = number(now);
        let recent = self.slots.iter().filter(|slot| number.saturating_sub(slot.number) < SLOTS as u64);
        recent.fold((0, 0), |(answers, failed), slot| {
            (slot.answers.saturating_add(answers), slot.failed.saturating_add(failed))
        })
    }
}

fn number(now: Mono) -> u64 {
    now.as_nanos() / SLOT.as_nanos()
}

fn place(number: u64) -> usize {
    usize::try_from(number % SLOTS as u64).unwrap_or(0)
}

/// How long a busy site is held.
fn hold(retry_after: Option<Span>) -> Span {
    retry_after.unwrap_or(HOLD_UNSAID).clamp(HOLD_LEAST, HOLD_MOST)
}

/// A pause after `times` others: evenly spread between the least and its bound ("full jitter"), which of all simple rules
/// spreads those who come back best.
fn pause(failure: Failure, times: u8, jitter: u64) -> Span {
    if failure == Failure::Credential {
        return CREDENTIAL;
    }
    let bound = PAUSE_FIRST.times(1_u64.checked_shl(u32::from(times)).unwrap_or(u64::MAX)).min(PAUSE_MOST);
    let room = bound.minus(PAUSE_LEAST).as_nanos();
    PAUSE_LEAST.plus(Span::from_nanos(jitter % room.saturating_add(1)))
}

#[cfg(test)]
mod tests;
