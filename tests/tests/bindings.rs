//! Bindings of a running box: frames from topics, folders and references; JSON, flat values and the last answer; what is not
//! taken. Each test has its own stack, with the demo model that tells the type of a file.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use edge_tests::client::mqtt::{Device, Incoming, Outgoing, Protocol};
use edge_tests::clock::{PATIENCE, eventually};
use edge_tests::daemon::NODE;
use edge_tests::runner::block_on;
use edge_tests::stack::{Setup, Stack};
use edge_tests::versions::done;
use edge_wire::dto::BindingStatus;

const MODEL: &str = "file-type";
const BINDING: &str = r#"
[[binding]]
name = "doors"
model = "file-type"
topic = "plant/+/upload"
payload = "application/octet-stream"
take = "every"
result = "seen/{1}/result"
flat = { topic = "seen/{1}/{field}", fields = ["class", "score", "ok", "quality", "reason"], retain = true }
ok = { class = ["json"] }
"#;
const JSON: &str =
    "{\"a\": 1, \"b\": [1, 2, 3], \"c\": {\"d\": \"e\"}, \"some\": \"thing\", \"other\": [true, false, null]}";

async fn stack(binding: &str) -> Result<Stack> {
    Setup::new().bundles(&[MODEL]).config(binding).start().await
}

async fn send(device: &Device, topic: &str, payload: &str) -> Result<()> {
    let payload = payload.to_owned().into_bytes().into();
    device.publish(Outgoing { topic: topic.into(), payload, qos: 1, ..Outgoing::default() }).await
}

async fn text_on(device: &Device, topic: &str) -> Result<String> {
    let message = device.take(topic, PATIENCE, |message| message.topic == topic).await?;
    Ok(String::from_utf8(message.payload.to_vec())?)
}

async fn status(stack: &Stack) -> Result<BindingStatus> {
    stack.status().await?.mqtt.bindings.into_iter().next().context("a binding")
}

/// Waits until the counters of the binding fit.
async fn counted(stack: &Stack, what: &str, fits: impl Fn(&BindingStatus) -> bool) -> Result<BindingStatus> {
    eventually(what, PATIENCE, async || Ok(Some(status(stack).await?).filter(|status| fits(status)))).await
}

#[test]
fn a_frame_gives_json_values_of_their_own_and_the_last_answer() -> Result<()> {
    block_on(async {
        for protocol in [Protocol::V5, Protocol::V311] {
            let config = format!("[mqtt]\nprotocol = \"{}\"\n{BINDING}", protocol.word());
            let stack = stack(&config).await?;
            let device = stack.device(protocol).await?;
            device.subscribe("seen/#").await?;
            device.subscribe(&format!("edge/{NODE}/last/#")).await?;
            send(&device, "plant/gate 4/upload", JSON).await?;
            let result = device.take("the result", PATIENCE, |message| message.topic == "seen/gate 4/result").await?;
            let body = result.json()?;
            ensure!(body["ok"] == true && body["binding"] == "doors" && body["info"]["model"] == MODEL, "{body}");
            ensure!(body["result"]["label"] == "json", "{body}");
            ensure!(protocol == Protocol::V311 || result.property("edged_path") == Some(&format!("{NODE}/doors")));
            // A space is taken in a topic, and not in the path of a tag.
            let source = body["source"].as_str().context("a source")?.to_owned();
            ensure!(source.starts_with("gate_4-") && !source.contains(' '), "{source}");
            for (field, value) in [("class", "json"), ("ok", "true"), ("quality", "good"), ("reason", "-")] {
                let found = text_on(&device, &format!("seen/{source}/{field}")).await?;
                ensure!(found == value, "{field}: {found}");
            }
            let score: f64 = text_on(&device, &format!("seen/{source}/score")).await?.parse()?;
            ensure!(score > 0.3 && score <= 1.0, "{score}");
            let last = format!("edge/{NODE}/last/{MODEL}/{source}");
            device.take("the last answer", PATIENCE, |message| message.topic == last).await?;
            let later = stack.device(Protocol::V311).await?;
            later.subscribe(&last).await?;
            let kept = later.take("it is kept", PATIENCE, |message| message.topic == last).await?;
            ensure!(kept.retain && kept.json()?["result"]["label"] == "json");
            let text = done(&stack, &["bindings"])?;
            ensure!(text.contains("doors") && text.contains("plant/+/upload"), "{text}");
            let one = counted(&stack, "it is counted", |status| status.done == 1).await?;
            ensure!((one.received, one.failed, one.sources) == (1, 0, 1), "{one:?}");
        }
        Ok(())
    })?
}

