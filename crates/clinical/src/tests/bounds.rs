//! Who has many registrations has no more than others, and what they had ends with them. On both databases.

use super::fixture::House;
use super::{app, member};
use crate::auth::Client;
use crate::store::{Begun, Division, ExportsFull, NewExport, Registered, Wish};
use medlock_node::provider::{random, sha256};

const SCOPES: &str = "system/Patient.rs";

fn add(house: &House, client: Client) {
    house.clinical.records().add_client(client, 1).expect("kept");
}

/// Asks for an export in the name of this client; its number.
fn export(house: &House, client: &str) -> (Begun, [u8; 16]) {
    let wish = Wish {
        asked_for: String::new(),
        of_patients: false,
        since: None,
        kinds: Vec::new(),
        filters: Vec::new(),
        only: Vec::new(),
    };
    let (id, client) = (random(), client.to_owned());
    let division = Division { files: Vec::new(), open: None };
    let new = NewExport { id, client, request: String::new(), wish, lasts: 60, division };
    (house.clinical.records().keep_export(new).expect("asked"), id)
}

/// Shows REQ-EXPORT-46: the software of one community has a quarter of all exports, however many registrations it has, and each client
/// its part of those; others find room.
#[tokio::test]
async fn one_community_has_a_quarter_of_the_exports() {
    for house in House::both() {
        for number in 0..9 {
            add(&house, member(&format!("c{number}"), "c", SCOPES));
        }
        for client in [member("d", "d", SCOPES), app("own", SCOPES)] {
            add(&house, client);
        }
        let asked = |client: &str| export(&house, client).0;
        for number in 0..8 {
            let own = format!("c{number}");
            assert!((0..8).all(|_| asked(&own) == Begun::Kept));
            assert_eq!(asked(&own), Begun::Full(ExportsFull::Own));
        }
        assert_eq!(asked("c8"), Begun::Full(ExportsFull::Community));
        assert_eq!([asked("d"), asked("own")], [Begun::Kept; 2]);
        house.site.clock.advance(61);
        assert_eq!(asked("c8"), Begun::Kept);
    }
}

/// Shows REQ-EXPORT-45: exports end with their software's registration, whoever ends it, and take nobody's room; who is registered no
/// more gets none.
#[tokio::test]
async fn exports_end_with_their_software() {
    for house in House::both() {
        let records = house.clinical.records();
        add(&house, app("removed", SCOPES));
        let number = |text: &str| (sha256(text.as_bytes()), i64::MAX);
        let leaving = member("leaving", "c", SCOPES);
        let made = records.register((leaving.clone(), [1; 32]), number("first"), 1);
        assert_eq!(made.expect("asked"), Registered::New("leaving".to_owned()));
        let clients = ["removed", "leaving"];
        let exports = clients.map(|client| export(&house, client));
        let there = |of: usize| records.export(exports[of].1, clients[of], 0).expect("read").is_some();
        assert!(exports.iter().all(|(asked, _)| *asked == Begun::Kept) && there(0) && there(1));
        assert_eq!(records.remove_client("removed").expect("removed"), ["removed"]);
        assert!(!there(0) && there(1));
        let ended = records.unregister(leaving.proof, number("second"));
        assert_eq!(ended.expect("asked"), Registered::Changed("leaving".to_owned()));
        assert!(!there(1));
        assert_eq!(clients.map(|client| export(&house, client).0), [Begun::Ended; 2]);
    }
}
