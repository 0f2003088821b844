//! The daemon from start to exit: puts the parts together, says when it is ready, drains when told to stop.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use edge_wire::dto::Status;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::cache::Keeper;
use crate::config::Config;
use crate::driver::clock::{self, Clock};
use crate::driver::sites::siblings;
use crate::driver::{Driver, INBOX, Milestone, Outside, ReadConfig};
use crate::handle::{Handle, Message};
use crate::ledger::records::{self, Records};
use crate::ledger::spool::{self, Spool};
use crate::pull::Puller;
use crate::service;
use crate::service::power_mode::{self, Setter};
use crate::service::restarts::Restarts;
use crate::store::{self, Found};
use crate::telemetry::gpu::Gpus;
use crate::telemetry::hailort::{self, Hailo};
use crate::telemetry::machines::{self, Board, Machine, MachineError};
use crate::telemetry::rail::{Meter, Rail};
use crate::telemetry::{self, Sampler, Watch};
use crate::transport::dbus::{self, Bus, BusError};
use crate::transport::http;
use crate::transport::mqtt::{self, Setup};
use crate::transport::sparkplug::{self, News};
use crate::uplink::Uplink;

/// What a daemon that ends for a fault gives the broker to take what is said already, and what one whose drain took too
/// long gives itself to say so.
const FAREWELL: Duration = Duration::from_millis(500);

/// What the command line adds to the configuration.
pub struct Options {
    /// Simulated engine, models and answers.
    pub simulated: bool,
    /// A simulated machine that is read instead of this one.
    pub machine: Option<&'static Board>,
    /// Below which directory the machine's `/sys` is read.
    pub root: PathBuf,
    /// Reads the configuration again.
    pub reload: ReadConfig,
}

