//! Boxes that are told by lists what to have: they converge, one model's failure is no other one's, a rollout stops where it failed,
//! what is revoked serves no more, and a hand on the box has the last word. With the real command, broker and web server.

use anyhow::{Context, Result, ensure};
use edge_tests::answer::{Options, expect_no};
use edge_tests::bundle::seal;
use edge_tests::clock::{PATIENCE, eventually};
use edge_tests::daemon::Daemon;
use edge_tests::origin::bundles::pack;
use edge_tests::origin::certificates::{self, From};
use edge_tests::origin::{Fault, Origin, Served};
use edge_tests::runner::block_on;
use edge_tests::stack::{Setup, Stack};
use edge_tests::versions::{MODEL, archive, ask, bundle, done, edgectl, inputs, right, subtract};
use edge_wire::dto::{FleetModel, Status};

/// Where the list for many boxes is served.
const LIST: &str = "/fleet/models.toml";

/// A stack and a server that it trusts.
struct Place {
    stack: Stack,
    origin: Origin,
}

impl Place {
    /// The daemon is not started.
    fn prepare(setup: Setup, fleet: &str) -> Result<Place> {
        let mut stack = setup.bundles(&[MODEL, "spin"]).prepare()?;
        let secrets = stack.dir().join("certificates");
        let authority = certificates::authority(&secrets)?;
        let origin = Origin::start(&certificates::server(&secrets, &authority, From::Today)?)?;
        stack.launch.overlay = format!(
            "[models]\nprobation_s = 0\n[pull]\nca = \"{}\"\ngive_up_after_s = 2\nstall_s = 1\n[fleet]\n{}\n",
            authority.certificate.display(),
            fleet.replace("URL", &origin.url(LIST)),
        );
        Ok(Place { stack, origin })
    }

    /// Serves a version of the model; its address.
    fn serve(&self, version: &str) -> Result<String> {
        let path = format!("/{MODEL}-{version}.edgemodel");
        self.origin.serve(&path, Served::file(&archive(&self.stack, version)?));
        Ok(self.origin.url(&path))
    }

    /// Writes a list of the operator's own.
    fn write(&self, name: &str, text: &str) -> Result<()> {
        let dir = self.stack.dir().join("models.d");
        std::fs::create_dir_all(&dir)?;
        Ok(std::fs::write(dir.join(name), text)?)
    }

    /// Serves a list with its signature by this key.
    fn publish(&self, text: &str, key: &str) -> Result<()> {
        let path = self.stack.dir().join("models.toml");
        std::fs::write(&path, text)?;
        done(&self.stack, &["models", "sign", "models.toml", "--key", key])?;
        self.origin.serve(LIST, Served::text(text));
        let signature = std::fs::read_to_string(path.with_extension("toml.minisig"))?;
        self.origin.serve(&format!("{LIST}.minisig"), Served::text(&signature));
        Ok(())
    }

    async fn serves(&self, version: &str) -> Result<()> {
        serves(&self.stack, version).await
    }
}

/// Waits until requests without a version are answered by this one.
async fn serves(stack: &Stack, version: &str) -> Result<()> {
    let client = stack.client().await?;
    let found = async || Ok((ask(&client, MODEL).await.ok() == Some((version.into(), right(version)))).then_some(()));
    let found = eventually(&format!("{version} serves"), PATIENCE, found).await;
    found.with_context(|| said(stack)).with_context(|| stack.logs())
}

fn said(stack: &Stack) -> String {
    format!("{:?}", edgectl(stack, &["models", "fleet"]))
}

/// Waits until the box says this of a model.
async fn phase(stack: &Stack, name: &str, wanted: &str) -> Result<FleetModel> {
    let client = stack.client().await?;
    let found = async || {
        let models = client.status().await?.fleet.models;
        Ok(models.into_iter().find(|model| model.name == name && model.phase == wanted))
    };
    let found = eventually(&format!("{name} is {wanted}"), PATIENCE, found).await;
    found.with_context(|| said(stack)).with_context(|| stack.logs())
}

fn problem<'s>(status: &'s Status, subject: &str) -> Option<&'s str> {
    status.problems.iter().find(|problem| problem.subject.contains(subject)).map(|problem| problem.what.as_str())
}

/// One version of the model, for everybody at once.
fn entry(version: &str, url: &str) -> String {
    format!("[[model]]\nname = \"{MODEL}\"\nversion = \"{version}\"\nurl = \"{url}\"\n")
}

