//! Requests that come in parts: pipelines and divided requests, as a driver asks for their children.

use std::collections::VecDeque;

use super::World;
use crate::chunks::Size;
use crate::event::Event;
use crate::id::{ModelId, RequestId};
use crate::request::RequestMeta;
use crate::stages::Stages;
use crate::units::Cost;

/// A pipeline request on its way: what it still asks of its stages, and how much of the present one is open.
#[derive(Clone, Debug)]
pub(super) struct Gathering {
    pub meta: RequestMeta,
    pub stages: VecDeque<(ModelId, u16)>,
    pub open: u16,
}

/// A divided request on its way.
#[derive(Clone, Debug)]
pub(super) struct Divided {
    pub meta: RequestMeta,
    pub size: Size,
    /// Rows that were not asked for yet.
    pub left: u32,
    pub open: u16,
}

impl World {
    /// A request for a pipeline comes in, which asks this many requests of each of these models, one model after the other.
    pub fn arrive_in_stages(&mut self, meta: RequestMeta, stages: &[(ModelId, u16)]) {
        let models: Vec<ModelId> = stages.iter().map(|(model, _)| *model).collect();
        let Some(named) = Stages::new(&models) else { return };
        self.requests.insert(meta.id, meta.clone());
        let stages = stages.iter().copied().collect();
        self.gathering.insert(meta.id, Gathering { meta: meta.clone(), stages, open: 0 });
        self.feed(Event::ParentArrived { meta, stages: named, default_deadline: None });
    }

    /// The next children of a pipeline request whose open ones are all done, or its result.
    pub(super) fn go_on(&mut self, parent: RequestId) {
        let Some(gathering) = self.gathering.get_mut(&parent).filter(|gathering| gathering.open == 0) else { return };
        while let Some((model, count)) = gathering.stages.pop_front() {
            gathering.open = count;
            for _ in 0..count {
                self.children += 1;
                let id = RequestId(self.children);
                let meta = RequestMeta { id, parent: Some(parent), model, ..gathering.meta.clone() };
                self.requests.insert(id, meta.clone());
                self.later.push_back(Event::Arrived(meta));
            }
            if count > 0 {
                return;
            }
        }
        self.later.push_back(Event::Finished { id: parent, result: Ok(()) });
    }

    /// As many chunks as may be open, or the result if all are done. What is odd about the whole is odd about its last chunk.
    pub(super) fn ask_for_chunks(&mut self, parent: RequestId) {
        let Some(divided) = self.divided.get_mut(&parent) else { return };
        while divided.open < self.fan_out && divided.left > 0 {
            let rows = divided.size.next(divided.left);
            divided.left -= rows;
            divided.open += 1;
            self.children += 1;
            let id = RequestId(self.children);
            if divided.left == 0 {
                for odd in [&mut self.poison, &mut self.endless, &mut self.faulty] {
                    if odd.contains(&parent) {
                        odd.insert(id);
                    }
                }
            }
            let cost = Cost::new(rows);
            let meta = RequestMeta { id, parent: Some(parent), cost, ..divided.meta.clone() };
            self.requests.insert(id, meta.clone());
            self.later.push_back(Event::Arrived(meta));
        }
        if divided.open == 0 {
            self.later.push_back(Event::Finished { id: parent, result: Ok(()) });
        }
    }
}
