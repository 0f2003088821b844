//! The box as an edge node of Sparkplug, seen by a host that shares nothing with it: its tree of tags, rebirths, commands with and
//! without permission, deaths, the primary host that comes, leaves and lies about the time, and results that it did not hear.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use edge_tests::answer::{Options, expect_yes};
use edge_tests::client::routes::Example;
use edge_tests::clock::{PATIENCE, Stopwatch, eventually};
use edge_tests::places;
use edge_tests::runner::block_on;
use edge_tests::sparkplug::{GROUP, HOST, Host, number};
use edge_tests::stack::{Setup, Stack};
use edge_wire::dto::Status;
use edge_wire::sparkplug::SparkplugStatus;
use edged::config::Config;
use edged::config::raw::Values;
use edged::config::validate::{Machine, validate};
use edged::driver::clock::{self, Clock};
use edged::handle::Handle;
use edged::transport::sparkplug::metrics::Quality;
use edged::transport::sparkplug::metrics::bindings::{BindingResult, Field};
use edged::transport::sparkplug::{self, News, Sparkplug};
use tokio::sync::{Mutex, mpsc, watch};

/// A daemon that is an edge node, with this more in `[sparkplug]`, and a host; `None` where there is no host to be had.
async fn start(more: &str) -> Result<Option<(Stack, Host)>> {
    let setup = Setup::new().bundles(&["add"]).config(&format!("[sparkplug]\ngroup = \"{GROUP}\"\n{more}"));
    let mut stack = setup.prepare()?;
    let Some(host) = Host::start(stack.mqtt_port()?)? else { return Ok(None) };
    stack.start_daemon().await?;
    Ok(Some((stack, host)))
}

async fn status(stack: &Stack) -> Result<SparkplugStatus> {
    Ok(stack.status().await?.sparkplug)
}

/// Waits until the daemon says this of its node.
async fn eventually_says(stack: &Stack, what: &str, fits: impl Fn(&SparkplugStatus) -> bool) -> Result<()> {
    let client = stack.client().await?;
    let says = eventually(what, PATIENCE, async || Ok(fits(&client.status().await?.sparkplug).then_some(())));
    says.await.with_context(|| stack.logs())
}

fn is(line: &str, kind: &str, who: &str) -> bool {
    line.starts_with(&format!("{kind} {who} ")) || line == format!("{kind} {who}")
}

/// What the host is to see of a box, but for what differs from machine to machine and from moment to moment.
fn redacted(tree: &[String]) -> String {
    const KEPT: [&str; 17] = [
        "Node Control/Rebirth",
        "Node Control/Drain",
        "Device Control/Activate",
        "Health/Ready",
        "Health/State",
        "Health/Problems",
        "Properties/Node",
        "Properties/Simulated",
        "Version",
        "Provider",
        "Requests/Done",
        "Requests/Failed",
        "Requests/Refused",
        "Commands/Accepted",
        "Commands/Refused",
        "Commands/Last",
        "bdSeq",
    ];
    let redact = |line: &String| {
        // Which thermometers there are is the machine's affair.
        if line.contains(" Thermal/Zones/") {
            return None;
        }
        let Some(tag) = line.strip_prefix("  ") else { return Some(line.clone()) };
        let kind = ["INT64", "DOUBLE", "BOOLEAN", "STRING", "DATETIME"].into_iter();
        let kind =
            kind.filter_map(|kind| tag.find(&format!(" {kind} ")).map(|at| (kind, at))).min_by_key(|(_, at)| *at);
        let (kind, at) = kind?;
        let name = &tag[..at];
        Some(if KEPT.contains(&name) { line.clone() } else { format!("  {name} {kind} ...") })
    };
    tree.iter().filter_map(redact).map(|line| line + "\n").collect()
}

