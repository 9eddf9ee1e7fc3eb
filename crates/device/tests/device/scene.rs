//! A pump, a controller that it knows, and what both believe.

use medlock_device::command::Limits;
use medlock_proto::sealed::{Commander, Concentration, Keys, Kid, Link, Memory, MilliUnits, Minutes, Rate, Recipient};
use medlock_rustcrypto::RustCrypto;
use medlock_trust::bond::PatientContext;
use medlock_trust::cose::{self, Algorithm, ContentType, Place};
use medlock_trust::decide::Attended;
use medlock_trust::knowledge::{Knowledge, Setting};
use medlock_trust::path::{self, AuthorityKind};
use medlock_trust::status::{Heading, StatusContent, StatusList};
use medlock_trust::x509::Certificate;
use medlock_trust::{
    Anchor, Bond, Budget, DeviceId, DeviceName, Identified, Interval, KeyId, Operation, Operations, Policy, Role,
    Roles, Time, Verdict, decide, decide_attended,
};

/// The bond under which the controller commands.
pub(crate) const EPOCH: u64 = 7;
pub(crate) const NOW: Time = Time::from_unix(1_800_000_000);
const ROOT: &[u8] = include_bytes!("peer/root.der");
const CONTROLLER: &[u8] = include_bytes!("peer/controller.der");

/// What the pump knows of its controller. Made once: the signature of the certificate is checked.
pub(crate) struct Scene {
    pub(crate) peer: Identified,
    root: KeyId,
    status: Vec<u8>,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let root = Certificate::from_der(ROOT).expect("a certificate");
        let anchor = Anchor::for_everything(&root, AuthorityKind::Site, &RustCrypto).expect("a P-256 key");
        let path = path::validate(&[CONTROLLER], &[anchor], &mut Budget::default(), &RustCrypto).expect("a chain");
        let name = DeviceName::new("controller-1").expect("a name");
        let peer = Identified::danger_assume(&path, name, Roles::of(&[Role::Controller]), &RustCrypto).expect("a peer");
        let heading = Heading { authority: anchor.key_id, recovery_epoch: 0, epoch: 1, issued: NOW, next: NOW };
        let mut payload = Vec::new();
        StatusContent { heading, records: &[] }.encode(&mut payload).expect("a status list");
        let mut status = Vec::new();
        let place = Place::Header(ContentType::STATUS);
        let unsigned = |_: &[&[u8]]| Ok::<_, ()>([0; 64]);
        cose::sign1(&payload, place, Algorithm::Es256, anchor.key_id.as_bytes(), &mut status, unsigned)
            .expect("a form");
        Self { peer, root: anchor.key_id, status }
    }

    pub(crate) fn controller(&self) -> DeviceId {
        self.peer.device()
    }

    /// The verdict on what the controller asks, with fresh status or without any.
    pub(crate) fn judge(&self, operation: Operation, is_fresh: bool) -> Verdict {
        self.ask(operation, is_fresh, None)
    }

    /// The verdict without any status, while a person holds the button.
    pub(crate) fn judge_attended(&self, operation: Operation) -> Verdict {
        self.ask(operation, false, Attended::danger_by_physical_act(self.controller(), operation, 5))
    }

    fn ask(&self, operation: Operation, is_fresh: bool, attended: Option<Attended>) -> Verdict {
        let status = [StatusList::danger_open(&self.status).expect("a status list")];
        let knowledge = Knowledge {
            pinned: &[self.root],
            status: if is_fresh { &status } else { &[] },
            ..Knowledge::nothing(Interval::exactly(NOW), Setting::Home)
        };
        let bond = Bond {
            controller: self.controller(),
            patient: PatientContext([1; 16]),
            operations: Operations::of(&[Operation::Treat, Operation::Halt, Operation::Configure]),
            epoch: EPOCH,
        };
        let policy = Policy::default();
        match attended {
            Some(attended) => decide_attended(&self.peer, operation, &knowledge, &policy, Some(&bond), attended),
            None => decide(&self.peer, operation, &knowledge, &policy, Some(&bond)),
        }
    }

    /// Both ends of a session: `number` stands for the secret that the handshake made.
    pub(crate) fn session(&self, number: u8, memory: Memory, floor: u64) -> (Commander, Recipient) {
        let device = DeviceId::from_bytes([0xd0; 16]);
        let kid = |bytes: &[u8]| Kid::new(bytes).expect("short");
        let link =
            Link { controller: self.controller(), device, controller_kid: kid(&[0x0c]), device_kid: kid(&[0x0d]) };
        let keys = || {
            let fill = |label: u16, _: &[u8], out: &mut [u8]| {
                out.iter_mut().zip(0..).for_each(|(byte, at): (_, u8)| *byte = at ^ number ^ label.to_be_bytes()[1]);
                Ok::<_, ()>(())
            };
            Keys::export(fill).expect("never fails")
        };
        (Commander::new(keys(), link, EPOCH, memory), Recipient::new(keys(), link, EPOCH, floor))
    }
}

pub(crate) fn limits() -> Limits {
    Limits {
        challenge_age_millis: 30_000,
        concentration: Concentration::U100,
        bolus: MilliUnits(5_000),
        basal: Rate(3_000),
        basal_minutes: Minutes(120),
        window_minutes: Minutes(24 * 60),
        window_amount: MilliUnits(12_000),
        halt_minutes: Minutes(60),
        window_halts: 3,
        lease_minutes: Minutes(15),
    }
}
