//! What the functions do with callers that break the rules. Everything here can run under Miri too.

use core::ffi::{CStr, c_void};
use core::ptr::{null, null_mut};
use medlock_device_c::Handle;
use medlock_device_c::calls::{
    medlock_answer, medlock_call, medlock_cancel, medlock_close, medlock_connect, medlock_counters_read,
    medlock_device_alignment, medlock_device_size, medlock_enrol, medlock_follow_site, medlock_handle_datagram,
    medlock_handle_timeout, medlock_journal_format, medlock_notify, medlock_poll, medlock_start, medlock_stop,
};
use medlock_device_c::commander::{
    medlock_commander_again, medlock_commander_ask_challenge, medlock_commander_ask_receipt, medlock_commander_command,
    medlock_commander_memory, medlock_commander_open, medlock_commander_start, medlock_commander_stop,
};
use medlock_device_c::numbers;
use medlock_device_c::owner::{medlock_lost_its_issuer, medlock_take_transfer, medlock_take_voucher};
use medlock_device_c::records::{Address, Limits, Memory, Output, Platform, Settings, Therapy};
use medlock_device_c::software::{medlock_software_agree, medlock_software_public, medlock_software_sign};
use medlock_device_c::therapy::{
    medlock_act_done, medlock_act_started, medlock_act_unable, medlock_attend, medlock_checkpoint,
    medlock_delivered_at_device, medlock_therapy_changed,
};
use medlock_device_c::trust::{
    medlock_ask, medlock_bond, medlock_bond_at, medlock_code_text, medlock_device_id, medlock_end_bonds,
    medlock_identify, medlock_install_credential, medlock_judge, medlock_judge_attended, medlock_own_id,
    medlock_pin_site, medlock_set_time, medlock_take_object, medlock_time,
};
use std::collections::BTreeSet;

const PAGES: usize = 20;
const PAGE: usize = numbers::PAGE_BYTES as usize;
const STAGING: usize = 1024;

/// A firmware, all of it reached by raw pointers, as in C.
pub(crate) struct Firmware {
    memory: *mut u64,
    words: usize,
    flash: *mut u8,
    staging: *mut u8,
    device: *mut Handle,
    /// What a call from inside a function of the platform answered.
    inside: i32,
}

unsafe extern "C" fn program(user: *mut c_void, offset: usize, bytes: *const u8, length: usize) -> i32 {
    // SAFETY: the range was checked; nobody else uses the flash now.
    unsafe { (*user.cast::<Firmware>()).flash.add(offset).copy_from_nonoverlapping(bytes, length) };
    numbers::PLATFORM_DONE
}

unsafe extern "C" fn erase(user: *mut c_void, page: usize) -> i32 {
    // SAFETY: there is such a page; nobody else uses the flash now.
    unsafe { (*user.cast::<Firmware>()).flash.add(page * PAGE).write_bytes(0xff, PAGE) };
    numbers::PLATFORM_DONE
}

unsafe extern "C" fn random(user: *mut c_void, bytes: *mut u8, length: usize) {
    // SAFETY: the firmware and the bytes are there. The call back is what is tried.
    unsafe {
        bytes.write_bytes(0x5a, length);
        let firmware = user.cast::<Firmware>();
        if !(*firmware).device.is_null() {
            (*firmware).inside = medlock_handle_timeout((*firmware).device, 0);
        }
    }
}

unsafe extern "C" fn key_public(_: *mut c_void, _: i32, _: *mut u8) -> i32 {
    numbers::PLATFORM_EMPTY
}

unsafe extern "C" fn unreadable(_: *mut c_void, _: usize, _: *mut u8, _: usize) -> i32 {
    numbers::PLATFORM_FAILED
}

unsafe extern "C" fn key_use(_: *mut c_void, _: i32, _: *const u8, _: *mut u8) -> i32 {
    numbers::PLATFORM_FAILED
}

unsafe extern "C" fn key_next(_: *mut c_void) -> i32 {
    numbers::PLATFORM_FAILED
}

/// Owns a firmware: what lies behind its pointers is freed with it.
pub(crate) struct Ground(pub(crate) *mut Firmware);

