//! The numbers of the header. `include/medlock_device.h` has the same ones; a test compares them.

use medlock_device::objects::Kind;
use medlock_device::platform::KeySlot;
use medlock_proto::sealed::{Refusal, code};
use medlock_trust::Operation;
use medlock_trust::decide::Code;
use medlock_trust::knowledge::Setting;

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident = $value:expr;)*) => {
        $($(#[$doc])* pub const $name: i32 = $value;)*

        /// All of them, by the names they have in C.
        pub const ALL: &[(&str, i32)] = &[$((concat!("MEDLOCK_", stringify!($name)), $name)),*];
    };
}

numbers! {
    /// It was done.
    OK = 0;
    /// A pointer is null that must not be.
    ERROR_NULL = 1;
    /// A value is none of those that are allowed.
    ERROR_VALUE = 2;
    /// The memory given is too small, or its address is not aligned.
    ERROR_MEMORY = 3;
    /// The call came from inside a function of the platform.
    ERROR_INSIDE = 4;
    /// The handle is of no device or commander, or of one that was stopped.
    ERROR_STOPPED = 5;
    /// The layout does not fit the flash.
    ERROR_LAYOUT = 6;
    /// The key store failed.
    ERROR_KEYS = 7;
    /// The journal cannot be read or written, or was never formatted.
    ERROR_JOURNAL = 8;
    /// There is no room now.
    ERROR_FULL = 9;
    /// The session ended, or nobody waits for this any more.
    ERROR_CLOSED = 10;
    /// More bytes than there is room for.
    ERROR_TOO_LONG = 11;
    /// The device has no credential.
    ERROR_NO_CREDENTIAL = 12;
    /// The device does not take commands: it was started without therapy.
    ERROR_NO_THERAPY = 13;
    /// The bytes are no trust object.
    ERROR_NO_OBJECT = 14;
    /// The device was not told whose list to believe.
    ERROR_NOT_PINNED = 15;
    /// The site's list, which names the signers, is not held.
    ERROR_NO_SITE_LIST = 16;
    /// Only a physical act may do this.
    ERROR_PHYSICAL_ACT = 17;
    /// What is held is as new, or newer.
    ERROR_NOT_NEWER = 18;
    /// The signatures or content of the object are not believed.
    ERROR_NOT_BELIEVED = 19;
    /// The credential's chain leads to no authority that is known.
    ERROR_UNIDENTIFIED = 20;
    /// It is no operational credential for a key of this device.
    ERROR_NOT_OURS = 21;
    /// The flash failed.
    ERROR_FLASH = 22;
    /// Numbers or keys are used up: make a new session or a new bond.
    ERROR_USED_UP = 23;
    /// There is no challenge: ask for one first.
    ERROR_NO_CHALLENGE = 24;
    /// What came of an earlier command is unknown: ask for its receipt first.
    ERROR_UNKNOWN = 25;
    /// The message is no sealed message.
    ERROR_MALFORMED = 26;
    /// The message was changed, or made with other keys.
    ERROR_FORGED = 27;
    /// The message came before, or was overtaken.
    ERROR_REPLAYED = 28;
    /// The message answers nothing that is asked.
    ERROR_NOT_ASKED = 29;
    /// It is about another device.
    ERROR_OTHER_DEVICE = 30;
    /// It names another owner.
    ERROR_OTHER_OWNER = 31;
    /// Its time is over.
    ERROR_EXPIRED = 32;

    /// What a function of the platform answers: done.
    PLATFORM_DONE = 0;
    /// There is no key in the slot.
    PLATFORM_EMPTY = 1;
    /// It failed.
    PLATFORM_FAILED = 2;

    /// The key of the birth credential.
    KEY_BIRTH = slot(KeySlot::Birth);
    /// The key of the operational credential.
    KEY_OPERATIONAL = slot(KeySlot::Operational);
    /// The key a renewal is being asked for.
    KEY_NEXT = slot(KeySlot::Next);

    /// Bytes of a page.
    PAGE_BYTES = 4096;
    /// Bytes that are programmed at once.
    WORD_BYTES = 16;
    /// Sessions at once.
    SESSIONS = 3;
    /// Requests under way, in both directions together.
    EXCHANGES = 4;
    /// The most bytes of one message.
    MESSAGE_BYTES = 640;
    /// Enough memory for a device, on every processor.
    DEVICE_BYTES = 16_384;
    /// Enough memory for a commander, on every processor.
    COMMANDER_BYTES = 512;
    /// The most bytes of a sealed message.
    SEALED_BYTES = 112;
    /// The most bytes of an address.
    ADDRESS_BYTES = 19;
    /// Room for the name of a device, and a zero.
    NAME_BYTES = 65;
    /// Room for a code as text, and a zero.
    CODE_BYTES = 32;
    /// Certificates of a chain.
    CHAIN = 4;
    /// Bytes of a public key as a point.
    POINT_BYTES = 65;

    /// What stands for a person who held the button.
    BUTTON_WAS_HELD = 0x4845_4c44;

    /// At home.
    HOME = Setting::Home as i32;
    /// On a hospital's network.
    HOSPITAL = Setting::Hospital as i32;

    /// EDHOC method 0.
    SIGN_SIGN = 0;
    /// EDHOC method 1.
    SIGN_STATIC = 1;
    /// EDHOC method 2.
    STATIC_SIGN = 2;
    /// EDHOC method 3.
    STATIC_STATIC = 3;

    /// Operation `read`.
    READ = Operation::Read as i32;
    /// Operation `report`.
    REPORT = Operation::Report as i32;
    /// Operation `inform`.
    INFORM = Operation::Inform as i32;
    /// Operation `sustain`.
    SUSTAIN = Operation::Sustain as i32;
    /// Operation `treat`.
    TREAT = Operation::Treat as i32;
    /// Operation `halt`.
    HALT = Operation::Halt as i32;
    /// Operation `configure`.
    CONFIGURE = Operation::Configure as i32;
    /// Operation `renew`.
    RENEW = Operation::Renew as i32;
    /// Operation `store`.
    STORE = Operation::Store as i32;

    /// Code `issuer-retired`.
    CODE_ISSUER_RETIRED = denial(Code::IssuerRetired);
    /// Code `expired-within-grace`.
    CODE_EXPIRED_WITHIN_GRACE = denial(Code::ExpiredWithinGrace);
    /// Code `expired-beyond-grace`.
    CODE_EXPIRED_BEYOND_GRACE = denial(Code::ExpiredBeyondGrace);
    /// Code `status-stale`.
    CODE_STATUS_STALE = denial(Code::StatusStale);
    /// Code `not-yet-valid`.
    CODE_NOT_YET_VALID = denial(Code::NotYetValid);
    /// Code `attended`.
    CODE_ATTENDED = denial(Code::Attended);
    /// Code `bond-missing`.
    CODE_BOND_MISSING = denial(Code::BondMissing);
    /// Code `role-lacks-operation`.
    CODE_ROLE_LACKS_OPERATION = denial(Code::RoleLacksOperation);
    /// Code `role-not-vouched`.
    CODE_ROLE_NOT_VOUCHED = denial(Code::RoleNotVouched);
    /// Code `device-type-not-vouched`.
    CODE_DEVICE_TYPE_NOT_VOUCHED = denial(Code::DeviceTypeNotVouched);
    /// Code `birth-credential`.
    CODE_BIRTH_CREDENTIAL = denial(Code::BirthCredential);
    /// Code `not-a-birth-credential`.
    CODE_NOT_A_BIRTH_CREDENTIAL = denial(Code::NotABirthCredential);
    /// Code `suspended`.
    CODE_SUSPENDED = denial(Code::Suspended);
    /// Code `issuer-suspended`.
    CODE_ISSUER_SUSPENDED = denial(Code::IssuerSuspended);
    /// Code `issued-after-retirement`.
    CODE_ISSUED_AFTER_RETIREMENT = denial(Code::IssuedAfterRetirement);
    /// Code `issuer-not-listed`.
    CODE_ISSUER_NOT_LISTED = denial(Code::IssuerNotListed);
    /// Code `superseded`.
    CODE_SUPERSEDED = denial(Code::Superseded);
    /// Code `ceased`.
    CODE_CEASED = denial(Code::Ceased);
    /// Code `issuer-ceased`.
    CODE_ISSUER_CEASED = denial(Code::IssuerCeased);
    /// Code `compromised`.
    CODE_COMPROMISED = denial(Code::Compromised);
    /// Code `issuer-compromised`.
    CODE_ISSUER_COMPROMISED = denial(Code::IssuerCompromised);
    /// Code `name-not-vouched`.
    CODE_NAME_NOT_VOUCHED = denial(Code::NameNotVouched);
    /// Code `not-in-log`.
    CODE_NOT_IN_LOG = denial(Code::NotInLog);
    /// Refusal `command-voided`.
    CODE_VOIDED = refusal(Refusal::Voided);
    /// Refusal `challenge-not-open`.
    CODE_CHALLENGE = refusal(Refusal::Challenge);
    /// Refusal `state-changed`.
    CODE_STATE = refusal(Refusal::State);
    /// Refusal `bond-epoch-other`.
    CODE_EPOCH = refusal(Refusal::Epoch);
    /// Refusal `device-busy`.
    CODE_BUSY = refusal(Refusal::Busy);
    /// Refusal `beyond-own-bound`.
    CODE_BOUND = refusal(Refusal::Bound);
    /// Refusal `concentration-other`.
    CODE_CONCENTRATION = refusal(Refusal::Concentration);
    /// Refusal `beyond-command-limit`.
    CODE_LIMIT = refusal(Refusal::Limit);
    /// Refusal `beyond-cumulative-limit`.
    CODE_CUMULATIVE = refusal(Refusal::Cumulative);
    /// Refusal `too-many-halts`.
    CODE_HALT_RATE = refusal(Refusal::HaltRate);
    /// Refusal `action-unsupported`.
    CODE_UNSUPPORTED = refusal(Refusal::Unsupported);
    /// Refusal `device-unable`.
    CODE_UNABLE = refusal(Refusal::Unable);
    /// Refusal `record-failed`.
    CODE_STORAGE = refusal(Refusal::Storage);

    /// A site's list.
    OBJECT_SITE_LIST = kind(Kind::SiteList);
    /// An alliance's list.
    OBJECT_ALLIANCE_LIST = kind(Kind::AllianceList);
    /// A status list.
    OBJECT_STATUS = kind(Kind::Status);
    /// A status ticket.
    OBJECT_TICKET = kind(Kind::Ticket);
    /// A continuity policy.
    OBJECT_POLICY = kind(Kind::Policy);
    /// A signed bond.
    OBJECT_BOND = kind(Kind::Bond);
    /// An emergency suspension.
    OBJECT_SUSPENSION = kind(Kind::Suspension);

    /// Send a datagram.
    OUTPUT_TRANSMIT = 0;
    /// Nothing for now.
    OUTPUT_WAIT = 1;
    /// A session stands.
    OUTPUT_CONNECTED = 2;
    /// No session came about.
    OUTPUT_NOT_CONNECTED = 3;
    /// A session ended.
    OUTPUT_CLOSED = 4;
    /// A peer asks, and may.
    OUTPUT_ASKED = 5;
    /// A peer asked, and may not.
    OUTPUT_DENIED = 6;
    /// A peer answered a call.
    OUTPUT_ANSWERED = 7;
    /// A peer gave readings, and may.
    OUTPUT_READINGS = 8;
    /// A call ends without an answer.
    OUTPUT_UNANSWERED = 9;
    /// The device has a credential of its site.
    OUTPUT_ENROLLED = 10;
    /// What the hub gave was not taken.
    OUTPUT_NOT_ENROLLED = 11;
    /// A sealed command is to be carried out.
    OUTPUT_COMMAND = 12;
    /// Nobody knows what came of a command.
    OUTPUT_UNCERTAIN = 13;
    /// The controller that treated fell silent.
    OUTPUT_LEASE_ENDED = 14;
    /// A trust object was taken.
    OUTPUT_NEWS = 15;
    /// An answer without a session.
    OUTPUT_CARRIED = 16;
    /// There is no newer list of the site.
    OUTPUT_FOLLOWED = 17;
    /// A list of the site was given and not taken.
    OUTPUT_NOT_FOLLOWED = 18;

    /// Nobody answered in time.
    FAILURE_TIMED_OUT = 0;
    /// The peer could not prove who it is.
    FAILURE_UNIDENTIFIED = 1;
    /// The handshake was broken off.
    FAILURE_HANDSHAKE = 2;
    /// The session ended.
    FAILURE_CLOSED = 3;
    /// This device has no credential to show.
    FAILURE_NO_CREDENTIAL = 4;
    /// The key store failed.
    FAILURE_KEYS = 5;
    /// Too long.
    FAILURE_TOO_LONG = 6;

    /// The firmware ended the session.
    CLOSING_OWN = 0;
    /// The peer made a new one.
    CLOSING_REPLACED = 1;
    /// Its place was needed.
    CLOSING_EVICTED = 2;
    /// The peer no longer knows it.
    CLOSING_LOST = 3;
    /// What is known now leaves the peer nothing.
    CLOSING_JUDGED = 4;
    /// Too many forged messages, or numbers used up.
    CLOSING_USED_UP = 5;

    /// `/m/objects`.
    RESOURCE_OBJECTS = 0;
    /// `/m/readings`.
    RESOURCE_READINGS = 1;
    /// `/m/state`.
    RESOURCE_STATE = 2;
    /// `/m/lease`.
    RESOURCE_LEASE = 3;
    /// `/m/challenge`.
    RESOURCE_CHALLENGE = 4;
    /// `/m/command`.
    RESOURCE_COMMAND = 5;
    /// `/m/receipt`.
    RESOURCE_RECEIPT = 6;
    /// `/.well-known/est/crts`.
    RESOURCE_AUTHORITY_CERTIFICATES = 7;
    /// `/.well-known/est/sen`.
    RESOURCE_ENROL = 8;
    /// `/.well-known/est/sren`.
    RESOURCE_RENEW = 9;
    /// `/m/records`.
    RESOURCE_RECORDS = 10;

    /// Give what is there.
    METHOD_GET = 0;
    /// Give what is there, and again when it changes.
    METHOD_OBSERVE = 1;
    /// Take this.
    METHOD_POST = 2;

    /// It was done.
    STATUS_DONE = 0;
    /// The request was wrong, or may not be made.
    STATUS_REFUSED = 4;
    /// The peer failed.
    STATUS_FAILED = 5;

    /// A birth credential.
    CREDENTIAL_BIRTH = 0;
    /// An operational credential.
    CREDENTIAL_OPERATIONAL = 1;

    /// Deliver an amount at once.
    ACTION_BOLUS = 0;
    /// Deliver at another rate for a time.
    ACTION_TEMPORARY_BASAL = 1;
    /// End a suspension or reduction.
    ACTION_RESUME = 2;
    /// Deliver nothing for a time.
    ACTION_SUSPEND = 3;
    /// Deliver less for a time.
    ACTION_REDUCE = 4;
    /// Change a setting.
    ACTION_SET = 5;

    /// The command will not be carried out.
    OUTCOME_REFUSED = 0;
    /// The command is being carried out.
    OUTCOME_STARTED = 1;
    /// The command was carried out, or ended early.
    OUTCOME_DONE = 2;
    /// Nobody knows.
    OUTCOME_UNCERTAIN = 3;

    /// A challenge came.
    TOLD_READY = 0;
    /// A receipt came.
    TOLD_RECEIPT = 1;
}

/// The number of a verdict's code.
pub(crate) const fn denial(code: Code) -> i32 {
    code::number(code) as i32
}

/// The number of a refusal.
pub(crate) const fn refusal(refusal: Refusal) -> i32 {
    refusal.number() as i32
}

/// The number of a kind of trust object.
pub(crate) const fn kind(kind: Kind) -> i32 {
    kind.number() as i32
}

/// The number of a key's slot.
pub(crate) const fn slot(slot: KeySlot) -> i32 {
    match slot {
        KeySlot::Birth => 0,
        KeySlot::Operational => 1,
        KeySlot::Next => 2,
    }
}
