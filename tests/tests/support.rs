//! What a technician mails: whole and without secrets, with the daemon and without, and what is said where it cannot be written.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use edge_tests::answer::Options;
use edge_tests::disk::Small;
use edge_tests::runner::block_on;
use edge_tests::secrets::keep;
use edge_tests::stack::{Setup, Stack};
use edge_tests::versions::{MODEL, command};
use serde_json::Value;

/// In the configuration of the stack, one in each place where such are found by mistake.
const SECRETS: [&str; 3] = ["hunter2-of-the-proxy", "hunter3-of-the-mirror", "hunter4-in-a-comment"];
/// In files that are only listed, and in what programs of the system print.
const ELSEWHERE: [&str; 7] = [
    "hunter6-in-a-credential",
    "hunter7-in-a-payload",
    "hunter8-in-the-log",
    "hunter9-in-an-address-of-the-log",
    "hunter10 in a unit",
    "hunter11-in-the-environment",
    "hunter12-in-a-key",
];
/// Names that are hidden when that is asked for.
const NAMES: [&str; 2] = ["proxy.plant", "mirror.plant"];

fn stack() -> Result<Stack> {
    let [_, _, comment] = SECRETS;
    let config = format!(
        "# it was {comment}\n[pull]\nproxy = 'http://proxy.plant:3128'\nmirrors = {{ 'models.plant' = ['https://mirror.plant/a'] }}\n"
    );
    Setup::new().bundles(&[MODEL]).without_broker().config(&config).prepare()
}

/// Settings as edged does not take them: the secrets are where they do not belong.
fn misplace(stack: &Stack) -> Result<()> {
    let [proxy, mirror, _] = SECRETS;
    let text = format!(
        "[pull]\nproxy = 'http://me:{proxy}@proxy.plant:3128'\nmirrors = ['https://mirror.plant/a?sig={mirror}']\n\
         [pull.credentials]\n'proxy.plant:3128' = '{}'\n",
        stack.dir().join("state/credentials/mqtt-password").display()
    );
    Ok(fs::write(stack.dir().join("edged.toml.d/70-later.toml"), text)?)
}

/// `edgectl support-bundle` with the configuration of the stack: exit code, and what was answered and said, on one line.
fn bundle(stack: &Stack, arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let config = stack.config_file().display().to_string();
    let mut command = command(stack, &[&["support-bundle", "--config", &config], arguments].concat())?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::iter::once(stack.dir().join("programs")).chain(std::env::split_paths(&path));
    let done = command.env("PATH", std::env::join_paths(dirs)?).output().context("run edgectl")?;
    let said = [done.stdout, b" ".to_vec(), done.stderr].concat();
    let words: Vec<String> = String::from_utf8_lossy(&said).split_whitespace().map(str::to_owned).collect();
    Ok((done.status.code(), words.join(" ")))
}

/// Files with secrets where edged has its own, and programs that print some; gives the directory of those.
fn plant(stack: &Stack) -> Result<PathBuf> {
    let [credential, payload, log, address, unit, environment, key] = ELSEWHERE;
    let [proxy, ..] = SECRETS;
    let (state, programs) = (stack.dir().join("state"), stack.dir().join("programs"));
    for dir in ["credentials", "journal", "inbox"] {
        fs::create_dir_all(state.join(dir))?;
    }
    keep(&state.join("credentials/mqtt-password"), credential)?;
    fs::write(state.join("journal/requests-copy.db"), format!("SQLite format 3\0{payload}"))?;
    fs::write(state.join("inbox/a.json"), format!("{{\"text\": \"{payload}\"}}"))?;
    fs::create_dir_all(&programs)?;
    let told = [
        (
            "journalctl",
            format!(
                "10:00 edged starts\n10:01 password={log}\n10:02 try mqtts://box:{address}@b:8883\n10:03 the proxy refused {proxy}\n-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n10:04 it saw {environment}"
            ),
        ),
        (
            "systemctl",
            format!(
                "[Service]\nUser=edged\nSetCredential=mqtt:{unit}\nEnvironment=\"MQTT_TOKEN={environment}\" LANG=C"
            ),
        ),
    ];
    for (name, text) in told {
        let file = programs.join(name);
        fs::write(&file, format!("#!/bin/sh\ncat <<'END'\n{text}\nEND\n"))?;
        fs::set_permissions(&file, PermissionsExt::from_mode(0o755))?;
    }
    Ok(programs)
}

/// Where it was unpacked; the only directory in it.
fn unpack(stack: &Stack, file: &Path) -> Result<PathBuf> {
    let into = stack.dir().join("unpacked");
    let _ = fs::remove_dir_all(&into);
    fs::create_dir(&into)?;
    let done = Command::new("tar").arg("-xzf").arg(file).arg("-C").arg(&into).output().context("run tar")?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let mut dirs = fs::read_dir(&into)?;
    let dir = dirs.next().context("a directory")??.path();
    ensure!(dirs.next().is_none());
    Ok(dir)
}

