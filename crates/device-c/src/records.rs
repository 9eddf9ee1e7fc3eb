//! The structs of the header, field by field; a test compares their layouts. What a field means is said there.

use core::ffi::{c_char, c_void};

macro_rules! records {
    ($($(#[$doc:meta])* $c:literal $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[repr(C)]
            #[derive(Clone, Copy, Debug)]
            pub struct $name {
                $($(#[$field_doc])* pub $field: $type,)*
            }
        )*

        /// A struct's name in C and its bytes; each field's name and offset.
        pub type Layout = (&'static str, usize, &'static [(&'static str, usize)]);

        /// All structs.
        pub const LAYOUTS: &[Layout] = &[$((
            $c,
            size_of::<$name>(),
            &[$((stringify!($field), core::mem::offset_of!($name, $field))),*],
        )),*];
    };
}

/// Reads flash.
pub type FlashRead = unsafe extern "C" fn(user: *mut c_void, offset: usize, to: *mut u8, length: usize) -> i32;
/// Programs flash.
pub type FlashProgram = unsafe extern "C" fn(user: *mut c_void, offset: usize, bytes: *const u8, length: usize) -> i32;
/// Erases a page.
pub type FlashErase = unsafe extern "C" fn(user: *mut c_void, page: usize) -> i32;
/// Draws random bytes.
pub type Random = unsafe extern "C" fn(user: *mut c_void, bytes: *mut u8, length: usize);
/// Gives a public key.
pub type KeyPublic = unsafe extern "C" fn(user: *mut c_void, slot: i32, public_key: *mut u8) -> i32;
/// Signs a digest, or agrees on a secret.
pub type KeyUse = unsafe extern "C" fn(user: *mut c_void, slot: i32, with: *const u8, out: *mut u8) -> i32;
/// Makes or moves the next key.
pub type KeyNext = unsafe extern "C" fn(user: *mut c_void) -> i32;

records! {
    /// Bytes that C has.
    "medlock_bytes" Bytes {
        /// The first.
        bytes: *const u8,
        /// How many.
        length: usize,
    }
    /// What the firmware gives.
    "medlock_platform" Platform {
        /// Given to each function.
        user: *mut c_void,
        /// The first byte of the pages.
        flash: *const u8,
        /// How many pages.
        flash_pages: usize,
        /// Reads; may be absent.
        flash_read: Option<FlashRead>,
        /// Programs.
        flash_program: Option<FlashProgram>,
        /// Erases.
        flash_erase: Option<FlashErase>,
        /// Draws random bytes.
        random: Option<Random>,
        /// Gives a public key.
        key_public: Option<KeyPublic>,
        /// Signs.
        key_sign: Option<KeyUse>,
        /// Agrees.
        key_agree: Option<KeyUse>,
        /// Makes the next key.
        key_generate_next: Option<KeyNext>,
        /// Puts the next key in use.
        key_promote_next: Option<KeyNext>,
    }
    /// Where a peer is.
    "medlock_address" Address {
        /// How many bytes count.
        length: u8,
        /// The bytes.
        bytes: [u8; 19],
    }
    /// What a device does by command, and no more.
    "medlock_limits" Limits {
        /// How old a challenge may be.
        challenge_age_ms: u64,
        /// The largest bolus.
        bolus_milliunits: u32,
        /// The highest temporary rate.
        basal_milliunits_per_hour: u32,
        /// The most within the window.
        window_milliunits: u32,
        /// The most halts within the window.
        window_halts: u32,
        /// The insulin the device holds.
        concentration_units_per_ml: u16,
        /// The longest temporary basal.
        basal_minutes: u16,
        /// The window.
        window_minutes: u16,
        /// The longest halt.
        halt_minutes: u16,
        /// How long a lease lasts.
        lease_minutes: u16,
    }
    /// The journal's pages and the limits.
    "medlock_therapy" Therapy {
        /// The journal's first page.
        first_page: usize,
        /// Its pages.
        pages: usize,
        /// Pages of one bank.
        bank_pages: usize,
        /// The limits.
        limits: Limits,
    }
    /// What a firmware says of itself.
    "medlock_settings" Settings {
        /// The first page for objects.
        object_first_page: usize,
        /// How many there are.
        object_pages: usize,
        /// Pages of one slot.
        slot_pages: usize,
        /// The birth credential's chain.
        birth: *const Bytes,
        /// Its certificates.
        birth_count: usize,
        /// The root of an alliance, or null.
        alliance_root: *const u8,
        /// Where objects are put together.
        staging: *mut u8,
        /// How many bytes.
        staging_length: usize,
        /// Where credentials of peers are remembered, or null.
        peers: *mut u8,
        /// How many bytes.
        peers_length: usize,
        /// Where long bodies of calls are kept, or null.
        body: *mut u8,
        /// How many bytes.
        body_length: usize,
        /// For a device that takes commands.
        therapy: *const Therapy,
        /// When the firmware was built.
        built: i64,
        /// Where the device is used.
        setting: i32,
        /// How it authenticates.
        method: i32,
    }
    /// An act.
    "medlock_action" Action {
        /// Which.
        kind: i32,
        /// How much.
        milliunits: u32,
        /// At which rate.
        milliunits_per_hour: u32,
        /// The sender's own bound.
        bound_milliunits: u32,
        /// To what a setting is changed.
        value: u32,
        /// Which setting.
        setting: u16,
        /// Of which insulin.
        concentration_units_per_ml: u16,
        /// For how long.
        minutes: u16,
        /// What of the programmed basal goes on.
        percent: u16,
    }
    /// What is to be done, or happened.
    "medlock_output" Output {
        /// Which.
        kind: i32,
        /// Failure, closing, or result.
        why: i32,
        /// Denial or mark.
        code: i32,
        /// What was asked or is permitted.
        operation: i32,
        /// For what.
        resource: i32,
        /// What an answer says.
        status: i32,
        /// Its detail.
        detail: i32,
        /// What kind of trust object.
        object: i32,
        /// Whether people must be told.
        alert: i32,
        /// Whether this device began.
        initiated: i32,
        /// The session.
        peer: u32,
        /// The call.
        call: u32,
        /// The request.
        ask: u32,
        /// The act.
        act: u32,
        /// When to call again.
        wait_until_ms: u64,
        /// The number of the command.
        counter: u64,
        /// The act.
        action: Action,
        /// Which device.
        device: [u8; 16],
        /// Where to, or with whom.
        address: Address,
        /// Datagram or payload.
        bytes: *const u8,
        /// How many.
        length: usize,
    }
    /// What the judge says.
    "medlock_verdict" Verdict {
        /// Since when it is so.
        since: i64,
        /// Whether the peer may.
        allowed: i32,
        /// What was judged.
        operation: i32,
        /// Denial or mark.
        code: i32,
        /// Whether people must be told.
        alert: i32,
    }
    /// Who a peer is.
    "medlock_identity" Identity {
        /// The device.
        device: [u8; 16],
        /// The credential.
        credential: [u8; 16],
        /// Valid from.
        not_before: i64,
        /// Valid until.
        not_after: i64,
        /// Of which kind.
        credential_kind: i32,
        /// A bit for each role.
        roles: u32,
        /// The device's name.
        name: [c_char; 65],
    }
    /// A bond.
    "medlock_bond_record" Bond {
        /// Who may command.
        controller: [u8; 16],
        /// For which patient.
        patient: [u8; 16],
        /// Which bond.
        epoch: u64,
        /// A bit for each operation.
        operations: u32,
    }
    /// What was dropped.
    "medlock_counters" Counters {
        /// No CoAP, or belongs to nothing.
        noise: u32,
        /// Forged or repeated.
        forged: u32,
        /// Handshakes that came to nothing.
        handshakes: u32,
        /// No room.
        crowded: u32,
    }
    /// What came of a command.
    "medlock_receipt" Receipt {
        /// Which command.
        counter: u64,
        /// What came of it.
        outcome: i32,
        /// Why it was refused.
        code: i32,
        /// What the verdict wrote beside it.
        mark: i32,
        /// How much was delivered.
        milliunits: u32,
    }
    /// What a controller must not forget.
    "medlock_memory" Memory {
        /// The number of its next message.
        next: u64,
        /// The command of which nothing is known.
        unknown: u64,
        /// The bolus whose outcome is not final.
        bolus: u64,
    }
    /// What a device said.
    "medlock_told" Told {
        /// A challenge or a receipt.
        kind: i32,
        /// The version of therapy.
        state: u32,
        /// The highest number taken.
        floor: u64,
        /// The receipt.
        receipt: Receipt,
    }
}
