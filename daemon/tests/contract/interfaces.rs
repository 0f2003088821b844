//! Every proxy method and property.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use edge_core::Priority;
use edge_wire::dto::{CacheEntry, JobStatus, Status, Trace};
use edge_wire::error::ErrorCode;
use edge_wire::proxy::{InferenceProxy, JobProxy, ManagerProxy, ModelProxy, ModelsProxy, TelemetryProxy};
use edge_wire::tensor::Tensor;
use edged::request::{Blob, Payload};
use rustix::fs::SealFlags;
use zbus::fdo::ObjectManagerProxy;
use zbus::{Fd, Variant};

use crate::fake::{
    Allow, SEALS, client, client_with, fd_tensor, job, limits, memfd, next, no_options, refused, soon, status, until,
};

fn inline(name: &str, bytes: &[u8]) -> Tensor {
    let shape = vec![1, bytes.len() as u64];
    Tensor { name: name.into(), datatype: "UINT8".into(), shape, data: bytes.to_vec().into() }
}

#[tokio::test]
async fn infer_carries_tensors_in_the_message_both_ways() {
    let client = client().await;
    let inference = InferenceProxy::new(&client.connection).await.unwrap();
    let inputs = [inline("a", b"abc"), inline("b", &[9; 100_000])];
    for model in ["echo", "sealed"] {
        let (outputs, info) = soon("reply", inference.infer(model, &inputs, &no_options())).await.unwrap();
        assert_eq!(outputs, inputs);
        assert_eq!(info.0.model, model);
        assert_eq!((info.0.provider.as_str(), info.0.queue_us, info.0.batch), ("cpu", 10, 1));
    }
    let seen = client.driver.seen.lock().unwrap();
    let Payload::Tensors(tensors) = &seen.requests[0].payload else { panic!("no tensors") };
    assert!(matches!(&tensors[1].data, Blob::Inline(bytes) if bytes.len() == 100_000));
}

#[tokio::test]
async fn infer_fd_carries_tensors_in_sealed_memfds_both_ways() {
    let client = client().await;
    let inference = InferenceProxy::new(&client.connection).await.unwrap();
    let mut part = fd_tensor("b", b"0123456789");
    (part.offset, part.length, part.shape) = (3, 4, vec![4]);
    let inputs = [fd_tensor("a", &[7; 110_592]), part];
    let (outputs, info) = soon("reply", inference.infer_fd("echo", &inputs, &no_options())).await.unwrap();
    assert_eq!(info.0.model, "echo");
    let expected: [&[u8]; 2] = [&[7; 110_592], b"3456"];
    for (output, expected) in outputs.iter().zip(expected) {
        assert!(rustix::fs::fcntl_get_seals(&output.fd).unwrap().contains(SEALS));
        let mut bytes = vec![0; usize::try_from(output.length).unwrap()];
        let fd = output.fd.as_fd().try_clone_to_owned().unwrap();
        File::from(fd).read_exact_at(&mut bytes, output.offset).unwrap();
        assert_eq!(bytes, expected);
    }
}

#[tokio::test]
async fn outputs_that_come_inline_are_sealed_for_infer_fd() {
    let client = client().await;
    let inference = InferenceProxy::new(&client.connection).await.unwrap();
    let (outputs, _) = soon("reply", inference.infer_fd("big", &[fd_tensor("a", b"a")], &no_options())).await.unwrap();
    assert_eq!((outputs[0].offset, outputs[0].length, outputs[0].shape.clone()), (0, 1 << 20, vec![1 << 20]));
    assert!(rustix::fs::fcntl_get_seals(&outputs[0].fd).unwrap().contains(SEALS));
}

#[tokio::test]
async fn infer_encoded_takes_sealed_memfds_files_and_pipes() {
    let client = client().await;
    let inference = InferenceProxy::new(&client.connection).await.unwrap();
    let (pipe, writer) = rustix::pipe::pipe().unwrap();
    rustix::io::write(&writer, b"abcd").unwrap();
    drop(writer);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"abcde").unwrap();
    let cases: [(OwnedFd, &str); 4] = [
        (memfd(b"abc", SEALS), "sealed 3"),
        (memfd(b"abc", SealFlags::SHRINK), "sealed 3"),
        (pipe, "sealed 4"),
        (file.into(), "sealed 5"),
    ];
    for (fd, expected) in cases {
        let options = no_options();
        let called = inference.infer_encoded("echo", "image/png", Fd::from(&fd), &options);
        let (json, info) = soon("reply", called).await.unwrap();
        assert_eq!(json, format!("{{\"content_type\":\"image/png\",\"data\":\"{expected}\"}}"));
        assert_eq!(info.0.verdict, "local");
    }
}

