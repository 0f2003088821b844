//! Bad images, sounds, texts and descriptors for the models that decode, on every route that can carry them.

use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use edge_tests::answer::{Options, expect_no, expect_yes, options};
use edge_tests::client::mqtt::{Outgoing, request_topic};
use edge_tests::client::routes::{EncodedRoute, Routes};
use edge_tests::clock::{PATIENCE, within};
use edge_tests::media;
use edge_tests::memfd;
use edge_tests::stack::{Setup, Stack};
use edge_tests::usage;
use serde_json::{Value, json};

const IMAGES: &str = "text-direction";
const SCENES: &str = "text-boxes";
const SOUNDS: &str = "speech";
const FILES: &str = "file-type";

fn main() -> ExitCode {
    let trials = edge_tests::trials![
        an_empty_payload_is_refused,
        a_truncated_image_is_refused,
        a_corrupt_image_is_refused,
        an_image_that_claims_65_000_by_65_000_pixels_is_refused_without_room_for_it,
        a_photograph_with_too_many_pixels_is_refused_and_one_with_a_single_pixel_is_searched,
        a_sound_that_lies_about_its_length_is_refused_without_room_for_it,
        a_sound_that_is_no_sound_is_refused,
        a_sound_without_samples_is_refused,
        an_unknown_content_type_is_refused,
        a_content_type_that_the_model_does_not_take_is_refused,
        a_content_type_that_is_not_what_the_bytes_are_is_refused,
        text_that_is_no_utf_8_is_refused,
        base64_garbage_is_refused,
        a_file_in_any_descriptor_is_read,
        a_descriptor_that_never_ends_is_refused,
        a_directory_is_refused,
        a_pipe_that_says_nothing_does_not_stop_the_others,
        a_model_without_a_recipe_takes_no_encoded_payload,
    ];
    edge_tests::runner::run(Setup::new().bundles(&[IMAGES, SCENES, SOUNDS, FILES, "add"]), trials)
}

/// A payload that every route refuses, and a good picture after it on the same route.
async fn refused(
    stack: &Stack,
    via: &[EncodedRoute],
    model: &str,
    kind: &str,
    payload: &[u8],
    code: &str,
    mentions: &[&str],
) -> Result<()> {
    let routes = Routes::open(stack).await?;
    let good = media::noise_jpeg(64, 48)?;
    for route in via {
        let what = format!("{kind} of {} bytes for {model} over {route:?}", payload.len());
        let outcome = routes.ask_encoded(*route, model, kind, payload, &Options::new()).await?;
        expect_no(&what, &outcome, code, mentions)?;
        let next = routes.ask_encoded(*route, IMAGES, "image/jpeg", &good, &Options::new()).await?;
        expect_yes(&format!("a good picture after {what}"), next)?;
    }
    Ok(())
}

async fn image_refused(stack: &Stack, kind: &str, payload: &[u8]) -> Result<()> {
    refused(stack, &EncodedRoute::ALL, IMAGES, kind, payload, "invalid_input", &[]).await
}

async fn sound_refused(stack: &Stack, payload: &[u8], mentions: &[&str]) -> Result<()> {
    refused(stack, &EncodedRoute::TYPED, SOUNDS, "audio/wav", payload, "invalid_input", mentions).await
}

async fn an_empty_payload_is_refused(stack: &Stack) -> Result<()> {
    image_refused(stack, "image/jpeg", &[]).await?;
    sound_refused(stack, &[], &[]).await?;
    let kind = "application/octet-stream";
    refused(stack, &EncodedRoute::TYPED, FILES, kind, &[], "invalid_input", &["payload", "empty"]).await
}

async fn a_truncated_image_is_refused(stack: &Stack) -> Result<()> {
    let (jpeg, png) = (media::noise_jpeg(64, 48)?, media::noise_png(64, 48)?);
    for len in [1, 2, 20, jpeg.len() / 2] {
        image_refused(stack, "image/jpeg", &jpeg[..len]).await?;
    }
    for len in [1, 8, 33, png.len() / 2] {
        image_refused(stack, "image/png", &png[..len]).await?;
    }
    Ok(())
}

