//! One pull from begin to end: sources are asked in turn, what is there is resumed, what comes is held against what was promised
//! while it comes, and after a failure it goes on as [`Course`] says.

use std::time::Duration;

use edge_core::Mono;
use edge_core::pull::course::{Course, Fault, Next};
use edge_core::pull::pace::Pace;
use edge_core::pull::speed::Speed;
use reqwest::Response;
use reqwest::header::{HeaderMap, HeaderValue, IF_RANGE, RANGE};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};

use super::address::{Address, Source, host, shown};
use super::client::{Client, now, refused, stalled};
use super::gate::{EVERY, Gate};
use super::part::{Part, Shelf, State, Wish, boot, promised};
use super::registry::Repository;
use super::transfer::{Coming, Known, Seen, coming};
use super::trouble::{Trouble, of_error};
use super::words::{amount, percent, progress, span};
use super::{Event, Pulled};
use crate::config::{ModelsConfig, PullConfig};
use crate::driver::chain;
use crate::driver::clock::{self, Clock};
use crate::fleet::source::Places;
use crate::store::{archive, install};

/// How often it is told how far a pull is.
const TOLD_EVERY: Duration = Duration::from_millis(250);
/// First look at manifest and signature, bytes; then after twice as many.
const FIRST_LOOK: u64 = 1 << 10;
/// Manifest and signature are within these, or it is no bundle; bytes.
const MOST_HEAD: u64 = 4 << 20;
/// A content that changes more often while it is fetched is not to be had.
const MOST_CHANGES: u32 = 3;

/// What every pull works with.
#[derive(Debug)]
pub struct Setup {
    pub config: PullConfig,
    pub models: ModelsConfig,
    pub shelf: Shelf,
    pub clock: Clock,
    /// Where it is said what this box is to have.
    pub fleet: Places,
    /// Whose turn it is to ask the network.
    pub turn: Semaphore,
}

/// Fetches one bundle; an error says what was tried and what to do.
pub async fn pull(setup: &Setup, id: u64, wish: &Wish, out: &mpsc::Sender<Event>) -> Result<Pulled, String> {
    let address = Address::parse(&wish.url)?;
    let failed =
        |error: std::io::Error| format!("keep what comes in `pulls` of the state directory: {error}{}", remedy(&error));
    let mut state = setup.shelf.state(wish);
    if let Some(dir) = state.installed.clone().filter(|dir| dir.exists()) {
        return Ok(Pulled::There(dir));
    }
    state.sha256 = state.sha256.or_else(|| promised(&address));
    let part = setup.shelf.part(&state).map_err(failed)?;
    (state.boot, state.safe) = (boot(), part.len());
    setup.shelf.keep(&state).map_err(failed)?;
    let client = Client::new(&setup.config).map_err(why)?;
    let sources = address.sources(&setup.config.mirrors);
    let now = setup.clock.now();
    let mut pull = Pull {
        setup,
        id,
        out,
        address,
        course: Course::new(now, sources.len(), setup.config.give_up_after),
        best: part.len(),
        state,
        part,
        gate: Gate::default(),
        pace: Pace::new(setup.config.bytes_per_second),
        speed: Speed::default(),
        changes: 0,
        judged: false,
        look_at: FIRST_LOOK,
        told: None,
        asked: now,
    };
    pull.run(&client, &sources).await
}

fn why(trouble: Trouble) -> String {
    match trouble {
        Trouble::Source { why, .. } | Trouble::NoTls(why) | Trouble::End(why) => why,
        Trouble::Held => "it may not be pulled now".into(),
    }
}

fn disk(error: std::io::Error) -> Trouble {
    Trouble::end(format!("write what comes: {error}{}", remedy(&error)))
}

/// What to do against an error of the disk, if that is known.
fn remedy(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ": make room, and pull it again",
        _ => "",
    }
}

struct Pull<'s> {
    setup: &'s Setup,
    id: u64,
    out: &'s mpsc::Sender<Event>,
    address: Address,
    state: State,
    part: Part,
    course: Course,
    gate: Gate,
    pace: Pace,
    speed: Speed,
    /// Most bytes that were there.
    best: u64,
    /// How often the content changed.
    changes: u32,
    /// Manifest and signature were found good.
    judged: bool,
    look_at: u64,
    told: Option<Mono>,
    /// When it was asked whether it may go on.
    asked: Mono,
}

