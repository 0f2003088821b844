//! A camera is a real server in this process.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use super::*;
use crate::binding::sources::{Frame, Report};
use crate::driver::clock::{Clock, wall};

/// What the camera answers to the request of this number, by its head.
type Answer = Box<dyn Fn(usize, &str) -> Vec<u8> + Send + Sync>;

struct Scene {
    frames: mpsc::Receiver<Frame>,
    report: watch::Receiver<Report>,
    heads: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn start(login: Option<&str>, answer: Answer) -> Scene {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/snap.jpg?ch=1", listener.local_addr().unwrap());
    let heads: Arc<Mutex<Vec<String>>> = Arc::default();
    tokio::spawn(serve(listener, Arc::clone(&heads), answer));
    let dir = tempfile::tempdir().unwrap();
    let credential = login.map(|login| {
        let file = dir.path().join("login");
        std::fs::write(&file, login).unwrap();
        file
    });
    let (sender, frames) = mpsc::channel(1);
    let (report, told) = watch::channel(Report::default());
    let outlet = Outlet {
        binding: "b".into(),
        source: "cam".into(),
        frames: sender,
        report,
        clock: Clock::start(),
        wall,
        max_bytes: 20,
    };
    let interval = Duration::from_millis(10);
    let camera = Snapshot { url: url.parse().unwrap(), credential, ca: None, interval };
    Scene { frames, report: told, heads, task: tokio::spawn(run(outlet, camera)), _dir: dir }
}

async fn serve(listener: TcpListener, heads: Arc<Mutex<Vec<String>>>, answer: Answer) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => break,
            }
        }
        let head = String::from_utf8(head).unwrap();
        let number = heads.lock().unwrap().len();
        let reply = answer(number, &head);
        heads.lock().unwrap().push(head);
        let _ = stream.write_all(&reply).await;
    }
}

fn reply(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
        .into_bytes()
}

fn picture(number: usize) -> Vec<u8> {
    reply("200 OK", "Content-Type: image/jpeg\r\n", &format!("frame {number}"))
}

#[tokio::test]
async fn a_camera_is_asked_again_and_again_and_its_pictures_come_with_their_type() {
    let mut scene = start(None, Box::new(|number, _| picture(number))).await;
    for expected in ["frame 0", "frame 1"] {
        let frame = scene.frames.recv().await.unwrap();
        assert_eq!((frame.source.as_str(), frame.content_type.as_deref()), ("cam", Some("image/jpeg")));
        // What nobody had time for is not kept.
        assert!(frame.payload.as_ref() >= expected.as_bytes(), "{frame:?}");
    }
    let head = scene.heads.lock().unwrap()[0].to_ascii_lowercase();
    assert!(
        head.starts_with("get /snap.jpg?ch=1 http/1.1\r\n") && head.contains("accept-encoding: identity"),
        "{head}"
    );
    assert!(!head.contains("authorization"), "{head}");
}

#[tokio::test]
async fn a_camera_that_asks_who_is_there_is_told_in_its_way_and_not_asked_twice() {
    for (challenge, expected) in [
        ("WWW-Authenticate: Basic realm=\"cam\"\r\n", "authorization: basic dtpwonc="),
        (
            "WWW-Authenticate: Digest realm=\"cam\", nonce=\"n1\", qop=\"auth\", algorithm=SHA-256\r\nWWW-Authenticate: Basic realm=\"cam\"\r\n",
            "authorization: digest username=\"u\", realm=\"cam\", nonce=\"n1\", uri=\"/snap.jpg?ch=1\"",
        ),
    ] {
        let answer = move |number: usize, head: &str| match head.to_ascii_lowercase().contains("authorization:") {
            true => picture(number),
            false => reply("401 Unauthorized", challenge, ""),
        };
        let mut scene = start(Some("u:p:w\n"), Box::new(answer)).await;
        for _ in 0..2 {
            scene.frames.recv().await.unwrap();
        }
        let heads: Vec<String> = scene.heads.lock().unwrap().iter().map(|head| head.to_ascii_lowercase()).collect();
        assert!(heads[1].contains(expected), "{}", heads[1]);
        assert!(heads[1..].iter().all(|head| head.contains("authorization:")), "{heads:?}");
        assert!(!expected.contains("digest") || heads[2].contains("nc=00000002"), "{}", heads[2]);
        assert_eq!(scene.report.borrow().problem, "");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_camera_is_said_and_it_is_asked_again() {
    let no = |number: usize, good: Vec<u8>| if number == 0 { good } else { picture(number) };
    let cases: Vec<(Option<&str>, Answer, &str)> = vec![
        (
            None,
            Box::new(move |number, _| {
                no(number, reply("401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n", ""))
            }),
            "answers 401: it wants to know who asks; set `credential`",
        ),
        (
            None,
            Box::new(move |number, _| no(number, reply("302 Found", "Location: http://elsewhere/\r\n", ""))),
            "answers 302: redirects are not followed",
        ),
        (None, Box::new(move |number, _| no(number, reply("200 OK", "", &"x".repeat(21)))), "sends more than 20 bytes"),
        (None, Box::new(move |number, _| no(number, reply("200 OK", "", ""))), "sends nothing"),
        (
            None,
            Box::new(move |number, _| no(number, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".to_vec())),
            "read from",
        ),
        (None, Box::new(move |number, _| no(number, b"nonsense\r\n\r\n".to_vec())), "ask http://127.0.0.1"),
    ];
    for (login, answer, says) in cases {
        let mut scene = start(login, answer).await;
        let told = scene.report.wait_for(|report| report.failures > 0).await.unwrap().clone();
        assert!(told.problem.contains(says) && !told.problem.contains("ch=1"), "{told:?}");
        assert!(scene.frames.recv().await.is_some());
        scene.report.wait_for(|report| report.problem.is_empty() && report.frames > 0).await.unwrap();
    }
}

#[tokio::test]
async fn a_wrong_password_is_said_as_such() {
    let challenge = "WWW-Authenticate: Digest realm=\"cam\", nonce=\"n1\"\r\n";
    let mut scene = start(Some("u:wrong"), Box::new(move |_, _| reply("401 Unauthorized", challenge, ""))).await;
    let told = scene.report.wait_for(|report| report.failures > 0).await.unwrap().clone();
    assert!(told.problem.ends_with("user or password are not those that it knows"), "{told:?}");
    assert!(!told.problem.contains("wrong"), "{told:?}");
}

#[tokio::test]
async fn a_source_ends_when_nobody_takes_its_pictures() {
    let mut scene = start(None, Box::new(|number, _| picture(number))).await;
    scene.frames.recv().await.unwrap();
    scene.frames.close();
    (&mut scene.task).await.unwrap();
}