#[tokio::test]
async fn options_reach_the_driver_and_warnings_come_back() {
    let client = client().await;
    let inference = InferenceProxy::new(&client.connection).await.unwrap();
    let options = HashMap::from([
        ("deadline_ms", Variant::from(250u16)),
        ("priority", Variant::from("high")),
        ("request_id", Variant::from("line-3")),
        ("colour", Variant::from(vec![1u8])),
    ]);
    let (_, info) = soon("reply", inference.infer("echo:1.0.0", &[inline("a", b"a")], &options)).await.unwrap();
    assert_eq!(info.0.warnings, ["unknown option \"colour\" was ignored"]);
    assert_eq!(info.0.request_id, "line-3");
    let seen = client.driver.seen.lock().unwrap();
    let request = &seen.requests[0];
    assert_eq!((request.model.as_str(), request.options.deadline_ms), ("echo:1.0.0", Some(250)));
    assert_eq!(request.options.priority, Priority::High);
}

#[tokio::test]
async fn a_refusal_comes_with_its_code_and_the_time_to_wait() {
    let client = client().await;
    let inference = InferenceProxy::new(&client.connection).await.unwrap();
    let no = refused(soon("reply", inference.infer("no", &[inline("a", b"a")], &no_options())).await);
    assert_eq!((no.code, no.retry_after_ms), (ErrorCode::Overloaded, Some(800)));
    assert!(no.message.contains("predicted wait"), "{}", no.message);
}

#[tokio::test]
async fn a_reply_that_the_driver_dropped_is_an_internal_error_and_not_silence() {
    let client = client().await;
    let inference = InferenceProxy::new(&client.connection).await.unwrap();
    let no = refused(soon("reply", inference.infer("dropped", &[inline("a", b"a")], &no_options())).await);
    assert_eq!(no.code, ErrorCode::Internal);
}

#[tokio::test]
async fn cancel_ends_an_open_request_by_its_id() {
    let client = client().await;
    let inference = InferenceProxy::new(&client.connection).await.unwrap();
    let options = HashMap::from([("request_id", Variant::from("mine"))]);
    let inputs = [inline("a", b"a")];
    let waiting = inference.infer("hold", &inputs, &options);
    let cancelling = async {
        until("held", || !client.driver.seen.lock().unwrap().held.is_empty()).await;
        let no = refused(inference.cancel("other").await);
        assert!(no.code == ErrorCode::InvalidInput && no.message.contains("other"), "{}", no.message);
        inference.cancel("mine").await.unwrap();
    };
    let (reply, ()) = soon("both", async { tokio::join!(waiting, cancelling) }).await;
    assert_eq!(refused(reply).code, ErrorCode::Cancelled);
}

#[tokio::test]
async fn the_manager_describes_traces_drains_resumes_and_reloads() {
    let client = client().await;
    let manager = ManagerProxy::new(&client.connection).await.unwrap();
    let described: Status = serde_json::from_str(&manager.describe().await.unwrap()).unwrap();
    assert_eq!(described, status());
    let trace: Trace = serde_json::from_str(&manager.trace("known").await.unwrap()).unwrap();
    assert_eq!(trace.request_id, "known");
    assert_eq!(refused(manager.trace("unknown").await).code, ErrorCode::InvalidInput);
    assert_eq!(manager.version().await.unwrap(), "0.1.0");
    assert_eq!(manager.interface_version().await.unwrap(), edge_wire::names::INTERFACE_VERSION);
    assert_eq!(manager.platform().await.unwrap().into_inner(), status().platform);
    let no = refused(manager.reload().await);
    assert!(no.code == ErrorCode::InvalidInput && no.message.contains("policy.lanes"), "{}", no.message);

    let mut states = manager.receive_state_changed().await;
    assert_eq!(next(&mut states).await.get().await.unwrap(), "serving");
    manager.drain().await.unwrap();
    assert_eq!(next(&mut states).await.get().await.unwrap(), "draining");
    assert_eq!(manager.reason().await.unwrap(), "asked to");
    manager.resume().await.unwrap();
    assert_eq!(next(&mut states).await.get().await.unwrap(), "serving");
}

