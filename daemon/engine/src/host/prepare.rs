//! The two threads that decode payloads, away from the reader and the lanes.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::buffers::Buffers;
use super::clock;
use super::errand::{self, Errand};
use super::lane::told;
use super::memfd::Packer;
use super::memory::Given;
use super::model::Model;
use super::outbox::Outbox;
use super::store::Store;
use crate::fault::{chain, host_error, panicked};
use crate::media::{Kept, MediaError};
use crate::protocol::{Data, ErrorKind, FromHost, HostError, PIXELS, Part, Picture, Want};

const THREADS: usize = 2;
const MAX_WAITING: usize = 1024;

/// One payload to decode.
pub struct Job {
    pub id: u64,
    pub model: Arc<Model>,
    pub content_type: String,
    pub payload: Data,
    /// A line of the picture instead of the whole.
    pub part: Option<Part>,
    /// Hand out the picture as well.
    pub keep: bool,
    pub fds: Vec<OwnedFd>,
}

/// What these threads do.
enum Work {
    Prepare(Job),
    Errand(Errand),
}

#[derive(Default)]
struct Queue {
    jobs: Mutex<VecDeque<Work>>,
    arrived: Condvar,
}

/// The queue in front of the preparing threads.
pub struct Preparers {
    queue: Arc<Queue>,
    store: Arc<Store>,
    outbox: Outbox,
}

impl Preparers {
    /// Starts the threads.
    pub fn start(store: Arc<Store>, outbox: Outbox) -> std::io::Result<Preparers> {
        let queue = Arc::new(Queue::default());
        for number in 0..THREADS {
            let (queue, store, outbox) = (queue.clone(), store.clone(), outbox.clone());
            std::thread::Builder::new()
                .name(format!("prepare-{number}"))
                .spawn(move || serve(&queue, &store, &outbox))?;
        }
        Ok(Preparers { queue, store, outbox })
    }

    /// Takes a payload, or answers at once why not.
    pub fn submit(&self, job: Job) {
        let id = job.id;
        if let Err(error) = self.store.promise(id) {
            return self.refuse(id, error);
        }
        if let Err(error) = self.push(Work::Prepare(job)) {
            self.store.discard(id);
            self.refuse(id, error);
        }
    }

    /// Takes what is to be done for a server elsewhere, or answers at once why not.
    pub fn run(&self, errand: Errand) {
        let refusal = errand.what.refusal(errand.ticket);
        if let Err(error) = self.push(Work::Errand(errand)) {
            self.outbox.send(&refusal(error), &[]);
        }
    }

    fn push(&self, work: Work) -> Result<(), HostError> {
        let mut jobs = self.queue.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if jobs.len() >= MAX_WAITING {
            return Err(host_error(ErrorKind::Full, format!("{MAX_WAITING} payloads wait to be decoded")));
        }
        jobs.push_back(work);
        drop(jobs);
        self.queue.arrived.notify_one();
        Ok(())
    }

    fn refuse(&self, id: u64, error: HostError) {
        self.outbox.send(&FromHost::Prepared { id, result: Err(error), took_ns: 0, picture: None }, &[]);
    }
}

fn serve(queue: &Queue, store: &Store, outbox: &Outbox) {
    loop {
        let mut jobs = queue.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let work = loop {
            match jobs.pop_front() {
                Some(work) => break work,
                None => jobs = queue.arrived.wait(jobs).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(jobs);
        let job = match work {
            Work::Prepare(job) => job,
            Work::Errand(errand) => {
                errand::run(errand, outbox);
                continue;
            }
        };
        let (id, start) = (job.id, clock::now_ns());
        let mut kept = None;
        let result = catch_unwind(AssertUnwindSafe(|| prepare(job, store, &mut kept)));
        let result = result.unwrap_or_else(|panic| Err(host_error(ErrorKind::Runtime, panicked(panic.as_ref()))));
        if result.is_err() {
            store.discard(id);
        }
        let mut packer = Packer::default();
        let picture = kept.filter(|_| result.is_ok()).and_then(|kept| match packer.pack(&kept.rgb, Want::Sealed) {
            Ok(data) => Some(Picture { width: kept.width, height: kept.height, data }),
            Err(error) => {
                // Its parts will be decoded again, each for itself.
                outbox.note(chain(&error));
                None
            }
        });
        let said = FromHost::Prepared { id, result, took_ns: clock::since_ns(start), picture };
        outbox.send(&said, &packer.fds());
    }
}

fn prepare(job: Job, store: &Store, kept: &mut Option<Kept>) -> Result<u32, HostError> {
    if !store.wants(job.id) {
        return Err(told());
    }
    let Some(recipe) = &job.model.recipe else {
        return Err(host_error(ErrorKind::InvalidInput, "the model takes tensors only, no encoded payload"));
    };
    // A picture that this host or another one has decoded is no payload of a caller: it was bounded when it came.
    let most = if job.content_type == PIXELS { u64::MAX } else { job.model.payload_bytes };
    let payload = Given::of(job.payload, &job.fds, most).and_then(|given| given.fetch(&mut Buffers::default()));
    let payload = payload.map_err(|error| error.into_host_error("payload"))?;
    let prepared = match &job.part {
        Some(part) => recipe.prepare_part(&job.content_type, &payload, part),
        None if job.keep => recipe.prepare_and_keep(&job.content_type, &payload).map(|(prepared, cost, picture)| {
            *kept = Some(picture);
            (prepared, cost)
        }),
        None => recipe.prepare(&job.content_type, &payload),
    };
    let (prepared, cost) = prepared.map_err(MediaError::into_host_error)?;
    drop(payload);
    if let Some(shape) = recipe.shape(&prepared) {
        job.model.check_shape(0, &shape)?;
    }
    store.keep(job.id, prepared)?;
    Ok(cost.max(1))
}
