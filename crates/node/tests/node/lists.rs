//! Trust lists as files: deltas, catching up over a web server, forks, and emergency suspensions.

use medlock_node::clock::Clock;
use medlock_node::knowledge::{Accepted, Kind, KnowledgeBase, Refused};
use medlock_node::lists::fork::Fork;
use medlock_node::lists::{CatchUp, Entry, INDEX, Index, Source, catch_up, delta};
use medlock_node::provider::{SigningKey, sha256};
use medlock_trust::cose::{self, Algorithm, ContentType};
use medlock_trust::list::{
    Authority, AuthorityState, Content, Heading, List, ListKind, Member, SuspensionContent, SuspensionRefused,
};
use medlock_trust::path::AuthorityKind;
use medlock_trust::policy::Setting;
use medlock_trust::status::Reason;
use medlock_trust::{KeyId, Time};
use proptest::prelude::*;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

const DAY: i64 = 86_400;
const YEAR: i64 = 365 * DAY;
/// `CN=a`.
const SUBJECT: &[u8] = b"\x30\x0c\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01a";

fn begin() -> Time {
    Time::from_unix(1_790_000_000)
}

/// An alliance with more keys than members at any time: of three, two must sign, and one suspends.
struct Alliance {
    keys: Vec<SigningKey>,
    makers: Vec<SigningKey>,
}

impl Alliance {
    fn new() -> Self {
        let keys = |count| (0..count).map(|_| SigningKey::generate()).collect();
        Self { keys: keys(9), makers: keys(6) }
    }

    /// The list of members `first..first + 3` with some of the makers, signed by members of this and of the list before.
    fn list(
        &self,
        version: u64,
        first: usize,
        before: Option<(&[u8], usize)>,
        issued: Time,
        makers: &[usize],
    ) -> Vec<u8> {
        self.list_in_which(version, first, before, issued, makers, |_| AuthorityState::Listed)
    }

    /// The same, in which makers stand so.
    fn list_in_which(
        &self,
        version: u64,
        first: usize,
        before: Option<(&[u8], usize)>,
        issued: Time,
        makers: &[usize],
        state: impl Fn(usize) -> AuthorityState,
    ) -> Vec<u8> {
        let previous = before.map(|(bytes, _)| sha256(List::danger_open(bytes).unwrap().payload()));
        let next = issued.plus_seconds(YEAR);
        let heading = Heading {
            version,
            previous,
            threshold: 2,
            emergency: 1,
            ..Heading::first(ListKind::Alliance, "Alliance", issued, next)
        };
        let member = |key: &SigningKey| (key.key_id(), key.spki().to_vec());
        let members: Vec<_> = self.keys[first..first + 3].iter().map(member).collect();
        let members: Vec<_> = members.iter().map(|(key, spki)| Member { key: *key, spki, name: "member" }).collect();
        let maker = |at: &usize| {
            let (key, name) = (&self.makers[*at], ["a", "b", "c", "d", "e", "f"][*at]);
            let listed = Authority::for_everything(key.key_id(), AuthorityKind::Maker, name, SUBJECT, key.spki());
            let state = state(*at);
            let since = if state == AuthorityState::Listed { listed.since } else { issued };
            Authority { state, since, ..listed }
        };
        let authorities: Vec<_> = makers.iter().map(maker).collect();
        let content = Content { heading, members: &members, recovery: &[], authorities: &authorities, services: &[] };
        let mut payload = Vec::new();
        content.encode(&mut payload).unwrap();
        let mut signers: Vec<usize> = vec![first, first + 1];
        signers.extend(before.map_or(vec![], |(_, before)| vec![before + 1, before + 2]));
        signers.sort_unstable();
        signers.dedup();
        self.signed(&payload, ContentType::LIST, &signers)
    }

