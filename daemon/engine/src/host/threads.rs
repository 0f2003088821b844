//! Which threads give way to which: those that load a model to those that serve. On a box with two cores a version that is loaded
//! beside the one that serves would otherwise take half of it from whoever is asking.
//!
//! A thread's priority is passed on to the threads that it starts, and without a privilege no thread gets it back. So the lanes of a
//! loaded model and the runtime's own threads of its sessions are started by a thread that never gave way.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use ort::environment::ThreadManager;

/// Of -20 to 19; a thread of this one gets about a thirtieth of a core that another one wants, and all of one that nobody wants.
const NICE: libc::c_int = 15;
/// Orders that wait: those of all loaders at once.
const WAITING: usize = 64;

type Work = Box<dyn FnOnce() + Send>;

struct Order {
    name: String,
    work: Work,
    done: SyncSender<io::Result<JoinHandle<()>>>,
}

/// Starts threads that do not give way, whoever asks for them.
#[derive(Clone, Debug)]
pub struct Starter(SyncSender<Order>);

impl Starter {
    /// Call it before anything gives way. Its thread ends with the last clone.
    pub fn start() -> io::Result<Starter> {
        let (orders, received) = sync_channel(WAITING);
        std::thread::Builder::new().name("starter".into()).spawn(move || serve(&received))?;
        Ok(Starter(orders))
    }

    /// Starts a thread.
    pub fn spawn(&self, name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
        let (done, started) = sync_channel(1);
        let gone = || io::Error::other("the thread that starts threads is gone");
        let order = Order { name: name.to_owned(), work: Box::new(work), done };
        self.0.send(order).map_err(|_| gone())?;
        started.recv().map_err(|_| gone())?
    }
}

fn serve(orders: &Receiver<Order>) {
    while let Ok(Order { name, work, done }) = orders.recv() {
        // Whoever asked waits for it.
        drop(done.send(std::thread::Builder::new().name(name).spawn(work)));
    }
}

impl ThreadManager for Starter {
    type Thread = JoinHandle<()>;

    fn create(&self, work: impl FnOnce() + Send + 'static) -> ort::Result<JoinHandle<()>> {
        self.spawn("runtime", work).map_err(|error| ort::Error::new(format!("start a thread: {error}")))
    }

    fn join(thread: JoinHandle<()>) -> ort::Result<()> {
        thread.join().map_err(|_| ort::Error::new("a thread of the runtime panicked"))
    }
}

/// The calling thread gives way to all others from now on. An error leaves it as it is.
pub fn give_way() -> io::Result<()> {
    // SAFETY: the call changes a number of the calling thread and touches no memory.
    match unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn niceness() -> libc::c_int {
        // SAFETY: the call reads a number of the calling thread.
        unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
    }

    #[test]
    fn what_a_thread_starts_that_gave_way_does_not_give_way() {
        let starter = Starter::start().unwrap();
        let usual = niceness();
        let gave_way = std::thread::spawn(move || {
            give_way().unwrap();
            let inherited = std::thread::spawn(niceness).join().unwrap();
            let (send, found) = sync_channel(1);
            let thread = starter.spawn("lane", move || send.send(niceness()).unwrap()).unwrap();
            Starter::join(thread).unwrap();
            (niceness(), inherited, found.recv().unwrap())
        });
        assert_eq!(gave_way.join().unwrap(), (NICE, NICE, usual));
    }
}
