//! The ways that lead to a site: TLS, HTTP/2, proxies.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use edged::uplink::{Kind, Protocol, Sent, SiteAddress, UplinkError, Version};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::desk::{OIP, carry_out, chat, file, next, order, site, tensors, trouble, two, uplink};
use crate::server::{Io, Server, answering, json, keep, read, response, serve};
use crate::tls::{Authority, accept, acceptor};

const EMPTY: &str = r#"{"outputs":[]}"#;

/// A site with TLS on this machine by the name of `host`.
fn guarded(server: &Server, host: &str, authority: &Authority) -> SiteAddress {
    let mut address = site(OIP, &format!("https://{host}:{}", server.port));
    address.ca = Some(authority.file());
    address
}

/// Answers over TLS.
async fn with_tls(acceptor: tokio_rustls::TlsAcceptor) -> Server {
    serve(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Some(stream) = accept(acceptor, stream).await {
                keep(stream, |_| json(EMPTY)).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_pinned_authority_is_trusted_and_no_other_one() {
    let authority = Authority::new();
    let server = with_tls(acceptor(&authority.signed("localhost"), None, &["http/1.1"])).await;
    carry_out(order(guarded(&server, "localhost", &authority), two())).await.result.unwrap();

    let done = carry_out(order(guarded(&server, "localhost", &Authority::new()), two())).await;
    let error = done.result.unwrap_err();
    assert!(error.kind() == Kind::Tls && error.to_string().contains("no authority that is trusted here"), "{error}");
    assert_eq!((done.sent, done.sent_bytes), (Sent::Nothing, 0));
}

#[tokio::test]
async fn a_certificate_for_another_name_or_one_that_expired_is_told_in_words_and_nothing_leaves() {
    let authority = Authority::new();
    for (shown, says) in [
        (authority.signed("elsewhere"), "its certificate is for another name"),
        (authority.expired("localhost"), "its certificate has expired by the clock of this box"),
    ] {
        let server = with_tls(acceptor(&shown, None, &[])).await;
        let done = carry_out(order(guarded(&server, "localhost", &authority), two())).await;
        let error = done.result.unwrap_err();
        assert!(error.kind() == Kind::Tls && error.to_string().contains(says), "{error}");
        assert_eq!((done.sent, done.sent_bytes), (Sent::Nothing, 0));
    }
}

#[tokio::test]
async fn a_site_that_asks_who_the_box_is_gets_its_certificate() {
    let authority = Authority::new();
    let server = with_tls(acceptor(&authority.signed("localhost"), Some(&authority.file()), &["http/1.1"])).await;
    let mut address = guarded(&server, "localhost", &authority);
    let error = trouble(address.clone()).await;
    assert!(error.kind() == Kind::Tls && error.to_string().contains("ertificate"), "{error}");
    address.identity = Some(authority.signed("box"));
    carry_out(order(address, two())).await.result.unwrap();
}

#[tokio::test]
async fn files_of_tls_that_are_no_good_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut address = site(OIP, "https://localhost:1");
    for path in [dir.path().join("gone.pem"), file(&dir, "empty.pem", "nothing")] {
        address.ca = Some(path.clone());
        let error = trouble(address.clone()).await;
        assert!(error.kind() == Kind::Tls && error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
    // A server without TLS.
    let authority = Authority::new();
    let plain = serve(|mut stream| async move { stream.write_all(b"220 mail.example\r\n").await.unwrap() }).await;
    let error = trouble(guarded(&plain, "localhost", &authority)).await;
    assert_eq!(error.kind(), Kind::Tls, "{error}");
}

/// Answers every request of HTTP/2 with an empty list, once its body is there.
async fn second(stream: impl Io + 'static) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        tokio::spawn(async move {
            let mut body = request.into_body();
            while let Some(Ok(piece)) = body.data().await {
                let _ = body.flow_control().release_capacity(piece.len());
            }
            let mut send = respond.send_response(http::Response::new(()), false).unwrap();
            send.send_data(Bytes::from_static(EMPTY.as_bytes()), true).unwrap();
        });
    }
}

#[tokio::test]
async fn the_second_version_of_http_is_spoken_by_agreement_and_without_and_shares_a_connection() {
    let authority = Authority::new();
    let acceptor = acceptor(&authority.signed("localhost"), None, &["h2", "http/1.1"]);
    let agreed = serve(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let stream = accept(acceptor, stream).await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            second(stream).await;
        }
    })
    .await;
    let known = serve(second).await;
    let mut without = site(OIP, &known.url());
    without.version = Version::Two;
    for (server, address) in [(&agreed, guarded(&agreed, "localhost", &authority)), (&known, without)] {
        let mut uplink = uplink();
        let address = Arc::new(address);
        // One to make the connection, and then many at once.
        uplink.send(order(Arc::clone(&address), two())).unwrap();
        assert!(tensors(next(&mut uplink).await).is_empty());
        for ticket in 0..8 {
            let mut asked = order(Arc::clone(&address), two());
            asked.ticket = ticket;
            uplink.send(asked).unwrap();
        }
        for _ in 0..8 {
            let done = next(&mut uplink).await;
            assert!(done.sent == Sent::All && done.connect.is_none());
            done.result.unwrap();
        }
        assert_eq!(server.connections(), 1);
    }
}