async fn a_corrupt_image_is_refused(stack: &Stack) -> Result<()> {
    let mut png = media::noise_png(64, 48)?;
    let middle = png.len() / 2;
    png[middle..middle + 64].fill(0x55);
    image_refused(stack, "image/png", &png).await?;
    let mut jpeg = media::noise_jpeg(64, 48)?;
    jpeg[2..200].fill(0x55);
    image_refused(stack, "image/jpeg", &jpeg).await
}

async fn an_image_that_claims_65_000_by_65_000_pixels_is_refused_without_room_for_it(stack: &Stack) -> Result<()> {
    let host = stack.host_pid().await?;
    for (kind, bomb) in [("image/png", media::bomb_png()?), ("image/jpeg", media::bomb_jpeg()?)] {
        refused(stack, &EncodedRoute::ALL, IMAGES, kind, &bomb, "too_large", &["65000 x 65000"]).await?;
    }
    ensure!(stack.host_pid().await? == host, "the engine host was started again");
    let peak = usage::resident_peak(host)?;
    ensure!(peak < 1 << 30, "the engine host once took {} MiB", peak >> 20);
    Ok(())
}

async fn a_photograph_with_too_many_pixels_is_refused_and_one_with_a_single_pixel_is_searched(
    stack: &Stack,
) -> Result<()> {
    for (kind, bomb) in [("image/png", media::bomb_png()?), ("image/jpeg", media::bomb_jpeg()?)] {
        refused(stack, &EncodedRoute::ALL, SCENES, kind, &bomb, "too_large", &["65000 x 65000"]).await?;
    }
    let jpeg = media::noise_jpeg(64, 48)?;
    refused(stack, &EncodedRoute::ALL, SCENES, "image/jpeg", &jpeg[..jpeg.len() / 2], "invalid_input", &[]).await?;
    let routes = Routes::open(stack).await?;
    for (width, height) in [(1, 1), (3000, 2)] {
        let png = media::noise_png(width, height)?;
        for route in EncodedRoute::ALL {
            let what = format!("{width} x {height} pixels over {route:?}");
            let yes = expect_yes(&what, routes.ask_encoded(route, SCENES, "image/png", &png, &Options::new()).await?)?;
            ensure!(yes.document["width"] == width && yes.document["height"] == height, "{what}: {}", yes.document);
            ensure!(yes.document["boxes"] == json!([]), "{what}: {}", yes.document);
        }
    }
    Ok(())
}

async fn a_sound_that_lies_about_its_length_is_refused_without_room_for_it(stack: &Stack) -> Result<()> {
    let host = stack.host_pid().await?;
    let samples = vec![0_i16; 16_000];
    let routes = Routes::open(stack).await?;
    let before = usage::resident(host)?;
    for claimed in [64_000, u32::MAX, u32::MAX - 36, 31_999, 2_000_000_000] {
        sound_refused(stack, &media::wav(16_000, &samples, claimed), &["WAV"]).await?;
        let truth = media::wav(16_000, &samples, 32_000);
        for route in EncodedRoute::TYPED {
            let what = format!("the truth after a sound that claims {claimed} of 32,000 bytes over {route:?}");
            expect_yes(&what, routes.ask_encoded(route, SOUNDS, "audio/wav", &truth, &Options::new()).await?)?;
        }
    }
    ensure!(stack.host_pid().await? == host, "the engine host was started again");
    // The least of the large claims would have taken ten times as much; other trials decode pictures meanwhile.
    let grown = usage::resident(host)?.saturating_sub(before);
    ensure!(grown < 200 << 20, "the engine host grew by {} MiB", grown >> 20);
    ensure!(usage::resident_peak(host)? < 1 << 30, "the engine host once took too much");
    Ok(())
}

