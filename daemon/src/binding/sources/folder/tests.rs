//! A real folder: what is taken of it, when it goes, and what comes again.

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use super::*;
use crate::binding::glob::Glob;
use crate::binding::sources::Report;
use crate::driver::clock::{Clock, wall};

struct Scene {
    dir: tempfile::TempDir,
    frames: mpsc::Receiver<Frame>,
    report: watch::Receiver<Report>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn start(dir: tempfile::TempDir, after: After, ahead: usize) -> Scene {
    let (sender, frames) = mpsc::channel(8);
    let (report, told) = watch::channel(Report::default());
    let outlet = Outlet {
        binding: "b".into(),
        source: "b".into(),
        frames: sender,
        report,
        clock: Clock::start(),
        wall,
        max_bytes: 100,
    };
    let folder = Folder { dir: dir.path().to_owned(), pattern: Glob::parse("*-*.jpg").unwrap(), after };
    let naming: Naming = Arc::new(|captures| captures.first().copied().unwrap_or_default().to_owned());
    Scene { dir, frames, report: told, task: tokio::spawn(run(outlet, folder, ahead, naming)) }
}

impl Scene {
    async fn next(&mut self) -> Frame {
        tokio::time::timeout(Duration::from_secs(3600), self.frames.recv()).await.unwrap().unwrap()
    }

    /// Waits until the file is gone, or there.
    async fn until(&self, name: &str, is_there: bool) {
        while self.dir.path().join(name).exists() != is_there {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn problem(&mut self, part: &str) {
        self.report
            .wait_for(|report| report.problem.contains(part) && (part.is_empty() == report.problem.is_empty()))
            .await
            .unwrap();
    }
}

fn name(frame: &Frame) -> String {
    frame.captures.join("-")
}

#[tokio::test(start_paused = true)]
async fn files_that_lie_there_come_in_the_order_of_their_names_and_go_when_their_answers_are_safe() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["cam1-2.jpg", "cam1-1.jpg", "cam2-1.jpg", "note.txt", ".x-1.jpg"] {
        std::fs::write(dir.path().join(file), file).unwrap();
    }
    let mut scene = start(dir, After::Delete, 2);
    let (one, two) = (scene.next().await, scene.next().await);
    assert_eq!((name(&one), name(&two), one.source.as_str()), ("cam1-1".into(), "cam1-2".into(), "cam1"));
    assert_eq!(one.payload, Bytes::from_static(b"cam1-1.jpg"));
    assert!(scene.frames.try_recv().is_err(), "two at once");
    one.done.unwrap().send(Fate::Settled).unwrap();
    let three = scene.next().await;
    assert_eq!(name(&three), "cam2-1");
    scene.until("cam1-1.jpg", false).await;
    two.done.unwrap().send(Fate::Dropped).unwrap();
    let again = scene.next().await;
    assert_eq!(name(&again), "cam1-2", "there was no room for it");
    drop(again);
    assert_eq!(name(&scene.next().await), "cam1-2", "nobody told what became of it");
    for file in ["cam1-2.jpg", "cam2-1.jpg", "note.txt", ".x-1.jpg"] {
        scene.until(file, true).await;
    }
}

#[tokio::test]
async fn a_file_that_is_moved_or_closed_there_comes_at_once() {
    let mut scene = start(tempfile::tempdir().unwrap(), After::Keep, 4);
    let outside = tempfile::tempdir_in(scene.dir.path().parent().unwrap()).unwrap();
    std::fs::write(outside.path().join("x"), "moved").unwrap();
    let report = scene.report.clone();
    // The first look is over when the folder is watched.
    while !is_watched(&scene).await {}
    std::fs::rename(outside.path().join("x"), scene.dir.path().join("a-1.jpg")).unwrap();
    let frame = scene.next().await;
    assert_eq!((name(&frame), frame.payload.as_ref()), ("a-1".into(), b"moved".as_ref()));
    frame.done.unwrap().send(Fate::Settled).unwrap();
    std::fs::write(scene.dir.path().join("b-1.jpg"), "closed").unwrap();
    assert_eq!(name(&scene.next().await), "b-1");
    scene.until("a-1.jpg", true).await;
    assert_eq!(report.borrow().problem, "");
}

/// A file of its own is seen: tried until it is.
async fn is_watched(scene: &Scene) -> bool {
    tokio::task::yield_now().await;
    let watches = std::fs::read_dir("/proc/self/fdinfo").unwrap();
    let inode = std::fs::metadata(scene.dir.path()).unwrap().ino();
    let wanted = format!("ino:{inode:x} ");
    watches.flatten().any(|entry| std::fs::read_to_string(entry.path()).is_ok_and(|text| text.contains(&wanted)))
}

#[tokio::test(start_paused = true)]
async fn an_answered_file_is_moved_and_never_over_another() {
    let dir = tempfile::tempdir().unwrap();
    let done = dir.path().join("done");
    std::fs::create_dir(&done).unwrap();
    std::fs::write(done.join("a-1.jpg"), "older").unwrap();
    std::fs::write(dir.path().join("a-1.jpg"), "newer").unwrap();
    let mut scene = start(dir, After::Move(done.clone()), 4);
    scene.next().await.done.unwrap().send(Fate::Settled).unwrap();
    scene.until("a-1.jpg", false).await;
    assert_eq!(std::fs::read_to_string(done.join("a-1.jpg")).unwrap(), "older");
    assert_eq!(std::fs::read_to_string(done.join("a-1.jpg.1")).unwrap(), "newer");
}

#[tokio::test(start_paused = true)]
async fn a_file_by_the_name_of_an_answered_one_is_another_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a-1.jpg"), "one").unwrap();
    let mut scene = start(dir, After::Delete, 4);
    let frame = scene.next().await;
    std::fs::write(scene.dir.path().join("x"), "another").unwrap();
    std::fs::rename(scene.dir.path().join("x"), scene.dir.path().join("a-1.jpg")).unwrap();
    frame.done.unwrap().send(Fate::Settled).unwrap();
    assert_eq!(scene.next().await.payload, Bytes::from_static(b"another"));
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_or_missing_is_told_and_holds_up_nothing() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a-1.jpg"), [0; 101]).unwrap();
    std::fs::write(dir.path().join("a-2.jpg"), [0; 100]).unwrap();
    let mut scene = start(dir, After::Delete, 1);
    assert_eq!(name(&scene.next().await), "a-2");
    scene.problem("has 101 bytes: takes up to 100").await;
    std::fs::remove_file(scene.dir.path().join("a-1.jpg")).unwrap();
    scene.problem("").await;
    let (path, aside) = (scene.dir.path().to_owned(), scene.dir.path().with_extension("aside"));
    std::fs::rename(&path, &aside).unwrap();
    scene.problem("look into").await;
    std::fs::rename(&aside, &path).unwrap();
    scene.problem("").await;
}
