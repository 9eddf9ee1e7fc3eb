//! What the witnesses of a log remember of it, and the log does not.

use crate::fixture::{Site, config, issued, noon, postgres};
use crate::hubs::went_back::dumps;
use crate::hubs::{alarms_of, approve_all, claim, hub_config, register, two_on};
use crate::restored::copy_keys;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use medlock_authority::enrolment::Answer;
use medlock_authority::log::WitnessConfig;
use medlock_authority::signer::{InProcess, KeyLabel, Kind, Signer as _};
use medlock_authority::store::Log as _;
use medlock_authority::{Authority, AuthorityConfig, Error};
use medlock_node::accept::{self, Limits};
use medlock_node::clock::Clock;
use medlock_node::log::{Checkpoint, VerifierKey, Witness, witness};
use medlock_node::provider::{AwsLc, SigningAlgorithm, SigningKey};
use medlock_node::stop;
use medlock_trust::log::{Hash, TreeHead};
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::block_in_place;

/// What is done before a request comes to the witness: once.
type Before = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// A witness that is served, as long as this lives.
struct Served {
    witness: Arc<Witness>,
    url: String,
    before: Before,
    /// How it has answered.
    answers: Arc<Mutex<Vec<u16>>>,
    _stopper: stop::Stopper,
}

impl Served {
    async fn of(log: &VerifierKey, dir: &Path) -> Self {
        let secret = SigningKey::generate_with(SigningAlgorithm::Ed25519);
        let clock = Clock::manual(noon());
        let witness = Arc::new(Witness::open("w.example", secret, vec![log.clone()], dir.into(), clock).unwrap());
        let (before, answers) = (Before::default(), Arc::<Mutex<Vec<u16>>>::default());
        let (first, told) = (before.clone(), answers.clone());
        let router = witness::router(witness.clone()).layer(from_fn(move |request: Request, next: Next| {
            let (first, told) = (first.lock().unwrap().take(), told.clone());
            async move {
                if let Some(first) = first {
                    tokio::task::spawn_blocking(first).await.unwrap();
                }
                let answer: Response = next.run(request).await;
                told.lock().unwrap().push(answer.status().as_u16());
                answer
            }
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (_stopper, stop) = stop::channel();
        tokio::spawn(accept::serve(listener, None, Limits::default(), router, stop));
        Self { witness, url, before, answers, _stopper }
    }

    fn config(&self, config: AuthorityConfig) -> AuthorityConfig {
        let cosigner = WitnessConfig { key: self.witness.key().to_string(), url: self.url.clone() };
        AuthorityConfig { log_witnesses: vec![cosigner], ..config }
    }
}

/// A device that is let in, and how it gets its certificate.
fn let_in(hub: &Authority, name: &str) -> impl Fn(&Authority) -> Result<Answer, Error> + Send + Sync + use<> {
    register(hub, name);
    let enrol = claim(hub, name);
    enrol(hub).unwrap();
    approve_all(hub);
    enrol
}

/// Shows REQ-LOG-92: of two hubs that ask one witness, the one that was slower raises no alarm; where the store went back, so that the
/// witness has cosigned more than the log has, there is one.
#[tokio::test(flavor = "multi_thread")]
async fn a_witness_that_has_cosigned_more_than_the_log_has_is_an_alarm_and_a_faster_hub_is_none() {
    let (dir, server) = (tempfile::tempdir().unwrap(), postgres());
    let ([one, other], store) = block_in_place(|| two_on(&server, dir.path()));
    let served = Served::of(one.log().key(), &dir.path().join("witness")).await;
    for (hub, name) in [(&one, "hub-1"), (&other, "hub-2")] {
        let own = hub_config(&server, dir.path(), name);
        block_in_place(|| hub.reconfigure(&served.config(own)).unwrap());
    }
    // While the request of one hub is on its way, the other issues and is there first.
    let enrol = block_in_place(|| let_in(&one, "ct-1"));
    let (faster, runtime) = (other.clone(), Handle::current());
    *served.before.lock().unwrap() = Some(Box::new(move || {
        issued(enrol(&faster).unwrap());
        runtime.block_on(faster.ask_witnesses()).unwrap();
    }));
    one.ask_witnesses().await.unwrap();
    assert_eq!(*served.answers.lock().unwrap(), [200, 409]);
    assert_eq!(alarms_of(&one, "log-left-behind"), []);
    block_in_place(|| issued(let_in(&one, "ct-2")(&one).unwrap()));
    one.ask_witnesses().await.unwrap();
    assert_eq!(served.answers.lock().unwrap().last(), Some(&200));

    let (save, bring_back) = dumps(&server, dir.path());
    block_in_place(|| {
        issued(let_in(&one, "ct-3")(&one).unwrap());
        save("before");
        issued(let_in(&one, "ct-4")(&one).unwrap());
    });
    other.ask_witnesses().await.unwrap();
    let cosigned = store.checkpoint().unwrap().unwrap().size;
    block_in_place(|| bring_back("before"));
    for _ in 0..3 {
        // The tables are others: a connection that held them is made anew.
        let _ = one.ask_witnesses().await;
    }
    let told = alarms_of(&one, "log-left-behind");
    let said = format!("it has cosigned {cosigned} entries, and this log has {}", cosigned - 1);
    assert!(told.iter().any(|(_, text)| text.contains(&said)), "{told:?}");
}

/// Shows REQ-LOG-92: a witness that has cosigned another log than this one, of the same name and key, is an alarm.
#[tokio::test(flavor = "multi_thread")]
async fn a_witness_that_has_cosigned_another_log_is_an_alarm() {
    let site = block_in_place(Site::new);
    let log = site.authority.log().key().clone();
    let served = Served::of(&log, &site.dir.path().join("witness")).await;
    // As a copy of the keys signs it that does not remember what was signed.
    let copy = site.dir.path().join("copy");
    copy_keys(site.dir.path(), &copy);
    let head = TreeHead { size: 1, root: Hash::of_entry(&[b"another".as_slice()], &AwsLc) };
    let text = Checkpoint { origin: log.name().to_owned(), head }.to_string();
    let signature =
        InProcess::open(&copy.join("signer")).unwrap().sign(KeyLabel::LOG, Kind::Checkpoint, text.as_bytes()).unwrap();
    let note = format!("{text}\n{}\n", log.line(signature)).into_bytes();
    served.witness.add_checkpoint(&witness::write_request(0, &[], &note)).unwrap();

    block_in_place(|| site.authority.reconfigure(&served.config(config(site.dir.path()))).unwrap());
    site.authority.ask_witnesses().await.unwrap();
    let told = alarms_of(&site.authority, "log-left-behind");
    assert!(told.len() == 1 && told[0].1.contains("w.example: it answered 422"), "{told:?}");
}