    fn signed(&self, payload: &[u8], kind: ContentType, signers: &[usize]) -> Vec<u8> {
        let ids: Vec<_> = signers.iter().map(|at| (self.keys[*at].key_id(), Algorithm::Es256)).collect();
        let mut out = Vec::new();
        cose::sign(payload, kind, &ids, &mut out, |id, parts| {
            let key = self.keys.iter().find(|key| key.key_id() == id).unwrap();
            Ok::<_, std::convert::Infallible>(key.sign_cose(&parts))
        })
        .unwrap();
        out
    }

    fn suspension(&self, maker: usize, issued: Time, signers: &[usize]) -> Vec<u8> {
        let key = self.makers[maker].key_id();
        let expires = issued.plus_seconds(14 * DAY);
        let content =
            SuspensionContent::new("Alliance", 0, issued, expires, Reason::KEY_COMPROMISE, key.as_bytes()).unwrap();
        let mut payload = Vec::new();
        content.encode(&mut payload).unwrap();
        self.signed(&payload, ContentType::SUSPENSION, signers)
    }

    fn pins(&self) -> [KeyId; 3] {
        [0, 1, 2].map(|at| self.keys[at].key_id())
    }

    /// Seven years with a list each, in which all members change twice and a maker comes each year.
    fn seven_years(&self) -> Vec<Vec<u8>> {
        let mut all: Vec<Vec<u8>> = Vec::new();
        let mut before = None;
        for year in 0..7_usize {
            let first = [0, 0, 1, 3, 3, 5, 6][year];
            let issued = begin().plus_seconds(i64::try_from(year).unwrap() * YEAR);
            let makers: Vec<usize> = (0..=year.min(5)).collect();
            let held = all.last().zip(before).map(|(bytes, first)| (&bytes[..], first));
            let list = self.list(1 + year as u64, first, held, issued, &makers);
            all.push(list);
            before = Some(first);
        }
        all
    }
}

/// A folder as `medlock trust-list publish` writes it.
fn published(folder: &Path, lists: &[Vec<u8>]) {
    let mut index = Index { name: "Alliance".to_owned(), versions: Vec::new() };
    for (at, bytes) in lists.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| List::danger_open(&lists[at]).unwrap());
        let mut entry = Entry::of(&List::danger_open(bytes).unwrap(), before.as_ref());
        std::fs::write(folder.join(entry.file()), bytes).unwrap();
        if let Some(before) = at.checked_sub(1) {
            let from = before as u64 + 1;
            std::fs::write(folder.join(entry.delta_file(from)), delta::make(&lists[before], bytes).unwrap()).unwrap();
            entry.deltas.push(from);
        }
        index.versions.push(entry);
    }
    std::fs::write(folder.join(INDEX), serde_json::to_vec(&index).unwrap()).unwrap();
}

/// Any web server: Python's.
struct WebServer {
    child: Child,
    address: String,
}

