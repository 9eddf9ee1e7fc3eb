//! Figures, not a test: `cargo test --release -p medlock-guard --test interop -- --ignored --nocapture figures`.

use crate::world::{Server, World, program, python, run};
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

const IMAGES: u32 = 200;
const MEGABYTES: f64 = 0.525 * IMAGES as f64;

/// `storescu` sends a directory; `nodelay` is dcmtk's own switch for Nagle's algorithm.
async fn send(port: u16, folder: &Path, nodelay: bool) -> Duration {
    let mut command = program("storescu");
    command.args(["-q", "-pdu", "131072", "+sd", "-aet", "CT1", "-aec", "PACS", "127.0.0.1", &port.to_string()]);
    command.arg(folder).env("TCP_NODELAY", if nodelay { "1" } else { "0" });
    let start = Instant::now();
    let (done, text) = run(command).await;
    assert!(done, "{text}");
    start.elapsed()
}

async fn receive(world: &World, nodelay: bool) -> Server {
    let mut command = program("storescp");
    command.args(["-q", "--fork", "--ignore", "-pdu", "131072", "-aet", "PACS", &world.pacs.port.to_string()]);
    command.env("TCP_NODELAY", if nodelay { "1" } else { "0" });
    Server::start(command, world.pacs.port).await
}

/// Anonymous memory of this process, in kB: both guards and the harness.
fn anonymous_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints figures; takes a minute"]
async fn figures() {
    let world = World::new().await;
    let folder = world.folder("images");
    let mut make = python();
    make.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/peer.py"));
    make.arg("make").arg(&folder).arg(IMAGES.to_string());
    let (done, text) = run(make).await;
    assert!(done, "{text}");
    let idle = anonymous_memory();
    for nodelay in [true, false] {
        let server = receive(&world, nodelay).await;
        for round in 0..3 {
            let plain = send(world.pacs.port, &folder, nodelay).await;
            let guarded = send(world.ct.plain.port(), &folder, nodelay).await;
            let ratio = guarded.as_secs_f64() / plain.as_secs_f64();
            println!("nodelay {nodelay}, round {round}: plain {plain:.3?}, guards {guarded:.3?}, {ratio:.2} times");
        }
        server.stop().await;
    }
    let _server = receive(&world, true).await;
    let start = Instant::now();
    let mut most = 0;
    let port = world.ct.plain.port();
    let mut eight = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let folder = folder.clone();
        eight.spawn(async move { send(port, &folder, true).await });
    }
    while !eight.is_empty() {
        most = most.max(anonymous_memory());
        let _ = tokio::time::timeout(Duration::from_millis(10), eight.join_next()).await;
    }
    let rate = MEGABYTES * 8.0 / start.elapsed().as_secs_f64();
    println!("8 in parallel: {rate:.0} MB/s; anonymous memory of both guards {most} kB at most, {idle} kB before");
}