#[tokio::test]
async fn a_hold_lasts_as_long_as_its_descriptor() {
    let client = client().await;
    let manager = ManagerProxy::new(&client.connection).await.unwrap();
    let held = manager.hold("firmware").await.unwrap();
    assert_eq!(client.driver.seen.lock().unwrap().events, ["hold firmware"]);
    drop(held);
    let released = async {
        while !client.driver.seen.lock().unwrap().events.iter().any(|event| event == "release 3") {
            tokio::task::yield_now().await;
        }
    };
    soon("released", released).await;
    let no = refused(manager.hold("").await);
    assert!(no.code == ErrorCode::InvalidInput && no.message.contains("why"), "{}", no.message);
}

#[tokio::test]
async fn every_model_is_an_object_that_follows_the_published_state() {
    let client = client().await;
    let connection = &client.connection;
    let paths = ModelsProxy::new(connection).await.unwrap().list().await.unwrap();
    assert_eq!(paths.len(), 1);
    assert_eq!(paths[0].as_str(), "/org/edged/Edge1/models/text_2dline/1_2e0_2e0");
    let model = ModelProxy::new(connection, paths[0].clone()).await.unwrap();
    assert_eq!((model.name().await.unwrap(), model.version().await.unwrap()), ("text-line".into(), "1.0.0".into()));
    assert_eq!(model.providers().await.unwrap(), [("cpu".to_owned(), 1.0)]);
    assert_eq!(model.inputs().await.unwrap(), [("x".to_owned(), "FP32".to_owned(), vec![-1, 3])]);
    assert_eq!(model.outputs().await.unwrap().len(), 2);
    assert_eq!(model.content_types().await.unwrap(), ["image/jpeg"]);
    assert_eq!((model.instances().await.unwrap(), model.max_batch().await.unwrap()), (2, 8));
    assert_eq!((model.default_deadline_ms().await.unwrap(), model.goldens_passed().await.unwrap()), (5000, 3));
    assert_eq!((model.load_ms().await.unwrap(), model.service_us().await.unwrap()), (120, 1500));
    assert_eq!((model.waiting().await.unwrap(), model.done().await.unwrap()), (0, 7));
    assert_eq!((model.task().await.unwrap(), model.licence().await.unwrap()), ("ctc_text".into(), "Apache-2.0".into()));
    assert_eq!(model.description().await.unwrap(), "reads a line of text");
    assert_eq!(model.path().await.unwrap(), "/var/lib/edged/text-line");
    assert_eq!((model.variant().await.unwrap(), model.reason().await.unwrap()), ("fp32".into(), String::new()));

    let mut states = model.receive_state_changed().await;
    assert_eq!(next(&mut states).await.get().await.unwrap(), "ready");
    let mut changed = status();
    changed.models[0].state = "failed".into();
    changed.models[0].reason = "wrong sha256".into();
    client.driver.status.send_replace(changed.into());
    assert_eq!(next(&mut states).await.get().await.unwrap(), "failed");

    let manager = ObjectManagerProxy::new(connection, "org.edged.Edge1", "/org/edged/Edge1").await.unwrap();
    let mut added = manager.receive_interfaces_added().await.unwrap();
    let mut removed = manager.receive_interfaces_removed().await.unwrap();
    let mut changed = status();
    changed.models[0].name = "speech".into();
    client.driver.status.send_replace(changed.into());
    let gone = next(&mut removed).await;
    assert_eq!(gone.args().unwrap().object_path.as_str(), paths[0].as_str());
    let new = next(&mut added).await;
    assert_eq!(new.args().unwrap().object_path.as_str(), "/org/edged/Edge1/models/speech/1_2e0_2e0");
    let objects = manager.get_managed_objects().await.unwrap();
    let speech = &objects[&zbus::OwnedObjectPath::try_from("/org/edged/Edge1/models/speech/1_2e0_2e0").unwrap()];
    let properties = speech.iter().find(|(name, _)| name.as_str() == "org.edged.Edge1.Model").unwrap().1;
    assert_eq!(<&str>::try_from(&properties["Name"]).unwrap(), "speech");
    assert!(objects.keys().all(|path| !path.contains("text_2dline")));
}

