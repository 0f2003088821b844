//! Bundles fetched from elsewhere by the running daemon: over links that break, across its own death, from servers and
//! registries that fail or lie; with the real command.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use edge_tests::answer::{Options, Tensor, expect_yes};
use edge_tests::client::bus::BusClient;
use edge_tests::clock::{PATIENCE, eventually};
use edge_tests::origin::certificates::{self, From};
use edge_tests::origin::registry::{self, Layer};
use edge_tests::origin::{Fault, Origin, Served, bundles};
use edge_tests::places;
use edge_tests::runner::block_on;
use edge_tests::secrets::{Pair, keep};
use edge_tests::stack::{Setup, Stack};
use edge_wire::dto::JobStatus;
use serde_json::Value;

const MIB: u64 = 1 << 20;
/// Where the bundle is served.
const PATH: &str = "/models/add-2.0.0.edgemodel";
/// A box that gives up soon.
const IMPATIENT: &str = "give_up_after_s = 2\nstall_s = 1";

/// A stack, a server, and what both know each other by.
struct Place {
    stack: Stack,
    origin: Origin,
    authority: Pair,
    archive: PathBuf,
    /// Bytes of the archive.
    size: u64,
}

impl Place {
    /// With so many bytes of noise in the bundle and these lines in `[pull]`; the daemon is not started.
    fn prepare(noise: u64, pull: &str, more: &str) -> Result<Place> {
        let mut stack = Setup::new().bundles(&[bundles::MODEL]).without_broker().prepare()?;
        let secrets = stack.dir().join("certificates");
        let authority = certificates::authority(&secrets)?;
        let origin = Origin::start(&certificates::server(&secrets, &authority, From::Today)?)?;
        let made = stack.dir().join("made");
        std::fs::create_dir_all(&made)?;
        let (archive, size) = bundles::archive(&made, noise)?;
        origin.serve(PATH, Served::file(&archive));
        let ca = authority.certificate.display();
        stack.launch.overlay = format!("{more}\n[pull]\nca = \"{ca}\"\n{pull}\n");
        stack.launch.environment.push(("TZ".into(), "UTC".into()));
        Ok(Place { stack, origin, authority, archive, size })
    }

    async fn start(noise: u64, pull: &str, more: &str) -> Result<Place> {
        let mut place = Place::prepare(noise, pull, more)?;
        place.stack.start_daemon().await?;
        Ok(place)
    }

    fn edgectl(&self, arguments: &[&str]) -> Result<(Option<i32>, String)> {
        let mut command = Command::new(places::binary("edgectl")?);
        command.args(arguments).current_dir(self.stack.dir()).env("ORT_DYLIB_PATH", places::runtime_library()?);
        command.env("EDGED_BUS", "session").env("DBUS_SESSION_BUS_ADDRESS", self.stack.bus.address());
        let output = command.output().context("run edgectl")?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        // Lines are broken for the screen.
        let said = format!("{} {}", text(&output.stdout), text(&output.stderr));
        Ok((output.status.code(), said.split_whitespace().collect::<Vec<_>>().join(" ")))
    }

    fn done(&self, arguments: &[&str]) -> Result<String> {
        let (code, said) = self.edgectl(arguments)?;
        ensure!(code == Some(0), "{arguments:?}: {code:?} {said}\n{}", self.stack.logs());
        Ok(said)
    }

    /// A pull that ends with a "no" that says all of this.
    fn refused(&self, url: &str, says: &[&str]) -> Result<()> {
        let (code, said) = self.edgectl(&["models", "pull", url])?;
        let all = says.iter().all(|part| said.contains(part));
        ensure!(code == Some(1) && all, "{url}: {code:?} {said}\ninstead of {says:?}\n{}", self.stack.logs());
        ensure!(!self.installed(), "{url}: it was installed");
        Ok(())
    }

    fn installed(&self) -> bool {
        self.stack.dir().join("bundles/add-2.0.0").exists()
    }

