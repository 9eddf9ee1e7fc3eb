use crate::fixture::{acceptor, start};
use axum::Router;
use axum::routing::{get, post};
use bytes::Bytes;
use medlock_node::accept::{Limits, Meter, PeerInfo, Rates, Terms, serve};
use medlock_node::http::{self, Client};
use medlock_node::stop;
use medlock_node::tls::ClientAuth;
use medlock_testkit::Site;
use medlock_trust::Role;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::time::{sleep, timeout};

fn router() -> Router {
    Router::new()
        .route("/size", post(|body: Bytes| async move { body.len().to_string() }))
        .route("/from", get(|axum::Extension(peer): axum::Extension<PeerInfo>| async move { peer.origin.to_string() }))
        .route("/slow", get(|| sleep(Duration::from_millis(700))))
        .route("/never", get(std::future::pending::<()>))
}

/// Shorter than any of the usual limits, longer than a busy machine takes.
const PATIENCE: Duration = Duration::from_secs(9);

fn short() -> Limits {
    Limits {
        handshake: Duration::from_millis(300),
        header: Duration::from_millis(300),
        request: Duration::from_millis(1_500),
        body_bytes: 1_000,
        ..Limits::default()
    }
}

/// The time until the other side closes.
async fn closed(mut stream: TcpStream) -> (Duration, Vec<u8>) {
    let (start, mut rest) = (Instant::now(), Vec::new());
    let ended = timeout(Duration::from_secs(30), stream.read_to_end(&mut rest)).await.expect("closed in time");
    // A reset is a close too.
    let _ = ended;
    (start.elapsed(), rest)
}

/// Shows REQ-NODE-50.
#[tokio::test]
async fn slow_callers_are_closed() {
    let site = Site::new("S");
    let tls = acceptor(&site.store("hub", &[Role::Hub]), &site.knowledge(), ClientAuth::Optional);
    let secure = start(Some(tls), short(), router()).await;
    let plain = start(None, short(), router()).await;
    // Says nothing, in TLS.
    let silent = TcpStream::connect(secure.address).await.expect("connected");
    assert!(closed(silent).await.0 < PATIENCE);
    // Sends no TLS.
    let mut other = TcpStream::connect(secure.address).await.expect("connected");
    other.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("sent");
    assert!(closed(other).await.0 < PATIENCE);
    // One header byte now and then.
    let mut slow = TcpStream::connect(plain.address).await.expect("connected");
    slow.write_all(b"GET /from HTTP/1.1\r\nX: ").await.expect("sent");
    let (mut read, mut write) = slow.into_split();
    let drip = tokio::spawn(async move {
        while write.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(50)).await;
        }
    });
    let start = Instant::now();
    let mut rest = Vec::new();
    let _ = timeout(Duration::from_secs(30), read.read_to_end(&mut rest)).await.expect("closed in time");
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    drip.abort();
    // Keeps a connection open and is silent.
    let mut idle = TcpStream::connect(plain.address).await.expect("connected");
    idle.write_all(b"GET /from HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
    let (after, answer) = closed(idle).await;
    assert!(answer.starts_with(b"HTTP/1.1 200") && after < PATIENCE, "{after:?}");
    // Promises a body and sends none.
    let mut half = TcpStream::connect(plain.address).await.expect("connected");
    half.write_all(b"POST /size HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc").await.expect("sent");
    let (after, answer) = closed(half).await;
    assert!(answer.starts_with(b"HTTP/1.1 408") && after < PATIENCE, "{after:?}");
}

/// Shows REQ-NODE-51.
#[tokio::test]
async fn bodies_that_are_too_large_get_413_announced_or_not() {
    let running = start(None, short(), router()).await;
    let client = Client::plain(running.address.to_string());
    let answer = client.post("/size", "text/plain", vec![0; 1_000]).await.expect("answer");
    assert_eq!((answer.status().as_u16(), answer.body().as_ref()), (200, &b"1000"[..]));
    let answer = client.post("/size", "text/plain", vec![0; 1_001]).await.expect("answer");
    assert_eq!(answer.status().as_u16(), 413);
    let mut chunked = TcpStream::connect(running.address).await.expect("connected");
    chunked.write_all(b"POST /size HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").await.expect("sent");
    for _ in 0..2 {
        chunked.write_all(b"300\r\n").await.expect("sent");
        chunked.write_all(&[b'x'; 0x300]).await.expect("sent");
        chunked.write_all(b"\r\n").await.expect("sent");
    }
    let (_, answer) = closed(chunked).await;
    assert!(answer.starts_with(b"HTTP/1.1 413"), "{}", String::from_utf8_lossy(&answer));
}