fn compare(name: &str, found: &str) -> Result<()> {
    let path = places::repository().join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        return Ok(std::fs::write(path, found)?);
    }
    let wanted = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    ensure!(found == wanted, "{} differs; UPDATE_GOLDENS=1 takes over the new text:\n{found}", path.display());
    Ok(())
}

async fn add(stack: &Stack) -> Result<()> {
    let Example { model, inputs } = Example::from(stack, "add").await?;
    let outcome = stack.client().await?.infer(&model, &inputs, &Options::new()).await?;
    expect_yes("add", outcome).map(drop)
}

#[test]
fn an_independent_host_builds_its_tree_of_tags_from_ours() -> Result<()> {
    block_on(async {
        let Some((stack, mut host)) = start("commands = ['drain', 'activate']").await? else { return Ok(()) };
        host.heard("the birth of the model", 0, |line| is(line, "DBIRTH", "box/model-add")).await?;
        let mark = host.mark();
        for _ in 0..3 {
            add(&stack).await?;
        }
        let done = |line: &str| is(line, "DDATA", "box/model-add") && line.contains("Requests/Done=3");
        host.heard("three requests that are done", mark, done).await?;
        eventually("the sums of the node are told", PATIENCE, async || {
            Ok(host.tree().await?.iter().any(|line| line == "  Requests/Done INT64 3").then_some(()))
        })
        .await?;
        let tree = host.tree().await?;
        compare("sparkplug_tree.txt", &redacted(&tree))?;
        host.found_no_fault()
    })?
}

#[test]
fn a_rebirth_comes_on_demand_and_a_hundred_of_them_at_once_cost_few_births_in_either_version() -> Result<()> {
    block_on(async {
        for protocol in ["5", "3.1.1"] {
            let Some((stack, mut host)) = start(&format!("[mqtt]\nprotocol = '{protocol}'")).await? else {
                return Ok(());
            };
            let birth = host.heard("the first birth", 0, |line| is(line, "NBIRTH", "box")).await?;
            host.heard("the birth of the model", 0, |line| is(line, "DBIRTH", "box/model-add")).await?;
            let mark = host.mark();
            for _ in 0..100 {
                host.tell(&["write", "box", "Node Control/Rebirth", "BOOLEAN", "true"])?;
            }
            let again = host.heard("the birth again", mark, |line| is(line, "NBIRTH", "box")).await?;
            ensure!(number(&again, "bdseq")? == number(&birth, "bdseq")?, "{again} after {birth}");
            eventually_says(&stack, "all requests came", |node| node.rebirths_asked == 100).await?;
            let asked = host.mark();
            host.tell(&["write", "box", "Node Control/Rebirth", "BOOLEAN", "true"])?;
            host.heard("the last birth", asked, |line| is(line, "NBIRTH", "box")).await?;
            // How long the hundred took to come decides how many births they cost: one in a second at most.
            let births = status(&stack).await?.births;
            ensure!((3..=8).contains(&births), "{births} births");
            host.found_no_fault()?;
        }
        Ok(())
    })?
}

#[test]
fn a_host_drains_the_box_only_where_it_may_and_sees_what_became_of_it() -> Result<()> {
    block_on(async {
        let Some((stack, mut host)) = start("commands = ['rebirth', 'drain']").await? else { return Ok(()) };
        host.heard("the birth", 0, |line| is(line, "NBIRTH", "box")).await?;
        let mark = host.mark();
        host.tell(&["write", "box", "Node Control/Drain", "BOOLEAN", "true"])?;
        host.heard("the drain", mark, |line| line.contains("Health/State=drained")).await?;
        host.heard("its outcome", mark, |line| line.contains("Commands/Last=drain: done")).await?;
        host.tell(&["write", "box", "Node Control/Drain", "BOOLEAN", "false"])?;
        host.heard("the end of the drain", mark, |line| line.contains("Health/State=serving")).await?;
        let mark = host.mark();
        host.tell(&["write", "box/model-add", "Device Control/Activate", "STRING", "9.9.9"])?;
        host.heard("the refusal", mark, |line| line.contains("activate is not allowed")).await?;
        let counted = |node: &SparkplugStatus| (node.commands_accepted, node.commands_refused) == (2, 1);
        eventually_says(&stack, "two commands and a refusal", counted).await?;
        host.found_no_fault()
    })?
}