/// Why the daemon ended other than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("serve on the bus")]
    Bus(#[source] BusError),
    #[error("listen for signals")]
    Signals(#[source] std::io::Error),
    #[error("find the program to start engine hosts with")]
    Program(#[source] std::io::Error),
    #[error("start the thread that takes readings")]
    Telemetry(#[source] std::io::Error),
    #[error(transparent)]
    Machine(MachineError),
    #[error("the driver stopped: {0}")]
    Driver(String),
}

impl RunError {
    /// Exit code of the daemon, as its manual page lists them.
    pub fn exit_code(&self) -> u8 {
        match self {
            RunError::Bus(_) => 3,
            RunError::Signals(_)
            | RunError::Program(_)
            | RunError::Telemetry(_)
            | RunError::Machine(_)
            | RunError::Driver(_) => 1,
        }
    }
}

/// Runs until told to stop, after the pause that bad ends before this start ask for.
pub async fn run(config: Config, options: Options) -> Result<(), RunError> {
    // First: none that comes from here on is lost.
    let signals = Signals::listen().map_err(RunError::Signals)?;
    let restarts = service::begin();
    let ended = run_after(restarts.as_ref(), signals, config, options).await;
    if let (Some(restarts), Ok(())) = (restarts, &ended) {
        service::end_well(restarts);
    }
    ended
}

async fn run_after(
    restarts: Option<&Restarts>,
    mut signals: Signals,
    config: Config,
    options: Options,
) -> Result<(), RunError> {
    let mut read_again = false;
    if let Some(restarts) = restarts {
        tokio::select! {
            () = service::pause(restarts) => {}
            told = signals.next() => match told {
                Told::Stop => return Ok(()),
                // Somebody is there and changed something: no reason to wait any longer.
                Told::Reload => read_again = true,
            },
        }
    }
    let (inbox, receiver) = mpsc::channel(INBOX);
    let (status, watcher) = watch::channel(Arc::new(Status { state: "starting".into(), ..Status::default() }));
    let (milestones, mut reached) = mpsc::channel(8);
    let handle = Handle::new(inbox, watcher);

    let clock = Clock::start();
    // Its files go when this ends, whichever way.
    let machine = options.machine.map(|board| Machine::start(board, &config.runtime_dir)).transpose();
    let machine = machine.map_err(RunError::Machine)?;
    let mode = ask_power_mode(&config, &options, machine.as_ref()).await;
    let (mode, mode_fault) = match mode {
        Ok(mode) => (mode, None),
        Err(why) => (None, Some(why)),
    };
    let mut outside = outside(&config, options, machine.as_ref(), receiver, status, milestones, clock)?;
    outside.power_mode_fault = mode_fault;
    let (siblings, orders) = mpsc::channel(siblings::WAITING);
    outside.siblings = config.mqtt.is_some().then_some(siblings);
    let driver = tokio::spawn(Driver::new(config.clone(), outside, clock).run());
    if read_again {
        drop(tokio::spawn(reload(handle.clone())));
    }
    let bus = dbus::serve(handle.clone(), &config.bus, &config.limits).await.map_err(RunError::Bus)?;
    bus.own_name().await.map_err(RunError::Bus)?;
    let mut http = http::spawn(http::Setup {
        config: config.http.clone(),
        runtime_dir: config.runtime_dir.clone(),
        handle: handle.clone(),
        clock,
    });
    let (news, told) = mpsc::channel(sparkplug::NEWS);
    let mqtt = config.mqtt.clone().map(|mqtt| {
        mqtt::spawn(Setup {
            config: mqtt,
            bindings: config.bindings.clone(),
            node: config.node.clone(),
            handle: handle.clone(),
            clock,
            wall: clock::wall,
            state_dir: config.state_dir.clone(),
            runtime_dir: config.runtime_dir.clone(),
            telemetry_interval: config.telemetry_interval,
            orders: Arc::new(tokio::sync::Mutex::new(orders)),
            news: config.sparkplug.is_some().then(|| news.clone()),
        })
    });
    for binding in &config.bindings {
        // There is room: the configuration has fewer bindings than that.
        if news.try_send(News::Declared(binding.name.clone())).is_err() {
            tracing::warn!(binding = %binding.name, "no room to declare a binding to SCADA hosts");
        }
    }
    drop(news);
    let edge_node = edge_node(&config, &handle, clock, told);
    if let Some(http) = &mut http {
        http.tried().await;
    }
    tracing::info!(node = %config.node, name = edge_wire::names::BUS_NAME, "serving on the bus");

    let result = serve(&handle, &mut signals, &mut reached, &bus, driver).await;
    service::notify(&[NotifyState::Stopping]);
    let told_to = result.is_ok();
    // Together: the broker gets the answers that the drain still gives. After a fault there are none to wait for, and
    // the sooner this process ends, the sooner another one serves.
    let limit = if told_to { config.drain_limit } else { FAREWELL };
    let broker = async {
        if let Some(mqtt) = mqtt {
            mqtt.stop(limit).await;
        }
    };
    let driver = async {
        if told_to {
            drain(&handle, &mut signals, &mut reached, config.drain_limit).await;
        }
    };
    tokio::join!(driver, broker);
    // Last, so that hosts see the drain.
    if let Some(edge_node) = edge_node {
        edge_node.stop().await;
    }
    bus.close().await;
    if let Some(http) = http {
        http.stop().await;
    }
    if let Some(asked) = mode
        && let Err(error) = asked.restore().await
    {
        tracing::error!(error = %crate::driver::chain(&error), "put the power mode back");
    }
    result
}

/// This box as an edge node for SCADA hosts, where that is set up.
fn edge_node(
    config: &Config,
    handle: &Handle,
    clock: Clock,
    news: mpsc::Receiver<News>,
) -> Option<sparkplug::Sparkplug> {
    let (sparkplug, mqtt) = (config.sparkplug.clone()?, config.mqtt.clone()?);
    Some(sparkplug::spawn(sparkplug::Setup {
        config: sparkplug,
        mqtt,
        handle: handle.clone(),
        clock,
        wall: clock::wall,
        state_dir: config.state_dir.clone(),
        news: Arc::new(tokio::sync::Mutex::new(news)),
    }))
}

async fn serve(
    handle: &Handle,
    signals: &mut Signals,
    reached: &mut mpsc::Receiver<Milestone>,
    bus: &Bus,
    mut driver: tokio::task::JoinHandle<()>,
) -> Result<(), RunError> {
    let mut states = handle.watch();
    let mut told = String::new();
    loop {
        tokio::select! {
            Some(milestone) = reached.recv() => if milestone == Milestone::Warm {
                // As it is now: what was published last is from before.
                if let Ok(status) = handle.ask(|done| Message::Status { done }).await {
                    told = line(&status);
                }
                service::notify(&[NotifyState::Ready, NotifyState::Status(&told)]);
                tracing::info!("ready");
            },
            Ok(()) = states.changed() => {
                let now = line(&states.borrow_and_update().clone());
                if now != told {
                    service::notify(&[NotifyState::Status(&now)]);
                    told = now;
                }
            }
            told = signals.next() => match told {
                Told::Stop => return Ok(()),
                // Not waited for: the disk that the files lie on may not answer, and everything else goes on.
                Told::Reload => drop(tokio::spawn(reload(handle.clone()))),
            },
            why = bus.lost() => return Err(RunError::Bus(why)),
            ended = &mut driver => return Err(RunError::Driver(match ended {
                Ok(()) => "its inbox closed".into(),
                Err(error) => error.to_string(),
            })),
        }
    }
}

/// What the init system shows of the state.
fn line(status: &Status) -> String {
    format!("{}: {}", status.state, status.reason)
}

async fn reload(handle: Handle) {
    match handle.ask(|done| Message::Reload { done }).await {
        // What is wrong with it the driver has said.
        Ok(Ok(()) | Err(_)) => {}
        Err(failure) => tracing::error!(why = %failure.message, "reload"),
    }
}

/// Waits until everything accepted is settled, the limit has passed, or a second signal asks for an end at once.
async fn drain(handle: &Handle, signals: &mut Signals, reached: &mut mpsc::Receiver<Milestone>, limit: Duration) {
    if handle.send(Message::Drain).await.is_err() {
        return;
    }
    let drained = async {
        while let Some(milestone) = reached.recv().await {
            if milestone == Milestone::Drained {
                return;
            }
        }
    };
    tokio::select! {
        () = drained => return tracing::info!("drained"),
        () = tokio::time::sleep(limit) => tracing::warn!(?limit, "not drained within the limit; the rest is ended"),
        () = signals.stop() => tracing::warn!("second signal: the rest is ended"),
    }
    let cut_off = handle.ask(|done| Message::CutOff { done });
    if !matches!(tokio::time::timeout(FAREWELL, cut_off).await, Ok(Ok(()))) {
        tracing::warn!("those who still wait could not be told that the daemon ends");
    }
}

fn outside(
    config: &Config,
    options: Options,
    machine: Option<&Machine>,
    inbox: mpsc::Receiver<Message>,
    status: watch::Sender<Arc<Status>>,
    milestones: mpsc::Sender<Milestone>,
    clock: Clock,
) -> Result<Outside, RunError> {
    let library = (!options.simulated).then(|| {
        let env = |name: &str| std::env::var_os(name);
        edge_engine::library::find(config.engine.places(), &env)
            .map(|found| (found.path, found.found_by.to_string()))
            .map_err(|error| crate::driver::chain(&error))
    });
    let gpus = if options.simulated { Gpus::default() } else { Gpus::start().map_err(RunError::Telemetry)? };
    let program = std::env::current_exe().map_err(RunError::Program)?;
    // Of a machine that is only a copy there is no device to ask.
    let is_here = machine.is_none() && !options.simulated && options.root == std::path::Path::new("/");
    let hailo = is_here.then(|| Hailo::start(hailort::Plan::new(program.clone(), options.root.clone())));
    let hailo = hailo.transpose().map_err(RunError::Telemetry)?;
    let root = machine.map_or(options.root.as_path(), |machine| machine.root.as_path());
    let watch =
        Watch::start(sampler(root, config, machine, &gpus, hailo), telemetry::INTERVAL).map_err(RunError::Telemetry)?;
    let samples = Some(watch.samples());
    let rail = Rail::find(root).filter(|_| !options.simulated || machine.is_some());
    let power = rail.map(Meter::start).transpose().map_err(RunError::Telemetry)?;
    let platform = telemetry::platform(root);
    // What is simulated without a machine is no machine at all.
    let graphics = (!options.simulated || machine.is_some()).then(|| telemetry::graphics(root)).flatten();
    Ok(Outside {
        inbox,
        bundles: bundles(config, options.simulated),
        status,
        milestones,
        library,
        program,
        cache: keeper(config, options.simulated),
        store: store_keeper(config, options.simulated),
        pull: puller(config, options.simulated, clock),
        uplink: uplink(clock),
        siblings: None,
        spool: spool(config),
        records: records(config),
        reload: options.reload,
        samples,
        power_mode_fault: None,
        sampler: Box::new(move |engine| watch.latest(engine)),
        power,
        device_free: Box::new(move |card| gpus.free_bytes(card)),
        copied_machine: (options.root != std::path::Path::new("/")).then_some(options.root),
        available_bytes: telemetry::available_bytes,
        watchdog: service::watchdog(),
        graphics,
        platform,
    })
}

/// Asks for the power mode that the operator named, if any. What cannot be had is said, and everything else goes on.
async fn ask_power_mode(
    config: &Config,
    options: &Options,
    machine: Option<&Machine>,
) -> Result<Option<power_mode::Asked>, String> {
    let Some(wanted) = config.power_mode.as_deref() else { return Ok(None) };
    let (root, setter) = match machine {
        Some(machine) => (machine.root.as_path(), Setter::Tree(machine.root.clone())),
        None => (options.root.as_path(), Setter::Program),
    };
    let asked = power_mode::ask(root, wanted, setter, &config.state_dir).await;
    let why = |error| crate::driver::chain(&error);
    asked.map_err(why).inspect_err(|error| tracing::error!(%error, "the power mode stays as it is"))
}

/// Reads the machine, or the simulated one with what its libraries would tell.
fn sampler(
    root: &std::path::Path,
    config: &Config,
    machine: Option<&Machine>,
    gpus: &Gpus,
    hailo: Option<Hailo>,
) -> Sampler {
    let sampler = Sampler::new(root, &config.state_dir);
    match machine {
        Some(machine) => sampler.with(machines::source(root)).simulated(machine.name),
        None => {
            let gpus = gpus.clone();
            let sampler = sampler.with(Box::new(move |now| gpus.told(now)));
            match hailo {
                Some(hailo) => sampler.with(Box::new(move |now| hailort::sensed(hailo.latest(), now))),
                None => sampler,
            }
        }
    }
}

/// What providers compiled, on a thread of its own. Without the thread models are served all the same.
fn keeper(config: &Config, simulated: bool) -> Option<Keeper> {
    if simulated {
        return None;
    }
    Keeper::start(&config.cache)
        .inspect_err(|error| tracing::error!(%error, "start the thread of the cache; nothing that is compiled is kept"))
        .ok()
}

/// What installs and removes bundles, on a thread of its own. Without it, those that are there are served all the same.
fn store_keeper(config: &Config, simulated: bool) -> Option<store::keeper::Keeper> {
    if simulated {
        return None;
    }
    store::keeper::Keeper::start(&config.models, &config.state_dir, config.cache.dir.clone())
        .inspect_err(|error| tracing::error!(%error, "start the thread of the store; nothing can be installed"))
        .ok()
}

/// What fetches bundles, on a thread of its own. Without it, those that are there are served all the same.
fn puller(config: &Config, simulated: bool, clock: Clock) -> Option<Puller> {
    if simulated {
        return None;
    }
    Puller::start(&config.pull, &config.models, &config.fleet, &config.state_dir, clock)
        .inspect_err(|error| tracing::error!(%error, "start the thread of pulls; nothing can be pulled"))
        .ok()
}

/// What sends requests to other sites, on a thread of its own. Without it, what this box serves itself is served all the same.
fn uplink(clock: Clock) -> Option<Uplink> {
    Uplink::start(clock, crate::driver::sites::UNDER_WAY)
        .inspect_err(|error| tracing::error!(%error, "start the thread of the uplink; nothing is sent to other sites"))
        .ok()
}

/// Reports of a thread of the ledger that wait for the loop.
const REPORTS: usize = 1024;

/// Where requests wait that cannot be served now. Without it they are refused.
fn spool(config: &Config) -> Option<(Spool, mpsc::Receiver<spool::Report>)> {
    let routing = &config.routing;
    if routing.core.max_deferred == 0 {
        return None;
    }
    let age_ms = i64::try_from(routing.core.max_wait.as_millis()).unwrap_or(i64::MAX);
    let bounds = spool::Bounds {
        rows: routing.core.max_deferred,
        bytes: routing.defer_max_bytes,
        age_ms,
        ..spool::Bounds::default()
    };
    let (sender, reports) = mpsc::channel(REPORTS);
    Spool::start(&config.state_dir.join(crate::driver::sites::SPOOL), bounds, crate::driver::ledger_time(), sender)
        .inspect_err(|error| tracing::error!(%error, "start the thread of the spool; nothing can be put off"))
        .ok()
        .map(|spool| (spool, reports))
}

/// What is written down of requests. Without it nothing leaves, unless the operator says so.
fn records(config: &Config) -> Option<(Records, mpsc::Receiver<records::Report>)> {
    let days = |time: Duration| u32::try_from(time.as_secs() / 86_400).unwrap_or(u32::MAX);
    let routing = &config.routing;
    let mut keep = records::Retention::default();
    keep.audit.days = days(routing.audit_kept);
    keep.usage.days_days = days(routing.usage_kept);
    keep.decisions.rows = routing.decisions_max_rows;
    let (sender, reports) = mpsc::channel(REPORTS);
    Records::start(&config.state_dir.join(crate::driver::LEDGER), keep, crate::driver::ledger_time(), sender)
        .inspect_err(|error| tracing::error!(%error, "start the thread of the ledger; nothing is written down"))
        .ok()
        .map(|records| (records, reports))
}

/// Bundles come one by one, each as soon as its files were checked, from threads of their own.
fn bundles(config: &Config, simulated: bool) -> mpsc::Receiver<Found> {
    let (sender, receiver) = mpsc::channel(64);
    if simulated {
        for found in store::simulated() {
            // Fewer than the channel holds.
            drop(sender.try_send(found));
        }
        return receiver;
    }
    let (models, cache_dir) = (config.models.clone(), config.cache.dir.clone());
    let (dirs, faults) = store::list(&models);
    for fault in faults {
        tracing::error!(%fault, "models");
    }
    let queue = Arc::new(std::sync::Mutex::new(dirs.into_iter()));
    for _ in 0..std::thread::available_parallelism().map_or(1, |count| count.get().min(4)) {
        let (sender, queue, models, cache_dir) = (sender.clone(), queue.clone(), models.clone(), cache_dir.clone());
        std::thread::spawn(move || {
            let take = || -> Option<PathBuf> { queue.lock().ok()?.next() };
            while let Some(dir) = take() {
                if sender.blocking_send(store::inspect(&dir, &models, &cache_dir)).is_err() {
                    return;
                }
            }
        });
    }
    receiver
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next signal that means something.
    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.hangup.recv() => Told::Reload,
        }
    }

    async fn stop(&mut self) {
        while self.next().await != Told::Stop {}
    }
}

/// What a signal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Stop,
    Reload,
}
