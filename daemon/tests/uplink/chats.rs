//! Chats and completions, streamed and whole.

use std::time::Duration;

use bytes::Bytes;
use edged::request::Blob;
use edged::uplink::{Answer, Chat, Chunk, Content, Done, Kind, Pieces, Protocol, Question, Seen, Sent, Usage};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

use crate::desk::{carry_out, chat, next, order, probe, site, uplink};
use crate::server::{answering, closing, json, read, response, serve};

const FIRST: &str = r#"{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"LO"},"finish_reason":null}]}"#;
const LAST: &str = r#"{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"T"},"finish_reason":"stop"}]}"#;
const USAGE: &str =
    r#"{"id":"c","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2}}"#;
const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n";

fn events() -> String {
    format!(": ping\n\ndata: {FIRST}\n\ndata: {LAST}\n\ndata: {USAGE}\n\ndata: [DONE]\n\n")
}

/// Carries an order out as a stream; gives its chunks and its end.
async fn streamed(url: &str, content: Content) -> (Vec<Bytes>, Done) {
    let (out, mut chunks) = mpsc::channel(1);
    let mut asked = order(site(Protocol::OpenAi, url), content);
    asked.stream = Some(Pieces::new(out));
    let collect = async {
        let mut all = Vec::new();
        while let Some(Chunk { ticket: 7, json }) = chunks.recv().await {
            all.push(json);
        }
        all
    };
    tokio::join!(collect, carry_out(asked))
}