    /// Names of what lies in the directory of pulls.
    fn left(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.stack.dir().join("state/pulls")).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// Nothing of a pull is left over.
    async fn nothing_left(&self) -> Result<()> {
        let gone = async || Ok(self.left().is_empty().then_some(()));
        eventually("nothing of the pull is left", PATIENCE, gone).await.with_context(|| format!("{:?}", self.left()))
    }

    /// The job of this number, once it is as wanted.
    async fn job(&self, id: u64, what: &str, wanted: impl Fn(&JobStatus) -> bool) -> Result<JobStatus> {
        let client = self.stack.client().await?;
        let found = async || {
            let jobs = client.status().await?.jobs;
            Ok(jobs.into_iter().find(|job| job.id == id && wanted(job)))
        };
        let found = eventually(what, PATIENCE, found).await;
        found.with_context(|| format!("{:?}", self.done(&["jobs"]))).with_context(|| self.stack.logs())
    }

    /// Begins a pull, and does not wait for it; its job.
    fn begin(&self, url: &str) -> Result<u64> {
        Ok(self.done(&["models", "pull", url, "--no-wait", "--json"])?.trim().parse()?)
    }

    /// Two and one by the active version: which it is, and what it made of them.
    async fn serves(&self, version: &str) -> Result<()> {
        let client = self.stack.client().await?;
        let found = ask(&client).await?;
        ensure!(found == (version.to_owned(), 3.0), "{found:?} instead of {version}");
        Ok(())
    }

    fn deeds(&self) -> Result<Vec<String>> {
        let history: Vec<Value> = serde_json::from_str(&self.done(&["models", "history", "--json"])?)?;
        let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        Ok(history.iter().map(|entry| ["what", "model", "result"].map(|key| text(entry, key)).join(" ")).collect())
    }
}

async fn ask(client: &BusClient) -> Result<(String, f32)> {
    let inputs = [Tensor::fp32("a", &[1, 4], &[2.0; 4]), Tensor::fp32("b", &[1, 4], &[1.0; 4])];
    let yes = expect_yes("an answer", client.infer(bundles::MODEL, &inputs, &Options::default()).await?)?;
    Ok((yes.info["version"].as_str().context("a version")?.to_owned(), yes.output("c")?.floats()?[0]))
}

#[test]
fn a_bundle_is_pulled_over_a_link_that_breaks_twenty_times_and_nothing_comes_twice() -> Result<()> {
    block_on(async {
        let place = Place::start(4 * MIB, "", "").await?;
        let cuts = std::iter::repeat_n(Fault::Cut(place.size / 21), 20);
        place.origin.change(PATH, |served| served.faults.extend(cuts));
        let said = place.done(&["models", "pull", &place.origin.url(PATH)])?;
        ensure!(said.contains("add:2.0.0 is active"), "{said}");
        place.serves("2.0.0").await?;
        let (asked, sent) = place.origin.take();
        ensure!(asked.len() == 21, "asked {} times", asked.len());
        ensure!(asked[1..].iter().all(|asked| asked.header("if-range") == "\"one\""), "{asked:?}");
        println!("{sent} bytes were sent of a bundle of {}", place.size);
        ensure!(sent * 100 <= place.size * 102, "{sent} bytes for {}", place.size);
        ensure!(place.deeds()? == ["pull add:2.0.0 done", "install add:2.0.0 done", "activate add:2.0.0 done"]);
        place.nothing_left().await?;
        // Once more: its head says that it is there.
        place.done(&["models", "pull", &place.origin.url(PATH)])?;
        ensure!(place.left().is_empty());
        Ok(())
    })?
}

