//! Starting and stopping a device, the three calls of its core, and what it says to peers.

use crate::convert::{self, peer, ticks};
use crate::handle::{self, BIRTH, Handle, enter};
use crate::numbers;
use crate::output;
use crate::platform;
use crate::pointers::{bytes, bytes_mut, read, room, text, usable, write};
use crate::records::{self, Bytes, Platform, Settings, Therapy};
use crate::refused::{Refused, answer};
use core::ffi::c_char;
use core::ptr;
use medlock_device::command::{Limits, Reception};
use medlock_device::log::Area;
use medlock_device::{Ask, CallId, Device, Layout, Request};
use medlock_proto::coap::Transmission;
use medlock_proto::edhoc;
use medlock_proto::sealed::{Concentration, MilliUnits, Minutes, Rate};
use medlock_trust::knowledge::Setting;
use medlock_trust::list::Pinned;
use medlock_trust::{KeyId, Time};

/// Bytes of a device's memory.
#[unsafe(no_mangle)]
pub const extern "C" fn medlock_device_size() -> usize {
    size_of::<Handle>()
}

/// What the address of a device's memory is a multiple of.
#[unsafe(no_mangle)]
pub const extern "C" fn medlock_device_alignment() -> usize {
    align_of::<Handle>()
}

/// Makes an empty journal.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_journal_format(platform: *const Platform, therapy: *const Therapy) -> i32 {
    // SAFETY: as the header says of both.
    let given = unsafe { read(platform).and_then(|platform| Ok((platform, read(therapy)?))) };
    answer(given.and_then(|(platform, therapy)| {
        platform::check(&platform)?;
        // SAFETY: the copy outlives the flash made of it, which is not kept: both end with this function.
        let mut flash = platform::flash(unsafe { &*ptr::from_ref(&platform) });
        Reception::format(&mut flash, &area(&therapy)?)?;
        Ok(())
    }))
}

/// Starts a device in memory of the caller's.
///
/// # Safety
/// Pointers as the header says; memory, staging, certificates and flash stay until the device is stopped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_start(
    memory: *mut u8,
    memory_length: usize,
    platform: *const Platform,
    settings: *const Settings,
    now_ms: u64,
    device: *mut *mut Handle,
) -> i32 {
    let started = || {
        // SAFETY: as the header says of each of these pointers.
        let (platform, settings, birth) = unsafe {
            write(device, ptr::null_mut())?;
            let settings = read(settings)?;
            (read(platform)?, settings, certificates(settings.birth, settings.birth_count)?)
        };
        platform::check(&platform)?;
        // SAFETY: as the header says of what settings point to.
        let mut given = unsafe { given(&settings) }?;
        let make = |platform, birth, large| {
            given.birth = birth;
            Ok(Device::start(platform::parts(platform), given, large, ticks(now_ms))?)
        };
        // SAFETY: as the header says of the memory.
        let handle = unsafe { handle::start(memory, memory_length, platform, birth, make) }?;
        // SAFETY: as the header says.
        unsafe { write(device, handle) }
    };
    answer(started())
}

/// Ends a device.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_stop(device: *mut Handle) -> i32 {
    // SAFETY: as the header says.
    answer(unsafe { handle::stop(device) })
}

/// Takes a datagram.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_handle_datagram(
    device: *mut Handle,
    now_ms: u64,
    from: *const records::Address,
    datagram: *mut u8,
    length: usize,
) -> i32 {
    // SAFETY: as the header says of each of these pointers.
    answer(unsafe {
        enter(device, |inside| {
            let from = convert::address(&read(from)?)?;
            inside.sdk.handle_datagram(ticks(now_ms), from, bytes_mut(datagram, length)?);
            Ok(())
        })
    })
}

/// Does what is due.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_handle_timeout(device: *mut Handle, now_ms: u64) -> i32 {
    // SAFETY: as the header says.
    answer(unsafe {
        enter(device, |inside| {
            inside.sdk.handle_timeout(ticks(now_ms));
            Ok(())
        })
    })
}

/// The next thing to do.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_poll(
    device: *mut Handle,
    now_ms: u64,
    buffer: *mut u8,
    length: usize,
    output: *mut records::Output,
) -> i32 {
    // SAFETY: as the header says of each of these pointers.
    answer(unsafe {
        enter(device, |inside| {
            usable(output)?;
            let buffer = room(buffer, length)?;
            if buffer.len() < numbers::MESSAGE_BYTES as usize {
                return Err(Refused(numbers::ERROR_MEMORY));
            }
            write(output, output::next(inside, ticks(now_ms), buffer))
        })
    })
}

