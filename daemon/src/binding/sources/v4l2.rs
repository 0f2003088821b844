//! A camera of this box: pictures in JPEG by the kernel's Video4Linux2 interface, read by memory mapping. [`device`] talks to
//! the kernel; here is the task that takes the pictures and comes back to a camera that was pulled out.

mod device;

use bytes::Bytes;
use edge_core::Mono;

use self::device::{Camera, CameraError};
use super::{Outlet, pause};
use crate::config::bindings::Device;
use crate::driver::chain;

/// Gives pictures until nobody takes them any more.
pub async fn run(outlet: Outlet, device: Device) {
    let mut failures = 0;
    loop {
        let before = outlet.report.borrow().frames;
        let error = tokio::select! {
            ended = film(&outlet, &device) => match ended {
                Ok(()) => return,
                Err(error) => error,
            },
            () = outlet.frames.closed() => return,
        };
        failures = if outlet.report.borrow().frames > before { 1 } else { failures + 1 };
        outlet.failed(format!("{}: {}", device.path.display(), chain(&error)));
        tokio::select! {
            () = tokio::time::sleep(pause(failures)) => {}
            () = outlet.frames.closed() => return,
        }
    }
}

/// Until the camera fails, or nobody takes its pictures.
async fn film(outlet: &Outlet, device: &Device) -> Result<(), CameraError> {
    let (path, width, height) = (device.path.clone(), device.width, device.height);
    let opened = tokio::task::spawn_blocking(move || Camera::open(&path, width, height)).await;
    let mut camera = opened.map_err(|error| CameraError::Open(std::io::Error::other(error)))??;
    let mut next = Mono::default();
    loop {
        let picture = camera.next(outlet.max_bytes).await?;
        let now = outlet.clock.now();
        // Between two that are wanted the others are let go.
        let Some(picture) = picture.filter(|_| now >= next) else { continue };
        outlet.well();
        if let Some(interval) = device.interval {
            next = now.after(interval);
        }
        if !outlet.offer(Bytes::from(picture), Some("image/jpeg".into())) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::{mpsc, watch};

    use super::*;
    use crate::binding::sources::Report;
    use crate::driver::clock::{Clock, wall};

    /// Hardware: with a camera its first picture is looked at; without one there is nothing to look at.
    #[tokio::test]
    async fn a_real_camera_gives_jpeg() {
        let path = std::path::PathBuf::from("/dev/video0");
        if !path.exists() {
            println!("SKIPPED: there is no {}", path.display());
            return;
        }
        let (sender, mut frames) = mpsc::channel(1);
        let (report, mut told) = watch::channel(Report::default());
        let outlet = Outlet {
            binding: "b".into(),
            source: "cam".into(),
            frames: sender,
            report,
            clock: Clock::start(),
            wall,
            max_bytes: 16 << 20,
        };
        let task = tokio::spawn(run(outlet, Device { path, interval: None, width: 640, height: 480 }));
        tokio::select! {
            frame = frames.recv() => assert!(frame.unwrap().payload.starts_with(&[0xFF, 0xD8])),
            told = told.wait_for(|report| report.failures > 0) => println!("SKIPPED: {}", told.unwrap().problem),
        }
        task.abort();
    }

    #[tokio::test]
    async fn what_is_no_camera_is_said_and_tried_again() {
        let (sender, frames) = mpsc::channel(1);
        let (report, mut told) = watch::channel(Report::default());
        let (binding, source, clock) = ("b".into(), "cam".into(), Clock::start());
        let outlet = Outlet { binding, source, frames: sender, report, clock, wall, max_bytes: 1 };
        let task = tokio::spawn(run(outlet, Device { path: "/dev/null".into(), interval: None, width: 1, height: 1 }));
        let told = told.wait_for(|report| report.failures > 0).await.unwrap().clone();
        assert!(told.problem.starts_with("/dev/null: ask what it is, as it may be no camera: "), "{told:?}");
        drop(frames);
        task.await.unwrap();
    }
}
