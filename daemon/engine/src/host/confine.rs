//! What the host gives up before it loads foreign code: the network, the bus, new privileges, core dumps. It dies with
//! the daemon and ignores the signals that a terminal or the init system sends to all processes of a service, because
//! only the daemon knows when its requests are finished.
//!
//! A driver of a graphics processor must be able to make a socket on which nobody can come: NVIDIA's does not start without
//! one (record 20). Hosts of other providers give that up too.

use std::collections::BTreeMap;

use rustix::process::{Resource, Rlimit, Signal};
use rustix::thread::UnshareFlags;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// Why the host cannot be confined; it does not start then.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    #[error("tie the engine host to its parent")]
    ParentDeath(#[source] std::io::Error),
    #[error("forbid core dumps")]
    CoreDumps(#[source] std::io::Error),
    #[error("build the system call filter")]
    Build(#[source] seccompiler::BackendError),
    #[error("set the system call filter")]
    Set(#[source] seccompiler::Error),
}

/// System calls by which a process gets at a network, a bus, or another process that has them.
const DENIED: [libc::c_long; 10] = [
    libc::SYS_connect,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_pidfd_getfd,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
];

/// System calls that make a socket on which others might come, if that could be accepted or connected.
const LISTENING: [libc::c_long; 3] = [libc::SYS_socket, libc::SYS_bind, libc::SYS_listen];

/// The low bits of a socket's type, beside its flags.
const TYPE_BITS: [u64; 4] = [1, 2, 4, 8];

/// Confines the calling process for good and returns what is worth a note. Call it before any thread is started.
pub fn confine() -> Result<Vec<String>, ConfineError> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|errno| ConfineError::ParentDeath(errno.into()))?;
    forbid_core_dumps()?;
    ignore_service_signals();
    let notes = own_network_namespace().err().into_iter().collect();
    apply(filter())?;
    Ok(notes)
}

/// Gives up, in all threads and for good, the sockets that only a graphics driver needs. Call it before foreign code is
/// loaded for another provider.
pub fn narrow() -> Result<(), ConfineError> {
    apply(denying(LISTENING.map(|call| (call, Vec::new())).into()))
}

fn apply(filter: Result<BpfProgram, seccompiler::BackendError>) -> Result<(), ConfineError> {
    let filter = filter.map_err(ConfineError::Build)?;
    seccompiler::apply_filter_all_threads(&filter).map_err(ConfineError::Set)
}

/// A limit of 1 and not 0: the kernel pipes a dump to a helper program at any limit but 1, and payloads are in memory.
fn forbid_core_dumps() -> Result<(), ConfineError> {
    let limit = Rlimit { current: Some(1), maximum: Some(1) };
    rustix::process::setrlimit(Resource::Core, limit).map_err(|errno| ConfineError::CoreDumps(errno.into()))
}

fn ignore_service_signals() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: SIG_IGN is a valid disposition and no handler of this process is replaced.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// An empty network namespace, where the host may have one. A service as it is installed may not, and the filter is the wall
/// (record 10); so a refusal is nothing that a log has to say again at each start.
fn own_network_namespace() -> Result<(), String> {
    // SAFETY: a new network namespace touches no memory, descriptor table or file system of this process.
    let result = unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) };
    match result {
        Ok(()) | Err(rustix::io::Errno::PERM) => Ok(()),
        Err(errno) => Err(format!(
            "no network namespace of its own ({errno}): the system call filter alone keeps the engine host off the network"
        )),
    }
}

/// What every host gives up. Of sockets those are left that can be named and listened on within the machine, one kind of
/// which a graphics driver makes; none can be connected, nobody can be accepted on one, and what was not connected carries
/// nothing.
fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let family = u64::try_from(libc::AF_UNIX).unwrap_or_default();
    let other_family = || SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, family);
    // A pair of unix sockets reaches nothing but itself; lanes get their channels that way. No other family may.
    let pairs = vec![SeccompRule::new(vec![other_family()?])?];
    // Packets in sequence cannot be sent to an address, unlike datagrams, and no bus or log listens for them.
    let packets = u64::try_from(libc::SOCK_SEQPACKET).unwrap_or_default();
    let mut sockets = vec![SeccompRule::new(vec![other_family()?])?];
    for bit in TYPE_BITS {
        let other = SeccompCmpOp::MaskedEq(bit);
        let wrong = SeccompCondition::new(1, SeccompCmpArgLen::Dword, other, !packets & bit)?;
        sockets.push(SeccompRule::new(vec![wrong])?);
    }
    let mut rules = BTreeMap::from([(libc::SYS_socketpair, pairs), (libc::SYS_socket, sockets)]);
    for call in DENIED {
        rules.insert(call, Vec::new());
    }
    // The x32 calls of the same kernel have the same numbers with this bit.
    #[cfg(target_arch = "x86_64")]
    for call in DENIED.into_iter().chain(LISTENING).chain([libc::SYS_socketpair]) {
        rules.insert(call | 0x4000_0000, Vec::new());
    }
    denying(rules)
}

/// Denies with EPERM, so that a library that tries sees an ordinary error.
fn denying(rules: BTreeMap<libc::c_long, Vec<SeccompRule>>) -> Result<BpfProgram, seccompiler::BackendError> {
    let deny = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    SeccompFilter::new(rules, SeccompAction::Allow, deny, std::env::consts::ARCH.try_into()?)?.try_into()
}