#[tokio::test]
async fn what_was_compiled_is_told_and_cleared_by_model() {
    let client = client().await;
    let models = ModelsProxy::new(&client.connection).await.unwrap();
    let entries: Vec<CacheEntry> = serde_json::from_str(&models.cache().await.unwrap()).unwrap();
    assert_eq!((entries[0].model.as_str(), entries[0].bytes), ("text-line", 7));
    assert_eq!(models.clear_cache(&no_options()).await.unwrap(), (1, 7));
    let only = HashMap::from([("model", Variant::from("text-line"))]);
    assert_eq!(models.clear_cache(&only).await.unwrap(), (1, 7));
    let wrong = HashMap::from([("model", Variant::from(7))]);
    let no = refused(models.clear_cache(&wrong).await);
    assert!(no.code == ErrorCode::InvalidInput && no.message == "model: takes a string", "{}", no.message);
    assert_eq!(client.driver.seen.lock().unwrap().events, ["clear None", "clear Some(\"text-line\")"]);
}

#[tokio::test]
async fn what_is_kept_is_exported_into_a_file_of_the_callers_and_imported_from_one() {
    let client = client().await;
    let models = ModelsProxy::new(&client.connection).await.unwrap();
    let file = tempfile::tempfile().unwrap();
    let job = models.export_cache(&["text-line"], file.as_fd().into(), &no_options()).await.unwrap();
    assert_eq!(job.as_str(), "/org/edged/Edge1/jobs/12");
    let job = models.import_cache(file.as_fd().into(), &no_options()).await.unwrap();
    assert_eq!(job.as_str(), "/org/edged/Edge1/jobs/13");
    assert_eq!(client.driver.seen.lock().unwrap().events, ["export [\"text-line\"]", "import exported"]);
}

#[tokio::test]
async fn versions_are_installed_activated_taken_back_and_removed_for_who_may() {
    let client = client().await;
    let models = ModelsProxy::new(&client.connection).await.unwrap();
    let options = HashMap::from([("activate", Variant::from(false)), ("pause", Variant::from(true))]);
    let job = models.install(memfd(b"archive", SEALS).as_fd().into(), &options).await.unwrap();
    assert_eq!(job.as_str(), "/org/edged/Edge1/jobs/8");
    let wrong = HashMap::from([("activate", Variant::from("yes"))]);
    let no = refused(models.install(memfd(b"archive", SEALS).as_fd().into(), &wrong).await);
    assert!(no.code == ErrorCode::InvalidInput && no.message == "activate: takes true or false", "{}", no.message);
    let path = "/org/edged/Edge1/models/text_2dline/1_2e0_2e0";
    let model = ModelProxy::new(&client.connection, path).await.unwrap();
    let force = HashMap::from([("force", Variant::from(true))]);
    assert_eq!(model.activate(&force).await.unwrap().as_str(), "/org/edged/Edge1/jobs/9");
    assert_eq!(model.rollback(&no_options()).await.unwrap().as_str(), "/org/edged/Edge1/jobs/10");
    let no = refused(model.remove(&no_options()).await);
    assert!(no.code == ErrorCode::InvalidInput && no.message.contains("is the active version"), "{}", no.message);
    assert_eq!(models.sync(&no_options()).await.unwrap(), 1);
    let expected = [
        "install archive Some(false) Activate { pause: true, force: false } by peer",
        "activate text-line:1.0.0 Activate { pause: false, force: true }",
        "rollback text-line",
        "remove text-line:1.0.0",
        "sync",
    ];
    assert_eq!(client.driver.seen.lock().unwrap().events, expected);
    let history: Vec<edge_wire::history::HistoryEntry> =
        serde_json::from_str(&models.history().await.unwrap()).unwrap();
    assert_eq!(history[0].what, "install");
}