#[test]
fn a_pull_goes_on_after_the_daemon_was_killed() -> Result<()> {
    block_on(async {
        let mut place = Place::start(3 * MIB, "max_rate_kib_s = 1024", "").await?;
        let job = place.begin(&place.origin.url(PATH))?;
        let half = |job: &JobStatus| job.percent >= 30 && job.phase.starts_with("pulling, ");
        let job = place.job(job, "a third has come", half).await?;
        ensure!(job.operation == "pull" && job.model == "add:2.0.0" && job.detail == place.origin.url(PATH), "{job:?}");
        ensure!(job.phase.contains(" of 3.0 MiB"), "{job:?}");
        place.stack.daemon_mut()?.process.crash()?;
        let (asked, _) = place.origin.take();
        ensure!(asked.len() == 1, "{asked:?}");
        place.stack.start_daemon().await?;
        let client = place.stack.client().await?;
        let active = async || Ok((ask(&client).await?.0 == "2.0.0").then_some(()));
        eventually("it went on by itself", PATIENCE, active).await.with_context(|| place.stack.logs())?;
        let (asked, _) = place.origin.take();
        let range = asked[0].header("range").trim_start_matches("bytes=").trim_end_matches('-').parse::<u64>()?;
        ensure!(asked.len() == 1 && range * 10 >= place.size * 3, "{asked:?}");
        place.nothing_left().await
    })?
}

#[test]
fn what_goes_wrong_is_named_with_what_was_tried_and_what_to_do() -> Result<()> {
    block_on(async {
        let place = Place::start(MIB, IMPATIENT, "").await?;
        let at = |path: &str, served: Served| {
            place.origin.serve(path, served);
            place.origin.url(path)
        };
        let file = || Served::file(&place.archive);
        let plain = place.origin.plain_url(PATH).replace("localhost", "models.plant");
        let url = place.origin.url(PATH);
        for (url, says) in [
            (place.origin.url("/nothing"), &["has nothing there (404)", "is the address right?"][..]),
            (at("/401", file().guarded("x", "Basic")), &["asks who this box is (401)", "`pull.credentials`"]),
            (at("/403", file().always(Fault::Status(403, ""))), &["does not let this box have it (403)"]),
            (at("/500", file().always(Fault::Status(500, ""))), &["given up after 2 s", "failed (500)"]),
            (
                at("/long", file().always(Fault::Longer(5000))),
                &["the bytes that are missing are not there, again and again"],
            ),
            (at("/short", file().always(Fault::Shorter(5000))), &["the archive"]),
            (at("/unsaid", file().always(Fault::Unannounced)), &["no Content-Length"]),
            (at("/plain", file().always(Fault::Redirect(plain))), &["http://models.plant", "it is not followed"]),
            (at("/loop", file().always(Fault::Redirect("/loop".into()))), &["sends on more than 5 times"]),
            (at("/stall", file().always(Fault::Stall(0))), &["nothing came from", "for 1 s", "given up after 2 s"]),
            (at("/page", Served::text("<html>please log in</html>")), &["is no .edgemodel"]),
            (format!("{url}#sha256={}", "0".repeat(64)), &["and 0000", "was promised: it is not taken"]),
        ] {
            place.refused(&url, says)?;
            place.nothing_left().await?;
        }
        let (code, said) = place.edgectl(&["models", "pull", "http://models.plant/x"])?;
        ensure!(code == Some(2) || code == Some(1), "{code:?}");
        ensure!(said.contains("url: http:// is taken of this box itself only"), "{said}");
        place.serves("1.0.0").await
    })?
}

#[test]
fn a_server_that_cannot_be_reached_or_trusted_is_named() -> Result<()> {
    block_on(async {
        let place = Place::start(1000, IMPATIENT, "").await?;
        // Nobody listens there any more.
        let port = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        place.refused(
            &format!("https://localhost:{port}/x.edgemodel"),
            &["given up after 2 s", "Connection refused", "is the network up"],
        )?;
        let strangers = place.stack.dir().join("strangers");
        let authority = certificates::authority(&strangers)?;
        let stranger = Origin::start(&certificates::server(&strangers, &authority, From::Today)?)?;
        place.refused(&stranger.url(PATH), &["signed by no authority that this box knows", "`pull.ca`"])?;
        let secrets = place.stack.dir().join("certificates");
        let early = Origin::start(&certificates::server(&secrets, &place.authority, From::Later)?)?;
        place.refused(
            &early.url(PATH),
            &["is not valid yet by the clock of this box, which says 20", "set the clock", "given up after 2 s"],
        )?;
        place.serves("1.0.0").await
    })?
}