#[test]
fn a_frame_without_an_answer_makes_the_values_bad_with_the_reason() -> Result<()> {
    block_on(async {
        // Under MQTT 5 a broker keeps what is too large to itself, as it knows the limit.
        let config = format!("[mqtt]\nprotocol = \"3.1.1\"\nmax_request_kib = 64\nmax_packet_kib = 1024\n{BINDING}");
        let stack = stack(&config).await?;
        let device = stack.device(Protocol::V311).await?;
        device.subscribe("seen/#").await?;
        // Between the limit of a request and that of a packet, and above both.
        for bytes in [100 << 10, 10 << 20] {
            let payload = vec![7; bytes].into();
            let topic = "plant/a/upload".into();
            device.publish(Outgoing { topic, payload, qos: 1, ..Outgoing::default() }).await?;
            let body = device.take("the no", PATIENCE, |message| message.topic == "seen/a/result").await?.json()?;
            ensure!(body["ok"] == false && body["error"]["code"] == "too_large", "{body}");
        }
        ensure!(text_on(&device, "seen/a/quality").await? == "bad");
        ensure!(text_on(&device, "seen/a/reason").await? == "too_large");
        // What came before a good answer is no change of it.
        send(&device, "plant/a/upload", JSON).await?;
        ensure!(text_on(&device, "seen/a/quality").await? == "good");
        ensure!(text_on(&device, "seen/a/class").await? == "json");
        let one = counted(&stack, "they are counted", |status| status.done == 1).await?;
        ensure!(one.failed == 2 && one.last_error_code == "too_large", "{one:?}");
        Ok(())
    })?
}

#[test]
fn a_message_that_came_round_in_a_circle_is_not_taken() -> Result<()> {
    block_on(async {
        let stack = stack(BINDING).await?;
        let device = stack.device(Protocol::V5).await?;
        device.subscribe("seen/#").await?;
        send(&device, "plant/a/upload", JSON).await?;
        let result = device.take("the result", PATIENCE, |message| message.topic == "seen/a/result").await?;
        // A bridge that keeps the properties, and one that loses them.
        let back = |user| Outgoing {
            topic: "plant/b/upload".into(),
            payload: result.payload.clone(),
            qos: 1,
            user,
            ..Outgoing::default()
        };
        device.publish(back(result.user.clone())).await?;
        device.publish(back(Vec::new())).await?;
        let one = counted(&stack, "both are noticed", |status| status.circular == 2).await?;
        ensure!(one.done == 1 && one.submitted == 1, "{one:?}");
        ensure!(done(&stack, &["bindings"])?.contains("come round in a circle"));
        send(&device, "plant/c/upload", JSON).await?;
        device.take("others are taken", PATIENCE, |message| message.topic == "seen/c/result").await.map(drop)
    })?
}

#[test]
fn what_the_broker_kept_from_an_earlier_time_is_no_frame() -> Result<()> {
    block_on(async {
        for protocol in [Protocol::V5, Protocol::V311] {
            let mut stack = Setup::new().bundles(&[MODEL]).prepare()?;
            stack.launch.overlay = format!("[mqtt]\nprotocol = \"{}\"\n{BINDING}", protocol.word());
            let device = stack.device(protocol).await?;
            let payload = JSON.as_bytes().to_vec().into();
            let topic = "plant/old/upload".into();
            device.publish(Outgoing { topic, payload, qos: 1, retain: true, ..Outgoing::default() }).await?;
            device.acknowledged(1).await?;
            stack.start_daemon().await?;
            device.subscribe("seen/#").await?;
            send(&device, "plant/new/upload", JSON).await?;
            device.take("a new one", PATIENCE, |message| message.topic == "seen/new/result").await?;
            let one = counted(&stack, "it is counted", |status| status.done == 1).await?;
            // MQTT 5 can ask the broker not to send it at all.
            ensure!(one.received == 1 && (protocol == Protocol::V5 || one.retained == 1), "{one:?}");
        }
        Ok(())
    })?
}

