//! A follower of an association's bytes: PDU headers, fragments, command sets and the first data elements.
//!
//! It keeps no more than a fixed few hundred bytes a direction, except while the A-ASSOCIATE-AC passes, which is kept
//! whole and bounded. What it cannot follow inside a data set it leaves out; what breaks the framing of PDUs is a
//! [`Violation`], because nothing behind it could be followed.

use crate::dicom::{
    associate::MAX_REQUEST,
    elements::{Elements, Encoding, Tag},
    refuse::Reject,
    text::{PatientId, Uid, patient_id},
};

const HEADER: usize = 6;
const LAST_COMMAND_ELEMENT: Tag = 0x0000_0900;
const SOP_CLASS: Tag = 0x0000_0002;
const COMMAND_FIELD: Tag = 0x0000_0100;
const DATA_SET_TYPE: Tag = 0x0000_0800;
const STATUS: Tag = 0x0000_0900;
const PATIENT_ID: Tag = 0x0010_0020;
const STUDY: Tag = 0x0020_000d;
const SOP_INSTANCE: Tag = 0x0008_0018;

/// One of the two ends of an association.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// Who asked for the association.
    Requestor,
    /// Who was asked.
    Acceptor,
}

/// What is known of an instance that is transferred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Instance {
    /// What kind of object.
    pub sop_class: Option<Uid>,
    /// Which object.
    pub sop_instance: Option<Uid>,
    /// Whose.
    pub patient: Option<PatientId>,
    /// Of which study.
    pub study: Option<Uid>,
}

/// What is asked for by a query or retrieve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query {
    /// C-FIND.
    Find,
    /// C-MOVE.
    Move,
    /// C-GET.
    Get,
}

/// What was seen on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The acceptor took the association, with so many presentation contexts.
    Accepted(usize),
    /// The acceptor refused it.
    Rejected(Reject),
    /// An end began to send an instance.
    Storing(Instance),
    /// An end sent an instance to its last byte.
    Stored(Instance),
    /// An end answered a store with this status: 0000 success, Bxxx warning, else failure (PS3.7 annex C).
    Answered(u16),
    /// An end asked.
    Asked(Query, Option<Uid>),
    /// An end asked for the release.
    ReleaseRequested,
    /// The release was confirmed: the association ended well.
    Released,
    /// An end aborted: source and reason.
    Aborted(u8, u8),
}

/// Bytes that are no DICOM upper layer protocol; what was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Violation(pub &'static str);

/// Follows one association in both directions.
#[derive(Clone, Debug)]
pub struct Tap {
    contexts: Contexts,
    requestor: Direction,
    acceptor: Direction,
}

/// How data sets of each presentation context are written; set by the A-ASSOCIATE-AC. Numbers are odd.
#[derive(Clone, Debug)]
struct Contexts {
    accepted: bool,
    encodings: [Encoding; 128],
}

impl Contexts {
    fn encoding(&self, id: u8) -> Encoding {
        self.encodings[usize::from(id / 2)]
    }
}

impl Default for Tap {
    /// A follower of an association that begins with the answer to a request.
    fn default() -> Self {
        let contexts = Contexts { accepted: false, encodings: [Encoding::Opaque; 128] };
        Self { contexts, requestor: Direction::new(End::Requestor), acceptor: Direction::new(End::Acceptor) }
    }
}

impl Tap {
    /// Follows the next bytes that `from` sent; `event` gets what was seen in them.
    ///
    /// # Errors
    /// [`Violation`] if the framing is broken. The follower must not be used after it.
    pub fn feed(&mut self, from: End, bytes: &[u8], event: &mut impl FnMut(Event)) -> Result<(), Violation> {
        let direction = match from {
            End::Requestor => &mut self.requestor,
            End::Acceptor => &mut self.acceptor,
        };
        direction.feed(bytes, &mut self.contexts, event)
    }
}

#[derive(Clone, Debug)]
struct Direction {
    end: End,
    step: Step,
    message: Message,
}

