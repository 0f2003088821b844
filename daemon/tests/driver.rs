//! The driver with the simulated engine host, on a paused clock: what a transport can count on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use edge_core::{Policy, Priority, Zone};
use edge_engine::protocol::Want;
use edge_wire::dto::{Platform, Status};
use edge_wire::error::ErrorCode;
use edged::config::Config;
use edged::config::raw::Values;
use edged::config::validate::{Machine, validate};
use edged::driver::clock::Clock;
use edged::driver::{Driver, INBOX, Milestone, Outside};
use edged::handle::{Handle, Message};
use edged::ledger::spool::{Bounds, Report, Spool};
use edged::request::{Blob, Caller, Options, Output, Payload, Reply, Request, TensorIn};
use edged::store::Found;
use edged::uplink::Uplink;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};

struct Daemon {
    handle: Handle,
    milestones: mpsc::Receiver<Milestone>,
}

async fn daemon() -> Daemon {
    let (bundles, found) = mpsc::channel(16);
    for model in edged::store::simulated() {
        bundles.try_send(model).unwrap();
    }
    drop(bundles);
    let mut daemon = start(found);
    assert_eq!(daemon.milestones.recv().await, Some(Milestone::Warm));
    daemon
}

/// A driver that reads these bundles.
fn start(found: mpsc::Receiver<Found>) -> Daemon {
    let config = config("");
    let later = Config { policy: Policy { max_waiting: 1, ..Policy::default() }, ..config.clone() };
    start_with(found, config, later, Ways::default())
}

fn config(text: &str) -> Config {
    let machine = Machine { host_name: "box".into(), processors: 2, ..Machine::default() };
    let mut values = Values::default();
    values.add(Path::new("test.toml"), text);
    validate(values, &machine).unwrap()
}

/// Ways out of the driver.
#[derive(Default)]
struct Ways {
    uplink: Option<Uplink>,
    spool: Option<(Spool, mpsc::Receiver<Report>)>,
}

/// A driver with this configuration, and that one at a reload.
fn start_with(found: mpsc::Receiver<Found>, config: Config, later: Config, ways: Ways) -> Daemon {
    let (inbox, receiver) = mpsc::channel(INBOX);
    let (status, watcher) = watch::channel(Arc::new(Status::default()));
    let (sender, milestones) = mpsc::channel(8);
    let outside = Outside {
        inbox: receiver,
        bundles: found,
        status,
        milestones: sender,
        library: None,
        program: "none".into(),
        cache: None,
        store: None,
        pull: None,
        reload: Arc::new(move || Ok(later.clone())),
        sampler: Box::new(|_| edged::telemetry::Sample::default()),
        power: None,
        copied_machine: None,
        device_free: Box::new(|_| None),
        available_bytes: || None,
        watchdog: None,
        graphics: None,
        platform: Platform::default(),
        samples: None,
        uplink: ways.uplink,
        siblings: None,
        spool: ways.spool,
        records: None,
        power_mode_fault: None,
    };
    tokio::spawn(Driver::new(config, outside, Clock::start()).run());
    Daemon { handle: Handle::new(inbox, watcher), milestones }
}

fn request(caller: &str, model: &str, id: Option<&str>) -> Request {
    Request {
        caller: Caller::Bus { name: caller.into(), uid: 0 },
        topic: "".into(),
        model: model.into(),
        options: Options { request_id: id.map(Into::into), ..Options::default() },
        payload: Payload::Encoded { content_type: "image/jpeg".into(), data: Blob::Inline(vec![1].into()) },
        want: Want::Inline,
        deaths: 0,
        reached: Zone::Device,
        stream: None,
    }
}

impl Daemon {
    fn submit(&self, request: Request) -> oneshot::Receiver<Reply> {
        self.handle.submit(request).unwrap()
    }

    async fn ask(&self, request: Request) -> Reply {
        self.submit(request).await.unwrap()
    }

    async fn status(&self, wanted: impl Fn(&Status) -> bool) -> Arc<Status> {
        let mut watch = self.handle.watch();
        watch.wait_for(|status| wanted(status)).await.unwrap().clone()
    }
}

fn code(reply: &Reply) -> ErrorCode {
    reply.result.as_ref().unwrap_err().code
}