fn told(done: Done) -> Chat {
    match done.result {
        Ok(Answer::Chat(chat)) => chat,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_stream_is_passed_on_chunk_by_chunk_and_its_end_tells_usage() {
    let server = serve(|mut stream| async move {
        let request = read(&mut stream).await.unwrap();
        assert_eq!(request.line(), "POST /v1/chat/completions");
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!((&body["model"], &body["stream"]), (&"defects".into(), &true.into()));
        assert_eq!(body["stream_options"]["include_usage"], true);
        stream.write_all(format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n").as_bytes()).await.unwrap();
        for byte in events().bytes() {
            stream.write_all(&[b"1\r\n", &[byte][..], b"\r\n"].concat()).await.unwrap();
        }
        stream.write_all(b"0\r\n\r\n").await.unwrap();
        read(&mut stream).await;
    })
    .await;
    let (chunks, done) = streamed(&server.url(), chat()).await;
    assert_eq!(chunks, [FIRST, LAST, USAGE]);
    assert!(done.first_byte.is_some() && done.sent == Sent::All);
    let usage = Some(Usage { input_tokens: 5, output_tokens: 2 });
    assert_eq!(told(done), Chat { body: None, chunks: 3, usage, finish: Some("stop".into()) });
}

#[tokio::test]
async fn a_stream_that_is_cut_at_any_byte_is_whole_or_an_error_by_name() {
    let events = events();
    let done = events.find("[DONE]").unwrap() + "[DONE]".len();
    for cut in 0..=events.len() {
        let part = &events[..cut];
        // Told how long it is, or not: a close in the midst of the first is noticed by the protocol below.
        for length in [format!("Content-Length: {}\r\n", events.len()), String::new()] {
            let server = closing(format!("{HEAD}{length}Connection: close\r\n\r\n{part}")).await;
            let (chunks, end) = streamed(&server.url(), chat()).await;
            let all = [FIRST, LAST, USAGE];
            assert_eq!(chunks, all[..chunks.len()], "cut at {cut}");
            match end.result {
                // Either it said so itself, or all choices had ended and it closed.
                Ok(Answer::Chat(_)) => assert!(cut >= done || chunks.len() >= 2 && length.is_empty(), "cut at {cut}"),
                Ok(other) => panic!("{other:?}"),
                Err(error) => {
                    assert!(cut < done, "cut at {cut}: {error}");
                    assert!(matches!(error.kind(), Kind::Garbage | Kind::Reset), "{error}");
                    let says = error.to_string();
                    assert!(says.contains("broke") || says.contains("half a body"), "cut at {cut}: {says}");
                }
            }
        }
    }
}

#[tokio::test]
async fn an_error_in_the_midst_of_a_stream_is_the_sites() {
    let text = format!("data: {FIRST}\n\ndata: {{\"error\":{{\"message\":\"out of memory\"}}}}\n\n");
    let server = closing(format!("{HEAD}Connection: close\r\n\r\n{text}")).await;
    let (chunks, end) = streamed(&server.url(), chat()).await;
    let error = end.result.unwrap_err();
    assert_eq!((chunks.len(), error.kind()), (1, Kind::Server));
    assert!(error.to_string().contains("out of memory"), "{error}");
}

/// A server that streams without end, and an order to it with room for two chunks.
async fn endless() -> (edged::uplink::Order, mpsc::Receiver<Chunk>) {
    let server = serve(|mut stream| async move {
        read(&mut stream).await;
        let mut text = format!("{HEAD}\r\n");
        while stream.write_all(text.as_bytes()).await.is_ok() {
            text = format!("data: {FIRST}\n\n");
        }
    })
    .await;
    let (out, chunks) = mpsc::channel(2);
    let mut asked = order(site(Protocol::OpenAi, &server.url()), chat());
    asked.stream = Some(Pieces::new(out));
    asked.max_answer_bytes = u64::MAX;
    (asked, chunks)
}

#[tokio::test]
async fn while_nobody_takes_the_chunks_nothing_is_read() {
    let (mut asked, mut chunks) = endless().await;
    asked.budget = Duration::from_millis(300);
    let done = carry_out(asked).await;
    let error = done.result.unwrap_err();
    assert!(error.kind() == Kind::Timeout && error.to_string().contains("reading the answer"), "{error}");
    // What one read brought, and not what a server can write in that time.
    assert!(done.received_bytes < 1 << 20, "{}", done.received_bytes);
    assert_eq!((chunks.recv().await.unwrap().json, chunks.recv().await.unwrap().json), (FIRST.into(), FIRST.into()));
    assert_eq!(chunks.recv().await, None);
}

#[tokio::test]
async fn who_does_not_listen_any_more_has_given_it_up() {
    let (asked, mut chunks) = endless().await;
    let mut uplink = uplink();
    uplink.send(asked).unwrap();
    assert_eq!(chunks.recv().await.unwrap().json, FIRST);
    drop(chunks);
    assert_eq!(next(&mut uplink).await.result.unwrap_err().kind(), Kind::Cancelled);
}

#[tokio::test]
async fn a_whole_answer_comes_as_it_is_also_from_a_site_that_cannot_stream() {
    let body = LAST.replace('}', "} ").replacen(
        "{\"id\"",
        "{\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":9},\"id\"",
        1,
    );
    let answer = json(&body);
    let server = answering(move |request| {
        let asked: Value = serde_json::from_slice(&request.body).unwrap();
        assert!(asked["stream"] == true || asked.get("stream_options").is_none());
        answer.clone()
    })
    .await;
    let usage = Some(Usage { input_tokens: 1, output_tokens: 9 });
    let expected = Chat { body: Some(body.into()), chunks: 0, usage, finish: Some("stop".into()) };
    let completion = Content::Completion { body: Bytes::from_static(b"{\"prompt\":\"a\"}") };
    assert_eq!(told(carry_out(order(site(Protocol::OpenAi, &server.url()), completion)).await), expected);
    let (chunks, done) = streamed(&server.url(), chat()).await;
    assert_eq!((chunks.len(), told(done)), (0, expected));
}

#[tokio::test]
async fn what_is_no_chat_is_garbage_and_a_body_that_is_none_never_leaves() {
    for (answer, says) in [
        (json(r#"{"error":{"message":"no GPU"}}"#), "(200), and then: no GPU"),
        (json("[]"), "JSON: invalid"),
        (json(r#"{"choices":[]}"#), "no `choices`"),
    ] {
        let server = answering(move |_| answer.clone()).await;
        let done = carry_out(order(site(Protocol::OpenAi, &server.url()), chat())).await;
        let error = done.result.unwrap_err();
        assert!(error.kind() == Kind::Garbage && error.to_string().contains(says), "{error}");
    }
    let server = answering(|_| json("{}")).await;
    let content = Content::Chat { body: Blob::Inline(Bytes::from_static(b"[1]")) };
    let done = carry_out(order(site(Protocol::OpenAi, &server.url()), content)).await;
    assert_eq!((done.result.unwrap_err().kind(), done.sent, server.connections()), (Kind::Unfit, Sent::Nothing, 0));
}

#[tokio::test]
async fn a_probe_reads_the_list_of_models_or_asks_for_health() {
    let server = answering(|request| match request.line() {
        "GET /v1/models" => json(r#"{"object":"list","data":[{"id":"small"},{"id":"big"}]}"#),
        _ => response("404 Not Found", "", b""),
    })
    .await;
    let ask =
        |url: String, model: &str| probe(site(Protocol::OpenAi, &url), Question::Health { model: Some(model.into()) });
    let Ok(Seen::Ready(health)) = ask(server.url(), "big").await.result else { panic!() };
    assert_eq!(health.models, Some(vec!["small".into(), "big".into()]));
    let gone = ask(server.url(), "huge").await.result.unwrap_err();
    assert!(gone.kind() == Kind::Rejected && gone.to_string().contains("no model huge"), "{gone}");

    let bare = answering(|request| match request.line() {
        "GET /health" => json("{}"),
        _ => response("404 Not Found", "", b""),
    })
    .await;
    let Ok(Seen::Ready(health)) = ask(bare.url() + "/v1", "any").await.result else { panic!() };
    assert_eq!(health.models, None);
}