impl<'s> Pull<'s> {
    async fn run(&mut self, client: &Client, sources: &[Source]) -> Result<Pulled, String> {
        let mut said: Vec<String> = vec![String::new(); sources.len()];
        // Whether a server without TLS was found, and what the last one said.
        let (mut plain, mut last) = (false, Fault::Lasting);
        loop {
            self.wait_until_open().await;
            let at = self.course.at();
            let Some(source) = sources.get(at) else { return Err("there is no place to pull it from".into()) };
            let done = match source.fallback && !plain {
                false => {
                    let turn = self.turn().await?;
                    let done = self.attempt(client, source).await;
                    drop(turn);
                    done
                }
                // What the same server said by TLS holds.
                true => Err(Trouble::Source { why: String::new(), fault: last }),
            };
            let (text, fault) = match done {
                Ok(pulled) => return Ok(pulled),
                Err(Trouble::Held) => continue,
                Err(Trouble::End(why)) => return Err(why),
                Err(Trouble::NoTls(why)) => {
                    plain = true;
                    (why, Fault::Lasting)
                }
                Err(Trouble::Source { why, fault }) => (why, fault),
            };
            last = fault;
            let text = if text.is_empty() { all(&said) } else { text };
            tracing::warn!(job = self.id, source = %shown(&source.url), why = %text, there = self.part.len(), "pull");
            if let Some(place) = said.get_mut(at) {
                place.clone_from(&text);
            }
            self.speed.restart();
            let now = self.setup.clock.now();
            match self.course.failed(now, fault, now.as_nanos() / 1024) {
                Next::Try(_) => {}
                Next::Wait(_, pause) => {
                    self.tell(format!("waiting {} to try again: {text}", span(pause)), self.percent());
                    tokio::time::sleep(pause).await;
                }
                Next::Hopeless => return Err(all(&said)),
                Next::OutOfPatience => {
                    let patience = span(self.setup.config.give_up_after);
                    return Err(format!("given up after {patience} in which nothing new came: {}", all(&said)));
                }
            }
        }
    }

    /// Waits while it may not be pulled.
    async fn wait_until_open(&mut self) {
        while let Some((why, left)) = self.gate.closed(&self.setup.config).await {
            self.tell(why, self.percent());
            let rest = left.unwrap_or(EVERY).clamp(Duration::from_millis(100), EVERY);
            tokio::time::sleep(rest).await;
            self.course.rested(rest);
        }
        self.asked = self.setup.clock.now();
    }