#[derive(Clone, Debug)]
enum Step {
    /// In the header of a PDU.
    Header { bytes: [u8; HEADER], have: usize },
    /// In one of the small PDUs of four bytes.
    Small { kind: u8, bytes: [u8; 4], have: usize },
    /// In the A-ASSOCIATE-AC.
    Accept { body: Vec<u8>, rest: usize },
    /// In the header of a presentation data value, with so many bytes of the PDU from its start.
    Value { bytes: [u8; HEADER], have: usize, rest: u32 },
    /// In a fragment: bytes of it, and bytes of the PDU behind it.
    Fragment { context: u8, flags: u8, rest: u32, behind: u32 },
}

const FRESH: Step = Step::Header { bytes: [0; HEADER], have: 0 };

impl Direction {
    fn new(end: End) -> Self {
        Self { end, step: FRESH, message: Message::Idle }
    }

    fn feed(
        &mut self,
        mut bytes: &[u8],
        contexts: &mut Contexts,
        event: &mut impl FnMut(Event),
    ) -> Result<(), Violation> {
        while !bytes.is_empty() {
            let next = match &mut self.step {
                Step::Header { bytes: header, have } => {
                    fill(header, have, &mut bytes).map(|header| begin_pdu(header, self.end, contexts)).transpose()?
                }
                Step::Small { kind, bytes: body, have } => {
                    let kind = *kind;
                    fill(body, have, &mut bytes).map(|body| {
                        event(small(kind, body));
                        FRESH
                    })
                }
                Step::Accept { body, rest } => {
                    let (taken, behind) = bytes.split_at(bytes.len().min(*rest));
                    body.extend_from_slice(taken);
                    *rest -= taken.len();
                    bytes = behind;
                    if *rest == 0 {
                        event(Event::Accepted(accept(body, contexts)?));
                        Some(FRESH)
                    } else {
                        None
                    }
                }
                Step::Value { bytes: header, have, rest } => {
                    let rest = *rest;
                    fill(header, have, &mut bytes).map(|header| begin_fragment(header, rest)).transpose()?
                }
                Step::Fragment { context, flags, rest, behind: _ } => {
                    let taken = bytes.len().min(*rest as usize);
                    self.message.fragment(*context, *flags, &bytes[..taken], event);
                    bytes = &bytes[taken..];
                    *rest -= u32::try_from(taken).unwrap_or(*rest);
                    None
                }
            };
            if let Some(next) = next {
                self.step = next;
            }
            if let Step::Fragment { context, flags, rest: 0, behind } = self.step {
                if flags & 2 != 0 {
                    self.message.last(context, flags, contexts, event);
                }
                self.step = match behind {
                    0 => FRESH,
                    1..6 => return Err(Violation("a presentation data value does not fit its PDU")),
                    rest => Step::Value { bytes: [0; HEADER], have: 0, rest },
                };
            }
        }
        Ok(())
    }
}

/// Takes bytes until `to` is full; then returns it.
fn fill<const N: usize>(to: &mut [u8; N], have: &mut usize, from: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = from.split_at(from.len().min(N - *have));
    to[*have..*have + taken.len()].copy_from_slice(taken);
    *have += taken.len();
    *from = rest;
    (*have == N).then_some(*to)
}

/// What follows a PDU's header (PS3.8 section 9.3).
fn begin_pdu(header: [u8; HEADER], end: End, contexts: &Contexts) -> Result<Step, Violation> {
    let length = u32::from_be_bytes([header[2], header[3], header[4], header[5]]);
    match (header[0], length) {
        (2, 68..) if end == End::Acceptor && !contexts.accepted => {
            let rest = usize::try_from(length).unwrap_or(usize::MAX);
            if rest > MAX_REQUEST {
                return Err(Violation("the answer to the association request is too long"));
            }
            Ok(Step::Accept { body: Vec::new(), rest })
        }
        (3, 4) if end == End::Acceptor && !contexts.accepted => Ok(Step::Small { kind: 3, bytes: [0; 4], have: 0 }),
        (4, HEADER_LENGTH..) if contexts.accepted => Ok(Step::Value { bytes: [0; HEADER], have: 0, rest: length }),
        (kind @ (5 | 6), 4) if contexts.accepted => Ok(Step::Small { kind, bytes: [0; 4], have: 0 }),
        (7, 4) => Ok(Step::Small { kind: 7, bytes: [0; 4], have: 0 }),
        (2..=7, _) => Err(Violation("a PDU that does not belong here, or of a wrong length")),
        (1, _) => Err(Violation("a second association request")),
        _ => Err(Violation("a PDU of unknown type")),
    }
}