/// All files below a directory, each with its bytes.
fn files(dir: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        match path.is_dir() {
            true => found.extend(files(&path)?),
            false => found.push((path.display().to_string(), fs::read(&path)?)),
        }
    }
    Ok(found)
}

fn contains(files: &[(String, Vec<u8>)], word: &str) -> Vec<String> {
    let has = |(_, bytes): &&(String, Vec<u8>)| bytes.windows(word.len()).any(|window| window == word.as_bytes());
    files.iter().filter(has).map(|(name, _)| name.clone()).collect()
}

fn manifest(dir: &Path) -> Result<Value> {
    Ok(serde_json::from_slice(&fs::read(dir.join("manifest.json"))?)?)
}

fn missing(manifest: &Value) -> String {
    manifest["missing"].to_string()
}

#[test]
fn with_a_daemon_all_of_its_state_is_in_it_and_no_secret() -> Result<()> {
    block_on(async {
        let mut stack = stack()?;
        plant(&stack)?;
        stack.start_daemon().await?;
        // What was asked is refused by name, and is in no log.
        let client = stack.client().await?;
        let asked = format!("{{\"text\": \"{}\"}}", ELSEWHERE[1]);
        let answered = client.infer_bytes(MODEL, "application/json", asked.as_bytes(), &Options::new()).await?;
        ensure!(answered.is_err(), "{answered:?}");
        misplace(&stack)?;
        let file = stack.dir().join("a.tar.gz");
        let path = file.to_str().context("a path")?;
        let (code, said) = bundle(&stack, &[path])?;
        ensure!(code == Some(0) && said.contains("Nothing was sent anywhere"), "{code:?} {said}\n{}", stack.logs());
        ensure!(said.contains("status.json") && said.contains("--hide-names replaces them"), "{said}");
        ensure!(fs::metadata(&file)?.permissions().mode() & 0o777 == 0o600);
        let dir = unpack(&stack, &file)?;
        let all = files(&dir)?;
        for secret in SECRETS.iter().chain(&ELSEWHERE) {
            ensure!(contains(&all, secret).is_empty(), "{secret} is in {:?}", contains(&all, secret));
        }
        ensure!(!contains(&all, "proxy.plant").is_empty(), "names of hosts are told");
        let status: Value = serde_json::from_slice(&fs::read(dir.join("status.json"))?)?;
        ensure!(status["models"][0]["name"] == MODEL, "{status}");
        for part in [
            "doctor.txt",
            "governor.json",
            "sites.json",
            "jobs.json",
            "bindings.json",
            "usage.json",
            "audit.json",
            "telemetry.json",
            "journal.txt",
            "unit/cat.txt",
        ] {
            ensure!(dir.join(part).is_file(), "{part} is missing: {}", missing(&manifest(&dir)?));
        }
        let listed = fs::read_to_string(dir.join("files.txt"))?;
        for file in ["state/credentials/mqtt-password", "state/journal/requests-copy.db", "state/inbox/a.json"] {
            ensure!(listed.contains(file), "{file} is not listed: {listed}");
        }
        let later =
            fs::read_to_string(dir.join("config/02-70-later.toml")).context("settings that wait for a restart")?;
        ensure!(later.contains("http://<removed>@proxy.plant:3128"), "{later}");
        let log = fs::read_to_string(dir.join("journal.txt"))?;
        ensure!(log.contains("the proxy refused <removed>") && log.contains("10:04 it saw <removed>"), "{log}");

        // The same name again is refused before anything is asked; what is there stays.
        let before = fs::read(&file)?;
        let (code, said) = bundle(&stack, &[path])?;
        ensure!(code == Some(2) && said.contains("is there already: another name, or --force"), "{code:?} {said}");
        ensure!(fs::read(&file)? == before);
        let (code, said) = bundle(&stack, &[path, "--force", "--hide-names"])?;
        ensure!(code == Some(0), "{code:?} {said}");
        let dir = unpack(&stack, &file)?;
        let all = files(&dir)?;
        for name in NAMES {
            ensure!(contains(&all, name).is_empty(), "{name} is in {:?}", contains(&all, name));
        }
        ensure!(dir.display().to_string().contains("edged-support-box-"), "{}", dir.display());
        ensure!(!contains(&all, "host-1").is_empty());
        Ok(())
    })?
}

