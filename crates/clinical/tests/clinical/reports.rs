//! What small devices report, over CoAP with EDHOC and OSCORE.

use crate::fixture::{Device, House, device, patient};
use crate::validators::found_wrong;
use axum::body::Bytes;
use medlock_node::coap::{
    Client, Code, Handshake, Limits, Listener, Own, Peers, Request, Response, content_format, option,
};
use medlock_node::sessions::LiveSessions;
use medlock_node::stop::{self, Stopper};
use medlock_proto::reading::{Decimal, Mdc, Moment, Reading, Value as Measured};
use medlock_proto::record::{Answer, Delivered, Delivery, Incarnation, Lost, Numbered, Record, Refusal, Report, Sort};
use medlock_proto::sealed::{Concentration, MilliUnits};
use medlock_trust::cbor::Writer;
use medlock_trust::status::State;
use medlock_trust::{DeviceName, Interval, Role};
use std::net::SocketAddr;
use std::sync::Arc;

/// The door for small devices of a house.
struct Door<'h> {
    house: &'h House,
    address: SocketAddr,
    _stopper: Stopper,
}

impl<'h> Door<'h> {
    async fn open(house: &'h House) -> Self {
        let hub = house.site.store("hub", &[Role::Hub]);
        let (peers, sessions) =
            (Arc::new(Peers::new(Arc::clone(&house.knowledge))), LiveSessions::new(Arc::clone(&house.knowledge)));
        let resources = house.clinical.coap_resources();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::bind(any, Own::of(&hub), peers, sessions, resources, Limits::default()).await;
        let listener = listener.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let (stopper, stop) = stop::channel();
        tokio::spawn(listener.serve(stop));
        Self { house, address, _stopper: stopper }
    }

    async fn connect(&self, device: &Device<'_>) -> Client {
        let chain = device.identity.chain().iter().map(|one| Bytes::copy_from_slice(one)).collect();
        let own = Own::certificates(device.identity.key().clone(), chain);
        let peers = Arc::new(Peers::new(Arc::clone(&self.house.knowledge)));
        Client::connect(self.address, &own, &peers, &Handshake::default()).await.expect("a session")
    }
}

async fn report(client: &Client, payload: Vec<u8>) -> Response {
    client.request(Request::post("/m/records", content_format::CBOR, payload)).await.expect("an answer")
}

fn list(records: &[Record]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let lost = Lost { readings: 3, deliveries: 1 };
    Report::encode(Incarnation(7), lost, records, &mut Writer::new(&mut bytes)).expect("memory takes all");
    bytes
}

/// What is told of those that are refused.
fn refused(answer: &Response) -> Vec<(u16, Refusal)> {
    assert_eq!((answer.code, answer.content_format()), (Code::CHANGED, Some(content_format::CBOR)));
    Answer::read(&answer.payload).expect("an answer").collect()
}

fn reading(house: &House, number: u64) -> Record {
    let moment = Moment { ticks: number, utc: Some(Interval::exactly(house.site.clock.now())) };
    let value = Measured::Number(Decimal::new(1_050, -1).expect("a number"));
    let (code, unit) = (Mdc::CONC_GLU_ISF, Mdc::DIM_MILLI_G_PER_DL);
    Record::Reading(Numbered { number, reading: Reading { code, unit, value, moment, mark: None } })
}

fn bolus(house: &House, counter: u64) -> Record {
    Record::Delivery(Delivery {
        bond_epoch: 1,
        counter,
        sort: Sort::Bolus,
        began: Some(counter),
        moment: Moment { ticks: counter, utc: Some(Interval::exactly(house.site.clock.now())) },
        delivered: Delivered::Amount(MilliUnits(1_500)),
        concentration: Concentration::U100,
        commander: DeviceName::new("controller7"),
    })
}

