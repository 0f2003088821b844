//! `Submit` and the objects of its requests.

use std::collections::HashMap;
use std::time::Duration;

use edge_wire::error::ErrorCode;
use edge_wire::proxy::{InferenceProxy, RequestProxy};
use zbus::fdo::ObjectManagerProxy;
use zbus::{Fd, OwnedObjectPath, Variant};

use crate::fake::{Client, SEALS, client, memfd, next, refused, release, soon, until};

async fn submit(client: &Client, model: &str, id: Option<&str>) -> zbus::Result<OwnedObjectPath> {
    let inference = InferenceProxy::new(&client.connection).await?;
    let options: HashMap<_, _> = id.map(|id| ("request_id", Variant::from(id))).into_iter().collect();
    inference.submit(model, "image/png", Fd::from(&memfd(b"abc", SEALS)), &options).await
}

async fn objects(client: &Client) -> Vec<OwnedObjectPath> {
    let manager = ObjectManagerProxy::new(&client.connection, "org.edged.Edge1", "/org/edged/Edge1").await.unwrap();
    let objects = manager.get_managed_objects().await.unwrap();
    objects.into_keys().filter(|path| path.contains("/requests/")).collect()
}

#[tokio::test]
async fn a_submitted_request_tells_its_end_and_keeps_its_result() {
    let client = client().await;
    let path = submit(&client, "hold", None).await.unwrap();
    let request = RequestProxy::new(&client.connection, path).await.unwrap();
    let mut completed = request.receive_completed().await.unwrap();
    assert_eq!(request.state().await.unwrap(), "running");
    assert_eq!(refused(request.result().await).code, ErrorCode::Unavailable);
    release(&client.driver.seen);
    let signal = next(&mut completed).await;
    let args = signal.args().unwrap();
    assert_eq!(args.json, "{\"content_type\":\"image/png\",\"data\":\"sealed 3\"}");
    assert_eq!(args.info.0.model, "hold");
    assert_eq!(args.info.0.request_id, request.request_id().await.unwrap());
    assert_eq!(request.state().await.unwrap(), "completed");
    let (json, info) = request.result().await.unwrap();
    assert_eq!((json.as_str(), &info), (args.json, &args.info));
}

#[tokio::test]
async fn a_submitted_request_that_fails_says_why() {
    let client = client().await;
    let path = submit(&client, "no", Some("mine")).await.unwrap();
    let request = RequestProxy::new(&client.connection, path).await.unwrap();
    assert_eq!(request.request_id().await.unwrap(), "mine");
    soon("the end", async {
        while request.state().await.unwrap() != "failed" {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let no = refused(request.result().await);
    assert_eq!((no.code, no.retry_after_ms), (ErrorCode::Overloaded, Some(800)));
}

#[tokio::test]
async fn a_submitted_request_can_be_cancelled_without_an_id_of_its_own() {
    let client = client().await;
    let path = submit(&client, "hold", None).await.unwrap();
    let request = RequestProxy::new(&client.connection, path).await.unwrap();
    let mut failed = request.receive_failed().await.unwrap();
    request.cancel().await.unwrap();
    let signal = next(&mut failed).await;
    assert_eq!(signal.args().unwrap().code, "cancelled");
    assert_eq!(refused(request.cancel().await).code, ErrorCode::InvalidInput);
}

#[tokio::test]
async fn a_caller_has_only_so_many_submitted_requests() {
    let client = client().await;
    for _ in 0..4 {
        submit(&client, "hold", None).await.unwrap();
    }
    let no = refused(submit(&client, "hold", None).await);
    assert!(no.code == ErrorCode::Overloaded && no.message.contains("submitted"), "{}", no.message);
    assert_eq!(objects(&client).await.len(), 4);
}

#[tokio::test]
async fn an_ended_request_frees_its_place_and_the_oldest_object_makes_room() {
    let client = client().await;
    let mut last = None;
    for _ in 0..12 {
        let path = submit(&client, "echo", None).await.unwrap();
        let request = RequestProxy::new(&client.connection, path.clone()).await.unwrap();
        soon("the end", async {
            while request.state().await.unwrap() != "completed" {
                tokio::task::yield_now().await;
            }
        })
        .await;
        last = Some(path);
    }
    soon("no more than the bound", async {
        while objects(&client).await.len() > 4 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(objects(&client).await.contains(&last.unwrap()));
    // Kept objects take no place of open requests.
    for _ in 0..4 {
        submit(&client, "hold", None).await.unwrap();
    }
}

#[tokio::test]
async fn an_ended_request_is_forgotten_after_a_while() {
    let client = client().await;
    let path = submit(&client, "echo", None).await.unwrap();
    let request = RequestProxy::new(&client.connection, path).await.unwrap();
    soon("the end", async {
        while request.state().await.unwrap() != "completed" {
            tokio::task::yield_now().await;
        }
    })
    .await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
    soon("forgotten", async {
        while !objects(&client).await.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // Its place is free again.
    for _ in 0..4 {
        submit(&client, "hold", None).await.unwrap();
    }
}

#[tokio::test]
async fn the_objects_of_a_caller_that_left_are_gone_and_its_requests_freed() {
    let client = client().await;
    submit(&client, "hold", None).await.unwrap();
    client.connection.close().await.unwrap();
    let seen = client.driver.seen.clone();
    until("freed", || {
        let seen = seen.lock().unwrap();
        seen.held.is_empty() && seen.events.iter().any(|event| event.starts_with("left"))
    })
    .await;
}