#[test]
fn what_passes_is_waited_for_and_what_cannot_be_resumed_begins_again() -> Result<()> {
    block_on(async {
        let place = Place::start(MIB, "", "").await?;
        let url = place.origin.url(PATH);
        let faults =
            [Fault::Status(500, ""), Fault::Status(503, "Retry-After: 1"), Fault::Cut(400_000), Fault::Status(502, "")];
        place.origin.change(PATH, |served| served.faults.extend(faults));
        place.done(&["models", "pull", &url])?;
        place.serves("2.0.0").await?;
        let again = |served: &mut Served| served.faults.extend([Fault::Cut(400_000)]);
        let anew = || -> Result<()> {
            place.done(&["models", "rollback", bundles::MODEL])?;
            place.done(&["models", "remove", "add:2.0.0"])?;
            place.origin.take();
            Ok(())
        };
        // A server that knows no parts.
        anew()?;
        place.origin.change(PATH, |served| served.ranges = false);
        place.origin.change(PATH, again);
        place.done(&["models", "pull", &url])?;
        ensure!(place.origin.count(PATH) == 2 && place.installed());
        ensure!(place.stack.logs().contains("the server cannot resume"), "{}", place.stack.logs());
        // Another content under the same name while it is fetched: the tag says so.
        anew()?;
        place.origin.change(PATH, |served| (served.ranges, served.tag) = (true, "\"two\"".into()));
        place.origin.change(PATH, |served| served.faults.extend([Fault::Cut(400_000), Fault::Status(500, "")]));
        let job = place.begin(&url)?;
        let changed = async || Ok((place.origin.count(PATH) >= 1).then_some(()));
        eventually("it was asked for", PATIENCE, changed).await?;
        place.origin.change(PATH, |served| served.tag = "\"three\"".into());
        place.job(job, "it is done", |job| job.state == "done").await?;
        place.nothing_left().await?;
        // By the digest that the address promises.
        anew()?;
        let digest = sha256(&place.archive)?;
        place.origin.change(PATH, again);
        place.done(&["models", "pull", &format!("{url}#sha256={digest}")])?;
        ensure!(place.installed());
        Ok(())
    })?
}

fn sha256(path: &Path) -> Result<String> {
    let said = Command::new("sha256sum").arg(path).output().context("run sha256sum")?;
    Ok(String::from_utf8(said.stdout)?.split_whitespace().next().context("a digest")?.to_owned())
}

#[test]
fn room_is_asked_for_first() -> Result<()> {
    block_on(async {
        for (more, says) in [
            ("[models]\nquota_mib = 1", "`models.quota_mib` (1)"),
            ("[models]\ndisk_reserve_mib = 16777216", "`models.disk_reserve_mib` 16777216"),
        ] {
            let place = Place::start(3 * MIB, "", more).await?;
            place.refused(&place.origin.url(PATH), &["it takes", says])?;
            place.nothing_left().await?;
        }
        Ok(())
    })?
}

#[test]
fn a_bundle_that_nobody_trusted_signed_is_refused_by_its_first_bytes() -> Result<()> {
    block_on(async {
        let place = Place::start(40 * MIB, "", "[models]\nallow_unsigned = false\n").await?;
        place.refused(&place.origin.url(PATH), &["no model.toml.minisig: sign the bundle"])?;
        let (asked, sent) = place.origin.take();
        println!("{sent} of {} bytes had left the server when an unsigned bundle was refused", place.size);
        // What the system keeps for both ends of a connection is on the way by then.
        ensure!(asked.len() == 1 && sent < place.size / 2, "{sent} of {}", place.size);
        place.nothing_left().await
    })?
}

