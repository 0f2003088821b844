//! What the engine host made of requests: preparations and outputs, handed to the core and kept for the reply.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use edge_core::{Cost, Event, Fault, HostId, LaneId, MemberResult, RequestId, Results};
use edge_engine::protocol::{Data, ErrorKind, HostError, MemberDone, Output as HostOutput, Picture};

use super::Driver;
use super::host::HostState;
use super::trace::Step;
use crate::request::{Blob, Output, TensorOut};

impl Driver {
    pub(super) fn prepared(
        &mut self,
        host: HostId,
        id: RequestId,
        result: Result<u32, HostError>,
        took_ns: u64,
        (picture, fds): (Option<Picture>, Vec<OwnedFd>),
    ) {
        if let Some(host) = self.hosts.get_mut(host) {
            host.has_prepared(id);
        }
        if let Some(picture) = picture {
            let fds: Vec<Arc<OwnedFd>> = fds.into_iter().map(Arc::new).collect();
            self.keep_picture(id, picture, &fds);
        }
        let took = Duration::from_nanos(took_ns);
        let result = match result {
            Ok(cost) => Ok(Cost::new(cost)),
            Err(error) => Err(self.note_error(id, error)),
        };
        if let Some(entry) = self.entries.get_mut(&id) {
            let took_us = took_ns / 1000;
            let step = match &result {
                Ok(cost) => Step::Prepared { cost: cost.units(), took_us },
                Err(fault) => Step::Faulted { fault: fault.as_str() },
            };
            entry.story.steps.push((self.now, step));
        }
        self.core.handle(self.now, Event::Prepared { id, result, took });
    }

    fn note_error(&mut self, id: RequestId, error: HostError) -> Fault {
        let fault = match error.kind {
            ErrorKind::InvalidInput => Fault::InvalidInput,
            ErrorKind::TooLarge => Fault::TooLarge,
            ErrorKind::Runtime => Fault::Runtime,
            ErrorKind::Full => Fault::Full,
            ErrorKind::Late => Fault::Late,
            ErrorKind::Stopped => Fault::Stopped,
        };
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.error = Some(error);
        }
        fault
    }

    pub(super) fn ran(
        &mut self,
        host: HostId,
        lane: LaneId,
        took_ns: u64,
        members: Vec<MemberDone>,
        fds: Vec<OwnedFd>,
    ) {
        let took = Duration::from_nanos(took_ns);
        let energy_mj = self.energy_of_member(took, members.len());
        if let Some(host) = self.hosts.get_mut(host) {
            host.has_run(lane);
        }
        let fds: Vec<Arc<OwnedFd>> = fds.into_iter().map(Arc::new).collect();
        let mut results = Results::new();
        for member in members {
            let id = RequestId(member.id);
            let result = match member.result {
                Ok(output) => self.take_output(id, output, &fds, (took, energy_mj)),
                Err(error) => Err(self.note_error(id, error)),
            };
            if let (Err(fault), Some(entry)) = (result, self.entries.get_mut(&id)) {
                entry.story.steps.push((self.now, Step::Faulted { fault: fault.as_str() }));
            }
            results.push(MemberResult { id, result });
        }
        self.watch_run(lane, &results);
        self.note_run(lane, &results);
        self.core.handle(self.now, Event::BatchDone { lane, took, results });
    }

    /// What the box took for one member of a batch that ran for so long, millijoules; 0 if no rail is read. What it takes
    /// now is shared among the batches that run now, and among the members of each.
    fn energy_of_member(&self, took: Duration, members: usize) -> f64 {
        let Some(meter) = &self.outside.power else { return 0.0 };
        let running = self.hosts.iter().map(HostState::running).sum::<usize>().max(1);
        let watts = Duration::from_millis(meter.taken().power_mw).as_secs_f64();
        let shares = u32::try_from(running.saturating_mul(members.max(1))).unwrap_or(u32::MAX);
        watts * took.as_secs_f64() * 1_000.0 / f64::from(shares)
    }

    fn take_output(
        &mut self,
        id: RequestId,
        output: HostOutput,
        fds: &[Arc<OwnedFd>],
        (took, energy_mj): (Duration, f64),
    ) -> Result<(), Fault> {
        // Settled meanwhile (cancelled): nobody wants the output.
        let Some(entry) = self.entries.get_mut(&id) else { return Ok(()) };
        entry.story.steps.push((self.now, Step::Ran { took_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX) }));
        entry.compute = super::chunks::share(&entry.place, took, entry.batch);
        entry.info.energy_mj = energy_mj;
        let converted = match output {
            HostOutput::Document(data) => document(data, fds).map(Output::Document),
            HostOutput::Tensors(tensors) => {
                match self.models.get(entry.setup).and_then(|model| Some((model, model.loaded.as_ref()?))) {
                    Some((model, loaded)) => tensors
                        .into_iter()
                        .map(|tensor| {
                            let at = usize::from(tensor.index);
                            let (name, spec) = (model.output_names.get(at)?, loaded.outputs.get(at)?);
                            let data = blob(tensor.data, fds)?;
                            Some(TensorOut { name: name.clone(), datatype: spec.datatype, shape: tensor.shape, data })
                        })
                        .collect::<Option<Vec<_>>>()
                        .map(Output::Tensors)
                        .ok_or_else(|| "an output without its descriptor".to_owned()),
                    None => Err("an output of an unknown model".to_owned()),
                }
            }
        };
        match converted {
            Ok(output) => {
                entry.result = Some(output);
                Ok(())
            }
            Err(message) => {
                entry.error = Some(HostError { kind: ErrorKind::Runtime, message });
                Err(Fault::Runtime)
            }
        }
    }
}

pub(super) fn blob(data: Data, fds: &[Arc<OwnedFd>]) -> Option<Blob> {
    match data {
        Data::Inline(bytes) => Some(Blob::Inline(bytes.into())),
        Data::Sealed { fd, offset, len } => Some(Blob::Sealed { fd: fds.get(usize::from(fd))?.clone(), offset, len }),
        Data::Unsealed { .. } => None,
    }
}

pub(super) fn document(data: Data, fds: &[impl AsFd]) -> Result<String, String> {
    let bytes = match data {
        Data::Inline(bytes) => bytes,
        Data::Sealed { fd, offset, len } => {
            let fd = fds.get(usize::from(fd)).ok_or("a document without its descriptor")?;
            read_all(fd, offset, len).map_err(|error| format!("read the document: {error}"))?
        }
        Data::Unsealed { .. } => return Err("an unsealed document".into()),
    };
    String::from_utf8(bytes).map_err(|error| format!("the document: {error}"))
}

pub(super) fn read_all(fd: impl AsFd, offset: u64, len: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(len).map_err(std::io::Error::other)?];
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match rustix::io::pread(&fd, rest, offset + done as u64)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => done += count,
        }
    }
    Ok(bytes)
}