#[tokio::test]
async fn every_job_is_an_object_from_its_begin_until_it_is_forgotten() {
    let client = client().await;
    let connection = &client.connection;
    let running = JobProxy::new(connection, "/org/edged/Edge1/jobs/7").await.unwrap();
    assert_eq!(
        (running.operation().await.unwrap(), running.model().await.unwrap()),
        ("build".into(), "text-line:1.0.0".into())
    );
    assert_eq!(running.detail().await.unwrap(), "fp32 on openvino");
    assert_eq!(
        (running.phase().await.unwrap(), running.progress().await.unwrap()),
        ("compiling".into(), (-1, "compiling".into(), 1))
    );
    assert_eq!((running.elapsed_ms().await.unwrap(), running.expected_ms().await.unwrap()), (2500, 9000));
    assert_eq!(
        (running.state().await.unwrap(), running.last_error().await.unwrap()),
        ("running".into(), String::new())
    );
    running.cancel(&no_options()).await.unwrap();
    assert_eq!(client.driver.seen.lock().unwrap().events, ["cancel job 7"]);

    let mut progress = running.receive_progress_changed().await;
    assert_eq!(next(&mut progress).await.get().await.unwrap().0, -1);
    let mut completed = running.receive_completed().await.unwrap();
    let publish = |jobs: Vec<JobStatus>| client.driver.status.send_replace(Status { jobs, ..status() }.into());
    publish(vec![JobStatus { percent: 40, phase: "checking goldens".into(), ..job(7) }]);
    assert_eq!(next(&mut progress).await.get().await.unwrap(), (40, "checking goldens".into(), 1));
    publish(vec![JobStatus { state: "cancelled".into(), ..job(7) }]);
    assert_eq!(next(&mut completed).await.args().unwrap().result, 2);
    assert_eq!(running.state().await.unwrap(), "cancelled");

    let manager = ObjectManagerProxy::new(connection, "org.edged.Edge1", "/org/edged/Edge1").await.unwrap();
    let mut added = manager.receive_interfaces_added().await.unwrap();
    let mut removed = manager.receive_interfaces_removed().await.unwrap();
    let late = JobProxy::new(connection, "/org/edged/Edge1/jobs/8").await.unwrap();
    let mut completed = late.receive_completed().await.unwrap();
    // It began and ended between two states that were published: its end is told all the same.
    publish(vec![JobStatus { state: "failed".into(), last_error: "no room".into(), ..job(8) }]);
    assert_eq!(next(&mut removed).await.args().unwrap().object_path.as_str(), "/org/edged/Edge1/jobs/7");
    assert_eq!(next(&mut added).await.args().unwrap().object_path.as_str(), "/org/edged/Edge1/jobs/8");
    assert_eq!(next(&mut completed).await.args().unwrap().result, 1);
    assert_eq!(late.last_error().await.unwrap(), "no room");
    let objects = manager.get_managed_objects().await.unwrap();
    assert!(objects.keys().any(|path| path.as_str() == "/org/edged/Edge1/jobs/8"));
}

#[tokio::test]
async fn models_are_loaded_and_unloaded_by_name_and_version() {
    let client = client().await;
    let path = "/org/edged/Edge1/models/text_2dline/1_2e0_2e0";
    let model = ModelProxy::new(&client.connection, path).await.unwrap();
    model.load(&no_options()).await.unwrap();
    assert_eq!(refused(model.unload(&no_options()).await).code, ErrorCode::UnknownModel);
    assert_eq!(client.driver.seen.lock().unwrap().events, ["load text-line:1.0.0", "unload text-line:1.0.0"]);
}

#[tokio::test]
async fn a_pull_is_asked_for_with_its_address_and_what_becomes_of_it() {
    let client = client().await;
    let models = ModelsProxy::new(&client.connection).await.unwrap();
    let job = models.pull("https://h/x", &no_options()).await.unwrap();
    assert_eq!(job.as_str(), "/org/edged/Edge1/jobs/11");
    let how = HashMap::from([("activate", Variant::from(false)), ("pause", Variant::from(true))]);
    models.pull("oci://r/a:b", &how).await.unwrap();
    let no = refused(models.pull("https://h/x", &HashMap::from([("force", Variant::from(7))])).await);
    assert!(no.code == ErrorCode::InvalidInput && no.message == "force: takes true or false", "{}", no.message);
    let events = client.driver.seen.lock().unwrap().events.clone();
    assert!(events[0].starts_with("pull https://h/x (None, false, false) by "), "{events:?}");
    assert!(events.len() == 2 && events[1].starts_with("pull oci://r/a:b (Some(false), true, false)"), "{events:?}");
}