/// Begins a handshake.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_connect(device: *mut Handle, now_ms: u64, to: *const records::Address) -> i32 {
    // SAFETY: as the header says of each of these pointers.
    answer(unsafe {
        enter(device, |inside| {
            let to = convert::address(&read(to)?)?;
            Ok(inside.sdk.connect(ticks(now_ms), to)?)
        })
    })
}

/// Ends a session.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_close(device: *mut Handle, session: u32) -> i32 {
    // SAFETY: as the header says.
    answer(unsafe {
        enter(device, |inside| {
            inside.sdk.close(peer(session)?);
            Ok(())
        })
    })
}

/// Asks a peer.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_call(
    device: *mut Handle,
    now_ms: u64,
    session: u32,
    method: i32,
    resource: i32,
    payload: *const u8,
    length: usize,
    call: *mut u32,
) -> i32 {
    // SAFETY: as the header says of each of these pointers.
    answer(unsafe {
        enter(device, |inside| {
            let (method, resource) = (convert::method(method)?, convert::resource(resource)?);
            let payload = bytes(payload, length)?;
            write(call, 0)?;
            let made = inside.sdk.call(ticks(now_ms), peer(session)?, method, resource, payload)?;
            write(call, made.number())
        })
    })
}

/// Begins a handshake, with a first request.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_connect_with(
    device: *mut Handle,
    now_ms: u64,
    to: *const records::Address,
    method: i32,
    resource: i32,
    payload: *const u8,
    length: usize,
    call: *mut u32,
) -> i32 {
    // SAFETY: as the header says of each of these pointers.
    answer(unsafe {
        enter(device, |inside| {
            let to = convert::address(&read(to)?)?;
            let (method, resource) = (convert::method(method)?, convert::resource(resource)?);
            let request = Request::new(method, resource, bytes(payload, length)?);
            write(call, 0)?;
            let made = inside.sdk.connect_with(ticks(now_ms), to, &request)?;
            write(call, made.number())
        })
    })
}

/// Asks whoever is at an address.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_call_openly(
    device: *mut Handle,
    now_ms: u64,
    to: *const records::Address,
    method: i32,
    resource: i32,
    query: *const c_char,
    payload: *const u8,
    length: usize,
    call: *mut u32,
) -> i32 {
    // SAFETY: as the header says of each of these pointers.
    answer(unsafe {
        enter(device, |inside| {
            let to = convert::address(&read(to)?)?;
            let (method, resource) = (convert::method(method)?, convert::resource(resource)?);
            let request = Request::new(method, resource, bytes(payload, length)?);
            let query = if query.is_null() { None } else { Some(text::<{ Request::MAX_QUERY }>(query)?.as_bytes()) };
            write(call, 0)?;
            let made = inside.sdk.request_openly(ticks(now_ms), to, &Request { query, ..request })?;
            write(call, made.number())
        })
    })
}

/// Fetches the site's list, and those before it that were missed.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_follow_site(
    device: *mut Handle,
    now_ms: u64,
    hub: *const records::Address,
    call: *mut u32,
) -> i32 {
    // SAFETY: as the header says of each of these pointers.
    answer(unsafe {
        enter(device, |inside| {
            let hub = convert::address(&read(hub)?)?;
            write(call, 0)?;
            let made = inside.sdk.follow_site(ticks(now_ms), hub)?;
            write(call, made.number())
        })
    })
}

/// Gives a call up.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_cancel(device: *mut Handle, call: u32) -> i32 {
    // SAFETY: as the header says.
    answer(unsafe {
        enter(device, |inside| {
            inside.sdk.cancel(CallId::from_number(call).ok_or(Refused::CLOSED)?);
            Ok(())
        })
    })
}

/// Answers a peer.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_answer(
    device: *mut Handle,
    now_ms: u64,
    ask: u32,
    status: i32,
    detail: i32,
    payload: *const u8,
    length: usize,
) -> i32 {
    // SAFETY: as the header says of each of these pointers.
    answer(unsafe {
        enter(device, |inside| {
            let status = convert::status(status, detail)?;
            let ask = Ask::from_number(ask).ok_or(Refused::CLOSED)?;
            Ok(inside.sdk.answer(ticks(now_ms), ask, status, bytes(payload, length)?)?)
        })
    })
}

/// Gives all who observe a resource its new state.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_notify(
    device: *mut Handle,
    now_ms: u64,
    resource: i32,
    payload: *const u8,
    length: usize,
) -> i32 {
    // SAFETY: as the header says of each of these pointers.
    answer(unsafe {
        enter(device, |inside| {
            inside.sdk.notify(ticks(now_ms), convert::resource(resource)?, bytes(payload, length)?);
            Ok(())
        })
    })
}

