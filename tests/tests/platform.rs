//! What the generator adds to the unit, on made-up machines: devices that are there, groups that are there, folders of bindings.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

const GENERATOR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../systemd/edged-platform");
const PLATFORMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../systemd/platform");

/// Runs the generator on a machine of these files, each a path and what is in it; gives what it wrote, a link as its target.
fn added(files: &[(&str, &str)]) -> Result<BTreeMap<String, String>> {
    let (root, units) = (tempfile::tempdir()?, tempfile::tempdir()?);
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().context("a path below the root")?)?;
        fs::write(path, text)?;
    }
    let ran = Command::new("sh")
        .arg(GENERATOR)
        .args([units.path(), units.path(), units.path()])
        .env("EDGED_PLATFORM_ROOT", root.path())
        .output()
        .context("run the generator")?;
    let said = String::from_utf8_lossy(&ran.stderr);
    ensure!(ran.status.success() && said.is_empty(), "{}: {said}", ran.status);
    let Ok(entries) = fs::read_dir(units.path().join("edged.service.d")) else { return Ok(BTreeMap::new()) };
    entries
        .map(|entry| {
            let path = entry?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let text = match fs::read_link(&path) {
                Ok(target) => format!("-> /{}", target.strip_prefix(root.path())?.display()),
                Err(_) => fs::read_to_string(&path)?,
            };
            Ok((name, text))
        })
        .collect()
}

fn names(files: &[(&str, &str)]) -> Result<Vec<String>> {
    Ok(added(files)?.into_keys().collect())
}

const GROUPS: (&str, &str) = ("etc/group", "root:x:0:\nvideo:x:44:\nrender:x:106:\n");

#[test]
fn each_machine_opens_the_devices_that_it_has() -> Result<()> {
    let jetson = ("proc/device-tree/compatible", "nvidia,p3768-0000+p3767-0005\0nvidia,tegra234\0");
    let card = |class: &'static str| {
        [("sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de\n"), ("sys/bus/pci/devices/0000:01:00.0/class", class)]
    };
    let hailo = [("sys/bus/pci/devices/0001:01:00.0/vendor", "0x1e60\n")];
    assert!(names(&[])?.is_empty(), "a machine without any");
    assert_eq!(
        names(&[jetson, GROUPS])?,
        ["20-group-render.conf", "20-group-video.conf", "20-jetson.conf"],
        "a Jetson, whose graphics processor is on no bus"
    );
    assert_eq!(names(&[jetson])?, ["20-jetson.conf"], "a group that is not there keeps a service from starting");
    assert_eq!(names(&card("0x030000\n"))?, ["20-nvidia.conf"]);
    assert_eq!(names(&card("0x030200\n"))?, ["20-nvidia.conf"], "a card that drives no screen");
    assert!(names(&card("0x020700\n"))?.is_empty(), "a network card of the same vendor");
    assert_eq!(names(&hailo)?, ["20-hailo.conf"]);
    let both = [&hailo[..], &card("0x030000\n")].concat();
    assert_eq!(names(&both)?, ["20-hailo.conf", "20-nvidia.conf"]);
    assert_eq!(added(&hailo)?["20-hailo.conf"], "-> /usr/lib/edged/platform/hailo.conf");
    Ok(())
}

#[test]
fn cameras_and_folders_are_opened_if_a_binding_names_them() -> Result<()> {
    let main = ("etc/edged/edged.toml", "#folder = \"/no\"\n# device = \"/dev/video0\"\n");
    assert!(names(&[main])?.is_empty(), "what is commented out is not said");
    let of = |text: &'static str| ("etc/edged/edged.toml.d/10-line.toml", text);
    assert_eq!(names(&[main, of("[[binding]]\ndevice = '/dev/v4l/by-id/usb-1'\n")])?, ["20-camera.conf"]);
    let folders = of("[[binding]]\nfolder = \"/srv/in 100%\"\n  after = '/srv/done' # a comment\n");
    assert_eq!(
        added(&[main, folders])?["20-folders.conf"],
        "# Written by edged-platform: folders of the bindings in /etc/edged.\n[Service]\n\
         ReadWritePaths=\"-/srv/done\"\nReadWritePaths=\"-/srv/in 100%%\"\n"
    );
    for whole in ["/", "/.", "//", "/./"] {
        let text = format!("folder = \"{whole}\"\nafter = \"delete\"\n");
        let files = [("etc/edged/edged.toml.d/10-line.toml", text.as_str())];
        assert!(names(&files)?.is_empty(), "never all of the disk, and no word: {whole}");
    }
    let commented = of("topic = \"a#1\" # was: folder = \"/etc\"\nafter = '/srv/a\"b'\n");
    assert!(names(&[commented])?.is_empty(), "no comment, and nothing that systemd would read otherwise");
    let inline =
        of("binding = [{ name = \"a\", folder = \"/srv/in\", after=\"/srv/it's done\" }, {folder='/srv/b'}]\n");
    assert_eq!(
        added(&[inline])?["20-folders.conf"],
        "# Written by edged-platform: folders of the bindings in /etc/edged.\n[Service]\n\
         ReadWritePaths=\"-/srv/b\"\nReadWritePaths=\"-/srv/in\"\nReadWritePaths=\"-/srv/it's done\"\n"
    );
    Ok(())
}