#[tokio::test]
async fn telemetry_says_what_is_known_and_since_when() {
    let client = client().await;
    let telemetry = TelemetryProxy::new(&client.connection).await.unwrap();
    let readings = telemetry.readings().await.unwrap();
    assert_eq!(<&str>::try_from(&readings[0]["name"]).unwrap(), "cpu_load");
    assert_eq!(f64::try_from(&readings[0]["value"]).unwrap(), 3.5);
    assert_eq!(u64::try_from(&readings[0]["age_ms"]).unwrap(), 9);
    assert_eq!(telemetry.regime().await.unwrap(), "throttled");
    assert_eq!(telemetry.regime_reason().await.unwrap(), "tj is hot");
    let headroom = telemetry.headroom().await.unwrap();
    assert_eq!(f64::try_from(headroom["celsius"].try_clone().unwrap()).unwrap(), 4.5);
    assert_eq!(<&str>::try_from(&headroom["zone"]).unwrap(), "tj");
    let capacity = telemetry.capacity().await.unwrap();
    assert_eq!(u32::try_from(capacity["lanes"].try_clone().unwrap()).unwrap(), 1);
    assert_eq!(f64::try_from(capacity["sustainable"].try_clone().unwrap()).unwrap(), 0.4);
    let report = telemetry.governor(&HashMap::new()).await.unwrap();
    let report: edge_wire::governor::GovernorReport = serde_json::from_str(&report).unwrap();
    assert_eq!(report.now, status().governor);
    assert_eq!(telemetry.providers().await.unwrap(), HashMap::from([("cpu".into(), vec!["text-line:1.0.0".into()])]));

    let mut changes = telemetry.receive_readings_changed().await;
    next(&mut changes).await;
    let mut older = status();
    older.readings[0].age_ms = 5000;
    client.driver.status.send_replace(older.into());
    let mut newer = status();
    newer.readings[0].value = Some(4.0);
    client.driver.status.send_replace(newer.into());
    let readings = next(&mut changes).await.get().await.unwrap();
    assert_eq!(f64::try_from(&readings[0]["value"]).unwrap(), 4.0);
}

#[tokio::test]
async fn who_may_not_infer_or_change_may_still_look() {
    let client = client_with(Allow { infer: false, change: false }, limits()).await;
    let inference = InferenceProxy::new(&client.connection).await.unwrap();
    let manager = ManagerProxy::new(&client.connection).await.unwrap();
    let path = "/org/edged/Edge1/models/text_2dline/1_2e0_2e0";
    let model = ModelProxy::new(&client.connection, path).await.unwrap();
    let job = JobProxy::new(&client.connection, "/org/edged/Edge1/jobs/7").await.unwrap();
    let models = ModelsProxy::new(&client.connection).await.unwrap();
    let fd = memfd(b"a", SEALS);
    let denials = [
        refused(inference.infer("echo", &[], &no_options()).await),
        refused(inference.infer_fd("echo", &[], &no_options()).await),
        refused(inference.infer_encoded("echo", "t", Fd::from(&fd), &no_options()).await),
        refused(inference.submit("echo", "t", Fd::from(&fd), &no_options()).await),
        refused(inference.cancel("id").await),
        refused(inference.connect(&no_options()).await),
        refused(manager.drain().await),
        refused(manager.resume().await),
        refused(manager.reload().await),
        refused(model.load(&no_options()).await),
        refused(model.unload(&no_options()).await),
        refused(job.cancel(&no_options()).await),
        refused(models.clear_cache(&no_options()).await),
        refused(models.install(fd.as_fd().into(), &no_options()).await),
        refused(models.export_cache(&[], fd.as_fd().into(), &no_options()).await),
        refused(models.import_cache(fd.as_fd().into(), &no_options()).await),
        refused(model.activate(&no_options()).await),
        refused(model.rollback(&no_options()).await),
        refused(model.remove(&no_options()).await),
    ];
    assert!(denials.iter().all(|no| no.code == ErrorCode::NotAuthorized), "{denials:?}");
    assert!(manager.describe().await.is_ok() && manager.trace("known").await.is_ok());
    assert!(model.state().await.is_ok());
    let seen = client.driver.seen.lock().unwrap();
    assert!(seen.requests.is_empty() && seen.events.is_empty());
}
