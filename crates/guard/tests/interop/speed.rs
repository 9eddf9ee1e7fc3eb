//! Figures, not a test: `cargo test --release -p medlock-guard --test interop -- --ignored --nocapture figures`.

use crate::world::{Server, World, program, python, run};
use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

const IMAGES: u32 = 200;
static MOST: AtomicU64 = AtomicU64::new(0);
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

/// Processor time this process has used: both guards and the harness. The kernel counts in ticks of 10 ms.
fn processor_time() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    fields[11..13].iter().map(|field| field.parse::<f64>().unwrap() / 100.0).sum()
}

/// Eight `storescu` at once; MB/s.
async fn eight(port: u16, folder: &Path) -> f64 {
    let start = Instant::now();
    let mut eight = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let folder = folder.to_owned();
        eight.spawn(async move { send(port, &folder, true).await });
    }
    eight.join_all().await;
    MEGABYTES * 8.0 / start.elapsed().as_secs_f64()
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
    println!("8 in parallel, plain: {:.0} MB/s", eight(world.pacs.port, &folder).await);
    let watch = tokio::spawn(async {
        loop {
            MOST.fetch_max(anonymous_memory(), Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let before = processor_time();
    let rate = eight(world.ct.plain.port(), &folder).await;
    let used = processor_time() - before;
    watch.abort();
    println!(
        "8 in parallel, guards: {rate:.0} MB/s; {used:.2} s of processor time for {:.0} MB in both guards; {} kB of \
         anonymous memory in both at most, {idle} kB before",
        MEGABYTES * 8.0,
        MOST.load(Ordering::Relaxed),
    );
}