impl Ground {
    pub(crate) fn new() -> Self {
        let words = medlock_device_size().div_ceil(8);
        let bytes = |count: usize, with: u8| Box::into_raw(vec![with; count].into_boxed_slice()).cast();
        Self(Box::into_raw(Box::new(Firmware {
            memory: Box::into_raw(vec![0_u64; words].into_boxed_slice()).cast(),
            words,
            flash: bytes(PAGES * PAGE, 0xff),
            staging: bytes(STAGING, 0),
            device: null_mut(),
            inside: -1,
        })))
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // SAFETY: all of it was made by `new`, with these sizes; devices in it are not used any more.
        unsafe {
            let Firmware { memory, words, flash, staging, .. } = *Box::from_raw(self.0);
            drop(Box::from_raw(core::ptr::slice_from_raw_parts_mut(memory, words)));
            drop(Box::from_raw(core::ptr::slice_from_raw_parts_mut(flash, PAGES * PAGE)));
            drop(Box::from_raw(core::ptr::slice_from_raw_parts_mut(staging, STAGING)));
        }
    }
}

pub(crate) fn platform(firmware: *mut Firmware) -> Platform {
    Platform {
        user: firmware.cast(),
        // SAFETY: the firmware is there.
        flash: unsafe { (*firmware).flash },
        flash_pages: PAGES,
        flash_read: None,
        flash_program: Some(program),
        flash_erase: Some(erase),
        random: Some(random),
        key_public: Some(key_public),
        key_sign: Some(key_use),
        key_agree: Some(key_use),
        key_generate_next: Some(key_next),
        key_promote_next: Some(key_next),
    }
}

pub(crate) fn settings(firmware: *mut Firmware) -> Settings {
    Settings {
        object_first_page: 0,
        object_pages: 12,
        slot_pages: 1,
        birth: null(),
        birth_count: 0,
        alliance_root: null(),
        // SAFETY: the firmware is there.
        staging: unsafe { (*firmware).staging },
        staging_length: STAGING,
        peers: null_mut(),
        peers_length: 0,
        body: null_mut(),
        body_length: 0,
        therapy: null(),
        built: 0,
        setting: numbers::HOME,
        method: numbers::SIGN_SIGN,
    }
}

fn therapy() -> Therapy {
    let limits = Limits {
        challenge_age_ms: 1,
        bolus_milliunits: 1,
        basal_milliunits_per_hour: 1,
        window_milliunits: 1,
        window_halts: 1,
        concentration_units_per_ml: 100,
        basal_minutes: 1,
        window_minutes: 1,
        halt_minutes: 1,
        lease_minutes: 1,
    };
    Therapy { first_page: 12, pages: 8, bank_pages: 2, limits }
}

pub(crate) fn start_with(firmware: *mut Firmware, platform: &Platform, settings: &Settings) -> (i32, *mut Handle) {
    let mut device = null_mut();
    // SAFETY: everything that is pointed to is there until its owner goes.
    let result = unsafe {
        medlock_start((*firmware).memory.cast(), (*firmware).words * 8, platform, settings, 0, &raw mut device)
    };
    (result, device)
}

fn started() -> (Ground, *mut Handle) {
    let ground = Ground::new();
    let firmware = ground.0;
    let (result, device) = start_with(firmware, &platform(firmware), &settings(firmware));
    assert_eq!(result, numbers::OK);
    (ground, device)
}