/// The least bytes of a P-DATA-TF: one presentation data value's header.
const HEADER_LENGTH: u32 = 6;

/// What follows the header of a presentation data value (PS3.8 section 9.3.5.1); `rest` bytes of the PDU from its start.
fn begin_fragment(header: [u8; HEADER], rest: u32) -> Result<Step, Violation> {
    let length = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
    let (Some(content), Some(behind)) =
        (length.checked_sub(2), rest.checked_sub(4).and_then(|n| n.checked_sub(length)))
    else {
        return Err(Violation("a presentation data value does not fit its PDU"));
    };
    Ok(Step::Fragment { context: header[4], flags: header[5], rest: content, behind })
}

fn small(kind: u8, body: [u8; 4]) -> Event {
    match kind {
        3 => Event::Rejected(Reject { result: body[1], source: body[2], reason: body[3] }),
        5 => Event::ReleaseRequested,
        6 => Event::Released,
        _ => Event::Aborted(body[2], body[3]),
    }
}

/// Reads the accepted presentation contexts out of the body of an A-ASSOCIATE-AC (PS3.8 section 9.3.3).
fn accept(body: &[u8], contexts: &mut Contexts) -> Result<usize, Violation> {
    const BROKEN: Violation = Violation("the answer to the association request is damaged");
    let mut accepted = 0;
    let mut rest = body.get(68..).ok_or(BROKEN)?;
    while !rest.is_empty() {
        let (kind, content, behind) = item(rest).ok_or(BROKEN)?;
        rest = behind;
        if kind != 0x21 {
            continue;
        }
        let (head, syntaxes) = content.split_first_chunk::<4>().ok_or(BROKEN)?;
        if head[2] == 0 {
            let (_, syntax, _) = item(syntaxes).ok_or(BROKEN)?;
            contexts.encodings[usize::from(head[0] / 2)] =
                Uid::from_field(syntax).map_or(Encoding::Opaque, |syntax| Encoding::of(&syntax));
            accepted += 1;
        }
    }
    contexts.accepted = true;
    Ok(accepted)
}

fn item(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    let (content, behind) = rest.split_at_checked(usize::from(u16::from_be_bytes([head[2], head[3]])))?;
    Some((head[0], content, behind))
}

/// A message in the making: command set, then perhaps a data set (PS3.7 section 6.3).
#[derive(Clone, Debug)]
enum Message {
    Idle,
    Command { elements: Elements, command: Command },
    Data { context: u8, elements: Elements, instance: Instance, told: bool },
}

/// What is taken from a command set.
#[derive(Clone, Copy, Debug, Default)]
struct Command {
    field: u16,
    sop_class: Option<Uid>,
    sop_instance: Option<Uid>,
    status: Option<u16>,
    has_data: bool,
}

impl Command {
    fn take(&mut self, tag: Tag, value: &[u8]) {
        let number = || value.first_chunk::<2>().map(|two| u16::from_le_bytes(*two));
        match tag {
            SOP_CLASS => self.sop_class = Uid::from_field(value),
            AFFECTED_INSTANCE => self.sop_instance = Uid::from_field(value),
            COMMAND_FIELD => self.field = number().unwrap_or(0),
            // 0101: no data set (PS3.7 section 9.1).
            DATA_SET_TYPE => self.has_data = number().is_some_and(|kind| kind != 0x0101),
            STATUS => self.status = number(),
            _ => {}
        }
    }