#[test]
fn what_is_added_is_what_is_installed() -> Result<()> {
    let script = fs::read_to_string(GENERATOR)?;
    let installed = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/dev/install.sh"))?;
    for platform in ["jetson", "nvidia", "hailo", "camera"] {
        ensure!(Path::new(PLATFORMS).join(format!("{platform}.conf")).is_file(), "{platform}");
        ensure!(script.contains(&format!("add {platform}")), "the generator never adds {platform}");
        ensure!(installed.contains(&format!("systemd/platform/{platform}.conf")), "{platform} is not installed");
    }
    Ok(())
}

/// A signature holds for a manifest as it was signed, to the byte.
#[test]
fn the_models_of_the_package_are_signed_as_they_are() -> Result<()> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let key =
        minisign::PublicKeyBox::from_string(&fs::read_to_string(root.join("packaging/signatures/edged-models.pub"))?)?
            .into_public_key()?;
    let mut signed = 0;
    for entry in fs::read_dir(root.join("packaging/signatures"))? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".minisig"))
        else {
            continue;
        };
        let manifest = fs::read(root.join("onnx-models").join(name).join("model.toml"))?;
        let signature = minisign::SignatureBox::from_string(&fs::read_to_string(&path)?)?;
        minisign::verify(&key, &signature, std::io::Cursor::new(manifest), true, false, false)
            .with_context(|| format!("{name} was changed since it was signed: `make sign KEY=FILE`"))?;
        signed += 1;
    }
    let fetched = fs::read_to_string(root.join("onnx-models/fetch.py"))?;
    let (_, rest) = fetched.split_once("BUNDLES = [").context("the list of bundles")?;
    let listed = rest.split_once(']').map_or("", |(list, _)| list).matches('"').count() / 2;
    ensure!(signed == listed, "{signed} signatures for {listed} bundles");
    Ok(())
}

#[test]
fn polkit_has_words_for_each_change_and_two_actions_that_imply_the_others() -> Result<()> {
    use edge_wire::names::action;
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let policy = fs::read_to_string(root.join("packaging/polkit/org.edged.Edge1.policy"))?;
    let between = |text: &str, from: &str, to: &str| {
        text.split_once(from).and_then(|(_, rest)| rest.split_once(to)).map(|(found, _)| found.to_owned())
    };
    let mut found = Vec::new();
    let mut said = std::collections::BTreeSet::new();
    for part in policy.split("<action ").skip(1) {
        let id = between(part, "id=\"", "\"").context("an action without a name")?;
        let description = between(part, "<description>", "</description>").context("no description")?;
        let message = between(part, "<message>Authentication is required to ", "</message>").context("no message")?;
        ensure!(said.insert(description) && said.insert(message), "{id} says what another says");
        ensure!(part.contains(r#"policykit.owner">unix-user:edged<"#), "{id} can be asked about by root alone");
        ensure!(part.contains("<allow_any>auth_admin</allow_any>"), "{id} is allowed to anybody");
        let implied = between(part, r#"policykit.imply">"#, "<").unwrap_or_default();
        let implied: Vec<&str> = implied.split_whitespace().collect();
        match id.as_str() {
            action::MANAGE => ensure!(implied == action::MANAGING, "{id} implies {implied:?}"),
            action::MODELS => ensure!(implied == action::OF_MODELS, "{id} implies {implied:?}"),
            _ => ensure!(implied.is_empty(), "{id} implies {implied:?}"),
        }
        found.push(id);
    }
    let mut wanted = vec![action::MANAGE, action::MODELS];
    wanted.extend(action::MANAGING);
    wanted.extend(action::OF_MODELS);
    found.sort_unstable();
    wanted.sort_unstable();
    ensure!(found == wanted, "{found:?}");
    Ok(())
}