#[tokio::test(start_paused = true)]
async fn a_request_is_answered_with_what_ran_it_and_why() {
    let daemon = daemon().await;
    let reply = daemon.ask(request(":1.1", "text-line", None)).await;
    assert!(matches!(&reply.result, Ok(Output::Document(text)) if text.contains("SIMULATED")));
    let info = &reply.info;
    assert_eq!(
        (info.model.as_str(), info.verdict.as_str(), info.provider.as_str()),
        ("text-line", "local", "simulated")
    );
    assert_eq!(
        (info.zone.as_str(), info.site.as_str(), info.data_class.as_str(), info.batch),
        ("device", "box", "regulated", 1)
    );
    assert!(info.total_us >= info.compute_us && info.compute_us == 35_000);
    let trace = daemon
        .handle
        .ask(|found| Message::Trace { request_id: info.request_id.clone(), found })
        .await
        .unwrap()
        .unwrap();
    let steps: Vec<&str> = trace.steps.iter().map(|step| step.step.as_str()).collect();
    assert_eq!(steps, ["received", "accepted", "preparing", "prepared", "running", "ran", "settled"]);
    let status = daemon.status(|status| status.counters.done == 1).await;
    assert!(status.simulated && status.models.iter().all(|model| model.state == "ready"));
}

#[tokio::test(start_paused = true)]
async fn tensors_come_back_in_the_shape_that_was_asked() {
    let daemon = daemon().await;
    let tensor = TensorIn {
        name: "x".into(),
        datatype: "FP32".into(),
        shape: vec![2, 3, 48, 192],
        data: Blob::Inline(vec![0; 2 * 110_592].into()),
    };
    let reply = daemon
        .ask(Request { payload: Payload::Tensors(vec![tensor]), ..request(":1.1", "text-direction", None) })
        .await;
    let Ok(Output::Tensors(tensors)) = reply.result else { panic!("{reply:?}") };
    assert_eq!((&*tensors[0].name, tensors[0].shape.as_slice(), tensors[0].data.len()), ("direction", &[2, 2][..], 16));
}

/// A tensor request with so many rows for the simulated model that takes 1.5 ms for each.
fn rows(caller: &str, count: i64, id: Option<&str>) -> Request {
    let tensor = TensorIn {
        name: "x".into(),
        datatype: "FP32".into(),
        shape: vec![count, 3, 48, 192],
        data: Blob::Inline(vec![0; usize::try_from(count).unwrap() * 110_592].into()),
    };
    Request { payload: Payload::Tensors(vec![tensor]), ..request(caller, "text-direction", id) }
}

