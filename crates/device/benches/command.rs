//! How long a sealed command takes, with its verdict and the records in (simulated) flash.
//!
//! `cargo bench -p medlock-device --bench command`. Both ends use the pure-Rust provider; the status list is empty.

#[path = "../tests/device/flash.rs"]
#[expect(dead_code, reason = "the tests use the rest")]
mod flash;
#[path = "../tests/device/scene.rs"]
#[expect(dead_code, reason = "the tests use the rest")]
mod scene;

use divan::{Bencher, black_box};
use flash::Nor;
use medlock_device::command::{Limits, Reception, Reply};
use medlock_device::log::Area;
use medlock_device::platform::Ticks;
use medlock_proto::sealed::{
    Action, Asked, Challenge, Commander, Concentration, MAX_LENGTH, Memory, MilliUnits, Order, Recipient,
};
use medlock_rustcrypto::RustCrypto;
use scene::Scene;
use std::cell::RefCell;

fn main() {
    divan::main();
}

struct Ward {
    scene: Scene,
    flash: Nor<4096, 8>,
    reception: Reception,
    recipient: Recipient,
    commander: Commander,
    drawn: u64,
}

impl Ward {
    fn new() -> Self {
        let (scene, mut flash) = (Scene::new(), Nor::new(8));
        let area = Area { pages: 0..8, bank_pages: 1 };
        Reception::format(&mut flash, &area).expect("power");
        let limits = Limits { window_amount: MilliUnits(u32::MAX), ..scene::limits() };
        let (reception, _) = Reception::open(&mut flash, &area, limits).expect("a journal");
        let (commander, recipient) = scene.session(1, Memory::default(), 0);
        Self { scene, flash, reception, recipient, commander, drawn: 0 }
    }

    /// Challenge and command, up to the bytes that arrive.
    fn seal(&mut self) -> Vec<u8> {
        let (mut ask, mut answer) = ([0; MAX_LENGTH], [0; MAX_LENGTH]);
        let length = self.commander.ask_challenge(&mut ask, &RustCrypto).expect("room").len();
        let Ok(Asked::Challenge(asked)) = self.recipient.open(&mut ask[..length], &RustCrypto) else { panic!("asked") };
        self.drawn += 1;
        let drawn = Challenge::from_bytes(self.drawn.to_be_bytes());
        let now = Ticks::default();
        let sealed = self.reception.challenge(&mut self.recipient, asked, drawn, now, &mut answer, &RustCrypto);
        let length = sealed.expect("room").len();
        self.commander.open(&mut answer[..length], &RustCrypto).expect("authentic");
        let action =
            Action::Bolus { amount: MilliUnits(50), concentration: Concentration::U100, bound: MilliUnits(5_000) };
        let mut out = [0; MAX_LENGTH];
        let order = Order { action, evidence: None };
        self.commander.command(order, &mut out, &RustCrypto).expect("ready").1.to_vec()
    }

    /// What the device does: open, judge, record, begin, record, answer.
    fn execute(&mut self, mut message: Vec<u8>) {
        let Ok(Asked::Command(received)) = self.recipient.open(&mut message, &RustCrypto) else { panic!("authentic") };
        let scene = &self.scene;
        let now = Ticks::default();
        let reply = self
            .reception
            .receive(&mut self.flash, &mut self.recipient, received, now, |_, operation| scene.judge(operation, true));
        let Reply::Act(act) = reply else { panic!("refused") };
        let (running, _) = self.reception.started(act);
        let receipt = self.reception.done(&mut self.flash, running, MilliUnits(50), now);
        let mut out = [0; MAX_LENGTH];
        let length = self.recipient.receipt(&receipt, &mut out, &RustCrypto).expect("room").len();
        self.commander.open(black_box(&mut out[..length]), &RustCrypto).expect("authentic");
    }
}

/// The device's side of one command: opened, judged, recorded twice, answered. (The controller's opening of the receipt is
/// in it too.)
#[divan::bench]
fn execute(bencher: Bencher<'_, '_>) {
    let ward = RefCell::new(Ward::new());
    bencher.with_inputs(|| ward.borrow_mut().seal()).bench_local_values(|message| ward.borrow_mut().execute(message));
}

/// A whole bolus of both sides: request, challenge, command, verdict, records, receipt.
#[divan::bench]
fn exchange(bencher: Bencher<'_, '_>) {
    let mut ward = Ward::new();
    bencher.bench_local(|| {
        let message = ward.seal();
        ward.execute(message);
    });
}
