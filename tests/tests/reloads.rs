//! What waits when a reload changes where requests may go is judged by what holds then: not a byte of it goes where the old
//! configuration would have sent it. The real daemon; the servers are scripted.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use edge_tests::answer::{Outcome, Tensor, expect_yes, options};
use edge_tests::client::bus::BusClient;
use edge_tests::clock::{PATIENCE, eventually, within};
use edge_tests::faulty::{Direction, Faulty};
use edge_tests::recorded::{Answer, Recorded};
use edge_tests::runner::block_on;
use edge_tests::stack::{Setup, Stack};
use edge_wire::proxy::ManagerProxy;
use serde_json::{Value, json};

/// What the one request at the site is known by, and the one that waits for its place.
const FIRST: f32 = 1234.5;
const SECOND: f32 = -77.25;
/// How long the site takes.
const TAKES: Duration = Duration::from_millis(1500);

/// What is looked for on the link: in numbers, or as a text.
fn marker(value: f32, in_words: bool) -> Vec<u8> {
    if in_words {
        return format!("order-{value}").into_bytes();
    }
    [value; 4].iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn server() -> Result<(Recorded, Faulty)> {
    let server = Recorded::start()?;
    server.answer("GET", "/v2/health/ready", [Answer::status(200, &[], b"{}")]);
    let sum = json!({ "name": "c", "datatype": "FP32", "shape": [1, 4], "data": [0.5, 0.5, 0.5, 0.5] });
    let body = json!({ "model_name": "add", "outputs": [sum] }).to_string();
    let answer = Answer::status(200, &["Content-Type: application/json"], body.as_bytes());
    server.answer("POST", "/v2/models/add/infer", [answer.clone()]);
    server.answer("POST", "/v2/models/words/infer", [answer]);
    let link = Faulty::to(server.port())?;
    Ok((server, link))
}

fn site(name: &str, zone: &str, port: u16) -> String {
    format!(
        "[[site]]\nname = \"{name}\"\nzone = \"{zone}\"\nprotocol = \"oip\"\nurl = \"http://127.0.0.1:{port}\"\n\
         allow_plain = true\nmodels = {{ add = \"add\", words = \"words\" }}\nmax_open = 1\n"
    )
}

async fn ask(client: &BusClient, value: f32, in_words: bool) -> Result<Outcome> {
    let given = options(json!({ "data_class": "internal", "deadline_ms": 20_000 }));
    if in_words {
        let text = marker(value, true);
        let length = u32::try_from(text.len())?.to_le_bytes();
        let inputs = [Tensor::new("text", "BYTES", &[1], [&length, &text[..]].concat())];
        return client.infer("words", &inputs, &given).await;
    }
    let inputs = [Tensor::fp32("a", &[1, 4], &[value; 4]), Tensor::fp32("b", &[1, 4], &[0.0; 4])];
    client.infer("add", &inputs, &given).await
}

#[test]
fn what_waits_for_a_place_goes_nowhere_that_the_new_configuration_forbids() -> Result<()> {
    block_on(async {
        for (case, in_words) in [
            ("nothing", false),
            ("nothing", true),
            ("a rule without sites", false),
            ("a ceiling", false),
            ("a pattern", true),
            ("a pattern's class", true),
            ("another zone", false),
            ("another server", false),
            ("no site", false),
        ] {
            check(case, in_words).await.with_context(|| case.to_owned())?;
        }
        Ok(())
    })?
}

async fn check(case: &str, in_words: bool) -> Result<()> {
    let ((_plant, plant), (_other, other)) = (server()?, server()?);
    plant.change(|faults| faults.down.delay = TAKES);
    let mut old = site("plant", "premises", plant.port());
    let found = "[detect]\npatterns = { order = 'order-' }\n";
    if case == "a pattern's class" {
        old.push_str(&format!("{found}pattern_classes = {{ order = \"internal\" }}\n"));
    }
    let stack = Setup::new().bundles(&["add"]).without_broker().config(&old).start().await?;
    let client = stack.client().await?;
    let _held = ManagerProxy::new(&client.connection).await?.hold("a test").await?;
    let [first, second] = [FIRST, SECOND].map(|value| {
        let client = client.clone();
        async move { ask(&client, value, in_words).await }
    });
    let first = tokio::spawn(first);
    let open = async || Ok((client.status().await?.routing.sites.iter().any(|site| site.open == 1)).then_some(()));
    eventually("the first is open there", PATIENCE, open).await?;
    // It is open before it has left: a reload in between would hold it, too.
    let left = async || Ok(plant.carried(Direction::Up, &marker(FIRST, in_words))?.then_some(()));
    eventually("the first has left", PATIENCE, left).await?;
    let second = tokio::spawn(second);
    let waits = async || Ok((client.status().await?.routing.sites.iter().any(|site| site.waiting == 1)).then_some(()));
    eventually("the second waits", PATIENCE, waits).await.with_context(|| stack.logs())?;

    let rule = |says: &str| format!("{old}\n[[rule]]\nname = \"strict\"\nmodels = [\"add\"]\n{says}\n");
    let new = match case {
        "a rule without sites" => rule("sites = []"),
        "a ceiling" => rule("ceiling = \"regulated\""),
        "another zone" => site("plant", "cloud", plant.port()),
        "another server" => site("plant", "premises", other.port()),
        "a pattern" => format!("{old}{found}"),
        "a pattern's class" => site("plant", "premises", plant.port()) + found,
        "no site" => String::new(),
        _ => old.clone(),
    };
    fs::write(stack.dir().join("edged.toml.d/50-overlay.toml"), new)?;
    ManagerProxy::new(&client.connection).await?.reload().await?;

    expect_yes("the first was sent before", within("the first", PATIENCE, first).await???)?;
    let second = within("the second", PATIENCE, second).await???;
    let [first, last] = [FIRST, SECOND].map(|value| marker(value, in_words));
    let left = plant.carried(Direction::Up, &last)? || other.carried(Direction::Up, &last)?;
    ensure!(plant.carried(Direction::Up, &first)?, "the first crossed the link");
    if case == "nothing" {
        expect_yes("the second", second)?;
        ensure!(left, "where nothing changed it is sent");
    } else {
        ensure!(!left && second.is_err(), "{second:?}");
    }
    let sites = client.status().await?.routing.sites;
    ensure!(sites.iter().all(|site| (site.open, site.waiting) == (0, 0)), "{sites:?}");
    Ok(())
}

/// A daemon that is killed, and started again with this configuration.
async fn killed(stack: &mut Stack, config: &str) -> Result<()> {
    let daemon = stack.daemon_mut()?;
    daemon.process.signal(rustix::process::Signal::KILL)?;
    daemon.process.wait(PATIENCE)?;
    fs::write(stack.dir().join("edged.toml.d/50-overlay.toml"), config)?;
    stack.start_daemon().await
}

/// So often requests were put on the disk, or back there.
async fn put_off(client: &BusClient, times: u64) -> Result<()> {
    let tried = async || Ok((client.status().await?.counters.deferred >= times).then_some(()));
    eventually("it is tried, and put off", PATIENCE, tried).await
}

#[test]
fn what_waits_on_the_disk_gets_no_freer_than_it_was_put_there() -> Result<()> {
    block_on(async {
        let order = "[detect]\npatterns = { order = 'order-' }\n";
        for (case, old, new, claim) in [
            ("the ceiling of the bus", "[policy]\nbus_ceiling = \"regulated\"\n", "", json!("public")),
            ("a rule's ceiling", "[[rule]]\nname = \"strict\"\nceiling = \"regulated\"\n", "", json!("public")),
            ("what is found", order, &format!("{order}pattern_classes = {{ order = \"public\" }}\n"), json!("public")),
            ("the default", "", "[policy]\nunlabelled = \"public\"\n", Value::Null),
        ] {
            on_disk(old, new, &claim).await.with_context(|| case.to_owned())?;
        }
        Ok(())
    })?
}

async fn on_disk(old: &str, new: &str, claim: &Value) -> Result<()> {
    let (_plant, plant) = server()?;
    let far = site("plant", "cloud", plant.port());
    let mut stack = Setup::new().bundles(&["add"]).without_broker().config(&format!("{far}{old}")).start().await?;
    let client = stack.client().await?;
    let mut given = json!({ "request_id": "w", "deferrable": true, "deadline_ms": 600_000 });
    if !claim.is_null() {
        given["data_class"] = claim.clone();
    }
    let given = options(given);
    let text = marker(FIRST, true);
    let length = u32::try_from(text.len())?.to_le_bytes();
    let inputs = [Tensor::new("text", "BYTES", &[1], [&length, &text[..]].concat())];
    let first = tokio::spawn({
        let (client, inputs, given) = (client.clone(), inputs.clone(), given.clone());
        async move { client.infer("words", &inputs, &given).await }
    });
    put_off(&client, 1).await?;
    let left = || plant.carried(Direction::Up, &text);

    fs::write(stack.dir().join("edged.toml.d/50-overlay.toml"), format!("{far}{new}"))?;
    ManagerProxy::new(&client.connection).await?.reload().await?;
    put_off(&client, 2).await?;
    ensure!(!left()?, "it left after a reload");
    killed(&mut stack, &format!("{far}{new}")).await?;
    first.abort();
    let client = stack.client().await?;
    put_off(&client, 1).await?;
    ensure!(!left()?, "it left after a restart");

    let near = site("near", "device", plant.port());
    fs::write(stack.dir().join("edged.toml.d/50-overlay.toml"), format!("{far}{near}{new}"))?;
    ManagerProxy::new(&client.connection).await?.reload().await?;
    let yes = expect_yes("where it may go", client.infer("words", &inputs, &given).await?)?;
    ensure!(yes.info["site"] == "near" && yes.info["data_class"] == "regulated", "{}", yes.info);
    Ok(())
}