#[tokio::test(start_paused = true)]
async fn many_rows_run_in_chunks_and_come_back_as_one() {
    for (want, sealed) in [(Want::Inline, false), (Want::Sealed, true)] {
        let daemon = daemon().await;
        let reply = daemon.ask(Request { want, ..rows(":1.1", 100, Some("many")) }).await;
        let Ok(Output::Tensors(tensors)) = &reply.result else { panic!("{reply:?}") };
        assert_eq!((tensors[0].shape.as_slice(), tensors[0].data.len()), (&[100, 2][..], 800));
        assert_eq!(matches!(tensors[0].data, Blob::Sealed { .. }), sealed);
        let info = &reply.info;
        assert_eq!(
            (info.compute_us, info.provider.as_str(), info.variant.as_str()),
            (150_000, "simulated", "simulated")
        );
        // On two lanes.
        assert!((75_000..=85_000).contains(&info.total_us), "{info:?}");
        let trace = daemon.handle.ask(|found| Message::Trace { request_id: "many".into(), found });
        let trace = trace.await.unwrap().unwrap();
        let steps: Vec<&str> = trace.steps.iter().map(|step| step.step.as_str()).collect();
        assert_eq!(steps, ["received", "accepted", "divided", "ran", "settled"]);
        let said = |step: &str| trace.steps.iter().find(|found| found.step == step).map(|found| found.detail.as_str());
        let divided = "100 rows in 8 chunks of 12 to 13 rows, so that others wait at most 20 ms";
        assert_eq!((said("divided"), said("ran")), (Some(divided), Some("8 chunks, model took 150.00 ms in all")));
        let again = daemon.ask(rows(":1.1", 100, Some("many"))).await;
        assert!(again.info.duplicate && again.result.is_ok(), "{again:?}");
        let status = daemon.status(|status| status.counters.done == 1).await;
        assert_eq!((status.counters.arrived, status.counters.accepted), (2, 1));
        let done = status.models.iter().find(|model| model.name == "text-direction").map(|model| model.done);
        assert_eq!(done, Some(1), "its chunks are no requests of a caller");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_high_is_answered_before_many_low_rows_are_and_they_can_be_cancelled_between() {
    let daemon = daemon().await;
    let with = |priority, request: Request| Request { options: Options { priority, ..request.options }, ..request };
    let mut low = daemon.submit(with(Priority::Low, rows(":1.1", 200, Some("low"))));
    let high = daemon.ask(with(Priority::High, rows(":1.2", 1, None))).await;
    assert!(high.result.is_ok() && high.info.queue_us <= 20_000, "{high:?}");
    assert!(low.try_recv().is_err(), "all rows ran before it");
    let caller = Caller::Bus { name: ":1.1".into(), uid: 0 };
    let cancel = daemon.handle.ask(|found| Message::Cancel { caller, request_id: "low".into(), found });
    assert!(cancel.await.unwrap());
    assert_eq!(code(&low.await.unwrap()), ErrorCode::Cancelled);
    let idle = |status: &Status| status.waiting == 0 && status.models.iter().all(|model| model.waiting == 0);
    daemon.status(idle).await;
}

#[tokio::test(start_paused = true)]
async fn the_same_caller_and_id_gets_the_same_reply_and_another_caller_its_own() {
    let daemon = daemon().await;
    let (first, second) = (
        daemon.submit(request(":1.1", "text-line", Some("a"))),
        daemon.submit(request(":1.1", "text-line", Some("a"))),
    );
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    let third = daemon.ask(request(":1.1", "text-line", Some("a"))).await;
    let other = daemon.ask(request(":1.2", "text-line", Some("a"))).await;
    assert_eq!([&first, &second, &third, &other].map(|reply| reply.info.duplicate), [false, true, true, false]);
    assert_eq!(first.info.completed_at, third.info.completed_at);
    let status = daemon.status(|status| status.counters.done == 2).await;
    assert_eq!((status.counters.done, status.counters.duplicates), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn faults_of_the_header_are_named_before_anything_runs() {
    let daemon = daemon().await;
    let base = || request(":1.1", "text-line", None);
    let encoded = |kind: &str, bytes: &[u8]| Payload::Encoded {
        content_type: kind.into(),
        data: Blob::Inline(bytes.to_vec().into()),
    };
    for (request, expected, part) in [
        (
            request(":1.1", "nope", None),
            ErrorCode::UnknownModel,
            "takes file-type, speech, text-boxes, text-direction, text-line",
        ),
        (request(":1.1", "text-line:9", None), ErrorCode::UnknownModel, "no version `9`"),
        (request(":1.1", "", None), ErrorCode::UnknownModel, "empty"),
        (
            Request { payload: encoded("image/gif", b"x"), ..base() },
            ErrorCode::InvalidInput,
            "takes image/jpeg, image/png",
        ),
        (Request { payload: encoded("image/png", b""), ..base() }, ErrorCode::InvalidInput, "payload: empty"),
        (Request { payload: Payload::Tensors(Vec::new()), ..base() }, ErrorCode::InvalidInput, "`x` is missing"),
    ] {
        let reply = daemon.ask(request).await;
        let failure = reply.result.as_ref().unwrap_err();
        assert_eq!(failure.code, expected);
        assert!(failure.message.contains(part), "{part} in {}", failure.message);
        assert_eq!(reply.info.verdict, "refuse");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_data_class_is_regulated_and_said() {
    let daemon = daemon().await;
    let mut request = request(":1.1", "text-line", None);
    request.options.data_class = Some("secret".into());
    let reply = daemon.ask(request).await;
    assert_eq!(reply.info.data_class, "regulated");
    assert!(reply.info.warnings[0].contains("no class `secret`"));
}

#[tokio::test(start_paused = true)]
async fn invariant_6_the_zone_of_the_broker_counts_as_reached_and_a_class_that_forbids_it_is_told() {
    let daemon = daemon().await;
    let by_broker = |class: Option<&str>, reached| Request {
        caller: Caller::Broker { reply_topic: "edge/box/result/text-line".into() },
        options: Options { data_class: class.map(Into::into), ..Options::default() },
        reached,
        ..request(":1.1", "text-line", None)
    };
    let cases = [
        (None, Zone::Device, "device", false),
        (None, Zone::Premises, "premises", true),
        (Some("regulated"), Zone::Cloud, "cloud", true),
        (Some("internal"), Zone::Premises, "premises", false),
        (Some("internal"), Zone::Region, "region", true),
        (Some("public"), Zone::Cloud, "cloud", false),
    ];
    for (class, reached, zone, told) in cases {
        let reply = daemon.ask(by_broker(class, reached)).await;
        assert!(reply.result.is_ok(), "{:?}", reply.result);
        assert_eq!(reply.info.zone, zone);
        let said = |text: &String| text.contains(&reply.info.data_class) && text.contains(zone);
        assert_eq!(reply.info.warnings.iter().any(said), told, "{class:?} {reached:?} {:?}", reply.info.warnings);
        let request_id = reply.info.request_id.clone();
        let trace = daemon.handle.ask(|found| Message::Trace { request_id, found }).await.unwrap().unwrap();
        assert_eq!(trace.steps.iter().any(|step| step.step == "beyond"), told);
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_can_cancel_its_own_request_only() {
    let daemon = daemon().await;
    let open = daemon.submit(request(":1.1", "text-line", Some("a")));
    let cancel = |caller: &str| {
        let caller = Caller::Bus { name: caller.into(), uid: 0 };
        daemon.handle.ask(move |found| Message::Cancel { caller, request_id: "a".into(), found })
    };
    assert!(!cancel(":1.2").await.unwrap());
    assert!(cancel(":1.1").await.unwrap());
    assert_eq!(code(&open.await.unwrap()), ErrorCode::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_frees_its_queued_work() {
    let daemon = daemon().await;
    let open: Vec<_> = (0..8).map(|_| daemon.submit(request(":1.1", "text-line", None))).collect();
    let caller = Caller::Bus { name: ":1.1".into(), uid: 0 };
    daemon.handle.send(Message::ClientLeft { caller }).await.unwrap();
    for reply in open {
        assert_eq!(code(&reply.await.unwrap()), ErrorCode::Cancelled);
    }
}

#[tokio::test(start_paused = true)]
async fn draining_finishes_what_was_accepted_and_refuses_the_rest_until_resumed() {
    let mut daemon = daemon().await;
    let open = daemon.submit(request(":1.1", "text-line", None));
    daemon.handle.send(Message::Drain).await.unwrap();
    assert_eq!(code(&daemon.ask(request(":1.1", "text-line", None)).await), ErrorCode::Unavailable);
    assert!(open.await.unwrap().result.is_ok());
    assert_eq!(daemon.milestones.recv().await, Some(Milestone::Drained));
    assert_eq!(daemon.status(|status| status.state == "drained").await.state, "drained");
    daemon.handle.send(Message::Resume).await.unwrap();
    assert!(daemon.ask(request(":1.1", "text-line", None)).await.result.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_reload_takes_the_new_policy_at_once() {
    let daemon = daemon().await;
    daemon.handle.ask(|done| Message::Reload { done }).await.unwrap().unwrap();
    let replies: Vec<_> = (0..8).map(|_| daemon.submit(request(":1.1", "text-line", None))).collect();
    let mut refused = 0;
    for reply in replies {
        refused += usize::from(reply.await.unwrap().result.is_err_and(|failure| failure.code == ErrorCode::Overloaded));
    }
    assert!(refused >= 4, "{refused}");
}

#[tokio::test(start_paused = true)]
async fn an_unloaded_model_is_unavailable_until_it_is_loaded_again() {
    let daemon = daemon().await;
    daemon.handle.ask(|done| Message::Unload { model: "text-line".into(), done }).await.unwrap().unwrap();
    assert_eq!(code(&daemon.ask(request(":1.1", "text-line", None)).await), ErrorCode::Unavailable);
    daemon.handle.ask(|done| Message::Load { model: "text-line".into(), done }).await.unwrap().unwrap();
    let ready = |status: &Status| status.models.iter().all(|model| model.state == "ready");
    tokio::time::timeout(Duration::from_secs(30), daemon.status(ready)).await.unwrap();
    assert!(daemon.ask(request(":1.1", "text-line", None)).await.result.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_job_that_there_is_not_cannot_be_given_up() {
    let daemon = daemon().await;
    let no = daemon.handle.ask(|done| Message::CancelJob { id: 3, done }).await.unwrap().unwrap_err();
    assert_eq!((no.code, no.message.as_str()), (ErrorCode::InvalidInput, "job: no job 3: none runs"));
}

#[tokio::test(start_paused = true)]
async fn no_model_is_unknown_before_every_bundle_was_read() {
    let (bundles, found) = mpsc::channel(16);
    let mut daemon = start(found);
    let ask = async |handle: &Handle| handle.submit(request(":1.1", "text-line", None)).unwrap().await.unwrap();
    let early = ask(&daemon.handle).await.result.unwrap_err();
    assert_eq!(early.code, ErrorCode::Unavailable, "{}", early.message);
    assert!(early.retry_after_ms.is_some() && early.message.contains("bundles"), "{}", early.message);
    drop(bundles);
    assert_eq!(daemon.milestones.recv().await, Some(Milestone::Warm));
    assert_eq!(ask(&daemon.handle).await.result.unwrap_err().code, ErrorCode::UnknownModel);
}

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Bundles of the simulator, all of them found.
fn simulated() -> mpsc::Receiver<Found> {
    let (bundles, found) = mpsc::channel(16);
    edged::store::simulated().into_iter().for_each(|model| bundles.try_send(model).unwrap());
    found
}

#[tokio::test]
async fn files_that_have_no_end_keep_nobody_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
    let name = pipe.display();
    let later = config(&format!(
        "[routing]\ndifficulty_model = '{name}'\n[[site]]\nname = 'far'\nzone = 'device'\nprotocol = 'openai'\n\
         url = 'http://127.0.0.1:9'\nmodels = {{ chat = 'm' }}\ncredential = '{name}'\n"
    ));
    let mut daemon = start_with(simulated(), config(""), later, Ways::default());
    assert_eq!(daemon.milestones.recv().await, Some(Milestone::Warm));
    let (over, waits) = std::sync::mpsc::channel::<()>();
    let opens = pipe.clone();
    // Whoever waits for the pipe is let go in the end, so that this test ends in any case.
    let opener = std::thread::spawn(move || {
        let late = waits.recv_timeout(PATIENCE).is_err();
        while late && waits.recv_timeout(Duration::from_millis(10)) == Err(RecvTimeoutError::Timeout) {
            drop(std::fs::File::options().read(true).write(true).open(&opens).unwrap());
        }
        late
    });
    let reloaded = daemon.handle.ask(|done| Message::Reload { done }).await;
    over.send(()).unwrap();
    assert!(!opener.join().unwrap(), "it waits for the pipe");
    assert_eq!(reloaded.unwrap(), Ok(()));
    let subjects = ["routing.difficulty_model", "site far"];
    let all = |status: &Status| subjects.iter().all(|it| status.problems.iter().any(|problem| problem.subject == *it));
    let status = tokio::time::timeout(PATIENCE, daemon.status(all)).await.unwrap();
    for problem in status.problems.iter().filter(|problem| subjects.contains(&problem.subject.as_str())) {
        let what = &problem.what;
        assert!(what.contains(&name.to_string()) && what.contains("takes a regular file of at most"), "{what}");
    }
}

/// Reads one request of HTTP; gives its first line, or nothing if the other end is gone.
async fn asked(stream: &mut TcpStream) -> Option<String> {
    let mut read = Vec::new();
    let end = loop {
        if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    while read.len() < end + length {
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    }
    head.lines().next().map(str::to_owned)
}

/// A server of chats: the first one gets two pieces and is broken off, all others get three and the end.
async fn chats() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut before = 0;
        while let Ok((mut stream, _)) = listener.accept().await {
            let Some(line) = asked(&mut stream).await else { continue };
            if !line.starts_with("post") {
                let body = r#"{"object":"list","data":[{"id":"m","object":"model"}]}"#;
                let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length";
                let _gone = stream.write_all(format!("{head}: {}\r\n\r\n{body}", body.len()).as_bytes()).await;
                continue;
            }
            let mut text = String::from(
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/event-stream\r\nContent-Length: 100000\r\n\r\n",
            );
            for piece in 0..if before == 0 { 2 } else { 3 } {
                text += &format!(
                    "data: {{\"object\":\"chat.completion.chunk\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{before}.{piece}\"}}}}]}}\n\n"
                );
            }
            text += if before == 0 { "" } else { "data: [DONE]\n\n" };
            before += 1;
            let _gone = stream.write_all(text.as_bytes()).await;
        }
    });
    port
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_gone_on_with_by_another_site() {
    let port = chats().await;
    let site = |name: &str| {
        format!(
            "[[site]]\nname = '{name}'\nzone = 'device'\nprotocol = 'openai'\nurl = 'http://127.0.0.1:{port}'\n\
             models = {{ chat = 'm' }}\n"
        )
    };
    let config = config(&format!("{}{}", site("a"), site("b")));
    let uplink = Some(Uplink::start(Clock::start(), 16).unwrap());
    let daemon = start_with(simulated(), config.clone(), config, Ways { uplink, ..Ways::default() });
    let ask = async |id: &str| {
        let (out, mut pieces) = mpsc::channel(64);
        let body = r#"{"messages":[{"role":"user","content":"x"}],"max_tokens":5}"#;
        let data = Blob::Inline(body.as_bytes().into());
        let payload = Payload::Encoded { content_type: "application/json".into(), data };
        let request = Request { payload, stream: Some(out), ..request(":1.1", "chat", Some(id)) };
        let reply = tokio::time::timeout(PATIENCE, daemon.ask(request)).await.unwrap();
        let mut told = Vec::new();
        while let Some(piece) = pieces.recv().await {
            told.push(String::from_utf8_lossy(&piece.json).into_owned());
        }
        (reply, told)
    };
    let (reply, told) = ask("broken").await;
    assert!(told.len() == 2 && told.iter().all(|piece| piece.contains("\"0.")), "{told:?}");
    assert_eq!(code(&reply), ErrorCode::Unavailable);
    let message = reply.result.unwrap_err().message;
    assert!(message.contains("site a") != message.contains("site b"), "{message}");
    let (reply, told) = ask("whole").await;
    assert!(reply.result.is_ok() && told.len() == 3 && told.iter().all(|piece| piece.contains("\"1.")), "{told:?}");
}

#[tokio::test]
async fn what_a_set_clock_calls_too_late_is_answered_as_the_disk_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let (daemon, held) = held(dir.path()).await;
    let waiting = |id: &str, deadline_ms| {
        let request = request(":1.1", "text-line", Some(id));
        let options = Options { deferrable: true, deadline_ms: Some(deadline_ms), ..request.options };
        Request { options, ..request }
    };
    let first = daemon.submit(waiting("there", 3_600_000));
    tokio::time::timeout(PATIENCE, daemon.status(|status| status.counters.deferred == 1)).await.unwrap();
    let again = daemon.submit(waiting("there", 0));
    let unknown = daemon.ask(waiting("unknown", 0)).await;
    assert_eq!(code(&unknown), ErrorCode::DeadlineExceeded);
    assert!(daemon.handle.offer(Message::Release { id: held }));
    for reply in [first, again] {
        let reply = tokio::time::timeout(PATIENCE, reply).await.unwrap().unwrap();
        assert!(reply.result.is_ok(), "{reply:?}");
    }
}

/// A driver with a disk for what may wait, which runs nothing until that is released.
async fn held(dir: &Path) -> (Daemon, u64) {
    let (said, reports) = mpsc::channel(64);
    let bounds = Bounds { bytes: 32 << 10, ..Bounds::default() };
    let spool = Spool::start(&dir.join("spool.db"), bounds, edged::driver::ledger_time(), said);
    let ways = Ways { spool: Some((spool.unwrap(), reports)), ..Ways::default() };
    let mut daemon = start_with(simulated(), config(""), config(""), ways);
    assert_eq!(daemon.milestones.recv().await, Some(Milestone::Warm));
    let held = daemon.handle.ask(|done| Message::Hold { why: "a test".into(), done }).await.unwrap().unwrap();
    (daemon, held)
}

fn patient(caller: &str, model: &str, id: &str) -> Request {
    let request = request(caller, model, Some(id));
    let options = Options { deferrable: true, deadline_ms: Some(3_600_000), ..request.options };
    Request { options, ..request }
}

#[tokio::test]
async fn the_same_id_for_another_model_waits_on_the_disk_for_an_answer_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let (daemon, held) = held(dir.path()).await;
    let models = ["text-line", "text-direction"];
    let mut waiting = Vec::new();
    for (n, model) in (1..).zip(models) {
        waiting.push(daemon.submit(patient(":1.1", model, "a")));
        tokio::time::timeout(PATIENCE, daemon.status(|status| status.counters.deferred == n)).await.unwrap();
    }
    assert!(daemon.handle.offer(Message::Release { id: held }));
    for (model, reply) in models.into_iter().zip(waiting) {
        let reply = tokio::time::timeout(PATIENCE, reply).await.unwrap().unwrap();
        assert!(reply.result.is_ok() && reply.info.model == model, "{reply:?}");
        let again = daemon.ask(patient(":1.2", model, "a")).await;
        assert!(again.info.duplicate && again.info.model == model, "{again:?}");
    }
}

#[tokio::test]
async fn what_may_wait_on_the_disk_is_given_up_by_its_user_alone_wherever_it_is_and_never_run() {
    let dir = tempfile::tempdir().unwrap();
    let (daemon, held) = held(dir.path()).await;
    let bus = |name: &str, uid| Caller::Bus { name: name.into(), uid };
    let cancel = async |caller: Caller, id: &str| {
        let ask = daemon.handle.ask(|found| Message::Cancel { caller, request_id: id.into(), found });
        tokio::time::timeout(PATIENCE, ask).await.unwrap().unwrap()
    };
    let waiting = daemon.submit(patient(":1.1", "text-line", "a"));
    tokio::time::timeout(PATIENCE, daemon.status(|status| status.routing.deferred == 1)).await.unwrap();
    for (caller, id) in
        [(bus(":1.1", 7), "a"), (Caller::Broker { reply_topic: "uid 0".into() }, "a"), (bus(":1.1", 0), "b")]
    {
        assert!(!cancel(caller, id).await);
    }
    assert!(cancel(bus(":1.2", 0), "a").await);
    let reply = waiting.await.unwrap();
    assert_eq!((code(&reply), reply.info.request_id.as_str()), (ErrorCode::Cancelled, "a"));
    assert!(!cancel(bus(":1.1", 0), "a").await, "it is gone");
    // The disk is still being asked, and it is on its way there.
    let asked = ["text-line", "text-direction"].map(|model| daemon.submit(patient(":1.1", model, "c")));
    assert!(cancel(bus(":1.1", 0), "c").await);
    for asked in asked {
        assert_eq!(code(&asked.await.unwrap()), ErrorCode::Cancelled);
    }
    assert!(daemon.handle.offer(Message::Release { id: held }));
    let anew = daemon.ask(patient(":1.1", "text-line", "a")).await;
    assert!(anew.result.is_ok() && !anew.info.duplicate, "{anew:?}");
    let over = |status: &Status| status.routing.deferred == 0 && status.counters.done > 0;
    let status = tokio::time::timeout(PATIENCE, daemon.status(over)).await.unwrap();
    assert_eq!((status.counters.done, status.counters.cancelled), (1, 3));
}

#[tokio::test]
async fn what_expires_on_the_disk_is_told_at_its_deadline_and_what_was_refused_there_does_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let (daemon, _held) = held(dir.path()).await;
    let soon = |id: &str| {
        let request = patient(":1.1", "text-line", id);
        let data_class = Some("internal".into());
        Request { options: Options { deadline_ms: Some(1_000), data_class, ..request.options }, ..request }
    };
    // The sweep that comes in any case is behind it.
    let long = daemon.submit(patient(":1.1", "text-line", "long"));
    tokio::time::timeout(PATIENCE, daemon.status(|status| status.routing.deferred == 1)).await.unwrap();
    for id in ["a", "b"] {
        let clock = Clock::start();
        let began = clock.now();
        let reply = daemon.ask(soon(id)).await;
        let took = clock.now().since(began);
        assert_eq!(code(&reply), ErrorCode::DeadlineExceeded);
        let info = &reply.info;
        assert_eq!((info.request_id.as_str(), info.model.as_str()), (id, "text-line"));
        assert!(info.data_class == "internal" && info.received_at < info.completed_at, "{info:?}");
        assert!(took >= Duration::from_millis(990) && took < Duration::from_millis(2_500), "{took:?}");
    }
    let large = patient(":1.1", "text-line", "large");
    let payload = vec![1; 40 << 10].into();
    let payload = Payload::Encoded { content_type: "image/jpeg".into(), data: Blob::Inline(payload) };
    let refused = daemon.ask(Request { payload, ..large }).await;
    assert_eq!(code(&refused), ErrorCode::Overloaded);
    let counted = |status: &Status| status.counters.expired == 2 && status.routing.deferred == 1;
    tokio::time::timeout(Duration::from_secs(3), daemon.status(counted)).await.unwrap();
    drop(long);
}
