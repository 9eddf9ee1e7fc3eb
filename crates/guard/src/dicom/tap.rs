//! A follower of an association's bytes: PDU headers, fragments, command sets and the first data elements.
//!
//! It keeps no more than a fixed few hundred bytes a direction and as many for each presentation context, except while
//! the A-ASSOCIATE-AC passes, which is kept whole and bounded. What it cannot follow inside a data set it leaves out. A
//! [`Violation`] is what breaks the framing of PDUs or messages, because nothing behind it could be followed, and a
//! command that its presentation context does not permit.

use crate::dicom::{
    associate::{MAX_CONTEXTS, MAX_REQUEST, Proposed},
    command::{Command, CommandSet},
    elements::{Elements, Encoding, Tag},
    refuse::Reject,
    text::{Issuer, PatientId, Short, Uid, issuer, patient_id, short},
};

const HEADER: usize = 6;
const SOP_INSTANCE: Tag = 0x0008_0018;
const STUDY_DATE: Tag = 0x0008_0020;
const STUDY_TIME: Tag = 0x0008_0030;
const MODALITY: Tag = 0x0008_0060;
const ZONE: Tag = 0x0008_0201;
const PATIENT_ID: Tag = 0x0010_0020;
const ISSUER: Tag = 0x0010_0021;
const STUDY: Tag = 0x0020_000d;
const SERIES: Tag = 0x0020_000e;

/// One of the two ends of an association.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// Who asked for the association.
    Requestor,
    /// Who was asked.
    Acceptor,
}

impl End {
    /// The opposite end.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Requestor => Self::Acceptor,
            Self::Acceptor => Self::Requestor,
        }
    }
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
    /// Who gave that identifier (0010,0021).
    pub issuer: Option<Issuer>,
    /// Of which study.
    pub study: Option<Uid>,
    /// Of which series.
    pub series: Option<Uid>,
    /// Made by what kind of machine (0008,0060).
    pub modality: Option<Short>,
    /// When the study began: date (0008,0020), time (0008,0030), and the offset of both from UTC (0008,0201).
    pub began: [Option<Short>; 3],
    /// The number of the message that sends it.
    pub message: Option<u16>,
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
    /// An end answered a store.
    Answered {
        /// 0000 success, Bxxx warning, else failure (PS3.7 annex C).
        status: u16,
        /// The number of the message that sent the instance.
        message: Option<u16>,
    },
    /// An end asked.
    Asked(Query, Option<Uid>),
    /// An end asked for the release.
    ReleaseRequested,
    /// The release was confirmed: the association ended well.
    Released,
    /// An end aborted: source and reason.
    Aborted(u8, u8),
}