#[test]
fn what_a_host_may_not_do_is_refused_counted_and_said_in_the_log() -> Result<()> {
    block_on(async {
        let Some((stack, mut host)) = start("").await? else { return Ok(()) };
        host.heard("the birth", 0, |line| is(line, "NBIRTH", "box")).await?;
        host.tell(&["write", "box", "Node Control/Drain", "BOOLEAN", "true"])?;
        host.tell(&["write", "box", "Health/State", "STRING", "serving"])?;
        host.tell(&["garbage", "box", "0aff"])?;
        eventually_says(&stack, "three refusals", |node| node.commands_refused == 3).await?;
        ensure!(stack.status().await?.state == "serving");
        let log = stack.daemon()?.process.log();
        for reason in ["drain is not allowed", "Health/State cannot be written", "read a Sparkplug payload"] {
            ensure!(log.contains(reason), "no {reason:?} in\n{log}");
        }
        let mark = host.mark();
        host.tell(&["write", "box", "Node Control/Rebirth", "BOOLEAN", "true"])?;
        host.heard("a rebirth all the same", mark, |line| is(line, "NBIRTH", "box")).await?;
        host.found_no_fault()
    })?
}

#[test]
fn an_activation_by_a_host_goes_through_the_checks_of_the_box() -> Result<()> {
    block_on(async {
        let Some((stack, mut host)) = start("commands = ['activate']").await? else { return Ok(()) };
        host.heard("the birth", 0, |line| is(line, "DBIRTH", "box/model-add")).await?;
        let mark = host.mark();
        host.tell(&["write", "box/model-add", "Device Control/Activate", "STRING", "9.9.9"])?;
        let outcome = host.heard("the outcome", mark, |line| line.contains("activate add:9.9.9: refused")).await?;
        ensure!(outcome.contains("9.9.9"), "{outcome}");
        eventually_says(&stack, "it is counted", |node| node.commands_accepted == 1).await?;
        host.found_no_fault()
    })?
}

#[test]
fn the_broker_says_the_death_of_a_box_that_was_killed_and_the_next_life_goes_on_counting() -> Result<()> {
    block_on(async {
        let Some((mut stack, mut host)) = start("").await? else { return Ok(()) };
        let birth = host.heard("the birth", 0, |line| is(line, "NBIRTH", "box")).await?;
        let mark = host.mark();
        stack.daemon_mut()?.process.crash()?;
        let death = host.heard("the death", mark, |line| is(line, "NDEATH", "box")).await?;
        ensure!(number(&death, "bdseq")? == number(&birth, "bdseq")?, "{death} of {birth}");
        ensure!(!death.contains("seq=") || !death.contains(" seq="), "{death} has a sequence number");
        ensure!(host.tree().await?.iter().any(|line| line == "box/model-add offline"));
        stack.start_daemon().await?;
        let again = host.heard("the next birth", mark, |line| is(line, "NBIRTH", "box")).await?;
        ensure!(number(&again, "bdseq")? == (number(&birth, "bdseq")? + 1) % 256, "{again} after {birth}");
        host.found_no_fault()
    })?
}

#[test]
fn a_box_that_is_stopped_says_its_death_after_its_drain() -> Result<()> {
    block_on(async {
        for protocol in ["5", "3.1.1"] {
            let Some((mut stack, host)) = start(&format!("[mqtt]\nprotocol = '{protocol}'")).await? else {
                return Ok(());
            };
            let birth = host.heard("the birth", 0, |line| is(line, "NBIRTH", "box")).await?;
            let mark = host.mark();
            let end = stack.daemon_mut()?.terminate()?;
            ensure!(end.success(), "{end}");
            let death = host.heard("the death", mark, |line| is(line, "NDEATH", "box")).await?;
            ensure!(number(&death, "bdseq")? == number(&birth, "bdseq")?, "{death} of {birth}");
            host.found_no_fault()?;
        }
        Ok(())
    })?
}

