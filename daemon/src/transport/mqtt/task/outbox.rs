//! Between the outbox and its disk: carries out what the one wants of the other, and says what is wrong with either.

use edge_wire::dto::Problem;
use tokio::sync::mpsc;

use super::Task;
use crate::driver::chain;
use crate::ledger::outbox::{OutboxFile, Report};
use crate::transport::mqtt::outbox::Action;

/// Subject of its problems.
const SUBJECT: &str = "outbox";
/// Reports that wait for the loop.
const REPORTS: usize = 256;

/// The outbox's end of the disk.
pub struct Shelf {
    file: Option<OutboxFile>,
    pub(super) reports: mpsc::Receiver<Report>,
}

impl Shelf {
    /// Starts the thread; without one, messages wait in memory alone, which is said.
    pub fn start(path: &std::path::Path) -> (Shelf, Option<Problem>) {
        let (sender, reports) = mpsc::channel(REPORTS);
        match OutboxFile::start(path, sender) {
            Ok(file) => (Shelf { file: Some(file), reports }, None),
            Err(error) => (Shelf { file: None, reports }, Some(shut(&chain(&error), error.remedy()))),
        }
    }

    /// Writes down what is still to be written. Blocks on the disk: not for the loop.
    pub fn close(self) {
        if let Some(file) = self.file {
            file.close(self.reports);
        }
    }
}

impl Task {
    /// Carries out what the outbox wants.
    pub(super) fn act_outbox(&mut self, action: Action) {
        let now = self.clock.now();
        let outbox = self.session.outbox();
        let Some(file) = &self.ledger.shelf.file else { return };
        match action {
            Action::Write(head, content) => {
                let id = head.id;
                if file.write(head, content).is_err() {
                    outbox.failed(now, id);
                }
            }
            Action::Fetch(id) => {
                if file.fetch(id).is_err() {
                    outbox.fetched(now, id, None);
                }
            }
            Action::Remove(id) => {
                if let Err(why) = file.remove(id) {
                    // After a restart it would be sent again, which the protocol allows.
                    tracing::warn!(chunk = id, ?why, "the outbox cannot forget what was sent");
                }
            }
            // The session keeps these to itself.
            Action::Safe(_) => {}
        }
    }

    /// The disk spoke, perhaps more than once.
    pub(super) fn on_shelf(&mut self, first: Report) {
        let now = self.clock.now();
        let mut next = Some(first);
        while let Some(report) = next {
            self.shelf_said(now, report);
            next = self.ledger.shelf.reports.try_recv().ok();
        }
    }

    fn shelf_said(&mut self, now: edge_core::Mono, report: Report) {
        let now_ms = self.now_ms();
        let outbox = self.session.outbox();
        match report {
            Report::Opened { chunks, moved } => {
                if !chunks.is_empty() {
                    let messages: u64 = chunks.iter().map(|head| u64::from(head.messages)).sum();
                    tracing::info!(messages, "taking up the outbox");
                }
                outbox.opened(now, now_ms, chunks);
                self.speaker.clear_problem(SUBJECT);
                if let Some((aside, why)) = moved {
                    tracing::error!(%why, aside = %aside.display(), "the outbox was unreadable");
                    self.speaker.set_problem(Problem {
                        subject: "lost results".into(),
                        what: format!("the outbox was unreadable ({why}); it lies in {}", aside.display()),
                        remedy: "results and events that waited in it are lost; remove the file when it has been looked into"
                            .into(),
                    });
                }
            }
            Report::Shut(why) => self.speaker.set_problem(shut(&why.what, why.remedy)),
            Report::Written(id) => {
                outbox.written(id);
                self.speaker.clear_problem(SUBJECT);
            }
            Report::Failed(id, why) => {
                outbox.failed(now, id);
                self.speaker.set_problem(shut(&why, "make room on the disk of the state directory"));
            }
            Report::Removed(id) => outbox.removed(id),
            Report::Fetched(id, content) => {
                if content.is_none() {
                    tracing::error!(chunk = id, "messages in the outbox cannot be read and are lost");
                }
                outbox.fetched(now, id, content);
            }
        }
    }
}

fn shut(what: &str, remedy: &str) -> Problem {
    Problem {
        subject: SUBJECT.into(),
        what: format!("results and events that wait for the broker cannot be written to the disk: {what}"),
        remedy: format!("{remedy}; until then they wait in memory, and are lost if the daemon is killed"),
    }
}
