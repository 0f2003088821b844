//! What programs of the system tell of the service and of the machine.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use crate::diagnose::ConfigVerdict;
use crate::edged::{self, RUNTIME, Words};
use crate::support::Found;

/// How long each may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Most that is read of one; of the journal its last lines are asked for.
const MOST: u64 = 32 << 20;

/// A program that tells something.
struct Asked {
    file: &'static str,
    what: &'static str,
    words: &'static [&'static str],
}

const ALL: [Asked; 8] = [
    Asked {
        file: "journal.txt",
        what: "the log of the service of one day, at most 50000 lines",
        words: &["journalctl", "-u", "edged", "--since", "-1day", "-n", "50000", "--no-pager", "-o", "short-iso"],
    },
    Asked {
        file: "unit/status.txt",
        what: "what systemd says of the service",
        words: &["systemctl", "status", "edged", "--no-pager", "-l", "-n", "0"],
    },
    Asked {
        file: "unit/show.txt",
        what: "its settings, as they hold",
        words: &["systemctl", "show", "edged", "--no-pager"],
    },
    Asked { file: "unit/cat.txt", what: "its files", words: &["systemctl", "cat", "edged", "--no-pager"] },
    Asked {
        file: "unit/security.txt",
        what: "how far it is closed in",
        words: &["systemd-analyze", "security", "edged", "--no-pager"],
    },
    Asked {
        file: "packages.txt",
        what: "versions of packages",
        words: &[
            "dpkg-query",
            "-W",
            "-f",
            "${binary:Package} ${Version} ${db:Status-Abbrev}\\n",
            "edged*",
            "nvidia-jetpack*",
            "nvidia-l4t-core",
            "cuda-cudart*",
            "libcudnn*",
            "libnvinfer*",
            "hailort*",
            "systemd",
            "dbus",
            "mosquitto",
            "libc6",
        ],
    },
    Asked { file: "system/disks.txt", what: "room on the disks", words: &["df", "-PT"] },
    Asked { file: "system/kernel.txt", what: "the kernel", words: &["uname", "-srvm"] },
];

/// Asks all of them.
pub async fn run(found: &mut Found) {
    for Asked { file, what, words } in &ALL {
        found.text(file, what, told(words).await);
    }
}

/// What it prints, or why it does not.
async fn told(words: &[&str]) -> Result<String, String> {
    let (program, arguments) = words.split_first().ok_or("nothing to run")?;
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C").env("SYSTEMD_COLORS", "0").kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("run {program}: {error}"))?;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let reading = async {
        let ended = tokio::join!(read(stdout, &mut out), read(stderr, &mut err));
        (ended, child.wait().await)
    };
    let ended = tokio::time::timeout(PATIENCE, reading).await;
    let (_, status) = ended.map_err(|_| format!("{program} did not end within {} s", PATIENCE.as_secs()))?;
    let said = String::from_utf8_lossy(&err).trim().to_owned();
    match (out.is_empty(), status) {
        // Some end with a code though they tell all they know, such as of a service that does not run.
        (false, _) => Ok(String::from_utf8_lossy(&out).into_owned()),
        (true, Ok(status)) => Err(format!("{program} said nothing ({status}) {said}").trim_end().to_owned()),
        (true, Err(error)) => Err(format!("wait for {program}: {error}")),
    }
}

async fn read(from: Option<impl tokio::io::AsyncRead + Unpin>, into: &mut Vec<u8>) {
    if let Some(from) = from {
        // What cannot be read is not there; the program's end tells more.
        let _ = from.take(MOST).read_to_end(into).await;
    }
}

/// What the daemon's binary tells without a daemon.
pub async fn edged(config: Option<&Path>, found: &mut Found) {
    let verdict = match edged::check_config(config).await {
        ConfigVerdict::Valid(said) => Ok(format!("valid\n{said}\n")),
        ConfigVerdict::Invalid(said) => Ok(format!("NOT valid\n{said}\n")),
        ConfigVerdict::Unknown(why) => Err(why),
    };
    found.text("config/check.txt", "whether the configuration is valid", verdict);
    let mut words = Words::bare(RUNTIME, "list");
    words.option("--config", config);
    let runtimes = words.ask::<Value>().await.map(|(record, _)| record).map_err(|failure| failure.to_string());
    found.record("runtimes.json", "ONNX Runtimes that were installed", runtimes);
}