#[test]
fn a_binding_that_is_gone_leaves_no_subscription_behind() -> Result<()> {
    block_on(async {
        let mut stack = stack(BINDING).await?;
        let device = stack.device(Protocol::V5).await?;
        ensure!(stack.daemon_mut()?.terminate()?.success());
        stack.launch.overlay = String::new();
        stack.start_daemon().await?;
        let file = stack.dir().join("state/subscriptions");
        let ended = async || Ok(std::fs::read_to_string(&file)?.is_empty().then_some(()));
        eventually("the former subscription is ended", PATIENCE, ended).await?;
        // What is sent now comes to nobody, and does not come later.
        send(&device, "plant/a/upload", JSON).await?;
        device.acknowledged(1).await?;
        stack.launch.overlay = BINDING.into();
        stack.start_daemon().await?;
        device.subscribe("seen/#").await?;
        send(&device, "plant/b/upload", JSON).await?;
        device.take("a new one", PATIENCE, |message| message.topic == "seen/b/result").await?;
        ensure!(device.take_all(|message| message.topic == "seen/a/result").is_empty());
        Ok(())
    })?
}

#[test]
fn files_of_a_folder_are_answered_while_the_broker_is_away_and_told_when_it_is_back() -> Result<()> {
    block_on(async {
        let folder = tempfile::tempdir()?;
        let path = folder.path().display();
        let config = format!(
            "[[binding]]\nname = \"box\"\nmodel = \"{MODEL}\"\nfolder = \"{path}\"\npattern = \"*.dat\"\n\
             payload = \"application/octet-stream\"\nresult = \"files/{{1}}\"\n[mqtt]\noutbox_commit_ms = 100"
        );
        let mut stack = stack(&config).await?;
        std::fs::write(folder.path().join("first.dat"), JSON)?;
        let device = stack.device(Protocol::V5).await?;
        device.subscribe("files/#").await?;
        let gone = |name: &str| !folder.path().join(name).exists();
        eventually("the first is answered", PATIENCE, async || Ok(gone("first.dat").then_some(()))).await?;
        stack.broker_mut()?.stop()?;
        let lost = async || Ok((stack.status().await?.mqtt.state == "connecting").then_some(()));
        eventually("the loss is noticed", PATIENCE, lost).await?;
        for n in 0..10 {
            std::fs::write(folder.path().join(format!("away{n}.dat")), JSON)?;
        }
        // A file goes when its answer is safe: on the disk of the outbox.
        let all = async || Ok((0..10).all(|n| gone(&format!("away{n}.dat"))).then_some(()));
        eventually("all are answered", PATIENCE, all).await?;
        stack.daemon_mut()?.process.crash()?;
        stack.broker_mut()?.start_again()?;
        stack.start_daemon().await?;
        for n in 0..10 {
            let message = device.take("an answer", PATIENCE, |message| message.topic.starts_with("files/away")).await?;
            ensure!(message.property("historical") == Some("true") && message.json()?["historical"] == true);
            ensure!(
                message.topic == format!("files/away{n}") && message.json()?["source"] == "box",
                "{n}: {}",
                message.topic
            );
        }
        Ok(())
    })?
}

#[test]
fn a_message_may_name_a_file_that_is_allowed_and_no_other() -> Result<()> {
    block_on(async {
        let (folder, other) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let path = folder.path().display().to_string();
        let config = format!(
            "[[binding]]\nname = \"named\"\nmodel = \"{MODEL}\"\ntopic = \"trigger/+\"\ntake = \"every\"\n\
             payload = \"application/octet-stream\"\nreference = [\"{path}/\"]\nresult = \"seen/{{1}}\""
        );
        let stack = stack(&config).await?;
        std::fs::write(folder.path().join("a.json"), JSON)?;
        std::fs::write(other.path().join("b.json"), JSON)?;
        std::os::unix::fs::symlink(other.path().join("b.json"), folder.path().join("link.json"))?;
        let device = stack.device(Protocol::V311).await?;
        device.subscribe("seen/#").await?;
        let outside = other.path().join("b.json").display().to_string();
        for (reference, ok) in [
            (format!("{path}/a.json"), true),
            (format!("{{\"path\": \"{path}/a.json\"}}"), true),
            (outside, false),
            (format!("{path}/../{}/b.json", other.path().file_name().unwrap_or_default().display()), false),
            (format!("{path}/link.json"), false),
            (format!("{path}/none.json"), false),
            ("http://127.0.0.1/x".into(), false),
            ("".into(), false),
        ] {
            send(&device, "trigger/x", &reference).await?;
            let body = device.take("an answer", PATIENCE, |message| message.topic == "seen/x").await?.json()?;
            ensure!(body["ok"] == ok, "{reference}: {body}");
            let named = body["error"]["message"].as_str().unwrap_or_default();
            ensure!(ok || named.starts_with("reference: "), "{reference}: {body}");
        }
        Ok(())
    })?
}