/// Calls every function with this device or commander, and gives what each answers.
fn every_function(device: *mut Handle) -> BTreeSet<i32> {
    let address = Address { length: 1, bytes: [1; 19] };
    let (mut bytes, mut number, mut length, mut counter) = ([0_u8; 700], 0_u32, 0_usize, 0_u64);
    let (mut early, mut late) = (0_i64, 0_i64);
    let held = numbers::BUTTON_WAS_HELD;
    let room = bytes.as_mut_ptr();
    // SAFETY: what is not null is there. Structs to be written are null: the device is looked at first.
    unsafe {
        let answers = [
            medlock_handle_datagram(device, 0, &raw const address, room, 10),
            medlock_handle_timeout(device, 0),
            medlock_poll(device, 0, room, 700, null_mut::<Output>()),
            medlock_connect(device, 0, &raw const address),
            medlock_close(device, 1),
            medlock_call(device, 0, 1, numbers::METHOD_GET, numbers::RESOURCE_STATE, null(), 0, &raw mut number),
            medlock_cancel(device, 1),
            medlock_answer(device, 0, 1, numbers::STATUS_DONE, 0, null(), 0),
            medlock_notify(device, 0, numbers::RESOURCE_STATE, null(), 0),
            medlock_enrol(device, 0, 1, null(), &raw mut number),
            medlock_counters_read(device, null_mut()),
            medlock_pin_site(device, room, held),
            medlock_take_object(device, 0, room, 10, null_mut()),
            medlock_install_credential(device, null(), 0),
            medlock_take_voucher(device, 0, room, 10, null(), room, held),
            medlock_take_transfer(device, 0, room, 10, room, 10, held),
            medlock_lost_its_issuer(device, 0, null_mut()),
            medlock_set_time(device, 0, 0, 0),
            medlock_time(device, 0, &raw mut early, &raw mut late),
            medlock_ask(device, 0, room),
            medlock_own_id(device, room),
            medlock_identify(device, 1, null_mut()),
            medlock_judge(device, 0, 1, numbers::READ, null_mut()),
            medlock_judge_attended(device, 0, 1, numbers::READ, held, null_mut()),
            medlock_bond(device, 0, held, room, room, 1, null_mut()),
            medlock_end_bonds(device, 0, held),
            medlock_bond_at(device, 0, null_mut()),
            medlock_act_started(device, 0, 1),
            medlock_act_unable(device, 0, 1),
            medlock_act_done(device, 0, 1, 0, null_mut()),
            medlock_attend(device, 0, held, room, numbers::TREAT),
            medlock_therapy_changed(device),
            medlock_delivered_at_device(device, 0, 0),
            medlock_checkpoint(device, 0),
            medlock_stop(device),
        ];
        let commander = device.cast();
        let remembered = Memory { next: 0, unknown: 0, bolus: 0 };
        let for_commander = [
            medlock_commander_stop(commander),
            medlock_commander_memory(commander, null_mut()),
            medlock_commander_ask_challenge(commander, room, 112, &raw mut length),
            medlock_commander_command(commander, null(), null(), room, 112, &raw mut length, &raw mut counter),
            medlock_commander_again(commander, 1, room, 112, &raw mut length),
            medlock_commander_ask_receipt(commander, 1, room, 112, &raw mut length),
            medlock_commander_open(commander, room, 10, null_mut()),
        ];
        let mut memory = [0_u64; 64];
        let memory = memory.as_mut_ptr().cast();
        let mut commander = null_mut();
        let made = medlock_commander_start(memory, 512, device, 1, 1, &raw const remembered, &raw mut commander);
        assert!(commander.is_null());
        answers.into_iter().chain(for_commander).chain([made]).collect()
    }
}

/// Shows REQ-DEV-64: without a device, or with one that was stopped, every function says so and does nothing.
#[test]
fn every_function_refuses_null_and_what_was_stopped() {
    assert_eq!(every_function(null_mut()), BTreeSet::from([numbers::ERROR_NULL]));
    let mut zeros = vec![0_u64; 2048];
    assert_eq!(every_function(zeros.as_mut_ptr().cast()), BTreeSet::from([numbers::ERROR_STOPPED]));
    let (_ground, device) = started();
    // SAFETY: the device was started.
    assert_eq!(unsafe { medlock_stop(device) }, numbers::OK);
    assert_eq!(every_function(device), BTreeSet::from([numbers::ERROR_STOPPED]));
}

/// Shows REQ-DEV-64: other pointers that are null are refused too, and what may be null is not missed.
#[test]
fn every_pointer_is_checked() {
    let (_ground, device) = started();
    let name = c"pump-1".as_ptr();
    let mut room = [0_u8; 700];
    let mut number = 0;
    // SAFETY: what is not null is there.
    let refused = unsafe {
        [
            medlock_handle_datagram(device, 0, null(), room.as_mut_ptr(), 10),
            medlock_handle_datagram(device, 0, &Address { length: 1, bytes: [0; 19] }, null_mut(), 10),
            medlock_poll(device, 0, room.as_mut_ptr(), 700, null_mut()),
            medlock_connect(device, 0, null()),
            medlock_counters_read(device, null_mut()),
            medlock_pin_site(device, null(), 0),
            medlock_take_object(device, 0, null(), 10, null_mut()),
            medlock_install_credential(device, null(), 1),
            medlock_take_voucher(device, 0, null(), 10, null(), room.as_ptr(), 0),
            medlock_take_voucher(device, 0, room.as_ptr(), 10, null(), null(), 0),
            medlock_take_transfer(device, 0, null(), 10, room.as_ptr(), 10, 0),
            medlock_take_transfer(device, 0, room.as_ptr(), 10, null(), 10, 0),
            medlock_lost_its_issuer(device, 0, null_mut()),
            medlock_time(device, 0, null_mut(), null_mut()),
            medlock_ask(device, 0, null_mut()),
            medlock_bond(device, 0, numbers::BUTTON_WAS_HELD, null(), room.as_ptr(), 1, null_mut()),
            medlock_call(device, 0, 1, 0, 0, null(), 10, &raw mut number),
            medlock_call(device, 0, 1, 0, 0, null(), 0, null_mut()),
            medlock_device_id(null(), room.as_mut_ptr()),
            medlock_device_id(name, null_mut()),
            medlock_code_text(1, null_mut(), 10),
            medlock_journal_format(null(), &therapy()),
            medlock_start(null_mut(), 0, null(), null(), 0, null_mut()),
            medlock_software_public(null(), room.as_mut_ptr()),
            medlock_software_sign([1; 32].as_ptr(), null(), null(), room.as_mut_ptr()),
            medlock_software_agree(null(), null(), null_mut()),
        ]
    };
    assert_eq!(
        refused.map(|answer| answer != numbers::ERROR_NULL).iter().position(|wrong| *wrong),
        None,
        "{refused:?}"
    );
}