#[test]
fn pulls_wait_for_each_other_are_the_same_for_one_address_and_can_be_given_up() -> Result<()> {
    block_on(async {
        let place = Place::start(2 * MIB, "max_rate_kib_s = 256\nmax_waiting = 1", "").await?;
        let url = place.origin.url(PATH);
        let first = place.begin(&url)?;
        ensure!(place.begin(&url)? == first, "the same pull twice");
        let (code, said) = place.edgectl(&["models", "pull", &url, "--no-activate"])?;
        ensure!(code == Some(1) && said.contains("is being pulled already (job"), "{code:?} {said}");
        place.origin.serve("/other", Served::file(&place.archive));
        let second = place.begin(&place.origin.url("/other"))?;
        let (code, said) = place.edgectl(&["models", "pull", &place.origin.url("/third")])?;
        ensure!(
            code == Some(1) && said.contains("2 bundles are being pulled, or wait for it (`pull.max_waiting`)"),
            "{said}"
        );
        place.job(second, "it waits", |job| job.phase == "waiting for the pulls before it").await?;
        place.job(first, "some has come", |job| job.percent > 5).await?;
        ensure!(place.left().len() >= 2, "{:?}", place.left());
        place.done(&["jobs", "cancel", &first.to_string()])?;
        place.job(first, "it is given up", |job| job.state == "cancelled").await?;
        // The other one has its turn.
        place.job(second, "some of the other has come", |job| job.percent > 5).await?;
        place.done(&["jobs", "cancel", &second.to_string()])?;
        place.job(second, "it is given up", |job| job.state == "cancelled").await?;
        place.nothing_left().await?;
        ensure!(!place.installed());
        ensure!(place.deeds()? == ["pull add:2.0.0 failed"; 2], "{:?}", place.deeds()?);
        place.serves("1.0.0").await
    })?
}

#[test]
fn a_registry_is_asked_for_a_token_and_its_blob_is_held_against_its_digest() -> Result<()> {
    block_on(async {
        let mut place = Place::prepare(MIB, IMPATIENT, "")?;
        let (origin, user) = (place.origin.clone(), "press-7:open sesame");
        let host = format!("localhost:{}", origin.port);
        let pushed = registry::push(&origin, "vision/add", "2.0.0", &place.archive, Layer::Named)?;
        registry::guard(&origin, "vision/add", user);
        place.stack.start_daemon().await?;
        let url = format!("oci://{host}/vision/add:2.0.0");
        place.refused(&url, &["asks who this box is (401)", &format!("\"{host}\" = \"FILE\"")])?;
        let secret = place.stack.dir().join("registry-token");
        keep(&secret, "press-7:guess\n")?;
        let overlay =
            format!("{}[pull.credentials]\n\"{host}\" = \"{}\"\n", place.stack.launch.overlay, secret.display());
        place.stack.launch.overlay = overlay;
        place.stack.start_daemon().await?;
        place.refused(&url, &["does not take what", "registry-token says (401)"])?;
        std::fs::write(&secret, format!("{user}\n"))?;
        // Served under its digest is something else, of the same length.
        let mut spoilt = std::fs::read(&place.archive)?;
        spoilt.reverse();
        let other = place.stack.dir().join("spoilt");
        std::fs::write(&other, spoilt)?;
        origin.change(&pushed.blob, |served| served.body = edge_tests::origin::Body::File(other));
        place.refused(&url, &["is no .edgemodel"])?;
        let mut spoilt = std::fs::read(&place.archive)?;
        *spoilt.last_mut().context("a byte")? ^= 1;
        let other = place.stack.dir().join("spoilt-at-the-end");
        std::fs::write(&other, spoilt)?;
        origin.change(&pushed.blob, |served| served.body = edge_tests::origin::Body::File(other));
        place.refused(&url, &["has sha256", "was promised: it is not taken"])?;
        place.nothing_left().await?;
        let archive = place.archive.clone();
        origin.change(&pushed.blob, |served| {
            served.body = edge_tests::origin::Body::File(archive);
            served.faults.extend([Fault::Cut(300_000), Fault::Cut(300_000)]);
        });
        origin.take();
        place.done(&["models", "pull", &format!("oci://{host}/vision/add@sha256:{}", pushed.digest)])?;
        place.serves("2.0.0").await?;
        let (_, sent) = origin.take();
        ensure!(sent == place.size, "{sent} of {}", place.size);
        ensure!(!place.stack.logs().contains("sesame") && !place.stack.logs().contains("cHJlc3M"));
        // On the box itself a registry may do without TLS.
        place.done(&["models", "rollback", bundles::MODEL])?;
        place.done(&["models", "remove", "add:2.0.0"])?;
        registry::push(&origin, "plain/add", "2.0.0", &place.archive, Layer::Typed)?;
        place.done(&["models", "pull", &format!("oci://localhost:{}/plain/add:2.0.0", origin.plain)])?;
        place.serves("2.0.0").await
    })?
}

