//! Requests that run in chunks of their rows: asks for each chunk as a request of its own, and puts the answers together. In how
//! many chunks a request runs, and what ends it, is the core's to say.

pub mod copies;
pub mod cut;
pub mod join;

use std::time::Duration;

use edge_core::{
    Bytes, ClassClaim, ClientId, Cost, DataClass, Event, Outcome, Priority, RequestId, RequestMeta, Rows, ShareId,
    Size, Terms, Work,
};
use edge_engine::protocol::HostError;

use self::copies::Copied;
use self::join::Join;
use super::Driver;
use super::entry::{Entry, MAX_STEPS, Place, once};
use super::trace::Step;
use crate::request::{Output, Payload};

/// What is kept of a request while its chunks run.
#[derive(Debug)]
pub struct Divided {
    rows: u32,
    size: Size,
    class: ClassClaim,
    /// The first row that was not asked for yet.
    next: u32,
    /// Chunks that were asked for in all.
    count: u32,
    /// Chunks that were asked for and are not part of the answer yet.
    open: usize,
    /// Rows that are part of the answer.
    joined: u32,
    join: Join,
    /// Providers and variants that ran, in order of appearance.
    providers: Vec<String>,
    variants: Vec<String>,
}

/// A request for a chunk.
#[derive(Clone, Copy, Debug)]
pub struct Chunk {
    parent: RequestId,
    rows: Rows,
}

impl Divided {
    fn new(entry: &Entry, size: Size) -> Divided {
        let first = match &entry.payload {
            Payload::Tensors(given) => given.first().and_then(|tensor| tensor.shape.first()).copied(),
            Payload::Encoded { .. } => None,
        };
        let rows = first.and_then(|rows| u32::try_from(rows).ok()).unwrap_or(0);
        let class = DataClass::from_word(&entry.info.data_class).map_or(ClassClaim::Unknown, ClassClaim::Claimed);
        Divided {
            rows,
            size,
            class,
            next: 0,
            count: 0,
            open: 0,
            joined: 0,
            join: Join::new(rows, entry.want),
            providers: Vec::new(),
            variants: Vec::new(),
        }
    }
}

impl Driver {
    /// What was not asked for yet of a request is asked for in chunks of this size.
    pub(super) fn divide(&mut self, id: RequestId, size: Size) {
        let most = self.config.policy.max_chunk;
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let rows = match &mut entry.place {
            Place::Divided(divided) => {
                divided.size = size;
                divided.rows - divided.next
            }
            Place::Single | Place::Parent(_) | Place::Child(_) | Place::Chunk(_) => {
                let divided = Divided::new(entry, size);
                let rows = divided.rows;
                entry.place = Place::Divided(Box::new(divided));
                rows
            }
        };
        if rows > 0 && entry.story.steps.len() < MAX_STEPS {
            entry.story.steps.push((self.now, Step::Divided { rows, size, most }));
        }
        self.ask_for_chunks(id);
    }

    /// Asks for as many chunks as may be open.
    fn ask_for_chunks(&mut self, id: RequestId) {
        let most = usize::from(self.config.policy.fan_out);
        loop {
            let Some(Entry { place: Place::Divided(divided), .. }) = self.entries.get_mut(&id) else { return };
            let left = divided.rows - divided.next;
            if left == 0 || divided.open >= most {
                return;
            }
            let rows = Rows { first: divided.next, count: divided.size.next(left) };
            divided.next += rows.count;
            divided.count += 1;
            divided.open += 1;
            self.ask_for_chunk(id, rows);
        }
    }

    fn ask_for_chunk(&mut self, parent: RequestId, rows: Rows) {
        let id = RequestId(self.next_id);
        self.next_id += 1;
        let Some(entry) = self.entries.get(&parent) else { return };
        let (Place::Divided(divided), Payload::Tensors(given)) = (&entry.place, &entry.payload) else { return };
        let Some(tensors) = cut::inputs(given, rows) else {
            return self.cannot_go_on(parent, format!("its tensors do not have the {}", words(rows)));
        };
        let meta = RequestMeta {
            id,
            parent: Some(parent),
            // These, for which model, and until when and how urgently, are the parent's: the core sees to that.
            client: ClientId::default(),
            share: ShareId::default(),
            priority: Priority::Normal,
            deadline: None,
            deaths: 0,
            model: entry.setup,
            class: divided.class,
            deferrable: false,
            bytes: Bytes(tensors.iter().map(|tensor| tensor.data.len()).sum()),
            origin: entry.story.caller.origin(),
            work: Work::Tensors,
            cost: Cost::new(rows.count),
            most_rows: None,
            terms: Terms::default(),
        };
        let payload = Payload::Tensors(tensors);
        let mut chunk = Entry::part_of(entry, self.now, entry.setup, payload, Place::Chunk(Chunk { parent, rows }));
        chunk.resolved.clone_from(&entry.resolved);
        self.entries.insert(id, chunk);
        self.core.handle(self.now, Event::Arrived(meta));
    }

