//! Mixed good and bad load for so many seconds, half of them with the daemon on MQTT 5, half on 3.1.1. In the first part
//! of each half the engine host, the daemon and the broker die in turn; in the second only clients come and go, and the
//! processes are watched for growth. `edge-soak [SECONDS]`; ends with 1 if anything was not as it must be.
//!
//! `edge-soak mqtt [SECONDS] [FILE] [SEED]`: bindings instead, with every answer counted, while broker, daemon and link fail at
//! random moments; a line a minute goes to the file.

use std::env;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use edge_tests::client::bus::BusClient;
use edge_tests::client::mqtt::Protocol;
use edge_tests::clock::{PATIENCE, Stopwatch, eventually, pace, within};
use edge_tests::runner::block_on;
use edge_tests::soak::health::{Sample, Watch};
use edge_tests::soak::{World, bindings, callers, devices, jobs, leavers};
use edge_tests::stack::{Setup, Stack};
use edge_tests::{process, usage};
use tokio::task::JoinSet;

const BUNDLES: [&str; 8] =
    ["text-line", "text-direction", "text-boxes", "file-type", "speech", "add", "echo-types", "spin"];
/// Below this no part is long enough to say anything.
const LEAST_SECONDS: u64 = 40;
/// Callers on the bus, and on private connections.
const CALLERS: [(bool, usize); 2] = [(false, 3), (true, 2)];
/// Devices of each version of the protocol.
const DEVICES: usize = 2;
/// Between one death and the next: time for what was under way to be done, since what two deaths hit is given up.
const BETWEEN: Duration = Duration::from_secs(8);
/// Between two lines of the table.
const LINE: Duration = Duration::from_secs(5);
/// What the daemon may take at the worst moment: its queues are bounded by the policy.
const DAEMON_CEILING: u64 = 256 << 20;
/// Descriptors that an idle daemon may hold beyond those of its first idle moment.
const IDLE_FDS: usize = 8;