#[test]
fn a_box_fetches_what_its_lists_name_and_one_failure_holds_up_nothing_else() -> Result<()> {
    block_on(async {
        let mut place = Place::prepare(Setup::new().without_broker(), "channel = \"press\"\nevery_s = 10")?;
        let url = place.serve("2.0.0")?;
        let gone = place.origin.url("/gone.edgemodel");
        let slow = place.origin.url("/slow.edgemodel");
        place.origin.serve("/slow.edgemodel", Served::text("x").always(Fault::Stall(0)));
        // The one that cannot be had comes first, and the own channel goes before all others.
        place.write(
            "10-line.toml",
            &format!(
                "[[model]]\nname = \"aaa\"\nversion = \"1.0.0\"\nurl = \"{slow}\"\n\
                 [[model]]\nname = \"aab\"\nversion = \"1.0.0\"\n{}[[model]]\nname = \"{MODEL}\"\nversion = \"9.9.9\"\n\
                 channel = \"other\"\n[[model]]\nname = \"{MODEL}\"\nversion = \"2.0.0\"\nchannel = \"press\"\nurl = \"{url}\"\n\
                 [[model]]\nname = \"spin\"\nversion = \"7.0.0\"\nurl = \"{gone}\"\n",
                entry("8.8.8", &gone)
            ),
        )?;
        place.write("20-wrong.toml", "[[model]]\nname = \"Spin\"\nversion = \"7\"\n")?;
        place.write("30-none.txt", "this is no list")?;
        place.stack.start_daemon().await?;
        place.serves("2.0.0").await?;
        let model = phase(&place.stack, MODEL, "done").await?;
        ensure!((model.wave, model.waves) == (1, 1), "{model:?}");
        let spin = phase(&place.stack, "spin", "unreachable").await?;
        ensure!(spin.reason.contains("404"), "{spin:?}");
        phase(&place.stack, "aab", "unreachable").await?;
        phase(&place.stack, "aaa", "unreachable").await?;
        let status = place.stack.status().await?;
        let wrong = problem(&status, "20-wrong.toml").context("the wrong list is told")?;
        ensure!(wrong.contains("model[0].name: takes 1 to 64") && wrong.contains("model[0].version"), "{wrong}");
        ensure!(status.models.iter().any(|model| model.name == "spin" && model.active), "what served serves on");
        let (code, out, _) = edgectl(&place.stack, &["models", "sync"])?;
        ensure!(code == Some(1) && out.contains("20-wrong.toml"), "{code:?} {out}");
        // What is put right is taken, and a change is done.
        std::fs::remove_file(place.stack.dir().join("models.d/20-wrong.toml"))?;
        place.write("40-later.toml", &entry("1.0.0", &gone))?;
        let shown = done(&place.stack, &["models", "sync"])?;
        ensure!(shown.contains("add:1.0.0") && shown.contains("channel press"), "{shown}");
        place.serves("1.0.0").await?;
        // A slip of the pen lifts no ban, on the running daemon and after a restart.
        let ban = "[[revoked]]\nname = \"add\"\nversion = \"2.0.0\"\nwhy = \"it subtracts\"\n";
        place.write("50-ban.toml", ban)?;
        done(&place.stack, &["models", "sync"])?;
        banned(&place).await?;
        place.write("50-ban.toml", &format!("{ban}x"))?;
        edgectl(&place.stack, &["models", "sync"])?;
        banned(&place).await?;
        place.stack.daemon_mut()?.process.crash()?;
        place.stack.start_daemon().await?;
        banned(&place).await?;
        let history = done(&place.stack, &["models", "history"])?;
        ensure!(history.contains("fleet"), "{history}");
        Ok(())
    })?
}

#[test]
fn a_list_without_end_leaves_room_for_who_stands_at_the_box() -> Result<()> {
    block_on(async {
        let mut place = Place::prepare(Setup::new().without_broker(), "every_s = 3600")?;
        let url = place.serve("2.0.0")?;
        let entry = |at: usize| {
            let (path, name) = (format!("/{at}.edgemodel"), format!("model-{at}"));
            place.origin.serve(&path, Served::text("x").always(Fault::Stall(0)));
            format!("[[model]]\nname = \"{name}\"\nversion = \"1.0.0\"\nurl = \"{}\"\n", place.origin.url(&path))
        };
        let list: String = (0..40).map(entry).collect();
        place.write("10-all.toml", &list)?;
        place.stack.start_daemon().await?;
        let client = place.stack.client().await?;
        let begun = async || {
            let pulls = client.status().await?.jobs.into_iter().filter(|job| job.operation == "pull");
            Ok((pulls.filter(|job| job.state == "running").count() == 8).then_some(()))
        };
        eventually("half of the places are taken by the list", PATIENCE, begun).await?;
        done(&place.stack, &["models", "pull", &url])?;
        place.serves("2.0.0").await
    })?
}