/// Shows REQ-FHIR-80: an answer that needs no body leaves the connection good for the next request, though the body comes behind it.
#[tokio::test]
async fn a_connection_serves_on_behind_a_body_that_nobody_read() {
    let rates = |number| std::sync::Arc::new(Rates::per_second(std::num::NonZeroU32::new(number)));
    for (rates, status) in [(rates(1), "429"), (rates(0), "405")] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let mut stream = TcpStream::connect(listener.local_addr().expect("address")).await.expect("connected");
        let (stopper, stop) = stop::channel();
        let task =
            tokio::spawn(serve(listener, None, Terms { rates, ..Terms::from(Limits::default()) }, router(), stop));
        let mut refused = 0;
        while refused < 3 {
            stream.write_all(b"PATCH /size HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n").await.expect("sent");
            let mut answer = [0; 2_000];
            let length = stream.read(&mut answer).await.expect("answered");
            let answer = String::from_utf8_lossy(&answer[..length]);
            refused += usize::from(answer.starts_with(&format!("HTTP/1.1 {status}")));
            stream.write_all(&[b'x'; 5_000]).await.expect("sent");
        }
        stopper.stop();
        task.await.expect("ended");
    }
}

/// Shows REQ-NODE-52.
#[tokio::test]
async fn connections_are_counted_in_total_and_for_each_address() {
    for limits in
        [Limits { connections: 2, ..Limits::default() }, Limits { connections_per_address: 2, ..Limits::default() }]
    {
        let running = start(None, limits, router()).await;
        let one = TcpStream::connect(running.address).await.expect("connected");
        let _two = TcpStream::connect(running.address).await.expect("connected");
        sleep(Duration::from_millis(50)).await;
        let three = TcpStream::connect(running.address).await.expect("connected");
        assert!(closed(three).await.0 < Duration::from_millis(500), "there is no room");
        drop(one);
        sleep(Duration::from_millis(100)).await;
        let answer = Client::plain(running.address.to_string()).get("/from").await.expect("room again");
        assert_eq!(answer.status().as_u16(), 200);
    }
}

/// Shows REQ-NODE-53.
#[tokio::test]
async fn stopping_finishes_answers_under_way_and_ends_those_that_never_end() {
    let limits = Limits { drain: Duration::from_secs(2), ..Limits::default() };
    let running = start(None, limits, router()).await;
    let client = Client::plain(running.address.to_string());
    let (slow, never) = (client.clone(), client.clone());
    let slow = tokio::spawn(async move { slow.get("/slow").await });
    let never = tokio::spawn(async move { never.get("/never").await });
    sleep(Duration::from_millis(200)).await;
    running.stopper.stop();
    assert_eq!(slow.await.expect("no panic").expect("finished").status().as_u16(), 200);
    assert!(client.get("/from").await.is_err(), "nobody new");
    timeout(PATIENCE, running.task).await.expect("ended").expect("no panic");
    assert!(never.await.expect("no panic").is_err());
}

/// Shows REQ-NODE-102: a request of HTTP/1.1 that names no host, or two, is refused; of HTTP/1.0 none is needed.
#[tokio::test]
async fn a_request_is_for_one_host() {
    let running = start(None, short(), router()).await;
    for (version, hosts, status) in [
        ("HTTP/1.1", "Host: a\r\n", "200"),
        ("HTTP/1.1", "", "400"),
        ("HTTP/1.1", "Host: a\r\nHost: b\r\n", "400"),
        ("HTTP/1.0", "", "200"),
        ("HTTP/1.0", "Host: a\r\nHost: b\r\n", "400"),
    ] {
        let mut stream = TcpStream::connect(running.address).await.expect("connected");
        let request = format!("GET /from {version}\r\nConnection: close\r\n{hosts}\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let (_, answer) = closed(stream).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with(&format!("{version} {status}")), "{version} {hosts:?}: {answer}");
    }
}

/// Shows REQ-NODE-54.
#[tokio::test]
async fn nonsense_is_survived() {
    let running = start(None, short(), router()).await;
    for nonsense in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\0\0\0\0",
        b"GET",
        b"POST /size HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        &[b'A'; 100_000],
    ] {
        let mut stream = TcpStream::connect(running.address).await.expect("connected");
        let _ = stream.write_all(nonsense).await;
        let _ = stream.shutdown().await;
        closed(stream).await;
    }
    let answer = Client::plain(running.address.to_string()).get("/from").await.expect("still there");
    assert!(answer.body().starts_with(b"127.0.0.1:"));
}

#[tokio::test]
async fn unix_socket_tells_the_callers_user() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("admin.sock");
    let (_stopper, stop) = stop::channel();
    tokio::spawn(serve(UnixListener::bind(&path).expect("bind"), None, Limits::default(), router(), stop));
    let answer = Client::unix(&path).get("/from").await.expect("answer");
    let user = rustix::process::getuid().as_raw();
    assert_eq!(answer.body().as_ref(), format!("local user {user}").as_bytes());
}