/// Shows REQ-DEV-65: a device is not started in memory that is too small or misaligned, nor with a platform or settings
/// that cannot be.
#[test]
fn a_device_starts_only_where_it_fits() {
    assert!(medlock_device_size() <= numbers::DEVICE_BYTES as usize && medlock_device_alignment() <= 8);
    let ground = Ground::new();
    let firmware = ground.0;
    let (whole, good) = (platform(firmware), settings(firmware));
    let mut device = null_mut();
    // SAFETY: the memory is there.
    unsafe {
        let memory = (*firmware).memory.cast::<u8>();
        let size = medlock_device_size();
        assert_eq!(medlock_start(memory, size - 1, &whole, &good, 0, &raw mut device), numbers::ERROR_MEMORY);
        assert_eq!(medlock_start(memory.add(1), size, &whole, &good, 0, &raw mut device), numbers::ERROR_MEMORY);
        assert!(device.is_null());
    }
    let result = |platform: &Platform, settings: &Settings| start_with(firmware, platform, settings).0;
    assert_eq!(result(&Platform { flash: null(), ..whole }, &good), numbers::ERROR_NULL);
    assert_eq!(result(&Platform { key_agree: None, ..whole }, &good), numbers::ERROR_NULL);
    assert_eq!(result(&Platform { flash_pages: usize::MAX, ..whole }, &good), numbers::ERROR_LAYOUT);
    assert_eq!(result(&whole, &Settings { object_pages: PAGES + 1, ..good }), numbers::ERROR_LAYOUT);
    assert_eq!(result(&whole, &Settings { object_first_page: usize::MAX, ..good }), numbers::ERROR_LAYOUT);
    assert_eq!(result(&whole, &Settings { setting: 2, ..good }), numbers::ERROR_VALUE);
    assert_eq!(result(&whole, &Settings { method: 4, ..good }), numbers::ERROR_VALUE);
    assert_eq!(result(&whole, &Settings { birth_count: 5, ..good }), numbers::ERROR_TOO_LONG);
    assert_eq!(result(&whole, &Settings { birth_count: 1, ..good }), numbers::ERROR_NULL);
    assert_eq!(result(&whole, &Settings { staging: null_mut(), ..good }), numbers::ERROR_NULL);
    let journal = therapy();
    assert_eq!(result(&whole, &Settings { therapy: &journal, ..good }), numbers::ERROR_JOURNAL, "never formatted");
    // SAFETY: both are there.
    assert_eq!(unsafe { medlock_journal_format(&whole, &journal) }, numbers::OK);
    let with_journal = Settings { therapy: &journal, ..good };
    assert_eq!(result(&Platform { flash_read: Some(unreadable), ..whole }, &with_journal), numbers::ERROR_JOURNAL);
    assert_eq!(result(&whole, &with_journal), numbers::OK);
}

/// Shows REQ-DEV-66: a call from inside a function of the platform is refused, and does not disturb the outer one.
#[test]
fn a_call_from_inside_is_refused() {
    let (ground, device) = started();
    let firmware = ground.0;
    let mut nonce = [0; 8];
    // SAFETY: firmware and device are there.
    unsafe {
        (*firmware).device = device;
        assert_eq!(medlock_ask(device, 0, nonce.as_mut_ptr()), numbers::OK);
        assert_eq!((*firmware).inside, numbers::ERROR_INSIDE);
        assert_eq!(medlock_handle_timeout(device, 0), numbers::OK);
    }
    assert_eq!(nonce, [0x5a; 8]);
}

