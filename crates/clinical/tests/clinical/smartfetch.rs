//! smart-fetch, a client of Bulk Data that others wrote, fetches what is kept.

use crate::export::Ward;
use crate::fixture::House;
use medlock_node::accept::{Limits, serve};
use medlock_node::stop;
use medlock_testkit::free_port;
use medlock_testkit::peers::venv;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;

async fn run(mut program: Command) -> Output {
    spawn_blocking(move || program.output().expect("it starts")).await.expect("it ends")
}

/// The identifiers of what stands in the files whose name begins so.
fn fetched(folder: &Path, begins: &str) -> BTreeSet<String> {
    let files = std::fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").path());
    let own = files.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(begins)));
    let lines = own
        .flat_map(|path| std::fs::read_to_string(path).expect("text").lines().map(str::to_owned).collect::<Vec<_>>());
    let ids =
        lines.map(|line| serde_json::from_str::<Value>(&line).expect("JSON")["id"].as_str().expect("an id").to_owned());
    ids.collect()
}

/// Shows REQ-EXPORT-11: smart-fetch finds the server by its metadata, signs in by its key, and fetches all of the kinds that it is
/// registered for, and next time what has changed since.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_bulk_data_fetches_what_is_kept() {
    let port = free_port();
    let address = format!("http://127.0.0.1:{port}");
    let house = House::with(None, |config| config.public_url = Some(address.clone()));
    let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a port");
    let (_stopper, stop) = stop::channel();
    tokio::spawn(serve(listener, None, Limits::default(), house.people.clone(), stop));

    let folder = tempfile::tempdir().expect("a folder");
    let python = |arguments: &[&str]| {
        let mut python = Command::new(venv().join("bin/python3"));
        python.args(arguments).current_dir(folder.path());
        python
    };
    let key = run(python(&[concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clinical/smartfetch.py")])).await;
    let keys = String::from_utf8(key.stdout).expect("text");
    let app = house.app("keys", json!({ "keys": keys.trim(), "scopes": "system/*.rs", "redirects": [] })).await;
    let ward = Ward::writing(&house).await;
    let mut readings = BTreeSet::new();
    for minute in 0..3 {
        readings.insert(ward.reading(0, minute).await);
    }
    // The site's clock stands, and smart-fetch signs for almost as long as an assertion may last.
    house.site.clock.advance(60);
    let fetch = |to: &str, more: &[&str]| {
        let (base, own) =
            (format!("{address}/fhir"), ["-m", "smart_fetch.cli.main", "bulk", "--no-compression", "--fhir-url"]);
        let auth =
            ["--smart-client-id", app.id.as_str(), "--smart-key", "key.jwks", "--type", "Patient,Observation,Device"];
        let all =
            [&own[..], &[base.as_str()], &auth, &["--type-filter", "Observation?status=final,amended"], more, &[to]]
                .concat();
        run(python(&all))
    };
    let said = fetch("all", &[]).await;
    assert!(
        said.status.success(),
        "{}{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
    let all = folder.path().join("all");
    assert_eq!(fetched(&all, "Observation."), readings);
    assert_eq!((fetched(&all, "Patient.").len(), fetched(&all, "Device.").len()), (2, 2));

    house.site.clock.advance(5);
    let since = house.site.clock.now().to_string();
    // What has changed after it, not then.
    house.site.clock.advance(1);
    let later = ward.reading(1, 30).await;
    let said = fetch("later", &["--since", &since, "--since-mode", "updated"]).await;
    assert!(
        said.status.success(),
        "{}{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
    assert_eq!(fetched(&folder.path().join("later"), "Observation."), BTreeSet::from([later]));
}
