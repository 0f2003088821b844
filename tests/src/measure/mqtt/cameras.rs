//! Eight cameras that together send three times what their model can do: how old the frame is when its answer comes, from its
//! publication to its result, and whether the daemon keeps anything of what is not asked about.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::publish;
use crate::answer::Options;
use crate::client::mqtt::{Device, Incoming, Protocol};
use crate::client::routes::tensor_body;
use crate::clock::{PATIENCE, Stopwatch, eventually, pace};
use crate::measure::table::{Promise, Table};
use crate::measure::{at, ms};
use crate::spin::{self, Spin};
use crate::stack::{Setup, Stack};
use crate::usage;

/// The topic of a frame has its camera and its number; only the camera is the source.
const CONFIG: &str = r#"
[[binding]]
name = "cameras"
model = "spin"
topic = "camera/+/+"
payload = "application/json"
take = "newest"
source_name = "{1}"
result = "vision/{1}/{2}"
"#;
const CAMERAS: u64 = 8;
const FRAMES_PER_S: u64 = 15;
/// What the model takes: 40 a second.
const MODEL_MS: i64 = 25;
/// Frames of all cameras before anything counts, and those that count.
const WARM_UP: u64 = 5 * CAMERAS * FRAMES_PER_S;
const FRAMES: u64 = 20 * CAMERAS * FRAMES_PER_S;
/// Two times that pass between two frames of a camera, milliseconds.
const PROMISED_MS: f64 = 2000.0 / 15.0;
/// What the daemon may use beyond its warm-up, MB: as in the soak.
const ROOM_MB: f64 = 8.0;

/// Both rows.
pub async fn rows(table: &mut Table) -> Result<()> {
    let stack = Setup::new().bundles(&[spin::MODEL]).config(CONFIG).start().await?;
    measure(&stack, table).await.with_context(|| stack.logs())
}

async fn measure(stack: &Stack, table: &mut Table) -> Result<()> {
    let inputs = Spin::measure(stack).await?.lasting(MODEL_MS)?;
    let frame = tensor_body(&inputs, &Options::new())?.to_string().into();
    let (cameras, reader) = (stack.device(Protocol::V311).await?, stack.device(Protocol::V5).await?);
    reader.subscribe("vision/#").await?;
    let daemon = stack.daemon()?.process.pid();
    run(&cameras, &reader, &frame, 0..WARM_UP).await?;
    let (warm, watch) = (usage::resident(daemon)?, Stopwatch::start());
    let mut ages = run(&cameras, &reader, &frame, WARM_UP..WARM_UP + FRAMES).await?;
    let took = watch.elapsed();
    let grown = usage::resident(daemon)?.saturating_sub(warm) as f64 / 1e6;
    let status = eventually("no frame waits any more", PATIENCE, async || {
        let status = stack.status().await?.mqtt.bindings.into_iter().next().context("a binding")?;
        Ok(Some(status).filter(|status| status.waiting == 0 && status.open == 0))
    });
    let status = status.await?;
    ensure!(status.done + status.skipped == status.received && status.failed == 0, "{status:?}");
    let note = format!(
        "p50 {:.0}, worst {:.0} ms; {:.1} answers/s of {:.0} frames/s, {} of {} skipped",
        ms(at(&mut ages, 0.5)),
        ms(at(&mut ages, 1.0)),
        ages.len() as f64 / took.as_secs_f64(),
        FRAMES as f64 / took.as_secs_f64(),
        status.skipped,
        status.received
    );
    let what = "8 cameras at 15/s, a model of 40/s: age of a frame, p99";
    table.add(what, "ms", Promise::AtMost(PROMISED_MS), ms(at(&mut ages, 0.99)), note);
    let note = format!("over {} s, of {:.1} MB", took.as_secs(), warm as f64 / 1e6);
    table.add("  the same: growth of the daemon", "MB", Promise::AtMost(ROOM_MB), grown, note);
    Ok(())
}

/// Sends these frames, the cameras in turn; gives how old those were that were answered.
async fn run(
    cameras: &Device,
    reader: &Device,
    frame: &bytes::Bytes,
    numbers: std::ops::Range<u64>,
) -> Result<Vec<Duration>> {
    let sent = RefCell::new(BTreeMap::new());
    let sending = async {
        let mut ticks = pace(Duration::from_secs(1) / u32::try_from(CAMERAS * FRAMES_PER_S)?);
        for number in numbers {
            ticks.tick().await;
            sent.borrow_mut().insert(number, Stopwatch::start());
            publish(cameras, format!("camera/{}/{number}", number % CAMERAS), frame).await?;
        }
        anyhow::Ok(())
    };
    tokio::pin!(sending);
    let (mut ages, mut is_over) = (Vec::new(), false);
    let is_result = |message: &Incoming| message.topic.starts_with("vision/");
    while !is_over {
        let result = tokio::select! {
            over = &mut sending => {
                over?;
                is_over = true;
                continue;
            }
            result = reader.take("a result", PATIENCE, is_result) => result?,
        };
        let number = result.topic.rsplit('/').next().and_then(|number| number.parse().ok()).context("a number")?;
        // A late answer of an earlier run is none of these.
        ages.extend(sent.borrow().get(&number).map(|watch: &Stopwatch| watch.elapsed()));
    }
    Ok(ages)
}