/// Shows REQ-DEV-67: what takes a physical act is done for the button's number alone, not for any number but zero.
#[test]
fn only_the_buttons_number_stands_for_a_physical_act() {
    let (_ground, device) = started();
    let (controller, patient, root) = ([1_u8; 16], [2_u8; 16], [3_u8; 16]);
    let bond = |act: i32| {
        // SAFETY: the device and both identifiers are there.
        unsafe { medlock_bond(device, 0, act, controller.as_ptr(), patient.as_ptr(), 1 << numbers::TREAT, null_mut()) }
    };
    let mut record = medlock_device_c::records::Bond { controller: [0; 16], patient: [0; 16], epoch: 0, operations: 0 };
    for wrong in [0, 1, -1, numbers::BUTTON_WAS_HELD - 1] {
        assert_eq!(bond(wrong), numbers::ERROR_PHYSICAL_ACT);
    }
    // SAFETY: device and record are there.
    unsafe {
        assert_eq!(medlock_bond_at(device, 0, &raw mut record), numbers::ERROR_VALUE);
        assert_eq!(bond(numbers::BUTTON_WAS_HELD), numbers::OK);
        assert_eq!(medlock_bond_at(device, 0, &raw mut record), numbers::OK);
        assert_eq!((record.controller, record.epoch, record.operations), (controller, 1, 1 << numbers::TREAT));
        assert_eq!(medlock_end_bonds(device, 0, 1), numbers::ERROR_PHYSICAL_ACT);
        assert_eq!(
            medlock_bond(device, 0, numbers::BUTTON_WAS_HELD, [0; 16].as_ptr(), [0; 16].as_ptr(), 0x200, null_mut()),
            numbers::ERROR_VALUE
        );
        assert_eq!(medlock_pin_site(device, root.as_ptr(), 0), numbers::OK);
        assert_eq!(medlock_pin_site(device, patient.as_ptr(), 0), numbers::ERROR_PHYSICAL_ACT);
        assert_eq!(medlock_pin_site(device, patient.as_ptr(), numbers::BUTTON_WAS_HELD), numbers::OK);
    }
}

/// Shows REQ-DEV-68: numbers that are none, and handles that name nothing, are refused.
#[test]
fn numbers_that_are_none_are_refused() {
    let (_ground, device) = started();
    let mut room = [0_u8; 700];
    let mut number = 7;
    let long = Address { length: 20, bytes: [0; 19] };
    let mut verdict = medlock_device_c::records::Verdict { since: 0, allowed: 7, operation: 0, code: 0, alert: 0 };
    // SAFETY: the device and all that is pointed to is there.
    unsafe {
        let call = |method, resource, number| medlock_call(device, 0, 1, method, resource, null(), 0, number);
        assert_eq!(call(3, 0, &raw mut number), numbers::ERROR_VALUE);
        assert_eq!(call(0, 11, &raw mut number), numbers::ERROR_VALUE);
        assert_eq!(call(0, -1, &raw mut number), numbers::ERROR_VALUE);
        assert_eq!(call(0, 1, &raw mut number), numbers::ERROR_CLOSED);
        assert_eq!(number, 0);
        assert_eq!(medlock_connect(device, 0, &raw const long), numbers::ERROR_VALUE);
        assert_eq!(medlock_judge(device, 0, 1, 9, &raw mut verdict), numbers::ERROR_VALUE);
        assert_eq!(medlock_judge(device, 0, 1, numbers::TREAT, &raw mut verdict), numbers::ERROR_CLOSED);
        assert_eq!(verdict.allowed, 7, "nothing was written");
        assert_eq!(medlock_answer(device, 0, 0, numbers::STATUS_DONE, 0, null(), 0), numbers::ERROR_CLOSED);
        assert_eq!(medlock_answer(device, 0, 1, numbers::STATUS_REFUSED, 32, null(), 0), numbers::ERROR_VALUE);
        assert_eq!(medlock_act_started(device, 0, 1), numbers::ERROR_CLOSED);
        assert_eq!(medlock_act_done(device, 0, 0, 1, null_mut()), numbers::ERROR_CLOSED);
        assert_eq!(medlock_therapy_changed(device), numbers::ERROR_NO_THERAPY);
        assert_eq!(medlock_set_time(device, 0, 2, 1), numbers::ERROR_VALUE);
        assert_eq!(medlock_own_id(device, room.as_mut_ptr()), numbers::ERROR_NO_CREDENTIAL);
        assert_eq!(medlock_take_object(device, 0, room.as_ptr(), 10, null_mut()), numbers::ERROR_NO_OBJECT);
        let mut output = core::mem::MaybeUninit::<Output>::uninit();
        assert_eq!(medlock_poll(device, 0, room.as_mut_ptr(), 639, output.as_mut_ptr()), numbers::ERROR_MEMORY);
        assert_eq!(medlock_poll(device, 0, room.as_mut_ptr(), 640, output.as_mut_ptr()), numbers::OK);
        let output = output.assume_init();
        assert_eq!((output.kind, output.wait_until_ms), (numbers::OUTPUT_WAIT, u64::MAX));
    }
}