impl WebServer {
    fn serve(folder: &Path) -> Self {
        let mut child = Command::new("python3")
            .args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory"])
            .arg(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("python3 is there");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.split_whitespace().skip_while(|word| *word != "port").nth(1).expect("a port").to_owned();
        Self { child, address: format!("127.0.0.1:{port}") }
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Somebody whose site's root is pinned, and who was told of the alliance's first members.
fn holder(folder: &Path, alliance: &Alliance, now: Time) -> Arc<KnowledgeBase> {
    let knowledge = KnowledgeBase::open(folder, Clock::manual(now), Setting::Home).unwrap();
    if knowledge.root().is_none() {
        let site = medlock_testkit::Site::with_clock("site", Clock::manual(now));
        knowledge.pin_root(&site.root).unwrap();
        knowledge.pin_alliance(&alliance.pins(), 2).unwrap();
    }
    knowledge
}

/// Shows REQ-NODE-70: what nobody signed stands in the way of nobody.
#[tokio::test]
async fn a_poisoned_delta_is_passed_over_for_the_whole_list() {
    let (alliance, folder) = (Alliance::new(), tempfile::tempdir().unwrap());
    let lists = alliance.seven_years();
    let web = folder.path().join("web");
    std::fs::create_dir(&web).unwrap();
    published(&web, &lists);
    let now = begin().plus_seconds(6 * YEAR + DAY);
    let knowledge = holder(&folder.path().join("state"), &alliance, now);
    knowledge.accept(Kind::TrustList, &lists[0]).unwrap();
    let source = Source::parse(web.to_str().unwrap()).unwrap();
    let mut poisoned = 0;
    for file in std::fs::read_dir(&web).unwrap().map(|entry| entry.unwrap().path()) {
        if file.to_string_lossy().contains("delta") {
            // The end of a signature: what comes of it is a list, and nobody's.
            let mut delta = std::fs::read(&file).unwrap();
            *delta.last_mut().unwrap() ^= 1;
            std::fs::write(&file, delta).unwrap();
            poisoned += 1;
        }
    }
    assert_eq!(poisoned, 6);
    assert_eq!(catch_up(&source, &knowledge, 10).await.unwrap().version, 7);
    assert_eq!(&*knowledge.object(Kind::TrustList).unwrap(), &lists[6][..]);
}

/// Shows REQ-LIST-09.
#[tokio::test]
async fn five_years_behind_is_caught_up_in_bounded_steps_over_a_plain_web_server_and_across_restarts() {
    let (alliance, folder) = (Alliance::new(), tempfile::tempdir().unwrap());
    let lists = alliance.seven_years();
    let web = folder.path().join("web");
    std::fs::create_dir(&web).unwrap();
    published(&web, &lists);
    let server = WebServer::serve(&web);
    let source = Source::parse(&format!("http://{}/", server.address)).unwrap();
    let now = begin().plus_seconds(6 * YEAR + DAY);
    let state = folder.path().join("state");
    let knowledge = holder(&state, &alliance, now);
    knowledge.accept(Kind::TrustList, &lists[0]).unwrap();
    // The newest is of no use: none of its signers is known.
    assert!(matches!(knowledge.accept(Kind::TrustList, &lists[6]), Err(Refused::List(_))));
    drop(knowledge);
    // One step in each run of the program.
    let mut taken = Vec::new();
    for _ in 0..20 {
        let knowledge = holder(&state, &alliance, now);
        let CatchUp { steps, version, finished } = catch_up(&source, &knowledge, 1).await.unwrap();
        assert!(steps <= 1);
        taken.extend((steps == 1).then_some(version));
        if finished && steps == 0 {
            break;
        }
    }
    // Of lists with the same signers only the last is taken; each change of signers is.
    assert_eq!(taken, [3, 4, 6, 7]);
    let knowledge = holder(&state, &alliance, now);
    assert_eq!(&*knowledge.object(Kind::TrustList).unwrap(), &lists[6][..], "bit for bit, through deltas too");
    let done = catch_up(&source, &knowledge, 10).await.unwrap();
    assert_eq!(done, CatchUp { steps: 0, version: 7, finished: true });
    // From the folder itself, in one call.
    let other = holder(&folder.path().join("other"), &alliance, now);
    other.accept(Kind::TrustList, &lists[0]).unwrap();
    let source = Source::parse(web.to_str().unwrap()).unwrap();
    assert_eq!(catch_up(&source, &other, 10).await.unwrap().version, 7);
}

/// Shows REQ-LIST-10.
#[test]
fn who_signed_two_lists_with_one_version_is_named() {
    let alliance = Alliance::new();
    let first = alliance.list(1, 0, None, begin(), &[0]);
    let one = alliance.list(2, 0, Some((&first, 0)), begin().plus_seconds(DAY), &[0, 1]);
    let two = alliance.list(2, 1, Some((&first, 0)), begin().plus_seconds(DAY), &[0]);
    assert_eq!(Fork::of(&first, &one), None);
    assert_eq!(Fork::of(&one, &one), None);
    let fork = Fork::of(&one, &two).unwrap();
    // Members 0, 1 and 2 signed the first, members 1 and 2 the second.
    let mut both: Vec<String> = [1, 2].map(|at: usize| alliance.keys[at].key_id().to_string()).to_vec();
    both.sort();
    assert_eq!(fork.signed_both.iter().map(|one| one.key.clone()).collect::<Vec<_>>(), both);
    assert!(fork.sentence().contains(&both[0]));
    // A forged signature names nobody.

    let mut forged = two;
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(Fork::of(&one, &forged).unwrap().signed_both.len(), 1);
}

/// Shows REQ-NODE-99: to a node that believes no alliance a suspension is none of its business, and no attack.
#[test]
fn a_node_of_a_site_alone_passes_over_suspensions() {
    let (alliance, now) = (Alliance::new(), begin().plus_seconds(10 * DAY));
    let clock = Clock::manual(now);
    let site = medlock_testkit::Site::with_clock("site", clock.clone());
    let knowledge = KnowledgeBase::in_memory(clock, Setting::Home);
    knowledge.pin_root(&site.root).unwrap();
    knowledge.accept(Kind::SiteList, &site.list(1)).unwrap();
    let suspension = alliance.suspension(0, now, &[0]);
    assert_eq!(knowledge.accept(Kind::Suspensions, &suspension), Err(Refused::NoAlliance));
}

/// Shows REQ-LIST-04.
#[test]
fn suspensions_are_kept_beside_one_another_and_not_repeated() {
    let (alliance, folder) = (Alliance::new(), tempfile::tempdir().unwrap());
    let now = begin().plus_seconds(10 * DAY);
    let knowledge = holder(folder.path(), &alliance, now);
    let early = alliance.suspension(0, now, &[0]);
    assert_eq!(knowledge.accept(Kind::Suspensions, &early), Err(Refused::NoAlliance), "no list is held");
    knowledge.accept(Kind::TrustList, &alliance.list(1, 0, None, begin(), &[0, 1])).unwrap();
    let stranger = alliance.suspension(0, now, &[5]);
    assert!(matches!(knowledge.accept(Kind::Suspensions, &stranger), Err(Refused::Suspension(_))));
    assert!(matches!(knowledge.accept(Kind::Suspensions, &early), Ok(Accepted::New { .. })));
    assert!(matches!(knowledge.accept(Kind::Suspensions, &early), Ok(Accepted::Known { .. })));
    let again = alliance.suspension(0, now.plus_seconds(60), &[1]);
    let too_soon = SuspensionRefused::TooSoon(alliance.makers[0].key_id());
    assert_eq!(knowledge.accept(Kind::Suspensions, &again), Err(Refused::Suspension(too_soon)));
    assert!(matches!(
        knowledge.accept(Kind::Suspensions, &alliance.suspension(1, now, &[2])),
        Ok(Accepted::New { .. })
    ));
    let counted = |knowledge: &KnowledgeBase| {
        knowledge.with_knowledge(|known, _| {
            let keys = alliance.makers[..2].iter().map(SigningKey::key_id);
            keys.filter(|key| known.suspensions.iter().any(|one| one.counts(*key, &known.lists[0], known.time))).count()
        })
    };
    assert_eq!(counted(&knowledge), 2);
    // What one holds is a sequence that another takes at once, and it outlives a restart.
    let all = knowledge.object(Kind::Suspensions).unwrap();
    let other = tempfile::tempdir().unwrap();
    let second = holder(other.path(), &alliance, now);
    second.accept(Kind::TrustList, &knowledge.object(Kind::TrustList).unwrap()).unwrap();
    assert!(matches!(second.accept(Kind::Suspensions, &all), Ok(Accepted::New { .. })));
    drop(knowledge);
    let knowledge = holder(folder.path(), &alliance, now);
    assert_eq!(counted(&knowledge), 2);
    knowledge.clock().advance(15 * DAY);
    assert_eq!(counted(&knowledge), 0, "lapsed");
    let soon = alliance.suspension(0, knowledge.clock().now(), &[1]);
    assert_eq!(knowledge.accept(Kind::Suspensions, &soon), Err(Refused::Suspension(too_soon)));
    knowledge.clock().advance(90 * DAY);
    let later = alliance.suspension(0, knowledge.clock().now(), &[1]);
    assert!(matches!(knowledge.accept(Kind::Suspensions, &later), Ok(Accepted::New { .. })));
    assert_eq!(counted(&knowledge), 1);
    // A list that is issued later decides.
    let held = knowledge.object(Kind::TrustList).unwrap();
    let list = alliance.list(2, 0, Some((&held, 0)), knowledge.clock().now().plus_seconds(1), &[0, 1]);
    knowledge.accept(Kind::TrustList, &list).unwrap();
    assert_eq!(counted(&knowledge), 0);
}

/// Shows REQ-LIST-43: at a node a suspension that a list confirms does not lapse, and another one that no list confirms does.
#[test]
fn a_suspension_that_a_list_confirms_does_not_lapse() {
    let (alliance, folder) = (Alliance::new(), tempfile::tempdir().unwrap());
    let now = begin().plus_seconds(10 * DAY);
    let knowledge = holder(folder.path(), &alliance, now);
    knowledge.accept(Kind::TrustList, &alliance.list(1, 0, None, begin(), &[0, 1, 2])).unwrap();
    for maker in [0, 1] {
        knowledge.accept(Kind::Suspensions, &alliance.suspension(maker, now, &[maker])).unwrap();
    }
    // What is said of each maker: by a suspension, or by the list.
    let suspended = |knowledge: &KnowledgeBase| {
        knowledge.with_knowledge(|known, _| {
            [0, 1, 2].map(|maker| {
                let key = alliance.makers[maker].key_id();
                let listed = known.lists[0].authority(key).unwrap().state == AuthorityState::Suspended;
                listed || known.suspensions.iter().any(|one| one.counts(key, &known.lists[0], known.time))
            })
        })
    };
    assert_eq!(suspended(&knowledge), [true, true, false]);
    // Two members confirm the first, and say nothing of the second: their list decides, so it is suspended no more.
    knowledge.clock().advance(DAY);
    let held = knowledge.object(Kind::TrustList).unwrap();
    let state = |maker| if maker == 0 { AuthorityState::Suspended } else { AuthorityState::Listed };
    let list = alliance.list_in_which(2, 0, Some((&held, 0)), knowledge.clock().now(), &[0, 1, 2], state);
    knowledge.accept(Kind::TrustList, &list).unwrap();
    assert_eq!(suspended(&knowledge), [true, false, false]);
    // A third one is suspended behind that list, and nobody confirms it.
    let third = alliance.suspension(2, knowledge.clock().now(), &[1]);
    knowledge.accept(Kind::Suspensions, &third).unwrap();
    knowledge.clock().advance(14 * DAY);
    assert_eq!(suspended(&knowledge), [true, false, true]);
    knowledge.clock().advance(1);
    assert_eq!(suspended(&knowledge), [true, false, false], "one is confirmed, one has lapsed");
    drop(knowledge);
    let knowledge = holder(folder.path(), &alliance, now.plus_seconds(100 * DAY));
    assert_eq!(suspended(&knowledge), [true, false, false], "after a start too");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Shows REQ-LIST-11.
    #[test]
    fn a_delta_makes_the_new_list_bit_for_bit_and_of_no_other(
        old in prop::collection::btree_set(0..6_usize, 0..6), new in prop::collection::btree_set(0..6_usize, 0..6),
        first in 0..5_usize, cut in any::<prop::sample::Index>(),
    ) {
        let alliance = Alliance::new();
        let (old, new): (Vec<_>, Vec<_>) = (old.into_iter().collect(), new.into_iter().collect());
        let from = alliance.list(1, 0, None, begin(), &old);
        let to = alliance.list(2, first, Some((&from, 0)), begin().plus_seconds(DAY), &new);
        let delta = delta::make(&from, &to).unwrap();
        prop_assert_eq!(&delta::apply(&from, &delta).unwrap(), &to);
        prop_assert!(delta::apply(&to, &delta).is_err(), "another base");
        prop_assert!(delta::apply(&from, &delta[..cut.index(delta.len())]).is_err());
    }
}