#[test]
fn answers_leave_in_the_order_of_their_source_and_values_go_stale() -> Result<()> {
    block_on(async {
        let stack = stack(&format!("{BINDING}stale_after_ms = 1000\n")).await?;
        let device = stack.device(Protocol::V5).await?;
        device.subscribe("seen/#").await?;
        for n in 0..60 {
            // Different lengths take different times.
            let text = format!("{{\"n\": {n}, \"fill\": \"{}\"}}", "x".repeat((n * 7919) % 3000));
            send(&device, &format!("plant/s{}/upload", n % 3), &text).await?;
        }
        let mut numbers = Vec::new();
        for _ in 0..60 {
            let is_result = |message: &Incoming| message.topic.ends_with("/result");
            let body = device.take("a result", PATIENCE, is_result).await?.json()?;
            let id = body["id"].as_str().and_then(|id| id.rsplit('-').next()?.parse::<u64>().ok()).context("an id")?;
            numbers.push((body["source"].as_str().unwrap_or_default().to_owned(), id));
        }
        for source in ["s0", "s1", "s2"] {
            let of: Vec<u64> = numbers.iter().filter(|(of, _)| of == source).map(|(_, id)| *id).collect();
            ensure!(of.len() == 20 && of.is_sorted(), "{source}: {of:?}");
        }
        let stale = |message: &Incoming| message.topic == "seen/s1/quality" && message.payload == "stale";
        device.take("it goes stale", Duration::from_secs(10), stale).await.map(drop)
    })?
}

#[test]
fn values_of_a_source_that_ends_with_the_daemon_go_stale_in_its_next_life() -> Result<()> {
    block_on(async {
        let mut stack = stack(&format!("{BINDING}stale_after_ms = 2000\n")).await?;
        let device = stack.device(Protocol::V5).await?;
        device.subscribe("seen/+/quality").await?;
        send(&device, "plant/s 1/upload", JSON).await?;
        let good = device.take("it is good", PATIENCE, |message| message.payload == "good").await?;
        let noted = stack.dir().join("state/sources.json");
        eventually("the source is noted", PATIENCE, async || Ok(noted.exists().then_some(()))).await?;
        stack.daemon_mut()?.process.crash()?;
        stack.start_daemon().await?;
        let stale = device.take("it goes stale", PATIENCE, |message| message.payload == "stale").await?;
        ensure!(stale.topic == good.topic && stale.retain == good.retain, "{} {}", stale.topic, good.topic);
        Ok(())
    })?
}

#[test]
fn a_file_that_no_model_saw_stays_and_is_answered_when_there_is_one() -> Result<()> {
    block_on(async {
        let folder = tempfile::tempdir()?;
        let path = folder.path().display();
        let config = format!(
            "[[binding]]\nname = \"box\"\nmodel = \"{MODEL}\"\nfolder = \"{path}\"\npattern = \"*.dat\"\n\
             payload = \"application/octet-stream\"\nresult = \"files/{{1}}\"\n[mqtt]\nmax_request_kib = 64"
        );
        let mut stack = stack(&config.replace(MODEL, "file-tipe")).await?;
        let device = stack.device(Protocol::V5).await?;
        device.subscribe("files/#").await?;
        let file = folder.path().join("a.dat");
        std::fs::write(&file, JSON)?;
        let body = device.take("the no", PATIENCE, |message| message.topic == "files/a").await?.json()?;
        ensure!(body["error"]["code"] == "unknown_model", "{body}");
        let one = counted(&stack, "it is told", |status| status.failed == 1 && !status.problem.is_empty()).await?;
        ensure!(one.problem.contains("file-tipe"), "{one:?}");
        let named = async || {
            Ok(stack.status().await?.problems.into_iter().find(|problem| problem.subject.contains("binding box")))
        };
        eventually("status names it", PATIENCE, named).await?;
        ensure!(file.exists());
        stack.daemon_mut()?.terminate()?;
        stack.launch.overlay = config;
        stack.start_daemon().await?;
        let body = device.take("the answer", PATIENCE, |message| message.topic == "files/a").await?.json()?;
        ensure!(body["ok"] == true, "{body}");
        eventually("it goes", PATIENCE, async || Ok((!file.exists()).then_some(()))).await?;
        // One that can never be answered stays too, and no other waits for it.
        std::fs::write(folder.path().join("b.dat"), vec![7; 100 << 10])?;
        std::fs::write(folder.path().join("c.dat"), JSON)?;
        device.take("the next", PATIENCE, |message| message.topic == "files/c").await?;
        eventually("it goes", PATIENCE, async || Ok((!folder.path().join("c.dat").exists()).then_some(()))).await?;
        ensure!(folder.path().join("b.dat").exists());
        Ok(())
    })?
}

