//! Whatever a site does wrong, it is told by name, within the budget, and with what was out.

use std::sync::Arc;
use std::time::Duration;

use edged::driver::clock::Clock;
use edged::uplink::{Kind, Phase, Refusal, Sent, Uplink, UplinkError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::desk::{OIP, carry_out, file, next, order, site, tensor, trouble, two, uplink};
use crate::server::{answering, closing, json, read, response, serve};

/// Budgets that are meant to be spent.
const SHORT: Duration = Duration::from_millis(150);

#[tokio::test]
async fn every_status_has_its_kind_and_the_sites_own_words() {
    let busy = "Retry-After: 7\r\n";
    let date = "Date: Sun, 06 Nov 1994 08:49:30 GMT\r\nRetry-After: Sun, 06 Nov 1994 08:49:42 GMT\r\n";
    let to = "Location: https://user:pass@elsewhere.example/x?key=secret\r\n";
    for (status, headers, kind, says, pause) in [
        ("429 Too Many Requests", "", Kind::Busy, "too much to do (429): words", None),
        ("429 Too Many Requests", busy, Kind::Busy, "(429)", Some(7)),
        ("503 Service Unavailable", busy, Kind::Busy, "(503)", Some(7)),
        ("503 Service Unavailable", date, Kind::Busy, "(503)", Some(12)),
        ("503 Service Unavailable", "", Kind::Server, "failed (503): words", None),
        ("500 Internal Server Error", "", Kind::Server, "failed (500): words", None),
        ("408 Request Timeout", "", Kind::Server, "failed (408)", None),
        ("400 Bad Request", "", Kind::Rejected, "does not take the request (400): words", None),
        ("404 Not Found", "", Kind::Rejected, "(404)", None),
        ("413 Content Too Large", "", Kind::Rejected, "(413)", None),
        ("401 Unauthorized", "", Kind::Credential, "set the site's `credential`", None),
        ("403 Forbidden", "", Kind::Credential, "(403): words", None),
        ("407 Proxy Authentication Required", "", Kind::Credential, "proxy_credential", None),
        ("302 Found", to, Kind::Redirected, "sends on to https://elsewhere.example/x (302)", None),
        ("307 Temporary Redirect", "Location: /other\r\n", Kind::Redirected, "/other (307)", None),
        ("301 Moved", "", Kind::Redirected, "no address", None),
        ("304 Not Modified", "", Kind::Garbage, "status 304", None),
        ("202 Accepted", "", Kind::Garbage, "status 202", None),
    ] {
        let answer = response(status, headers, if status.starts_with("304") { b"" } else { br#"{"error":"words"}"# });
        let server = answering(move |_| answer.clone()).await;
        let error = trouble(site(OIP, &server.url())).await;
        assert!(error.kind() == kind && error.to_string().contains(says), "{status}: {error}");
        assert_eq!(error.retry_after(), pause.map(Duration::from_secs), "{status}");
        assert!(!error.to_string().contains("secret") && !error.to_string().contains("pass@"), "{error}");
    }
}

#[tokio::test]
async fn a_redirect_is_never_followed() {
    let elsewhere = answering(|_| json(r#"{"outputs":[]}"#)).await;
    let to = format!("Location: {}/v2\r\n", elsewhere.url());
    let server = answering(move |_| response("307 Temporary Redirect", &to, b"")).await;
    let error = trouble(site(OIP, &server.url())).await;
    assert!(
        matches!(&error, UplinkError::Redirected { to, .. } if *to == format!("{}/v2", elsewhere.url())),
        "{error}"
    );
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn what_is_no_http_or_half_of_it_is_garbage_and_a_reset_is_a_reset() {
    for (bytes, kind, says) in [
        (&b"SSH-2.0-OpenSSH_9.2\r\n\r\n"[..], Kind::Garbage, "no HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"outputs\":", Kind::Garbage, "half a body"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"out", Kind::Garbage, "half a body"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", Kind::Garbage, "no HTTP"),
        (b"HTTP/1.1 200 OK\r\n\r\n{\"outputs\":", Kind::Garbage, "outputs: EOF"),
        (b"HTTP/1.1 200 OK\r\nConte", Kind::Reset, "broke while"),
        (b"", Kind::Reset, "broke while waiting for the answer"),
    ] {
        let error = trouble(site(OIP, &closing(bytes).await.url())).await;
        assert!(
            error.kind() == kind && error.to_string().contains(says),
            "{}: {error}",
            String::from_utf8_lossy(bytes)
        );
    }
}

/// A server that resets its connections after it has written these bytes.
async fn resetting(bytes: &'static [u8]) -> String {
    let server = serve(move |mut stream| async move {
        read(&mut stream).await;
        stream.write_all(bytes).await.unwrap();
        #[allow(deprecated, reason = "a linger of zero never blocks, and is what makes a reset")]
        stream.set_linger(Some(Duration::ZERO)).unwrap();
    })
    .await;
    server.url()
}

#[tokio::test]
async fn a_reset_tells_how_far_it_was() {
    let error = trouble(site(OIP, &resetting(b"").await)).await;
    assert!(matches!(error, UplinkError::Reset { phase: Phase::Answer, .. }), "{error:?}");
    let error = trouble(site(OIP, &resetting(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{").await)).await;
    assert!(matches!(error, UplinkError::Reset { phase: Phase::Reading, .. }), "{error:?}");
}

#[tokio::test]
async fn nobody_there_is_no_connection_and_nothing_was_out() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let done = carry_out(order(site(OIP, &format!("http://127.0.0.1:{port}")), two())).await;
    let error = done.result.unwrap_err();
    assert!(error.kind() == Kind::Connect && error.to_string().contains("refused"), "{error}");
    assert_eq!((done.sent, done.sent_bytes, done.connect, done.first_byte), (Sent::Nothing, 0, None, None));
    let error = trouble(site(OIP, "http://no-such-host.invalid:1")).await;
    assert!(error.kind() == Kind::Connect, "{error}");
}

#[tokio::test]
async fn a_black_hole_ends_by_the_budget_and_what_was_out_is_told() {
    let hole =
        serve(|mut stream| async move { while stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {} }).await;
    let mut asked = order(site(OIP, &hole.url()), two());
    asked.budget = SHORT;
    let done = carry_out(asked).await;
    let error = done.result.unwrap_err();
    assert!(matches!(error, UplinkError::Timeout { phase: Phase::Answer, budget: SHORT, .. }), "{error:?}");
    assert!(done.sent == Sent::All && done.took >= SHORT && done.connect.is_some());

    // One that does not even read takes what fits into the buffers on the way.
    let hole = serve(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let inputs = vec![tensor("x", "UINT8", &[64 << 20], vec![0; 64 << 20])];
    let mut asked = order(site(OIP, &hole.url()), edged::uplink::Content::Tensors { inputs, outputs: Vec::new() });
    asked.budget = SHORT;
    let done = carry_out(asked).await;
    assert!(matches!(done.result, Err(UplinkError::Timeout { phase: Phase::Sending, .. })), "{:?}", done.result);
    assert!(done.sent == Sent::Part && (1..64 << 20).contains(&done.sent_bytes), "{}", done.sent_bytes);
}

#[tokio::test]
async fn no_connection_within_the_sites_own_limit_is_told_as_that() {
    // A listener whose queue is full lets nobody in.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut waiting = Vec::new();
    for _ in 0..8 {
        let connecting = tokio::net::TcpStream::connect(("127.0.0.1", port));
        if let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(50), connecting).await {
            waiting.push(stream);
        }
    }
    let mut address = site(OIP, &format!("http://127.0.0.1:{port}"));
    address.connect = SHORT;
    let error = trouble(address.clone()).await;
    assert!(error.kind() == Kind::Connect && error.to_string().contains("none within 150 ms"), "{error}");
    address.connect = crate::desk::LONG;
    let mut asked = order(address, two());
    asked.budget = SHORT;
    let done = carry_out(asked).await;
    assert!(matches!(done.result, Err(UplinkError::Timeout { phase: Phase::Connecting, .. })), "{:?}", done.result);
    assert_eq!(done.sent, Sent::Nothing);
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_not_read_and_one_that_drips_ends_by_the_budget() {
    let told = closing(b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n".as_slice()).await;
    let error = trouble(site(OIP, &told.url())).await;
    assert!(
        error.kind() == Kind::TooLarge && error.to_string().contains("104857600 bytes, and at most 1048576"),
        "{error}"
    );

    let flood = serve(|mut stream| async move {
        read(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        // 100 MB, or as much as somebody takes.
        for _ in 0..1600 {
            if stream.write_all(&[b' '; 65_536]).await.is_err() {
                return;
            }
        }
    })
    .await;
    let done = carry_out(order(site(OIP, &flood.url()), two())).await;
    assert_eq!(done.result.unwrap_err().kind(), Kind::TooLarge);
    assert!(done.received_bytes < 3 << 20, "{}", done.received_bytes);

    let drip = serve(|mut stream| async move {
        read(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").await.unwrap();
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        while stream.write_all(b" ").await.is_ok() {
            tick.tick().await;
        }
    })
    .await;
    let mut asked = order(site(OIP, &drip.url()), two());
    asked.budget = SHORT;
    let done = carry_out(asked).await;
    assert!(matches!(done.result, Err(UplinkError::Timeout { phase: Phase::Reading, .. })), "{:?}", done.result);
    assert!((1..1000).contains(&done.received_bytes) && done.first_byte.is_some());
}

#[tokio::test]
async fn a_budget_of_zero_sends_nothing() {
    let server = answering(|_| json("{}")).await;
    let mut asked = order(site(OIP, &server.url()), two());
    asked.budget = Duration::ZERO;
    let done = carry_out(asked).await;
    assert_eq!((done.result.unwrap_err().kind(), done.sent, server.connections()), (Kind::Timeout, Sent::Nothing, 0));
}

#[tokio::test]
async fn a_token_is_shown_read_again_when_it_changes_and_named_when_it_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let server = answering(|request| match request.header("authorization") {
        Some("Bearer new") => json(r#"{"outputs":[]}"#),
        Some(_) => response("401 Unauthorized", "", b""),
        None => panic!("no token came"),
    })
    .await;
    let mut address = site(OIP, &server.url());
    let path = file(&dir, "token", "old\n");
    address.credential = Some(path.clone());
    let address = Arc::new(address);
    let mut uplink = uplink();
    let mut ask = async || {
        uplink.send(order(Arc::clone(&address), two())).unwrap();
        next(&mut uplink).await
    };
    let error = ask().await.result.unwrap_err();
    assert!(error.kind() == Kind::Credential && error.to_string().contains("does not take the token (401)"), "{error}");
    std::fs::write(&path, "new").unwrap();
    ask().await.result.unwrap();
    std::fs::remove_file(&path).unwrap();
    let done = ask().await;
    let error = done.result.unwrap_err();
    assert!(error.kind() == Kind::Credential && error.to_string().contains(path.to_str().unwrap()), "{error}");
    assert_eq!(done.sent, Sent::Nothing);
    std::fs::create_dir(&path).unwrap();
    assert_eq!(ask().await.result.unwrap_err().kind(), Kind::Credential);
}

#[tokio::test]
async fn what_is_cancelled_closes_its_connection_and_says_what_was_out() {
    let (closed, mut closes) = mpsc::unbounded_channel();
    let (came, mut comes) = mpsc::unbounded_channel();
    let server = serve(move |mut stream| {
        let (closed, came) = (closed.clone(), came.clone());
        async move {
            read(&mut stream).await;
            came.send(()).unwrap();
            let end = stream.read(&mut [0; 1]).await;
            closed.send(matches!(end, Ok(0) | Err(_))).unwrap();
        }
    })
    .await;
    let mut uplink = uplink();
    uplink.send(order(site(OIP, &server.url()), two())).unwrap();
    assert_eq!(uplink.send(order(site(OIP, &server.url()), two())).unwrap_err().0, Refusal::Known);
    comes.recv().await.unwrap();
    uplink.cancel(8);
    uplink.cancel(7);
    let done = next(&mut uplink).await;
    assert_eq!((done.result.unwrap_err().kind(), done.sent, done.ticket), (Kind::Cancelled, Sent::All, 7));
    assert_eq!(closes.recv().await, Some(true));

    // Whoever goes away gives up what is under way.
    uplink.send(order(site(OIP, &server.url()), two())).unwrap();
    comes.recv().await.unwrap();
    drop(uplink);
    assert_eq!(closes.recv().await, Some(true));
}

#[tokio::test]
async fn more_than_may_be_under_way_is_refused_and_handed_back_and_every_result_has_room() {
    let server = answering(|_| json(r#"{"outputs":[]}"#)).await;
    let address = Arc::new(site(OIP, &server.url()));
    let mut uplink = Uplink::start(Clock::start(), 2).unwrap();
    let asked = |ticket| {
        let mut asked = order(Arc::clone(&address), two());
        asked.ticket = ticket;
        asked
    };
    uplink.send(asked(1)).unwrap();
    uplink.send(asked(2)).unwrap();
    let (refusal, back) = uplink.send(asked(3)).unwrap_err();
    assert_eq!((refusal, back.ticket, uplink.under_way()), (Refusal::Busy, 3, 2));
    // Also when both have ended: nobody has taken their results yet.
    next(&mut uplink).await.result.unwrap();
    uplink.send(*back).unwrap();
    assert_eq!(uplink.send(asked(4)).unwrap_err().0, Refusal::Busy);
    let mut tickets = [next(&mut uplink).await.ticket, next(&mut uplink).await.ticket];
    tickets.sort_unstable();
    assert!(tickets == [2, 3] || tickets == [1, 3]);
}

#[tokio::test]
async fn who_waits_for_a_connection_of_the_site_waits_no_longer_than_the_budget() {
    let (came, mut comes) = mpsc::unbounded_channel();
    let server = serve(move |mut stream| {
        let came = came.clone();
        async move {
            read(&mut stream).await;
            came.send(()).unwrap();
            std::future::pending::<()>().await;
        }
    })
    .await;
    let mut address = site(OIP, &server.url());
    address.connections = 1;
    let address = Arc::new(address);
    let mut uplink = uplink();
    uplink.send(order(Arc::clone(&address), two())).unwrap();
    comes.recv().await.unwrap();
    let mut asked = order(address, two());
    (asked.ticket, asked.budget) = (8, SHORT);
    uplink.send(asked).unwrap();
    let done = next(&mut uplink).await;
    assert!(matches!(done.result, Err(UplinkError::Timeout { phase: Phase::Waiting, .. })), "{:?}", done.result);
    assert_eq!((done.ticket, done.sent, server.connections()), (8, Sent::Nothing, 1));
}