async fn a_sound_that_is_no_sound_is_refused(stack: &Stack) -> Result<()> {
    for payload in [&b"RIFF"[..], b"RIFF\x10\0\0\0WAVE", &[0x55; 5000]] {
        sound_refused(stack, payload, &[]).await?;
    }
    let mut odd = media::wav(0, &[0; 100], 200);
    sound_refused(stack, &odd, &["WAV"]).await?;
    odd = media::wav(16_000, &[0; 100], 200);
    // No channels.
    odd[22..24].fill(0);
    sound_refused(stack, &odd, &["WAV"]).await
}

async fn a_sound_without_samples_is_refused(stack: &Stack) -> Result<()> {
    sound_refused(stack, &media::wav(16_000, &[], 0), &["no samples"]).await
}

async fn an_unknown_content_type_is_refused(stack: &Stack) -> Result<()> {
    let jpeg = media::noise_jpeg(64, 48)?;
    for kind in ["image/heic", "video/mp4", "jpeg", "image/", "*/*"] {
        refused(stack, &EncodedRoute::TYPED, IMAGES, kind, &jpeg, "invalid_input", &[]).await?;
    }
    Ok(())
}

async fn a_content_type_that_the_model_does_not_take_is_refused(stack: &Stack) -> Result<()> {
    let jpeg = media::noise_jpeg(64, 48)?;
    refused(stack, &EncodedRoute::TYPED, SOUNDS, "image/jpeg", &jpeg, "invalid_input", &[]).await?;
    let wav = media::wav(16_000, &[0; 1600], 3200);
    refused(stack, &EncodedRoute::TYPED, IMAGES, "audio/wav", &wav, "invalid_input", &[]).await
}

async fn a_content_type_that_is_not_what_the_bytes_are_is_refused(stack: &Stack) -> Result<()> {
    let wav = media::wav(16_000, &[0; 1600], 3200);
    image_refused(stack, "image/jpeg", &wav).await?;
    image_refused(stack, "image/png", b"hello").await
}

async fn text_that_is_no_utf_8_is_refused(stack: &Stack) -> Result<()> {
    refused(stack, &EncodedRoute::TYPED, FILES, "text/plain", b"caf\xe9 \xff\xfe", "invalid_input", &[]).await
}

async fn base64_garbage_is_refused(stack: &Stack) -> Result<()> {
    let routes = Routes::open(stack).await?;
    for device in [&routes.five, &routes.three] {
        for garbage in ["%%%", "AAAAA", "AA=A", "AAAA AAAA", "=", "\u{e9}AAA"] {
            let outcome = device.ask_json(IMAGES, &json!({"image": garbage})).await?;
            expect_no(&format!("image: {garbage}"), &outcome, "invalid_input", &["image", "not base64"])?;
        }
        for other in [json!(17), json!(null), json!(["AAAA"]), json!({"AAAA": 1}), json!(true)] {
            let outcome = device.ask_json(IMAGES, &json!({"image": other})).await?;
            expect_no(&format!("image: {other}"), &outcome, "invalid_input", &["image", "a text"])?;
        }
        let good = json!({"image": STANDARD.encode(media::noise_jpeg(64, 48)?)});
        expect_yes("a good picture after garbage", device.ask_json(IMAGES, &good).await?)?;
    }
    refused(stack, &EncodedRoute::ALL, IMAGES, "image/jpeg", b"not a picture", "invalid_input", &[]).await
}

/// `InferEncoded` with any descriptor.
async fn with_descriptor(stack: &Stack, model: &str, kind: &str, fd: &OwnedFd) -> Result<edge_tests::answer::Outcome> {
    stack.client().await?.infer_encoded(model, kind, fd.as_fd(), &Options::new()).await
}