#[test]
fn a_signed_list_is_obeyed_also_offline_and_a_revoked_version_never_serves_again() -> Result<()> {
    block_on(async {
        let mut place = Place::prepare(Setup::new().without_broker(), "url = \"URL\"\nevery_s = 3600")?;
        for name in ["site", "stranger"] {
            done(&place.stack, &["models", "keygen", name, "--no-password"])?;
        }
        let keys = place.stack.dir().join("keys.d");
        std::fs::create_dir_all(&keys)?;
        std::fs::copy(place.stack.dir().join("site.pub"), keys.join("site.pub"))?;
        let url = place.serve("2.0.0")?;
        let list = |serial: u32, more: &str| format!("serial = {serial}\n{}{more}", entry("2.0.0", &url));
        let ban = "[[revoked]]\nname = \"add\"\nversion = \"2.0.0\"\nwhy = \"it subtracts\"\n";
        place.publish(&list(7, ""), "site.key")?;
        place.stack.start_daemon().await?;
        place.serves("2.0.0").await?;

        let refused = |place: &Place, says: &str| {
            let (code, out, _) = edgectl(&place.stack, &["models", "sync"])?;
            // Lines are broken for the screen.
            let said = out.split_whitespace().collect::<Vec<_>>().join(" ");
            ensure!(code == Some(1) && said.contains(says), "{code:?} {said}\ninstead of {says}");
            Ok(())
        };
        place.publish(&list(8, ban), "stranger.key")?;
        refused(&place, "which is none of the 1 keys")?;
        place.publish(&list(6, ban), "site.key")?;
        refused(&place, "its serial is 6, and 7 was here before")?;
        place.publish(&list(7, ban), "site.key")?;
        refused(&place, "it has changed, and its serial 7 has not")?;
        place.origin.change(LIST, |served| served.faults.push_back(Fault::Status(503, "")));
        refused(&place, "503")?;
        place.origin.serve(LIST, Served::text(&"x".repeat(2 << 20)));
        refused(&place, "is larger than")?;
        place.serves("2.0.0").await?;

        // Revoked: what was before serves at once, and the version is refused by name, for every way to ask for it.
        place.publish(&list(8, ban), "site.key")?;
        done(&place.stack, &["models", "sync"])?;
        place.serves("1.0.0").await?;
        banned(&place).await?;
        let model = phase(&place.stack, MODEL, "revoked").await?;
        ensure!(model.reason.contains("it subtracts"), "{model:?}");
        let (code, _, err) = edgectl(&place.stack, &["models", "activate", "add:2.0.0", "--force"])?;
        ensure!(code == Some(1) && err.contains("is revoked by the fleet's list: it subtracts"), "{code:?} {err}");
        let deeds = done(&place.stack, &["models", "history"])?;
        ensure!(deeds.contains("revoke"), "{deeds}");

        // Neither a key that has ended nor keys that cannot be read lift the ban, nor a copy of the list that is damaged.
        let number = std::fs::read_to_string(keys.join("site.pub"))?;
        let number = number.split_whitespace().find(|word| word.len() == 16).unwrap_or("0000000000000000").to_owned();
        for terms in [format!("[key.{number}]\nnot_after = \"2020-01-01\"\n"), "[[key]]".into()] {
            std::fs::write(keys.join("keys.toml"), terms)?;
            edgectl(&place.stack, &["models", "sync"])?;
            banned(&place).await?;
        }
        std::fs::remove_file(keys.join("keys.toml"))?;
        std::fs::write(place.stack.dir().join("state/fleet/list.json"), "{")?;

        // Without the server, after a restart and before anything was asked.
        place.origin.serve(LIST, Served::text("gone").always(Fault::Stall(0)));
        place.stack.daemon_mut()?.process.crash()?;
        place.stack.start_daemon().await?;
        place.serves("1.0.0").await?;
        banned(&place).await?;

        // The ban is lifted.
        place.publish(&list(9, ""), "site.key")?;
        done(&place.stack, &["models", "sync"])?;
        place.serves("2.0.0").await?;
        Ok(())
    })?
}