#[tokio::test]
async fn a_site_that_speaks_only_the_first_version_is_spoken_to_so() {
    let authority = Authority::new();
    let server = with_tls(acceptor(&authority.signed("localhost"), None, &["http/1.1"])).await;
    let mut address = guarded(&server, "localhost", &authority);
    carry_out(order(address.clone(), two())).await.result.unwrap();
    address.version = Version::Two;
    let error = trouble(address).await;
    assert_eq!(error.kind(), Kind::Tls, "{error}");
}

#[tokio::test]
async fn a_stream_of_the_second_version_that_is_reset_is_a_reset() {
    let server = serve(|stream| async move {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            respond.send_reset(h2::Reason::INTERNAL_ERROR);
        }
    })
    .await;
    let mut address = site(OIP, &server.url());
    address.version = Version::Two;
    let error = trouble(address).await;
    assert!(matches!(error, UplinkError::Reset { .. }), "{error:?}");
}

/// A proxy for everything that leads to this port, whatever the name; counts what it was asked for.
async fn proxy(to: u16, password: Option<&'static str>) -> (Server, Arc<AtomicUsize>) {
    let tunnels: Arc<AtomicUsize> = Arc::default();
    let counted = Arc::clone(&tunnels);
    let server = serve(move |mut stream| {
        let counted = Arc::clone(&counted);
        async move {
            let Some(request) = read(&mut stream).await else { return };
            if request.header("proxy-authorization") != password {
                stream.write_all(&response("407 Proxy Authentication Required", "", b"")).await.unwrap();
                return;
            }
            if request.line().starts_with("CONNECT plant.example:") {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut there = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut there).await;
            } else if request.line().starts_with("POST http://plant.example/") {
                stream.write_all(&json(EMPTY)).await.unwrap();
            }
        }
    })
    .await;
    (server, tunnels)
}

#[tokio::test]
async fn a_proxy_is_gone_through_by_a_tunnel_with_tls_and_by_its_whole_address_without() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let behind = with_tls(acceptor(&authority.signed("localhost"), None, &["http/1.1"])).await;
    let (proxy, tunnels) = proxy(behind.port, Some("Basic cHJlc3MtNzpvcGVu")).await;
    let mut address = site(OIP, "https://plant.example");
    address.ca = Some(authority.file());
    address.proxy = Some(proxy.url().parse().unwrap());
    for url in ["https://plant.example", "http://plant.example"] {
        address.url = url.parse().unwrap();
        address.proxy_credential = None;
        let done = carry_out(order(address.clone(), two())).await;
        let error = done.result.unwrap_err();
        assert!(error.kind() == Kind::Credential && error.to_string().contains("proxy_credential"), "{error}");
        address.proxy_credential = Some(file(&dir, "proxy", "press-7:open\n"));
        carry_out(order(address.clone(), two())).await.result.unwrap();
    }
    assert_eq!(tunnels.load(Ordering::SeqCst), 1);
    // What is on this box, and what is named, is reached without it.
    let direct = answering(|_| json(EMPTY)).await;
    let before = proxy.connections();
    address.url = direct.url().parse().unwrap();
    carry_out(order(address.clone(), two())).await.result.unwrap();
    address.url = "http://plant.invalid".parse().unwrap();
    address.no_proxy = vec!["plant.invalid".into()];
    assert_eq!(trouble(address).await.kind(), Kind::Connect);
    assert_eq!((direct.connections(), proxy.connections()), (1, before));
}

#[tokio::test]
async fn a_proxy_that_is_not_there_or_leads_nowhere_is_no_connection() {
    let mut address = site(Protocol::OpenAi, "https://plant.example");
    let authority = Authority::new();
    address.ca = Some(authority.file());
    let refusing = serve(|mut stream| async move {
        read(&mut stream).await;
        stream.write_all(&response("502 Bad Gateway", "", b"")).await.unwrap();
    })
    .await;
    for proxy in [refusing.url(), "http://127.0.0.1:1".to_owned()] {
        address.proxy = Some(proxy.parse().unwrap());
        let done = carry_out(order(address.clone(), chat())).await;
        let error = done.result.unwrap_err();
        assert!(error.kind() == Kind::Connect && done.sent == Sent::Nothing, "{error}");
    }
}