/// Shows REQ-DEV-138: the site's list is asked for behind the version that is held, and what comes of it is told.
#[test]
fn the_list_of_the_site_is_followed() {
    use medlock_proto::coap::{Code, Message, Type, Writer, option};
    let answers = [
        (Code::NOT_FOUND, &b""[..], numbers::OUTPUT_FOLLOWED, 0),
        (Code::CONTENT, b"no list", numbers::OUTPUT_NOT_FOLLOWED, numbers::ERROR_NO_OBJECT),
        (Code::SERVICE_UNAVAILABLE, b"later", numbers::OUTPUT_CARRIED, 0),
    ];
    for (code, payload, kind, why) in answers {
        let (_ground, device) = started();
        let hub = Address { length: 3, bytes: *b"hub\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" };
        let (mut room, mut call) = ([0_u8; 700], 0);
        let mut output = core::mem::MaybeUninit::<Output>::uninit();
        // SAFETY: the device and all that is pointed to is there.
        let (asked, told) = unsafe {
            let mut poll = || {
                assert_eq!(medlock_poll(device, 0, room.as_mut_ptr(), 700, output.as_mut_ptr()), numbers::OK);
                output.assume_init_read()
            };
            assert_eq!(medlock_follow_site(device, 0, &raw const hub, &raw mut call), numbers::OK);
            let sent = poll();
            assert_eq!(sent.kind, numbers::OUTPUT_TRANSMIT);
            let asked = core::slice::from_raw_parts(sent.bytes, sent.length).to_vec();
            let request = Message::read(&asked).unwrap();
            let mut answer = [0; 64];
            let head = (Type::Acknowledgement, code, request.id(), request.token());
            let length =
                Writer::new(&mut answer, head.0, head.1, head.2, head.3).payload(payload).finish().unwrap().len();
            let taken = medlock_handle_datagram(device, 0, &raw const hub, answer.as_mut_ptr(), length);
            assert_eq!(taken, numbers::OK);
            (request.option(option::URI_QUERY).map(<[u8]>::to_vec), poll())
        };
        assert_eq!(asked.as_deref(), Some(&b"a=0"[..]));
        assert_eq!((told.kind, told.call, told.why), (kind, call, why), "{code:?}");
        // SAFETY: as above.
        unsafe {
            assert_eq!(medlock_follow_site(device, 0, null(), &raw mut call), numbers::ERROR_NULL);
        }
    }
}

/// Shows REQ-DEV-69: each code has a text that fits, and it is that of the SDK.
#[test]
fn codes_have_texts() {
    let mut texts = BTreeSet::new();
    for (name, code) in
        numbers::ALL.iter().filter(|(name, _)| name.starts_with("MEDLOCK_CODE_") && !name.ends_with("BYTES"))
    {
        let mut text = [0x7f; numbers::CODE_BYTES as usize];
        // SAFETY: there is room.
        assert_eq!(unsafe { medlock_code_text(*code, text.as_mut_ptr(), text.len()) }, numbers::OK, "{name}");
        // SAFETY: it ends with a zero.
        let text = unsafe { CStr::from_ptr(text.as_ptr()) }.to_str().expect("ASCII").to_string();
        assert!(texts.insert(text), "{name}");
    }
    assert_eq!(texts.len(), 36);
    assert!(texts.contains("status-stale") && texts.contains("device-busy"));
    let mut short = [0; 5];
    // SAFETY: there is room.
    unsafe {
        assert_eq!(medlock_code_text(1, short.as_mut_ptr(), 5), numbers::ERROR_TOO_LONG);
        assert_eq!(medlock_code_text(0, short.as_mut_ptr(), 5), numbers::ERROR_VALUE);
    }
}