/// Bytes that must not be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// They are no DICOM upper layer protocol; what was wrong.
    #[error("{0}")]
    Framing(&'static str),
    /// A command set that could be read in two ways, or not at all.
    #[error("a command set that {0}")]
    CommandSet(&'static str),
    /// A command that its presentation context does not permit.
    #[error("command {field:04x}H in presentation context {context} ({abstract_syntax}): {why}")]
    NotPermitted {
        /// The command field (PS3.7 annex E.1).
        field: u16,
        /// The number of the presentation context.
        context: u8,
        /// What the presentation context is for.
        abstract_syntax: Uid,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl Violation {
    /// The stable code, for the audit.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Framing(_) | Self::CommandSet(_) => "dicom-violation",
            Self::NotPermitted { .. } => "dicom-command-not-permitted",
        }
    }
}

/// Follows one association in both directions.
#[derive(Clone, Debug)]
pub struct Tap {
    contexts: Contexts,
    requestor: Direction,
    acceptor: Direction,
}

/// The presentation contexts.
#[derive(Clone, Debug)]
struct Contexts {
    /// Whether the A-ASSOCIATE-AC has passed.
    answered: bool,
    /// By half of their numbers, which are odd.
    proposed: Box<[Option<Negotiated>]>,
}

/// A proposed presentation context.
#[derive(Clone, Copy, Debug)]
struct Negotiated {
    proposed: Proposed,
    /// How its data sets are written; `None`: the acceptor did not take it.
    encoding: Option<Encoding>,
}

impl Contexts {
    fn new(proposed: &[Proposed]) -> Self {
        let mut all = vec![None; MAX_CONTEXTS].into_boxed_slice();
        for context in proposed.iter().filter(|context| context.id % 2 == 1) {
            all[usize::from(context.id / 2)] = Some(Negotiated { proposed: *context, encoding: None });
        }
        Self { answered: false, proposed: all }
    }

    /// The presentation context with this number, if it was proposed and accepted.
    fn accepted(&self, id: u8) -> Result<(&Proposed, Encoding), Violation> {
        let context = self.proposed[usize::from(id / 2)].as_ref().filter(|context| context.proposed.id == id);
        context
            .and_then(|context| Some((&context.proposed, context.encoding?)))
            .ok_or(Violation::Framing("a message in a presentation context that was not accepted"))
    }

    /// The acceptor takes a presentation context.
    fn accept(&mut self, id: u8, encoding: Encoding) -> Result<(), Violation> {
        match &mut self.proposed[usize::from(id / 2)] {
            Some(context) if context.proposed.id == id && context.encoding.is_none() => {
                context.encoding = Some(encoding);
                Ok(())
            }
            Some(_) => Err(Violation::Framing("an answer that takes a presentation context twice")),
            None => Err(Violation::Framing("an answer that takes a presentation context that was not proposed")),
        }
    }
}

impl Default for Tap {
    /// A follower of an association without presentation contexts.
    fn default() -> Self {
        Self::new(&[])
    }
}

impl Tap {
    /// A follower of an association that begins with the answer to a request for these presentation contexts.
    #[must_use]
    pub fn new(proposed: &[Proposed]) -> Self {
        let contexts = Contexts::new(proposed);
        Self { contexts, requestor: Direction::new(End::Requestor), acceptor: Direction::new(End::Acceptor) }
    }

    /// Follows the next bytes that `from` sent; `event` gets what was seen in them.
    ///
    /// # Errors
    /// [`Violation`] if the bytes must not be passed on. The follower must not be used after it.
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
    /// In a fragment: whether it is its command's or data set's last, bytes of it, and bytes of the PDU behind it.
    Fragment { is_last: bool, rest: u32, behind: u32 },
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
                    match fill(header, have, &mut bytes) {
                        Some(header) => {
                            let fragment = begin_fragment(header, rest)?;
                            self.message.begin(header[4], header[5], contexts)?;
                            Some(fragment)
                        }
                        None => None,
                    }
                }
                Step::Fragment { rest, .. } => {
                    let taken = bytes.len().min(*rest as usize);
                    self.message.fragment(&bytes[..taken], event)?;
                    bytes = &bytes[taken..];
                    *rest -= u32::try_from(taken).unwrap_or(*rest);
                    None
                }
            };
            if let Some(next) = next {
                self.step = next;
            }
            if let Step::Fragment { is_last, rest: 0, behind } = self.step {
                if is_last {
                    let message = std::mem::replace(&mut self.message, Message::Idle);
                    self.message = message.last(self.end, contexts, event)?;
                }
                self.step = match behind {
                    0 => FRESH,
                    1..6 => return Err(Violation::Framing("a presentation data value does not fit its PDU")),
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
        (2, 68..) if end == End::Acceptor && !contexts.answered => {
            let rest = usize::try_from(length).unwrap_or(usize::MAX);
            if rest > MAX_REQUEST {
                return Err(Violation::Framing("the answer to the association request is too long"));
            }
            Ok(Step::Accept { body: Vec::new(), rest })
        }
        (3, 4) if end == End::Acceptor && !contexts.answered => Ok(Step::Small { kind: 3, bytes: [0; 4], have: 0 }),
        (4, HEADER_LENGTH..) if contexts.answered => Ok(Step::Value { bytes: [0; HEADER], have: 0, rest: length }),
        (kind @ (5 | 6), 4) if contexts.answered => Ok(Step::Small { kind, bytes: [0; 4], have: 0 }),
        (7, 4) => Ok(Step::Small { kind: 7, bytes: [0; 4], have: 0 }),
        (2..=7, _) => Err(Violation::Framing("a PDU that does not belong here, or of a wrong length")),
        (1, _) => Err(Violation::Framing("a second association request")),
        _ => Err(Violation::Framing("a PDU of unknown type")),
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
        return Err(Violation::Framing("a presentation data value does not fit its PDU"));
    };
    Ok(Step::Fragment { is_last: header[5] & 2 != 0, rest: content, behind })
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
    const BROKEN: Violation = Violation::Framing("the answer to the association request is damaged");
    let mut taken = 0;
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
            let encoding = Uid::from_field(syntax).map_or(Encoding::Opaque, |syntax| Encoding::of(&syntax));
            contexts.accept(head[0], encoding)?;
            taken += 1;
        }
    }
    contexts.answered = true;
    Ok(taken)
}