/// Asks a hub for a credential.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_enrol(
    device: *mut Handle,
    now_ms: u64,
    hub: u32,
    code: *const c_char,
    call: *mut u32,
) -> i32 {
    // SAFETY: as the header says of each of these pointers.
    answer(unsafe {
        enter(device, |inside| {
            let code = if code.is_null() { None } else { Some(text::<96>(code)?) };
            write(call, 0)?;
            let made = inside.sdk.enrol(ticks(now_ms), peer(hub)?, code)?;
            write(call, made.number())
        })
    })
}

/// What was dropped since the start.
///
/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn medlock_counters_read(device: *mut Handle, counters: *mut records::Counters) -> i32 {
    // SAFETY: as the header says of each of these pointers.
    answer(unsafe {
        enter(device, |inside| {
            let medlock_device::Counters { noise, forged, handshakes, crowded } = *inside.sdk.counters();
            write(counters, records::Counters { noise, forged, handshakes, crowded })
        })
    })
}

/// The certificates of a chain from C.
///
/// # Safety
/// If `from` is not null, `count` of them lie there, each with as many bytes as it says, for as long as they are used.
pub(crate) unsafe fn certificates(
    from: *const Bytes,
    count: usize,
) -> Result<([&'static [u8]; BIRTH], usize), Refused> {
    let mut chain: [&[u8]; BIRTH] = [&[]; BIRTH];
    if count > BIRTH {
        return Err(Refused(numbers::ERROR_TOO_LONG));
    }
    for (slot, place) in chain.iter_mut().zip(0..count) {
        if from.is_null() {
            return Err(Refused::NULL);
        }
        // SAFETY: one of so many, as the caller says; and so are its bytes.
        *slot = unsafe {
            let Bytes { bytes: first, length } = read(from.wrapping_add(place))?;
            bytes(first, length)?
        };
    }
    Ok((chain, count))
}

/// What the settings say, without the birth credential.
///
/// # Safety
/// As the header says of what they point to.
unsafe fn given(settings: &Settings) -> Result<medlock_device::Settings<'static>, Refused> {
    let end = settings.object_first_page.checked_add(settings.object_pages);
    let layout = Layout {
        objects: settings.object_first_page..end.ok_or(Refused(numbers::ERROR_LAYOUT))?,
        slot_pages: settings.slot_pages,
    };
    // SAFETY: as the caller says.
    let (alliance, [staging, peers, body], therapy) = unsafe {
        let root = settings.alliance_root;
        let alliance = if root.is_null() { None } else { Some(KeyId::from_bytes(crate::pointers::array(root)?)) };
        let therapy = if settings.therapy.is_null() { None } else { Some(read(settings.therapy)?) };
        let rooms = [
            room(settings.staging, settings.staging_length)?,
            room(settings.peers, settings.peers_length)?,
            room(settings.body, settings.body_length)?,
        ];
        (alliance, rooms, therapy)
    };
    let therapy = match therapy {
        None => None,
        Some(therapy) => Some((area(&therapy)?, limits(&therapy.limits))),
    };
    let setting = Setting::ALL.into_iter().find(|one| *one as i32 == settings.setting);
    Ok(medlock_device::Settings {
        setting: setting.ok_or(Refused::VALUE)?,
        alliance: alliance.map(Pinned::Root),
        built: Time::from_unix(settings.built),
        method: edhoc::Method::from_number(settings.method.into()).ok_or(Refused::VALUE)?,
        transmission: Transmission::DEFAULT,
        therapy,
        peers,
        body,
        ..medlock_device::Settings::new(layout, &[], staging)
    })
}

fn area(therapy: &Therapy) -> Result<Area, Refused> {
    let end = therapy.first_page.checked_add(therapy.pages).ok_or(Refused(numbers::ERROR_LAYOUT))?;
    Ok(Area { pages: therapy.first_page..end, bank_pages: therapy.bank_pages })
}

const fn limits(limits: &records::Limits) -> Limits {
    Limits {
        challenge_age_millis: limits.challenge_age_ms,
        concentration: Concentration(limits.concentration_units_per_ml),
        bolus: MilliUnits(limits.bolus_milliunits),
        basal: Rate(limits.basal_milliunits_per_hour),
        basal_minutes: Minutes(limits.basal_minutes),
        window_minutes: Minutes(limits.window_minutes),
        window_amount: MilliUnits(limits.window_milliunits),
        halt_minutes: Minutes(limits.halt_minutes),
        window_halts: limits.window_halts,
        lease_minutes: Minutes(limits.lease_minutes),
    }
}