    fn wants(tag: Tag) -> bool {
        matches!(tag, SOP_CLASS | AFFECTED_INSTANCE | COMMAND_FIELD | DATA_SET_TYPE | STATUS)
    }
}

const AFFECTED_INSTANCE: Tag = 0x0000_1000;
const _: () = assert!(AFFECTED_INSTANCE > LAST_COMMAND_ELEMENT);

fn take(instance: &mut Instance, tag: Tag, value: &[u8]) {
    match tag {
        SOP_INSTANCE if instance.sop_instance.is_none() => instance.sop_instance = Uid::from_field(value),
        PATIENT_ID => instance.patient = Some(patient_id(value)),
        STUDY => instance.study = Uid::from_field(value),
        _ => {}
    }
}

impl Message {
    fn fragment(&mut self, context: u8, flags: u8, bytes: &[u8], event: &mut impl FnMut(Event)) {
        if flags & 1 != 0 {
            if !matches!(self, Self::Command { .. }) {
                let elements = Elements::new(Encoding::Implicit, AFFECTED_INSTANCE);
                *self = Self::Command { elements, command: Command::default() };
            }
            if let Self::Command { elements, command } = self {
                elements.feed(bytes, Command::wants, &mut |tag, value| command.take(tag, value));
            }
        } else if let Self::Data { context: expected, elements, instance, told } = self
            && *expected == context
            && !elements.is_done()
        {
            let wanted = |tag: Tag| matches!(tag, SOP_INSTANCE | PATIENT_ID | STUDY);
            elements.feed(bytes, wanted, &mut |tag, value| take(instance, tag, value));
            if !*told && instance.study.is_some() {
                *told = true;
                event(Event::Storing(*instance));
            }
        }
    }

    /// The last fragment of a command or data set has passed.
    fn last(&mut self, context: u8, flags: u8, contexts: &Contexts, event: &mut impl FnMut(Event)) {
        let is_command = flags & 1 != 0;
        *self = match std::mem::replace(self, Self::Idle) {
            Self::Command { command, .. } if is_command => command.ended(context, contexts, event),
            Self::Data { context: expected, instance, told, .. } if !is_command && expected == context => {
                if !told {
                    event(Event::Storing(instance));
                }
                event(Event::Stored(instance));
                Self::Idle
            }
            other => other,
        };
    }
}

impl Command {
    fn ended(self, context: u8, contexts: &Contexts, event: &mut impl FnMut(Event)) -> Message {
        match self.field {
            0x0001 if self.has_data => {
                let instance =
                    Instance { sop_class: self.sop_class, sop_instance: self.sop_instance, ..Instance::default() };
                let elements = Elements::new(contexts.encoding(context), STUDY);
                return Message::Data { context, elements, instance, told: false };
            }
            0x8001 => event(Event::Answered(self.status.unwrap_or(0xffff))),
            0x0020 => event(Event::Asked(Query::Find, self.sop_class)),
            0x0021 => event(Event::Asked(Query::Move, self.sop_class)),
            0x0010 => event(Event::Asked(Query::Get, self.sop_class)),
            _ => {}
        }
        Message::Idle
    }
}

/// Knows only whether a stream of PDUs stands between two of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Boundary {
    header: [u8; HEADER],
    have: usize,
    rest: u32,
}

impl Boundary {
    /// Follows the next bytes.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.rest > 0 {
                let taken = bytes.len().min(self.rest as usize);
                bytes = &bytes[taken..];
                self.rest -= u32::try_from(taken).unwrap_or(self.rest);
            } else if let Some(header) = fill(&mut self.header, &mut self.have, &mut bytes) {
                self.have = 0;
                self.rest = u32::from_be_bytes([header[2], header[3], header[4], header[5]]);
            }
        }
    }

    /// Whether all PDUs so far are whole.
    #[must_use]
    pub const fn is_between_pdus(&self) -> bool {
        self.have == 0 && self.rest == 0
    }
}

#[cfg(test)]
pub(crate) mod tests;