#[test]
fn nothing_is_told_before_the_primary_host_comes_and_everything_ends_when_it_leaves() -> Result<()> {
    block_on(async {
        let Some((stack, mut host)) = start(&format!("primary_host = '{HOST}'")).await? else { return Ok(()) };
        eventually_says(&stack, "it waits", |node| node.state == "waiting").await?;
        let told = stack.status().await?.problems;
        ensure!(told.iter().any(|problem| problem.what.contains("primary host scada1 is not there")), "{told:?}");
        // Requests are served meanwhile, and nobody is told.
        add(&stack).await?;
        ensure!(!host.lines().iter().any(|line| line.contains(" box")), "{:?}", host.lines());
        host.tell(&["online", "1000"])?;
        let birth = host.heard("the birth", 0, |line| is(line, "NBIRTH", "box")).await?;
        let mark = host.mark();
        host.tell(&["offline", "999"])?;
        eventually("the old farewell is told", PATIENCE, async || {
            let problems = stack.status().await?.problems;
            Ok(problems.iter().any(|problem| problem.what.contains("offline with the time 999")).then_some(()))
        })
        .await?;
        ensure!(status(&stack).await?.state == "born");
        host.tell(&["offline", "1000"])?;
        host.heard("the death", mark, |line| is(line, "NDEATH", "box")).await?;
        eventually_says(&stack, "it waits again", |node| node.state == "waiting" && node.connects == 2).await?;
        host.tell(&["online", "998"])?;
        eventually_says(&stack, "the old greeting is told", |node| node.reason.contains("online with the time 998"))
            .await?;
        let mark = host.mark();
        host.tell(&["online", "2000"])?;
        let again = host.heard("the next birth", mark, |line| is(line, "NBIRTH", "box")).await?;
        ensure!(number(&again, "bdseq")? == number(&birth, "bdseq")? + 1, "{again} after {birth}");
        host.found_no_fault()
    })?
}

#[test]
fn the_node_comes_back_after_the_broker_did() -> Result<()> {
    block_on(async {
        let Some((mut stack, mut host)) = start("").await? else { return Ok(()) };
        host.heard("the birth", 0, |line| is(line, "NBIRTH", "box")).await?;
        let mark = host.mark();
        stack.broker_mut()?.stop()?;
        eventually_says(&stack, "no connection", |node| node.state == "connecting" && !node.reason.is_empty()).await?;
        let told = stack.status().await?.problems;
        ensure!(told.iter().any(|problem| problem.subject == "sparkplug"), "{told:?}");
        stack.broker_mut()?.start_again()?;
        eventually_says(&stack, "it is born again", |node| node.state == "born" && node.births == 2).await?;
        // Whoever is back first, the host can ask.
        host.heard("the broker again", mark, |line| line == "connected").await?;
        host.tell(&["write", "box", "Node Control/Rebirth", "BOOLEAN", "true"])?;
        host.heard("a birth", mark, |line| is(line, "NBIRTH", "box")).await?;
        ensure!(!stack.status().await?.problems.iter().any(|problem| problem.subject == "sparkplug"));
        Ok(())
    })?
}

/// The transport alone, in this process, with bindings that answer whatever a test says, on the broker of a stack.
struct Alone {
    sparkplug: Option<Sparkplug>,
    news: mpsc::Sender<News>,
    told: mpsc::Receiver<edged::handle::Message>,
    /// Held: without it there is no driver.
    _status: watch::Sender<Arc<Status>>,
    results: u64,
}