#[test]
fn without_a_daemon_the_rest_is_in_it_and_why_the_state_is_not() -> Result<()> {
    let stack = stack()?;
    plant(&stack)?;
    stack.launch.write()?;
    misplace(&stack)?;
    // A configuration with a fault is what such a bundle is made for.
    fs::write(
        stack.dir().join("edged.toml.d/60-broken.toml"),
        "[mqtt\npassword = 'hunter5-in-a-broken-file'\nport = 1883\n",
    )?;
    let file = stack.dir().join("b.tar.gz");
    let (code, said) = bundle(&stack, &[file.to_str().context("a path")?])?;
    ensure!(code == Some(0) && said.contains("Not in it:"), "{code:?} {said}");
    let dir = unpack(&stack, &file)?;
    let all = files(&dir)?;
    for secret in SECRETS.iter().chain(&ELSEWHERE).chain(&["hunter5-in-a-broken-file"]) {
        ensure!(contains(&all, secret).is_empty(), "{secret} is in {:?}", contains(&all, secret));
    }
    let manifest = manifest(&dir)?;
    ensure!(
        missing(&manifest).contains("status.json") && missing(&manifest).contains("edged is not on the session bus"),
        "{manifest}"
    );
    let check = fs::read_to_string(dir.join("config/check.txt"))?;
    ensure!(check.starts_with("NOT valid"), "{check}");
    let broken = fs::read_to_string(dir.join("config/02-60-broken.toml"))?;
    ensure!(broken.contains("port = 1883") && broken.contains("password = <removed>"), "{broken}");
    Ok(())
}

#[test]
fn standard_output_has_the_file_alone() -> Result<()> {
    let stack = stack()?;
    stack.launch.write()?;
    let config = stack.config_file().display().to_string();
    let done = command(&stack, &["support-bundle", "--stdout", "--config", &config])?.output()?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success() && said.contains("Nothing was sent anywhere"), "{said}");
    let file = stack.dir().join("c.tar.gz");
    fs::write(&file, &done.stdout)?;
    ensure!(manifest(&unpack(&stack, &file)?)?["format"] == 1);
    let (code, said) = bundle(&stack, &["--stdout", "--json"])?;
    ensure!(code == Some(2) && said.contains("--json takes the same place"), "{code:?} {said}");
    Ok(())
}

#[test]
fn a_place_that_cannot_be_written_is_told_and_nothing_is_left() -> Result<()> {
    let stack = stack()?;
    stack.launch.write()?;
    let none = stack.dir().join("none/a.tar.gz");
    let (code, said) = bundle(&stack, &[none.to_str().context("a path")?])?;
    ensure!(code == Some(1) && said.contains("No such file or directory"), "{code:?} {said}");
    if rustix::process::geteuid().is_root() {
        let closed = stack.dir().join("closed");
        fs::create_dir(&closed)?;
        fs::set_permissions(stack.dir(), PermissionsExt::from_mode(0o755))?;
        let file = closed.join("a.tar.gz").display().to_string();
        let done = command(&stack, &["support-bundle", &file])?.uid(65534).gid(65534).output()?;
        let said = String::from_utf8_lossy(&done.stderr);
        ensure!(done.status.code() == Some(1) && said.contains("Permission denied"), "{:?} {said}", done.status);
    }
    let small = stack.dir().join("small");
    let Some(disk) = Small::mount(&small, 256)? else { return Ok(()) };
    disk.fill(4096)?;
    let (code, said) = bundle(&stack, &[small.join("a.tar.gz").to_str().context("a path")?])?;
    ensure!(
        code == Some(1) && said.contains("No space left on device") && said.contains("nothing is left of it"),
        "{code:?} {said}"
    );
    let names: Vec<_> = fs::read_dir(&small)?.flatten().map(|entry| entry.file_name()).collect();
    ensure!(names == ["filler"], "{names:?}");
    Ok(())
}

#[test]
fn a_bundle_is_not_larger_than_it_may_be() -> Result<()> {
    let stack = stack()?;
    stack.launch.write()?;
    // Names of files that do not shrink, of which only a list is made.
    let noise = |number: u64| {
        format!(
            "{:016x}{:016x}",
            number.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            number.wrapping_mul(0xd1b5_4a32_d192_ed03)
        )
    };
    let state = stack.dir().join("state");
    fs::create_dir_all(&state)?;
    for number in 0..9900_u64 {
        let name: String = (0..8).map(|part| noise(number * 8 + part + 1)).collect();
        fs::write(state.join(&name[..240]), "")?;
    }
    let file = stack.dir().join("d.tar.gz");
    let (code, said) = bundle(&stack, &["--max-mib", "1", file.to_str().context("a path")?])?;
    ensure!(code == Some(0), "{code:?} {said}");
    ensure!(fs::metadata(&file)?.len() <= 1 << 20, "{}", fs::metadata(&file)?.len());
    let list = fs::read_to_string(unpack(&stack, &file)?.join("files.txt"))?;
    ensure!(list.starts_with("(the beginning is left out: "), "{:.80}", list);
    let (code, said) = bundle(&stack, &["--max-mib", "0"])?;
    ensure!(code == Some(2), "{code:?} {said}");
    Ok(())
}