#[test]
fn mirrors_are_asked_in_their_order_and_a_proxy_is_gone_through() -> Result<()> {
    block_on(async {
        let mut place = Place::prepare(MIB, IMPATIENT, "")?;
        let origin = place.origin.clone();
        let overlay = format!(
            "{}proxy = \"http://localhost:{}\"\n[pull.mirrors]\n\"models.plant\" = [\"https://localhost:{}/nowhere\", \
             \"origin\"]\n",
            place.stack.launch.overlay, origin.plain, origin.port
        );
        place.stack.launch.overlay = overlay;
        place.stack.start_daemon().await?;
        place.done(&["models", "pull", &format!("https://models.plant{PATH}")])?;
        place.serves("2.0.0").await?;
        let (asked, _) = origin.take();
        let lines: Vec<String> = asked.iter().map(|asked| format!("{} {}", asked.method, asked.path)).collect();
        let expected = [format!("GET /nowhere{PATH}"), "CONNECT models.plant:443".to_owned(), format!("GET {PATH}")];
        ensure!(lines == expected, "{lines:?}");
        Ok(())
    })?
}

#[test]
fn it_is_pulled_only_when_it_may_be() -> Result<()> {
    block_on(async {
        let mut place = Place::prepare(MIB, "metered = \"wait\"", "")?;
        let manager = Manager::start(&place.stack, 1).await?;
        place.stack.launch.environment.push(("DBUS_SYSTEM_BUS_ADDRESS".into(), place.stack.bus.address()));
        place.stack.start_daemon().await?;
        let job = place.begin(&place.origin.url(PATH))?;
        place.job(job, "it waits", |job| job.phase.contains("the network is metered (`pull.metered`)")).await?;
        ensure!(place.origin.count(PATH) == 0);
        manager.say(2).await?;
        place.job(job, "it is done", |job| job.state == "done").await?;
        place.serves("2.0.0").await?;
        // Outside of its hours: what is six hours from now, whenever that is.
        place.done(&["models", "rollback", bundles::MODEL])?;
        place.done(&["models", "remove", "add:2.0.0"])?;
        place.origin.take();
        let said = Command::new("date").args(["-u", "+%H"]).output().context("run date")?;
        let hour: u32 = String::from_utf8(said.stdout)?.trim().parse()?;
        let windows = format!("windows = [\"{:02}:00-{:02}:30\"]\n", (hour + 6) % 24, (hour + 6) % 24);
        place.stack.launch.overlay.push_str(&windows);
        place.stack.start_daemon().await?;
        let job = place.begin(&place.origin.url(PATH))?;
        let says = |job: &JobStatus| job.phase.contains("waiting for a window of `pull.windows`: opens in 5 h");
        place.job(job, "it waits for its window", says).await?;
        ensure!(place.origin.count(PATH) == 0);
        place.done(&["jobs", "cancel", &job.to_string()])?;
        place.nothing_left().await
    })?
}

/// Who says whether the network is metered.
struct Manager(zbus::Connection);

struct Metered(u32);

#[zbus::interface(name = "org.freedesktop.NetworkManager")]
impl Metered {
    #[zbus(property)]
    fn metered(&self) -> u32 {
        self.0
    }
}

impl Manager {
    const PATH: &str = "/org/freedesktop/NetworkManager";

    async fn start(stack: &Stack, metered: u32) -> Result<Manager> {
        let connection = stack.bus.connect().await?;
        connection.object_server().at(Manager::PATH, Metered(metered)).await?;
        connection.request_name("org.freedesktop.NetworkManager").await?;
        Ok(Manager(connection))
    }

    async fn say(&self, metered: u32) -> Result<()> {
        let found = self.0.object_server().interface::<_, Metered>(Manager::PATH).await?;
        found.get_mut().await.0 = metered;
        Ok(())
    }
}
