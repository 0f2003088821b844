//! A JPEG of 640 x 480 as a 3.1.1 client sends it, to values on topics of their own: what the way takes beyond the model, whose
//! time the daemon tells with the answer: decoding, waiting and running.

use std::io::Cursor;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use image::ImageFormat;
use image::imageops::FilterType;

use super::{info_us, publish};
use crate::client::mqtt::{Incoming, Protocol};
use crate::clock::{PATIENCE, Stopwatch};
use crate::measure::table::{Promise, Table};
use crate::measure::{at, ms};
use crate::places;
use crate::stack::{Setup, Stack};

const CONFIG: &str = r#"
[mqtt]
protocol = "3.1.1"

[[binding]]
name = "texts"
model = "text-boxes"
topic = "camera/+/image"
payload = "image/jpeg"
result = "vision/{1}/result"
flat = { topic = "vision/{1}/value/{field}", fields = ["count", "quality", "reason", "ok"], when = "always" }
"#;
/// How many values there are of an answer.
const VALUES: usize = 4;
/// Pictures before anything is counted, and those that count.
const WARM_UP: usize = 5;
const PICTURES: usize = 60;
const PROMISED_MS: f64 = 3.0;

/// The row.
pub async fn rows(table: &mut Table) -> Result<()> {
    let stack = Setup::new().bundles(&["text-boxes"]).config(CONFIG).start().await?;
    row(&stack, table).await.with_context(|| stack.logs())
}

async fn row(stack: &Stack, table: &mut Table) -> Result<()> {
    let picture = picture()?.into();
    let camera = stack.device(Protocol::V311).await?;
    let reader = stack.device(Protocol::V311).await?;
    reader.subscribe("vision/#").await?;
    let (mut added, mut models) = (Vec::new(), Vec::new());
    for number in 0..WARM_UP + PICTURES {
        let watch = Stopwatch::start();
        publish(&camera, "camera/1/image".into(), &picture).await?;
        let is_value = |message: &Incoming| message.topic.starts_with("vision/1/value/");
        for _ in 0..VALUES {
            reader.take("a value", PATIENCE, is_value).await?;
        }
        let took = watch.elapsed();
        let result = reader.take("the result", PATIENCE, |message| message.topic == "vision/1/result").await?.json()?;
        ensure!(result["ok"] == true, "{result}");
        let model = Duration::from_micros(info_us(&result, "queue_us")? + info_us(&result, "compute_us")?);
        if number >= WARM_UP {
            added.push(took.saturating_sub(model));
            models.push(model);
        }
    }
    let (p50, p90, worst) = (at(&mut added, 0.5), at(&mut added, 0.9), at(&mut added, 1.0));
    let note = format!(
        "p90 {:.2}, worst {:.2} ms of {PICTURES}; {} KiB each; decoding and model {:.0} ms",
        ms(p90),
        ms(worst),
        picture.len() >> 10,
        ms(at(&mut models, 0.5))
    );
    let what = "JPEG 640x480 over 3.1.1 to flat values: beyond the model, p50";
    table.add(what, "ms", Promise::AtMost(PROMISED_MS), ms(p50), note);
    Ok(())
}

/// A photograph of a label from the bundle, in that size.
fn picture() -> Result<Vec<u8>> {
    let file = places::bundle("text-boxes")?.join("golden/shipping.jpg");
    let photograph = image::open(&file).with_context(|| format!("read {}", file.display()))?;
    let mut picture = Cursor::new(Vec::new());
    photograph.resize_exact(640, 480, FilterType::Triangle).write_to(&mut picture, ImageFormat::Jpeg)?;
    Ok(picture.into_inner())
}