impl Alone {
    fn start(port: u16, dir: &Path, more: &str) -> Result<Alone> {
        let config =
            config(&format!("[mqtt]\nhost = '127.0.0.1'\nport = {port}\n[sparkplug]\ngroup = '{GROUP}'\n{more}"))?;
        let (inbox, told) = mpsc::channel(1024);
        let status = Status { state: "serving".into(), node: "box".into(), ..Status::default() };
        let (keep, watcher) = watch::channel(Arc::new(status));
        let (news, listen) = mpsc::channel(sparkplug::NEWS);
        let sparkplug = sparkplug::spawn(sparkplug::Setup {
            config: config.sparkplug.context("there is a group")?,
            mqtt: config.mqtt.context("there is a broker")?,
            handle: Handle::new(inbox, watcher),
            clock: Clock::start(),
            wall: clock::wall,
            state_dir: dir.to_owned(),
            news: Arc::new(Mutex::new(listen)),
        });
        Ok(Alone { sparkplug: Some(sparkplug), news, told, _status: keep, results: 0 })
    }

    /// The binding `cam` answers.
    async fn answer(&mut self, class: &str, quality: Quality) -> Result<()> {
        self.results += 1;
        let result = BindingResult {
            binding: "cam".into(),
            fields: vec![("class".into(), Field::Text(class.into()))],
            quality,
            reason: String::new(),
            at_ms: u64::try_from(clock::wall().duration_since(SystemTime::UNIX_EPOCH)?.as_millis())?,
            results: self.results,
            errors: 0,
        };
        self.news.send(News::Result(Box::new(result))).await.context("the transport runs")
    }

    /// The last state that it told.
    async fn until(&mut self, what: &str, fits: impl Fn(&SparkplugStatus) -> bool) -> Result<()> {
        let told = async {
            while let Some(message) = self.told.recv().await {
                if let edged::handle::Message::Sparkplug(status) = message
                    && fits(&status)
                {
                    return Ok(());
                }
            }
            anyhow::bail!("the transport ended")
        };
        tokio::time::timeout(PATIENCE, told).await.with_context(|| what.to_owned())?
    }

    async fn stop(&mut self) {
        if let Some(sparkplug) = self.sparkplug.take() {
            sparkplug.stop().await;
        }
    }
}

fn config(text: &str) -> Result<Config> {
    let mut values = Values::default();
    values.add(Path::new("test.toml"), text);
    let machine = Machine { host_name: "box".into(), ..Machine::default() };
    validate(values, &machine).map_err(|faults| anyhow::anyhow!("{faults:?}"))
}

/// The classes that a host heard of the binding, in their order, and whether each was history.
fn classes(host: &Host, mark: usize) -> Vec<(String, bool)> {
    let lines = host.lines();
    let told = lines.iter().skip(mark).filter(|line| is(line, "DDATA", "box/binding-cam"));
    let class = told.filter_map(|line| {
        let class = line.split(' ').find_map(|word| word.strip_prefix("Result/class="))?;
        Some((class.to_owned(), line.contains(" historical ")))
    });
    class.collect()
}