fn item(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    let (content, behind) = rest.split_at_checked(usize::from(u16::from_be_bytes([head[2], head[3]])))?;
    Some((head[0], content, behind))
}

/// A message in the making: command set, then perhaps a data set, all in one presentation context (PS3.7 section 6.3).
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a direction has one, and most of the time it is the largest")]
enum Message {
    Idle,
    Command {
        context: u8,
        set: CommandSet,
    },
    /// The data set of a store.
    Data {
        context: u8,
        elements: Elements,
        instance: Instance,
        told: bool,
    },
    /// Another data set, which is passed unseen.
    Other {
        context: u8,
    },
}

fn take(instance: &mut Instance, tag: Tag, value: &[u8]) {
    match tag {
        SOP_INSTANCE if instance.sop_instance.is_none() => instance.sop_instance = Uid::from_field(value),
        STUDY_DATE => instance.began[0] = short(value),
        STUDY_TIME => instance.began[1] = short(value),
        ZONE => instance.began[2] = short(value),
        MODALITY => instance.modality = short(value),
        PATIENT_ID => instance.patient = Some(patient_id(value)),
        ISSUER => instance.issuer = issuer(value),
        STUDY => instance.study = Uid::from_field(value),
        SERIES => instance.series = Uid::from_field(value),
        _ => {}
    }
}

impl Message {
    /// A fragment begins. Fragments of two messages are not mixed, so that both ends read the same messages.
    fn begin(&mut self, context: u8, flags: u8, contexts: &Contexts) -> Result<(), Violation> {
        contexts.accepted(context)?;
        match (&*self, flags & 1 != 0) {
            (Self::Idle, true) => *self = Self::Command { context, set: CommandSet::new() },
            (Self::Command { context: expected, .. }, true)
            | (Self::Data { context: expected, .. } | Self::Other { context: expected }, false)
                if *expected == context => {}
            (_, true) => return Err(Violation::Framing("a command inside another message")),
            (_, false) => return Err(Violation::Framing("a data set without its command")),
        }
        Ok(())
    }

    fn fragment(&mut self, bytes: &[u8], event: &mut impl FnMut(Event)) -> Result<(), Violation> {
        match self {
            Self::Command { set, .. } => set.feed(bytes)?,
            Self::Data { elements, instance, told, .. } if !elements.is_done() => {
                let wanted = |tag: Tag| {
                    matches!(
                        tag,
                        SOP_INSTANCE | STUDY_DATE | STUDY_TIME | MODALITY | ZONE | PATIENT_ID | ISSUER | STUDY | SERIES
                    )
                };
                elements.feed(bytes, wanted, &mut |tag, value| take(instance, tag, value));
                // Not before all that is wanted has passed: however the bytes are cut, the same is told.
                if !*told && elements.is_done() {
                    *told = true;
                    event(Event::Storing(*instance));
                }
            }
            Self::Idle | Self::Data { .. } | Self::Other { .. } => {}
        }
        Ok(())
    }

    /// The last fragment of a command or data set has passed: what is expected now.
    fn last(self, from: End, contexts: &Contexts, event: &mut impl FnMut(Event)) -> Result<Self, Violation> {
        match self {
            Self::Command { context, set } => {
                let (proposed, encoding) = contexts.accepted(context)?;
                let command = set.end()?;
                command.judge(from, proposed)?;
                Ok(command.ended(context, encoding, event))
            }
            Self::Data { instance, told, .. } => {
                if !told {
                    event(Event::Storing(instance));
                }
                event(Event::Stored(instance));
                Ok(Self::Idle)
            }
            Self::Idle | Self::Other { .. } => Ok(Self::Idle),
        }
    }
}

impl Command {
    fn ended(&self, context: u8, encoding: Encoding, event: &mut impl FnMut(Event)) -> Message {
        match self.field {
            0x0001 if self.has_data => {
                let (sop_class, sop_instance, message) = (self.affected_class, self.instance, self.message);
                let instance = Instance { sop_class, sop_instance, message, ..Instance::default() };
                let elements = Elements::new(encoding, SERIES);
                return Message::Data { context, elements, instance, told: false };
            }
            0x8001 => {
                event(Event::Answered { status: self.status.unwrap_or(0xffff), message: self.message });
            }
            0x0020 => event(Event::Asked(Query::Find, self.affected_class)),
            0x0021 => event(Event::Asked(Query::Move, self.affected_class)),
            0x0010 => event(Event::Asked(Query::Get, self.affected_class)),
            _ => {}
        }
        if self.has_data { Message::Other { context } } else { Message::Idle }
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