    /// A chunk has ended: its answer becomes a part of the whole, or its failure is that of the whole.
    pub(super) fn chunk_settled(&mut self, chunk: Chunk, entry: Entry, outcome: Outcome) {
        let Chunk { parent, rows } = chunk;
        let way = self.models.get(entry.setup).map(|model| (model.provider.clone(), model.setup.variant.clone()));
        let Some(whole) = self.entries.get_mut(&parent) else { return };
        let Place::Divided(divided) = &mut whole.place else { return };
        whole.compute += entry.compute;
        whole.batch = whole.batch.max(entry.batch);
        whole.started = [whole.started, entry.started].into_iter().flatten().min();
        if let (true, Some((provider, variant))) = (outcome == Outcome::Done, way) {
            whole.setup = entry.setup;
            once(&mut divided.providers, provider);
            once(&mut divided.variants, variant);
        }
        for (at, step) in entry.story.steps {
            if let Step::Faulted { fault } = step
                && whole.story.steps.len() < MAX_STEPS
            {
                whole.story.steps.push((at, Step::ChunkFaulted { rows, fault }));
            }
        }
        match (outcome, entry.result) {
            (Outcome::Done, Some(Output::Tensors(tensors))) => match divided.join.take(rows, tensors) {
                Ok(copies) if copies.is_empty() => self.joined(parent, rows),
                Ok(copies) => self.copies.start(parent, rows, copies),
                Err(why) => self.cannot_go_on(parent, why),
            },
            (Outcome::Done, _) => self.cannot_go_on(parent, format!("{}: they gave no tensors", words(rows))),
            // What ended the whole ends its chunks first.
            (Outcome::Cancelled, _) => {}
            // The whole follows at once, by the same reason.
            (_, _) => {
                let told =
                    |error: HostError| HostError { message: format!("{}: {}", words(rows), error.message), ..error };
                whole.error = entry.error.map(told).or(whole.error.take());
            }
        }
    }

    /// The outputs of a chunk were copied beside the loop.
    pub(super) fn on_copied(&mut self, copied: Copied) {
        self.now = self.clock.now();
        let Copied { parent, rows, result } = copied;
        match result {
            Ok(()) => self.joined(parent, rows),
            Err(why) => self.cannot_go_on(parent, format!("put the {} in their place: {why}", words(rows))),
        }
    }

    /// These rows are part of the answer: others follow, or it is complete.
    fn joined(&mut self, parent: RequestId, rows: Rows) {
        let Some(entry) = self.entries.get_mut(&parent) else { return };
        let Place::Divided(divided) = &mut entry.place else { return };
        divided.open = divided.open.saturating_sub(1);
        divided.joined += rows.count;
        if divided.joined < divided.rows {
            return self.ask_for_chunks(parent);
        }
        let join = std::mem::replace(&mut divided.join, Join::new(0, entry.want));
        match join.finish() {
            Ok(tensors) => {
                let took_us = u64::try_from(entry.compute.as_micros()).unwrap_or(u64::MAX);
                entry.story.steps.push((self.now, Step::RanInChunks { count: divided.count, took_us }));
                entry.result = Some(Output::Tensors(tensors));
                self.core.handle(self.now, Event::Finished { id: parent, result: Ok(()) });
            }
            Err(why) => self.cannot_go_on(parent, why),
        }
    }

    /// What a request that ran in chunks is told besides: all that ran it.
    pub(super) fn finish_divided(&mut self, entry: &mut Entry, ok: bool) {
        let Place::Divided(divided) = &entry.place else { return };
        if ok {
            entry.info.provider = divided.providers.join(", ");
            entry.info.variant = divided.variants.join(", ");
        }
    }
}

/// What a chunk took of the model's time, in a batch with others.
pub(super) fn share(place: &Place, took: Duration, batch: u32) -> Duration {
    match place {
        // Its siblings are told their own shares, and the whole the sum.
        Place::Chunk(_) => took / batch.max(1),
        Place::Single | Place::Parent(_) | Place::Child(_) | Place::Divided(_) => took,
    }
}

/// `rows 16 to 31`, counted from 0 as the shape is.
pub(super) fn words(rows: Rows) -> String {
    match rows.count {
        0 | 1 => format!("row {}", rows.first),
        count => format!("rows {} to {}", rows.first, u64::from(rows.first) + u64::from(count) - 1),
    }
}