#[test]
fn values_of_a_binding_that_is_gone_or_has_other_topics_are_marked_as_stale() -> Result<()> {
    block_on(async {
        let mut stack = stack(BINDING).await?;
        let device = stack.device(Protocol::V5).await?;
        for (other, is_gone) in [(BINDING.replace("seen/{1}/{field}", "new/{1}/{field}"), false), (String::new(), true)]
        {
            let from = if is_gone { "new" } else { "seen" };
            device.subscribe(&format!("{from}/+/quality")).await?;
            device.subscribe(&format!("{from}/+/ok")).await?;
            send(&device, "plant/1/upload", JSON).await?;
            let is = |topic: String, payload: &'static str| {
                move |message: &Incoming| message.topic == topic && message.payload == payload
            };
            device.take("it is good", PATIENCE, is(format!("{from}/1/quality"), "good")).await?;
            let noted = stack.dir().join("state/sources.json");
            let has = async || {
                Ok(std::fs::read_to_string(&noted)
                    .is_ok_and(|text| text.contains(&format!("{from}/1/ok")))
                    .then_some(()))
            };
            eventually("the source is noted", PATIENCE, has).await?;
            stack.daemon_mut()?.terminate()?;
            stack.launch.overlay = other;
            stack.start_daemon().await?;
            device.take("it is stale", PATIENCE, is(format!("{from}/1/quality"), "stale")).await?;
            device.take("it is not ok", PATIENCE, is(format!("{from}/1/ok"), "false")).await?;
            let forgotten =
                async || Ok((!std::fs::read_to_string(&noted)?.contains(&format!("{from}/1/ok"))).then_some(()));
            eventually("it is forgotten", PATIENCE, forgotten).await?;
        }
        Ok(())
    })?
}

/// Takes results until each of so many frames has one; gives how many came more often.
async fn all_answered(device: &Device, frames: usize) -> Result<usize> {
    let (mut answered, mut again) = (std::collections::HashMap::new(), 0);
    while answered.len() < frames {
        let result = device.take("a result", PATIENCE, |message| message.topic.starts_with("seen/")).await?;
        let body = result.json()?;
        ensure!(body["ok"] == true, "{}: {body}", result.topic);
        again += usize::from(answered.insert(result.topic, body["id"].clone()).is_some());
    }
    Ok(again)
}

#[test]
fn no_frame_of_a_burst_that_its_sender_keeps_is_left_out() -> Result<()> {
    block_on(async {
        let config =
            BINDING.lines().filter(|line| !line.starts_with("flat") && !line.starts_with("ok")).collect::<Vec<_>>();
        let config = format!("[mqtt]\njournal_after_ms = 20\n{}\nmax_waiting = 16\nlast = false\n", config.join("\n"));
        let mut stack = stack(&config).await?;
        let device = stack.device(Protocol::V5).await?;
        device.subscribe("seen/#").await?;
        for n in 0..1000 {
            send(&device, &format!("plant/{n}/upload"), JSON).await?;
        }
        ensure!(all_answered(&device, 1000).await? == 0);
        let one = counted(&stack, "all are counted", |status| status.done == 1000).await?;
        ensure!((one.overloaded, one.failed) == (0, 0), "{one:?}");
        // Three deaths with a backlog: what only waited has nothing to do with them.
        for n in 0..400 {
            send(&device, &format!("plant/k{n}/upload"), JSON).await?;
        }
        for _ in 0..3 {
            device.take("a result", PATIENCE, |message| message.topic.starts_with("seen/k")).await?;
            stack.daemon_mut()?.process.crash()?;
            stack.start_daemon().await?;
        }
        let later = stack.device(Protocol::V5).await?;
        later.subscribe("seen/#").await?;
        for n in 0..20 {
            send(&later, &format!("plant/end{n}/upload"), JSON).await?;
        }
        // Behind all others, in their order.
        while later.take("a result", PATIENCE, |message| message.topic.starts_with("seen/")).await?.topic
            != "seen/end19/result"
        {}
        let mut left: std::collections::BTreeSet<String> = (0..400).map(|n| format!("seen/k{n}/result")).collect();
        for message in device.take_all(|message| message.topic.starts_with("seen/k")) {
            ensure!(message.json()?["ok"] == true, "{}: {}", message.topic, message.json()?);
            left.remove(&message.topic);
        }
        // The three that were taken to know when to kill.
        ensure!(left.len() <= 3, "{left:?}");
        Ok(())
    })?
}