fn main() -> ExitCode {
    if env::args().nth(1).as_deref() == Some("mqtt") {
        return of_bindings();
    }
    let Some(seconds) = env::args().nth(1).map_or(Some(600), |text| text.parse().ok()) else {
        eprintln!("usage: edge-soak [SECONDS]");
        return ExitCode::from(2);
    };
    let half = Duration::from_secs(seconds.max(LEAST_SECONDS)) / 2;
    let mut good = true;
    for protocol in [Protocol::V5, Protocol::V311] {
        match block_on(soak(protocol, half)).and_then(|done| done) {
            Ok(faults) => {
                faults.iter().for_each(|fault| println!("FAULT {fault}"));
                good &= faults.is_empty();
            }
            Err(fault) => {
                eprintln!("edge-soak: {fault:?}");
                good = false;
            }
        }
    }
    println!("{}", if good { "The soak found nothing." } else { "The soak found faults." });
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn of_bindings() -> ExitCode {
    let seconds = env::args().nth(2).map_or(Some(3600), |text| text.parse::<u64>().ok());
    let seed = env::args().nth(4).map_or(Some(1), |text| text.parse::<u64>().ok());
    let (Some(seconds), Some(seed)) = (seconds, seed) else {
        eprintln!("usage: edge-soak mqtt [SECONDS] [FILE] [SEED]");
        return ExitCode::from(2);
    };
    let file = env::args_os().nth(3).unwrap_or_else(|| "soak-mqtt.txt".into());
    let time = Duration::from_secs(seconds.max(LEAST_SECONDS));
    let faults = match block_on(bindings::run(time, seed, file.as_ref())).and_then(|done| done) {
        Ok(tally) => {
            println!("\n{tally}");
            tally.faults()
        }
        Err(fault) => vec![format!("{fault:?}")],
    };
    faults.iter().for_each(|fault| println!("FAULT {fault}"));
    println!("{}", if faults.is_empty() { "The soak found nothing." } else { "The soak found faults." });
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn soak(protocol: Protocol, time: Duration) -> Result<Vec<String>> {
    println!("\nedged on MQTT {}, {} s", protocol.word(), time.as_secs());
    let setup = Setup::new().bundles(&BUNDLES).config(&format!("[mqtt]\nprotocol = \"{}\"", protocol.word()));
    let mut stack = setup.start().await?;
    let observer = stack.client().await?;
    let jobs = jobs::jobs(&stack).await.context("the first answers")?;
    let idle_fds = usage::descriptors(stack.daemon()?.process.pid())?;
    let world = World::new(stack.bus.address(), stack.mqtt_port()?, jobs, protocol == Protocol::V5);
    let world = Arc::new(world);
    let mut load = start_load(&world);
    let watched = keep(&mut stack, &observer, &world, time).await;
    world.end();
    while let Some(done) = load.join_next().await {
        done?.unwrap_or_else(|fault| world.fault(format!("{fault:#}")));
    }
    let mut faults = world.verdict();
    match watched {
        Ok(watch) => {
            println!("\n{world}\n{watch}");
            faults.extend(watch.faults());
        }
        Err(fault) => faults.push(format!("{fault:#}")),
    }
    faults.extend(settled(&stack, &observer, idle_fds).await.err().map(|fault| format!("at the end: {fault:#}")));
    if !faults.is_empty() {
        eprintln!("{}", stack.logs());
    }
    Ok(faults)
}

/// Everybody who asks; each ends soon after the world, with the answers that it waited for.
fn start_load(world: &Arc<World>) -> JoinSet<Result<()>> {
    let mut load = JoinSet::new();
    let jobs = world.jobs.len();
    // Each starts elsewhere among the jobs, and steps by a number that leaves none of them out.
    let stride = [11, 13, 17].into_iter().find(|stride| !jobs.is_multiple_of(*stride)).unwrap_or(1);
    let mut first = 0..jobs;
    for (peer, count) in CALLERS {
        for first in first.by_ref().take(count) {
            let world = Arc::clone(world);
            load.spawn(async move {
                callers::ask_on_and_on(world, peer, first, stride).await;
                Ok(())
            });
        }
    }
    for protocol in [Protocol::V5, Protocol::V311] {
        for first in first.by_ref().take(DEVICES) {
            load.spawn(devices::ask_on_and_on(Arc::clone(world), protocol, first, stride));
        }
    }
    let world = Arc::clone(world);
    load.spawn(async move {
        leavers::leave_on_and_on(world).await;
        Ok(())
    });
    load
}

/// Kills, looks and tells until the time is over.
async fn keep(stack: &mut Stack, observer: &BusClient, world: &World, time: Duration) -> Result<Watch> {
    let (storm, warm) = (time * 3 / 5, time * 3 / 4);
    let watch = Stopwatch::start();
    let (mut ticks, mut health) = (pace(Duration::from_secs(1)), Watch::default());
    let (mut next_death, mut next_line) = (BETWEEN / 2, Duration::ZERO);
    let mut deaths = Death::ALL.iter().cycle();
    println!(
        "{:>6} {:<6} {:>8} {:>8} {:>6} {:>5} {:>5}  {:<20} {:<20}",
        "s", "", "served", "refused", "busy", "lost", "open", "daemon", "engine host"
    );
    while watch.elapsed() < time {
        ticks.tick().await;
        let now = watch.elapsed();
        if now < storm && now >= next_death {
            let death = deaths.next().copied().unwrap_or(Death::Host);
            death.happen(stack, world).await.with_context(|| format!("{death:?}"))?;
            println!("{:>6} {death:?} killed", now.as_secs());
            next_death = watch.elapsed() + BETWEEN;
        }
        let daemon = stack.daemon()?.process.pid();
        let sample = within("the daemon tells its state", PATIENCE, Sample::take(observer, daemon)).await??;
        let word = if now < storm {
            "storm"
        } else if now < warm {
            health.warm_up(sample);
            "warm"
        } else {
            health.look(sample);
            "calm"
        };
        if now >= next_line {
            let (sum, open) = (world.sum(), world.open());
            println!(
                "{:>6} {word:<6} {:>8} {:>8} {:>6} {:>5} {open:>5}  {:<20} {:<20}",
                now.as_secs(),
                sum.served,
                sum.refused,
                sum.busy,
                sum.lost,
                sample.daemon.to_string(),
                sample.host.to_string(),
            );
            next_line = now + LINE;
        }
    }
    let peak = usage::resident_peak(stack.daemon()?.process.pid())?;
    ensure!(peak < DAEMON_CEILING, "the daemon once took {} MiB", peak >> 20);
    Ok(health)
}

/// What is killed.
#[derive(Clone, Copy, Debug)]
enum Death {
    Host,
    Daemon,
    Broker,
}

impl Death {
    const ALL: [Death; 4] = [Death::Host, Death::Broker, Death::Host, Death::Daemon];

    async fn happen(self, stack: &mut Stack, world: &World) -> Result<()> {
        match self {
            Death::Host => {
                let killed = stack.kill_host().await?;
                let another = async || Ok((stack.host_pid().await? != killed).then_some(()));
                eventually("another host is up", PATIENCE, another).await?;
                ensure!(!process::alive(killed), "the killed host is alive");
                Ok(())
            }
            Death::Daemon => {
                world.daemon_turns();
                stack.daemon_mut()?.process.crash()?;
                stack.start_daemon().await?;
                world.daemon_turns();
                Ok(())
            }
            Death::Broker => {
                stack.broker_mut()?.stop()?;
                stack.broker_mut()?.start_again()?;
                stack.connected().await
            }
        }
    }
}

/// Nothing waits, runs or is kept any more, and nothing of the clients is left.
async fn settled(stack: &Stack, observer: &BusClient, idle_fds: usize) -> Result<()> {
    let nothing = async || {
        let status = observer.status().await?;
        let mqtt = (status.mqtt.journaled, status.mqtt.replies_waiting);
        ensure!(
            (status.waiting, status.running, mqtt) == (0, 0, (0, 0)),
            "{} wait, {} run, {} are journaled, {} replies wait",
            status.waiting,
            status.running,
            mqtt.0,
            mqtt.1
        );
        ensure!(status.problems.is_empty(), "{:?}", status.problems);
        let fds = usage::descriptors(stack.daemon()?.process.pid())?;
        ensure!(fds <= idle_fds + IDLE_FDS, "{fds} descriptors, and {idle_fds} before anybody came");
        Ok(Some(()))
    };
    eventually("the daemon is idle again", PATIENCE, nothing).await
}