async fn a_file_in_any_descriptor_is_read(stack: &Stack) -> Result<()> {
    let jpeg = media::noise_jpeg(64, 48)?;
    let file = stack.dir().join("picture.jpg");
    std::fs::write(&file, &jpeg)?;
    let path = file.to_str().context("the path is text")?;
    let from_file = expect_yes("a file", with_descriptor(stack, IMAGES, "image/jpeg", &memfd::open(path)?).await?)?;
    let unsealed = memfd::unsealed(&jpeg)?;
    let from_memfd = expect_yes("a memfd", with_descriptor(stack, IMAGES, "image/jpeg", &unsealed).await?)?;
    let (reading, writing) = memfd::silent_pipe()?;
    let mut pipe = std::fs::File::from(writing);
    std::io::Write::write_all(&mut pipe, &jpeg)?;
    drop(pipe);
    let from_pipe = expect_yes("a pipe", with_descriptor(stack, IMAGES, "image/jpeg", &reading).await?)?;
    ensure!(from_file.document == from_memfd.document && from_file.document == from_pipe.document, "answers differ");
    Ok(())
}

async fn a_descriptor_that_never_ends_is_refused(stack: &Stack) -> Result<()> {
    let host = stack.host_pid().await?;
    let zero = memfd::open("/dev/zero")?;
    let outcome = with_descriptor(stack, FILES, "application/octet-stream", &zero).await?;
    let no = outcome.err().context("/dev/zero was taken for a file")?;
    ensure!(["too_large", "invalid_input"].contains(&no.code.as_str()), "{no:?}");
    ensure!(usage::resident_peak(host)? < 1 << 30, "the engine host kept what it read");
    still_serving(stack).await
}

async fn a_directory_is_refused(stack: &Stack) -> Result<()> {
    let outcome = with_descriptor(stack, FILES, "application/octet-stream", &memfd::open("/")?).await?;
    expect_no("a directory", &outcome, "invalid_input", &[])?;
    still_serving(stack).await
}

async fn a_pipe_that_says_nothing_does_not_stop_the_others(stack: &Stack) -> Result<()> {
    let client = stack.client().await?;
    let (reading, writing) = memfd::silent_pipe()?;
    let given = options(json!({"deadline_ms": 1500}));
    let silent = client.infer_encoded(IMAGES, "image/jpeg", reading.as_fd(), &given);
    let others = async {
        for _ in 0..5 {
            still_serving(stack).await?;
        }
        Ok::<_, anyhow::Error>(())
    };
    let (outcome, served) =
        within("the silent pipe is given up", PATIENCE, async { tokio::join!(silent, others) }).await?;
    served?;
    let no = outcome?.err().context("a pipe without content was answered")?;
    ensure!(["deadline_exceeded", "invalid_input"].contains(&no.code.as_str()), "{no:?}");
    drop(writing);
    still_serving(stack).await
}

async fn a_model_without_a_recipe_takes_no_encoded_payload(stack: &Stack) -> Result<()> {
    let jpeg = media::noise_jpeg(64, 48)?;
    refused(stack, &EncodedRoute::ALL, "add", "image/jpeg", &jpeg, "invalid_input", &[]).await
}

async fn still_serving(stack: &Stack) -> Result<()> {
    let routes = Routes::open(stack).await?;
    let good = media::noise_jpeg(64, 48)?;
    for route in [EncodedRoute::Memfd, EncodedRoute::Raw5] {
        expect_yes("a good picture", routes.ask_encoded(route, IMAGES, "image/jpeg", &good, &Options::new()).await?)?;
    }
    // A body without any content type at all is JSON.
    let body = json!({"id": routes.five.fresh_id(), "text": "hello"});
    let message = Outgoing {
        topic: request_topic(FILES),
        payload: serde_json::to_vec::<Value>(&body)?.into(),
        qos: 1,
        ..Outgoing::default()
    };
    routes.five.ask5(message).await.map(drop)
}