#[test]
fn results_that_the_primary_host_did_not_hear_come_as_history_in_their_order_when_it_is_back() -> Result<()> {
    block_on(async {
        let stack = Setup::new().prepare()?;
        let port = stack.mqtt_port()?;
        let Some(mut host) = Host::start(port)? else { return Ok(()) };
        let mut alone = Alone::start(port, stack.dir(), &format!("primary_host = '{HOST}'\nhistory_per_s = 400"))?;
        alone.until("it waits", |node| node.state == "waiting").await?;
        for n in 0..50 {
            alone.answer(&format!("before-{n}"), Quality::Good).await?;
        }
        alone.until("they are kept", |node| node.history_waiting == 50).await?;
        host.tell(&["online", "1000"])?;
        alone.until("they are told", |node| node.history_told == 50 && node.history_waiting == 0).await?;
        host.heard("the last of them", 0, |line| line.contains("Result/class=before-49")).await?;
        let heard = classes(&host, 0);
        let wanted: Vec<(String, bool)> = (0..50).map(|n| (format!("before-{n}"), true)).collect();
        ensure!(heard == wanted, "{heard:?}");
        let mark = host.mark();
        alone.answer("now", Quality::Good).await?;
        host.heard("what is new", mark, |line| line.contains("Result/class=now")).await?;
        ensure!(classes(&host, mark) == [("now".to_owned(), false)]);
        host.tell(&["offline", "1000"])?;
        alone.until("it waits again", |node| node.state == "waiting" && node.connects == 2).await?;
        alone.answer("away", Quality::Bad).await?;
        alone.until("it is kept", |node| node.history_waiting >= 1).await?;
        let mark = host.mark();
        host.tell(&["online", "2000"])?;
        host.heard("what was while it was away", mark, |line| line.contains("Result/class=away")).await?;
        // The one before it may come again: nobody had said that it came.
        let heard: Vec<(String, bool)> = classes(&host, mark).into_iter().filter(|(class, _)| class != "now").collect();
        ensure!(heard == [("away".to_owned(), true)], "{heard:?}");
        alone.stop().await;
        host.found_no_fault()
    })?
}

#[test]
fn no_result_is_lost_when_the_broker_is_killed_again_and_again() -> Result<()> {
    block_on(async {
        let mut stack = Setup::new().prepare()?;
        let port = stack.mqtt_port()?;
        let Some(mut host) = Host::start(port)? else { return Ok(()) };
        // The node waits for the host: what is told to a broker before the host is there again, nobody hears.
        let mut alone = Alone::start(port, stack.dir(), &format!("primary_host = '{HOST}'\nhistory_per_s = 1000"))?;
        host.tell(&["online", "1"])?;
        alone.until("it is born", |node| node.state == "born").await?;
        let mut sent = 0;
        for round in 2..5 {
            for _ in 0..40 {
                alone.answer(&format!("c{sent}"), Quality::Good).await?;
                sent += 1;
            }
            let mark = host.mark();
            stack.broker_mut()?.process.crash()?;
            for _ in 0..10 {
                alone.answer(&format!("c{sent}"), Quality::Good).await?;
                sent += 1;
            }
            stack.broker_mut()?.start_again()?;
            host.heard("the broker again", mark, |line| line == "connected").await?;
            host.tell(&["online", &round.to_string()])?;
            alone.until("it is born again", |node| node.births >= round).await?;
            alone.until("all is told", |node| node.history_waiting == 0).await?;
        }
        let heard = classes(&host, 0);
        let missing: Vec<u32> =
            (0..sent).filter(|n| !heard.iter().any(|(class, _)| *class == format!("c{n}"))).collect();
        alone.stop().await;
        ensure!(missing.is_empty(), "missing {missing:?} in\n{}", host.lines().join("\n"));
        host.found_no_fault()
    })?
}

#[test]
fn a_burst_of_results_is_told_without_a_gap() -> Result<()> {
    block_on(async {
        let stack = Setup::new().prepare()?;
        let port = stack.mqtt_port()?;
        let Some(host) = Host::start(port)? else { return Ok(()) };
        let mut alone = Alone::start(port, stack.dir(), "")?;
        alone.until("it is born", |node| node.state == "born").await?;
        let watch = Stopwatch::start();
        for n in 0..3000 {
            alone.answer(&format!("c{n}"), Quality::Good).await?;
        }
        host.heard("the last one", 0, |line| line.contains("Result/class=c2999")).await?;
        println!("3000 results were told in {:?}", watch.elapsed());
        let heard = classes(&host, 0);
        let live: Vec<&String> = heard.iter().filter(|(_, history)| !history).map(|(class, _)| class).collect();
        ensure!(live.len() > 1000, "{}", live.len());
        alone.stop().await;
        host.found_no_fault()
    })?
}
