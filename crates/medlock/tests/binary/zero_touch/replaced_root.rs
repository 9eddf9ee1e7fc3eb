//! Devices that were sold before their site's root was replaced.

use super::{World, ask, refused};
use medlock_node::brski::VoucherData;
use medlock_node::brski::cms::SignedJson;
use medlock_node::provider::sha256;
use medlock_trust::x509::Certificate;

fn change(world: &World, words: &[&str]) {
    ask(&world.authority("hub"), &[&["authority"], words].concat());
}

/// Shows REQ-PROV-53, REQ-PROV-54: at the maker, at the site and at the device, with papers and without.
#[tokio::test(flavor = "multi_thread")]
async fn devices_sold_before_the_root_was_replaced_enrol_behind_it() {
    let mut world = World::new();
    let hub = world.hub.devices;
    let names = ["P-1", "P-2", "P-3", "P-4", "P-5"].map(|serial| (serial, serial.to_lowercase()));
    for (serial, name) in &names {
        world.register("hub", name, serial);
    }
    let first = world.root("hub");
    let papers = ["P-1", "P-2", "P-3"].map(|serial| world.sell(serial, "hub"));
    world.sell("P-5", "clinic");
    change(&world, &["rotate", "root"]);
    // The maker is told of nothing, and what it is shown leads to the root it knows.
    world.plug_in("P-1", hub).await.expect("it enrols between the two steps");
    change(&world, &["retire", "root", "--anyway"]);
    world.plug_in("P-2", hub).await.expect("it enrols when the old root is retired");
    for serial in ["p-1", "p-2"] {
        assert_eq!(world.state(serial), "enrolled", "{serial}");
    }
    let said = world.hub.ask(&["voucher", "owners", "--serial", "P-2"]);
    let key = Certificate::from_der(&first).map(|root| sha256(root.spki())).expect("a root");
    assert_eq!(said["events"][0]["domain"], data_encoding::HEXLOWER.encode(&key), "{said}");
    world.is_refused("P-5", hub, "belongs to another owner").await;

    // What is sold from now on names the new root, which the maker is shown as before.
    assert_ne!(world.root("hub"), first);
    let paper = world.sell("P-4", "hub");
    let read = std::fs::read(paper).expect("a voucher");
    let read = SignedJson::read(&read).and_then(|signed| VoucherData::read(signed.json)).expect("a voucher");
    assert_eq!(read.pinned, world.root("hub"));
    world.plug_in("P-4", hub).await.expect("it enrols");

    // The maker is gone: the papers of before are enough.
    world.hub.kill();
    world.run(false);
    let hub = world.hub.devices;
    world.is_refused("P-3", hub, "no voucher was imported").await;
    let paper = papers[2].to_str().expect("UTF-8");
    ask(&world.authority("hub"), &["voucher", "import", paper]);
    world.plug_in("P-3", hub).await.expect("it enrols by its paper");
}

/// Shows REQ-PROV-55: what a maker knows by the hash of a key alone it cannot follow, and says what to do.
#[tokio::test(flavor = "multi_thread")]
async fn a_sale_to_the_hash_of_a_retired_root_is_made_anew() {
    let world = World::new();
    let (hub, maker) = (world.hub.devices, world.authority("pumps"));
    let text = |name: &str| world.at(name).to_str().expect("UTF-8").to_owned();
    let key = Certificate::from_der(&world.root("hub")).map(|root| sha256(root.spki())).expect("a root");
    let (key, save) = (data_encoding::HEXLOWER.encode(&key), text("x"));
    let sell =
        ["voucher", "issue", "--serial", "P-1", "--days", "30", "--form", "cose", "--domain", &key, "--save", &save];
    ask(&maker, &sell);
    world.register("hub", "pump1", "P-1");
    change(&world, &["rotate", "root"]);
    change(&world, &["retire", "root", "--anyway"]);
    world.is_refused("P-1", hub, "belongs to another owner").await;
    // The new root's certificate is another owner as well, until the maker lets it go.
    world.root("hub");
    let (domain, save) = (text("hub.pem"), text("P-1.voucher"));
    let anew = ["voucher", "issue", "--serial", "P-1", "--domain", &domain, "--days", "30", "--save", &save];
    assert!(refused(&maker, &anew).contains("medlock voucher release"));
    ask(&maker, &["voucher", "release", "--serial", "P-1", "--why", "the site has a new root"]);
    ask(&maker, &anew);
    world.plug_in("P-1", hub).await.expect("it enrols");
}

/// Shows REQ-PROV-54: a transfer is signed by the root that the device's voucher names.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_transfers_what_was_sold_to_its_former_root() {
    let world = World::new();
    let (hub, maker) = (world.authority("hub"), world.authority("pumps"));
    let paper = world.sell("P-1", "hub");
    std::fs::copy(world.at("hub.pem"), world.at("first.pem")).expect("copied");
    ask(&hub, &["voucher", "import", paper.to_str().expect("UTF-8")]);
    change(&world, &["rotate", "root"]);
    change(&world, &["retire", "root", "--anyway"]);
    let text = |name: &str| world.at(name).to_str().expect("UTF-8").to_owned();
    let (to, save, owner) = (text("clinic.pem"), text("t"), text("first.pem"));
    let transfer = ["voucher", "transfer", "--serial", "P-1", "--to", &to, "--save", &save];
    ask(&hub, &transfer);
    ask(&maker, &["voucher", "release", "--serial", "P-1", "--transfer", &save, "--owner", &owner]);
    world.sell("P-1", "clinic");
    world.register("clinic", "pump1", "P-1");
    world.plug_in("P-1", world.clinic).await.expect("it enrols at its next owner");
}