/// Shows REQ-INTAKE-21, REQ-INTAKE-28, REQ-FHIR-22: readings and deliveries of small devices are in the records, once; what is refused is named, a
/// bolus of nobody is kept, and neither holds up what is behind it.
#[tokio::test(flavor = "multi_thread")]
async fn small_devices_report_over_coap() {
    for house in House::both() {
        let door = Door::open(&house).await;
        let gateway = house.device("gw", Role::Gateway).with("system/*.crus").await;
        let (cgm, pump) = (house.device("cgm7", Role::Sensor), house.device("pump7", Role::Actuator));
        let (sensor, actuator) = (door.connect(&cgm).await, door.connect(&pump).await);
        // More than a datagram holds goes in blocks; what is reported again, because an answer was lost, is kept once.
        let day: Vec<Record> = (1..=60).map(|number| reading(&house, number)).collect();
        for _ in 0..2 {
            assert_eq!(refused(&report(&sensor, list(&day)).await), []);
        }
        assert_eq!(gateway.get("Observation?_summary=count").await.body["total"], 60);
        // Nobody wears the pump: the hub keeps the bolus.
        let nobodys = [bolus(&house, 1), reading(&house, 1)];
        assert_eq!(refused(&report(&actuator, list(&nobodys)).await), []);
        let anna = gateway.create(&patient("Anna")).await.made();
        let own = gateway.get("Device?identifier=urn:medlock:fhir:device|pump7").await.found().remove(0);
        let mut worn = device("pump7", &anna);
        worn["id"] = own.as_str().into();
        let json = [("content-type", "application/fhir+json")];
        assert_eq!(gateway.send("PUT", &format!("Device/{own}"), &json, &worn.to_string()).await.status, 200);
        house.site.clock.advance(60);
        // The second has contents other than those that were kept under its number.
        let other = [bolus(&house, 2), bolus(&house, 1), reading(&house, 2), reading(&house, 1), bolus(&house, 3)];
        let wrong = [(1, Refusal::OtherContents), (3, Refusal::OtherContents)];
        assert_eq!(refused(&report(&actuator, list(&other)).await), wrong);
        let found = gateway.get(&format!("MedicationAdministration?subject=Patient/{anna}")).await;
        assert_eq!(found.body["entry"].as_array().map(Vec::len), Some(2), "{found:?}");
        assert_eq!(gateway.get("Observation?_summary=count").await.body["total"], 62);
        let mut made = Vec::new();
        for kind in ["Observation?_count=3", "MedicationAdministration", "Device", "DeviceMetric", "Provenance"] {
            made.push(gateway.get(kind).await.body);
            assert!(made.iter().all(|page| page["entry"][0].is_object()), "{kind}: {made:#?}");
        }
        assert_eq!(found_wrong(&made), Vec::<String>::new());
    }
}

/// Shows REQ-INTAKE-22: what is no report, who may not report and who shows nothing is refused, and changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_report_is_refused_over_coap() {
    let house = House::new();
    let door = Door::open(&house).await;
    let gateway = house.device("gw", Role::Gateway).with("system/*.rs").await;
    let cgm = house.device("cgm7", Role::Sensor);
    let client = door.connect(&cgm).await;
    for wrong in [&b""[..], b"\x80", b"\x84\x07\x00\x00\x81\x83\x02\x00\x00", b"\x84\x07\x00\x00\x80\x00"] {
        assert_eq!(report(&client, wrong.to_vec()).await.code, Code::BAD_REQUEST, "{wrong:?}");
    }
    let asked = client.request(Request::get("/m/records")).await.expect("an answer");
    assert_eq!(asked.code, Code::METHOD_NOT_ALLOWED);
    let stranger = Client::plain(door.address).await.expect("a socket");
    assert_eq!(report(&stranger, list(&[reading(&house, 1)])).await.code, Code::UNAUTHORIZED);
    // It was stolen: it may not report any more, though its session stood.
    house.news(&cgm, State::Compromised);
    let answer = report(&client, list(&[reading(&house, 1)])).await;
    assert_eq!((answer.code, &answer.payload[..]), (Code::FORBIDDEN, &b"compromised"[..]));
    assert_eq!(gateway.get("Observation?_summary=count").await.body["total"], 0);
}

/// Shows REQ-INTAKE-33: records are counted and not reports; who reports too many is told how long to wait, and others go on.
#[tokio::test(flavor = "multi_thread")]
async fn one_device_does_not_fill_the_records() {
    let house = House::new();
    let door = Door::open(&house).await;
    let (broken, other) = (house.device("cgm7", Role::Sensor), house.device("cgm8", Role::Sensor));
    let client = door.connect(&broken).await;
    // What is kept already counts as well.
    let most: Vec<Record> = (1..=288).map(|number| reading(&house, number)).collect();
    for _ in 0..34 {
        assert_eq!(refused(&report(&client, list(&most)).await), []);
    }
    let answer = report(&client, list(&most)).await;
    assert_eq!((answer.code, &answer.payload[..]), (Code::TOO_MANY_REQUESTS, &b"intake-too-much"[..]));
    assert!(answer.values(option::MAX_AGE).next().is_some(), "{answer:?}");
    let other = door.connect(&other).await;
    assert_eq!(refused(&report(&other, list(&most)).await), []);
}