/// The version is refused, and by its name.
async fn banned(place: &Place) -> Result<()> {
    let client = place.stack.client().await?;
    let outcome = client.infer(&format!("{MODEL}:2.0.0"), &inputs(), &Options::default()).await?;
    expect_no("a revoked version", &outcome, "unavailable", &["2.0.0", "revoked", "it subtracts"])
}

/// A node whose place is within the first tenth of its fleet, and one in its second half.
const EARLY: &str = "box-6";
const LATE: &str = "box-1";

#[test]
fn a_version_that_fails_on_the_first_boxes_does_not_reach_the_others() -> Result<()> {
    block_on(async {
        let mut canary = Place::prepare(Setup::new(), "every_s = 3600")?;
        let mut late = Place::prepare(Setup::new().without_broker(), "every_s = 3600")?;
        (canary.stack.launch.node, late.stack.launch.node) = (EARLY.into(), LATE.into());
        late.stack.launch.mqtt_port = canary.stack.launch.mqtt_port;
        // Its golden answers are those of an adder, and it subtracts.
        let dir = bundle(&canary.stack, "3.0.0", false)?;
        subtract(&dir)?;
        seal(&dir)?;
        let bad = canary.stack.dir().join("add-3.0.0.edgemodel");
        pack(&dir, &bad)?;
        canary.origin.serve("/bad.edgemodel", Served::file(&bad));
        late.origin.serve("/bad.edgemodel", Served::file(&bad));
        let waves = "waves = [10, 100]\nhold_s = 1\n";
        for place in [&canary, &late] {
            place.write("list.toml", &format!("{}{waves}", entry("3.0.0", &place.origin.url("/bad.edgemodel"))))?;
        }
        canary.stack.start_daemon().await?;
        let failed = phase(&canary.stack, MODEL, "failed").await?;
        ensure!(failed.reason.contains("golden") && failed.wave == 1, "{failed:?}");
        canary.serves("1.0.0").await?;

        late.stack.start_daemon().await?;
        let aborted = phase(&late.stack, MODEL, "aborted").await?;
        ensure!(aborted.reason.contains("1 boxes of earlier waves") && aborted.wave == 2, "{aborted:?}");
        ensure!(!late.stack.dir().join("bundles/add-3.0.0").exists(), "it was fetched all the same");
        late.serves("1.0.0").await?;

        // A better one goes to both, the late box after the first.
        for place in [&canary, &late] {
            let url = place.serve("4.0.0")?;
            place.write("list.toml", &format!("{}{waves}", entry("4.0.0", &url)))?;
        }
        done(&late.stack, &["models", "sync"])?;
        done(&canary.stack, &["models", "sync"])?;
        canary.serves("4.0.0").await?;
        late.serves("4.0.0").await?;
        phase(&late.stack, MODEL, "done").await?;
        Ok(())
    })?
}

#[test]
fn a_late_box_waits_for_the_broker_and_a_hand_on_the_box_has_the_last_word() -> Result<()> {
    block_on(async {
        let mut place = Place::prepare(Setup::new(), "every_s = 3600")?;
        place.stack.launch.node = LATE.into();
        let url = place.serve("2.0.0")?;
        place.write("list.toml", &format!("{}waves = [10, 100]\nhold_s = 1\n", entry("2.0.0", &url)))?;
        place.stack.broker_mut()?.stop()?;
        place.stack.daemon = Some(Daemon::start(&place.stack.launch).await?);
        let waiting = phase(&place.stack, MODEL, "waiting").await?;
        ensure!(!waiting.reason.is_empty(), "{waiting:?}");
        place.stack.broker_mut()?.start_again()?;
        place.serves("2.0.0").await?;

        done(&place.stack, &["models", "rollback", MODEL])?;
        place.serves("1.0.0").await?;
        let held = phase(&place.stack, MODEL, "held").await?;
        ensure!(held.reason.contains("edgectl models activate add:2.0.0"), "{held:?}");
        done(&place.stack, &["models", "sync"])?;
        place.serves("1.0.0").await?;
        done(&place.stack, &["models", "activate", "add:2.0.0"])?;
        phase(&place.stack, MODEL, "done").await?;
        place.serves("2.0.0").await
    })?
}