/// Shows REQ-NODE-55.
#[tokio::test]
async fn client_gives_up_on_slow_and_endless_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address").to_string();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("accept");
            tokio::spawn(async move {
                let mut request = [0; 64];
                let read = stream.read(&mut request).await.unwrap_or(0);
                if request[..read].starts_with(b"GET /endless") {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
                    while stream.write_all(&[b'x'; 4_096]).await.is_ok() {}
                } else {
                    sleep(Duration::from_secs(60)).await;
                }
            });
        }
    });
    let second = Duration::from_secs(1);
    let limits = http::Limits { connect: second, request: second, body_bytes: 100_000 };
    let client = Client::plain(address).with_limits(limits);
    let text = client.get("/endless").await.expect_err("too large").to_string();
    assert!(text.contains("larger than 100000 bytes"), "{text}");
    let text = client.get("/silent").await.expect_err("too slow").to_string();
    assert!(text.contains("did not answer"), "{text}");
    let text = Client::plain("127.0.0.1:1").get("/").await.expect_err("nobody").to_string();
    assert!(text.contains("127.0.0.1:1"), "{text}");
}

/// Shows REQ-NODE-64.
#[tokio::test]
async fn a_client_goes_where_it_was_sent_and_asks_by_the_name() {
    let host = |headers: axum::http::HeaderMap| async move { headers["host"].to_str().expect("text").to_owned() };
    let server = start(None, Limits::default(), Router::new().route("/host", get(host))).await;
    let client = Client::plain("masa.invalid:8443");
    assert!(client.get("/host").await.is_err(), "nobody has this name");
    let answer = client.at(vec![server.address]).get("/host").await.expect("answered");
    assert_eq!(answer.body(), "masa.invalid:8443");
}

/// Shows REQ-RUN-04, REQ-RUN-05: who sends too much is told when to come back, and what happens is counted by route.
#[tokio::test]
async fn a_client_that_sends_too_much_is_told_when_to_come_back() {
    let meter = Meter::default();
    let terms = Terms {
        door: "people",
        limits: Limits::default(),
        rates: std::sync::Arc::new(Rates::per_second(std::num::NonZeroU32::new(1))),
        meter: meter.clone(),
        forwarded: None,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let client = Client::plain(listener.local_addr().expect("address").to_string());
    let (stopper, stop) = stop::channel();
    let task = tokio::spawn(serve(listener, None, terms, router(), stop));
    let mut answered = 0;
    let refused = loop {
        let answer = client.get("/from").await.expect("an answer");
        if answer.status() != 200 {
            break answer;
        }
        answered += 1;
        assert!(answered < 200, "two hundred at once are not too many");
    };
    assert!(answered >= 10 && refused.status() == 429, "{answered}");
    let seconds: u64 = refused.headers()["retry-after"].to_str().expect("text").parse().expect("a number");
    assert!((1..=2).contains(&seconds), "{seconds}");
    assert!(String::from_utf8_lossy(refused.body()).contains("too many requests"));
    client.get("/nowhere").await.expect("an answer");
    stopper.stop();
    task.await.expect("ended");

    let mut registry = prometheus_client::registry::Registry::default();
    meter.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).expect("text");
    assert!(
        text.contains(&format!("requests_total{{door=\"people\",route=\"/from\",status=\"200\"}} {answered}\n")),
        "{text}"
    );
    assert!(text.contains("status=\"429\""), "{text}");
    assert!(text.contains("connections{door=\"people\"} 0"), "{text}");
}

/// Shows REQ-RUN-79: by the last address of the header, which that server writes, and not by what a caller wrote before it; who comes
/// without is counted by its own. What is told of it can be read in a page.
#[tokio::test]
async fn who_comes_by_a_server_in_front_is_counted_by_the_address_that_it_tells() {
    let terms = Terms {
        rates: std::sync::Arc::new(Rates::per_second(std::num::NonZeroU32::new(1))),
        forwarded: Some(axum::http::HeaderName::from_static("x-forwarded-for")),
        ..Terms::from(Limits::default())
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let (stopper, stop) = stop::channel();
    let task = tokio::spawn(serve(listener, None, terms, router(), stop));
    let get = async |headers: &str| {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        let request = format!("GET /from HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("answered");
        text
    };
    // What the caller wrote before it is another one each time.
    let until_refused = async |before: &str| {
        for number in 0..200 {
            let told = get(&format!("x-forwarded-for: 192.0.2.{number}{before}198.51.100.1\r\n")).await;
            if !told.starts_with("HTTP/1.1 200") {
                return told;
            }
            assert!(told.contains("198.51.100.1"), "{told}");
        }
        panic!("two hundred at once are not too many");
    };
    let told = until_refused("\r\nx-forwarded-for: ").await;
    assert!(told.starts_with("HTTP/1.1 429"), "{told}");
    let told = until_refused(", ").await;
    assert!(told.starts_with("HTTP/1.1 429") && told.contains("access-control-allow-origin: *"), "{told}");
    assert!(
        told.contains("content-type: text/plain") && told.contains("access-control-expose-headers: retry-after"),
        "{told}"
    );
    for other in [
        "x-forwarded-for: 198.51.100.1, 198.51.100.2\r\n",
        "x-forwarded-for: [2001:db8::1]:4711\r\n",
        "x-forwarded-for: nobody\r\n",
        "",
    ] {
        let told = get(other).await;
        assert!(told.starts_with("HTTP/1.1 200"), "{other}: {told}");
    }
    stopper.stop();
    task.await.expect("ended");
}