    /// Waits until no other pull asks the network.
    async fn turn(&self) -> Result<SemaphorePermit<'s>, String> {
        let setup = self.setup;
        if let Ok(turn) = setup.turn.try_acquire() {
            return Ok(turn);
        }
        self.tell("waiting for the pulls before it".into(), self.percent());
        setup.turn.acquire().await.map_err(|error| format!("wait for the pulls before it: {error}"))
    }

    /// Asks one source for what is missing.
    async fn attempt(&mut self, client: &Client, source: &Source) -> Result<Pulled, Trouble> {
        let name = host(&source.url);
        let mut repository = match &self.address {
            Address::Artefact { .. } => Some(Repository::new(client, source.url.clone())),
            Address::File { .. } => None,
        };
        self.tell(format!("asking {name}"), self.percent());
        if let (Some(repository), Address::Artefact { reference, .. }) = (&mut repository, &self.address)
            && (self.state.sha256.is_none() || self.state.total.is_none())
        {
            let layer = repository.layer(reference).await?;
            (self.state.sha256, self.state.total) = (Some(layer.sha256), Some(layer.bytes));
            self.clear()?;
            self.keep()?;
        }
        let from = shown(&source.url);
        let same = self.state.from.as_deref() == Some(from.as_str());
        if self.part.len() > 0 && !same && self.state.sha256.is_none() {
            self.begin_again("another server is asked")?;
        }
        self.reserve_and_hash().await?;
        if self.state.total == Some(self.part.len()) && self.part.len() > 0 {
            return self.finish(&name);
        }
        let known = Known {
            have: self.part.len(),
            total: self.state.total,
            fixed: repository.is_some(),
            validator: self.state.validator.clone().filter(|_| same),
        };
        let headers = ask_for(&known)?;
        let (answer, shown) = match (&mut repository, &self.state.sha256) {
            (Some(repository), Some(sha256)) => repository.blob(sha256, &headers).await?,
            _ => client.get(&source.url, &headers, None).await?,
        };
        let seen = Seen::of(&answer);
        if !matches!(seen.status, 200 | 206 | 416) {
            return Err(refused(&name, &answer, shown.as_deref()));
        }
        match coming(&name, &seen, &known)? {
            Coming::Again(why) => {
                self.changed(&name, why)?;
                return Err(Trouble::passing(format!("{name}: {why}: it begins again")));
            }
            Coming::Whole { total, again } => {
                if let Some(why) = again {
                    self.begin_again(why)?;
                }
                if known.total.is_some_and(|before| before != total) {
                    self.changed(&name, "the content has changed there")?;
                }
                self.state.total = Some(total);
            }
            Coming::Rest => {}
        }
        (self.state.from, self.state.validator) = (Some(from), seen.validator);
        self.keep()?;
        self.reserve_and_hash().await?;
        if let Some(there) = self.stream(answer, &name).await? {
            return Ok(there);
        }
        self.finish(&name)
    }

    /// Takes what comes, until all of it is there. `Some` if its begin says that it need not come at all.
    async fn stream(&mut self, mut answer: Response, name: &str) -> Result<Option<Pulled>, Trouble> {
        let total = self.state.total.unwrap_or_default();
        loop {
            let chunk = tokio::time::timeout(self.setup.config.stall, answer.chunk()).await;
            let chunk = chunk.map_err(|_| stalled(name, self.setup.config.stall))?;
            let Some(chunk) = chunk.map_err(|error| self.broken(name, error, total))? else { break };
            let came = chunk.len() as u64;
            if self.part.len().saturating_add(came) > total {
                self.clear()?;
                return Err(Trouble::lasting(format!("{name} sends more than the {total} bytes that were announced")));
            }
            self.part.write(&chunk).map_err(disk)?;
            let now = self.setup.clock.now();
            if self.part.len() > self.best {
                self.best = self.part.len();
                self.course.progressed(now);
            }
            if !self.judged
                && self.part.len() >= self.look_at
                && let Some(there) = self.look(name)?
            {
                return Ok(Some(there));
            }
            if self.part.is_due() {
                self.state.safe = self.part.sync().map_err(disk)?;
                self.keep()?;
            }
            self.tell_progress(now, total);
            if now.since(self.asked) >= EVERY {
                self.asked = now;
                if self.gate.closed(&self.setup.config).await.is_some() {
                    return Err(Trouble::Held);
                }
            }
            let rest = self.pace.took(now, came);
            if !rest.is_zero() {
                tokio::time::sleep(rest).await;
            }
        }
        match self.part.len() == total {
            true => Ok(None),
            false => Err(Trouble::passing(format!("{name} ended after {} of {total} bytes", self.part.len()))),
        }
    }

    fn broken(&self, name: &str, error: reqwest::Error, total: u64) -> Trouble {
        match of_error(name, error, &now()) {
            Trouble::Source { why, fault } => Trouble::Source {
                why: format!("{why} (after {} of {})", amount(self.part.len()), amount(total)),
                fault,
            },
            other => other,
        }
    }

    /// Holds the whole against what was promised.
    fn finish(&mut self, name: &str) -> Result<Pulled, Trouble> {
        self.state.safe = self.part.sync().map_err(disk)?;
        self.keep()?;
        if let (Some(expected), Some(found)) = (&self.state.sha256, self.part.digest())
            && *expected != found
        {
            let why = format!("what {name} gives has sha256 {found}, and {expected} was promised: it is not taken");
            self.clear()?;
            return Err(Trouble::lasting(why));
        }
        if !self.judged
            && let Some(there) = self.look(name)?
        {
            return Ok(there);
        }
        self.part.handed_over().map(Pulled::Archive).map_err(disk)
    }

    /// Looks at manifest and signature, if they have come: a bundle that nobody trusted signed, or that there is no room for, is
    /// refused now and not at its end.
    fn look(&mut self, name: &str) -> Result<Option<Pulled>, Trouble> {
        let mut prefix = self.part.prefix();
        let judged = archive::peek(&mut prefix, |announced| {
            let label = format!("{}:{}", announced.manifest.name, announced.manifest.version);
            install::foresee(announced, &self.setup.models, clock::wall()).map(|there| (label, there))
        });
        let whole = self.state.total == Some(self.part.len());
        match judged {
            Ok(Ok((model, there))) => {
                self.judged = true;
                self.offer(Event::About { id: self.id, model });
                Ok(there.map(Pulled::There))
            }
            Ok(Err(error)) => Err(Trouble::end(chain(&error))),
            Err(_) if prefix.starved && !whole && self.part.len() < MOST_HEAD => {
                self.look_at = self.part.len().saturating_mul(2);
                Ok(None)
            }
            Err(error) => {
                let why = format!("what {name} gives is no .edgemodel: {}", chain(&error));
                self.clear()?;
                Err(Trouble::lasting(why))
            }
        }
    }

    /// Lets go of all that is there.
    fn clear(&mut self) -> Result<(), Trouble> {
        (self.judged, self.look_at) = (false, FIRST_LOOK);
        self.part.clear().map_err(disk)
    }

    /// What is there is of no use.
    fn begin_again(&mut self, why: &str) -> Result<(), Trouble> {
        tracing::warn!(job = self.id, why, lost = self.part.len(), "pull begins again");
        self.tell(format!("begins again: {why}"), Some(0));
        self.clear()?;
        (self.state.safe, self.state.validator) = (0, None);
        self.keep()
    }

    fn changed(&mut self, name: &str, why: &str) -> Result<(), Trouble> {
        self.changes += 1;
        self.begin_again(why)?;
        // What was there before was another content's.
        self.best = 0;
        if !matches!(self.address, Address::Artefact { .. }) {
            self.state.total = None;
        }
        match self.changes > MOST_CHANGES {
            true => Err(Trouble::lasting(format!("{name}: {why}, again and again: ask whoever runs it"))),
            false => Ok(()),
        }
    }

    async fn reserve_and_hash(&mut self) -> Result<(), Trouble> {
        if let Some(total) = self.state.total {
            self.part.reserve(total, &self.setup.models).map_err(Trouble::End)?;
        }
        if self.state.sha256.is_some() {
            while !self.part.hash_on().map_err(disk)? {
                self.tell("checking what is there".into(), None);
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    fn keep(&self) -> Result<(), Trouble> {
        self.setup.shelf.keep(&self.state).map_err(disk)
    }

    fn percent(&self) -> Option<u8> {
        self.state.total.map(|total| percent(self.part.len(), total))
    }

    fn tell_progress(&mut self, now: Mono, total: u64) {
        let bytes = self.part.len();
        self.speed.count(now, bytes);
        if self.told.is_some_and(|told| now.since(told) < TOLD_EVERY) {
            return;
        }
        self.told = Some(now);
        self.tell(progress(bytes, total, self.speed.per_second(now, bytes)), Some(percent(bytes, total).min(99)));
    }

    fn tell(&self, text: String, percent: Option<u8>) {
        self.offer(Event::Phase { id: self.id, text, percent });
    }

    /// Tells, unless too much waits: the next one says the same better.
    fn offer(&self, event: Event) {
        if self.out.try_send(event).is_err() {
            tracing::debug!(job = self.id, "nobody takes what is told of a pull");
        }
    }
}

/// The headers that ask for what is missing.
fn ask_for(known: &Known) -> Result<HeaderMap, Trouble> {
    let mut headers = HeaderMap::new();
    if known.have > 0 {
        let value = |text: &str| HeaderValue::from_str(text).map_err(|error| Trouble::end(error.to_string()));
        headers.insert(RANGE, value(&format!("bytes={}-", known.have))?);
        if let Some(validator) = &known.validator {
            headers.insert(IF_RANGE, value(validator)?);
        }
    }
    Ok(headers)
}

/// What the sources said, each once.
fn all(said: &[String]) -> String {
    let mut once: Vec<&str> = Vec::new();
    for text in said.iter().map(String::as_str).filter(|text| !text.is_empty()) {
        if !once.contains(&text) {
            once.push(text);
        }
    }
    once.join("; ")
}
