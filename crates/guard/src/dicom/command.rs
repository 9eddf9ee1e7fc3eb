//! Command sets, and what they may ask in a presentation context.
//!
//! What a peer may do was judged by the presentation contexts it proposed. Stock receivers look at the command only: one
//! that stores is obeyed in any context. So each command is held against its context before its last byte is passed on.

use crate::dicom::{
    associate::Proposed,
    classes,
    elements::Tag,
    tap::{End, Violation},
    text::Uid,
};
use medlock_trust::Operation;

/// The longest command set, in bytes. The longest of stock software, with a list of attributes, have some hundred.
const MAX_COMMAND_SET: usize = 64 << 10;
/// Bytes of the longest value that is read, a UID.
const VALUE: usize = 64;

const AFFECTED_SOP_CLASS: Tag = 0x0000_0002;
const REQUESTED_SOP_CLASS: Tag = 0x0000_0003;
const COMMAND_FIELD: Tag = 0x0000_0100;
const MESSAGE: Tag = 0x0000_0110;
const MESSAGE_ANSWERED: Tag = 0x0000_0120;
const DATA_SET_TYPE: Tag = 0x0000_0800;
const STATUS: Tag = 0x0000_0900;
const AFFECTED_SOP_INSTANCE: Tag = 0x0000_1000;

/// The bit of a command field that makes it a response (PS3.7 annex E.1).
const RESPONSE: u16 = 0x8000;

/// Follows a command set to its end: implicit value representation, little endian (PS3.7 section 6.3.1).
///
/// Tags ascend strictly (PS3.5 section 7.1), so that no element can hide another one or be there twice.
#[derive(Clone, Debug)]
pub(crate) struct CommandSet {
    step: Step,
    last: Option<Tag>,
    length: usize,
    parts: Parts,
}

#[derive(Clone, Debug)]
enum Step {
    Header { bytes: [u8; 8], have: usize },
    Value { tag: Tag, bytes: [u8; VALUE], have: usize, rest: usize },
}

const FRESH: Step = Step::Header { bytes: [0; 8], have: 0 };

/// What is taken from a command set while it passes.
#[derive(Clone, Copy, Debug, Default)]
struct Parts {
    affected_class: Option<Uid>,
    requested_class: Option<Uid>,
    field: Option<u16>,
    data_set_type: Option<u16>,
    status: Option<u16>,
    instance: Option<Uid>,
    message: Option<u16>,
}

/// A whole command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Command {
    pub(crate) field: u16,
    pub(crate) affected_class: Option<Uid>,
    requested_class: Option<Uid>,
    pub(crate) instance: Option<Uid>,
    pub(crate) status: Option<u16>,
    pub(crate) has_data: bool,
    /// Its number, or that of the command it answers.
    pub(crate) message: Option<u16>,
}

impl CommandSet {
    pub(crate) fn new() -> Self {
        Self { step: FRESH, last: None, length: 0, parts: Parts::default() }
    }

    /// Follows the next bytes.
    pub(crate) fn feed(&mut self, mut data: &[u8]) -> Result<(), Violation> {
        self.length = self.length.saturating_add(data.len());
        if self.length > MAX_COMMAND_SET {
            return Err(Violation::CommandSet("is too long"));
        }
        while !data.is_empty() {
            match &mut self.step {
                Step::Header { bytes, have } => {
                    let taken = data.len().min(bytes.len() - *have);
                    bytes[*have..*have + taken].copy_from_slice(&data[..taken]);
                    *have += taken;
                    data = &data[taken..];
                    if *have == bytes.len() {
                        let header = *bytes;
                        self.step = self.enter(header)?;
                    }
                }
                Step::Value { bytes, have, rest, .. } => {
                    let taken = data.len().min(*rest);
                    let kept = taken.min(VALUE - *have);
                    bytes[*have..*have + kept].copy_from_slice(&data[..kept]);
                    *have += kept;
                    *rest -= taken;
                    data = &data[taken..];
                }
            }
            if let Step::Value { tag, bytes, have, rest: 0 } = &self.step {
                self.parts.take(*tag, &bytes[..*have])?;
                self.step = FRESH;
            }
        }
        Ok(())
    }

    /// What follows an element's header.
    fn enter(&mut self, header: [u8; 8]) -> Result<Step, Violation> {
        let [a, b, c, d, length @ ..] = header;
        let tag = Tag::from(u16::from_le_bytes([a, b])) << 16 | Tag::from(u16::from_le_bytes([c, d]));
        if tag > 0xffff {
            return Err(Violation::CommandSet("has an element of another group"));
        }
        if self.last.is_some_and(|last| tag <= last) {
            return Err(Violation::CommandSet("is out of order"));
        }
        self.last = Some(tag);
        let rest = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        if rest > MAX_COMMAND_SET {
            return Err(Violation::CommandSet("has an element that is too long"));
        }
        if rest > VALUE && Parts::wants(tag) {
            return Err(Violation::CommandSet("has a value that is too long"));
        }
        Ok(Step::Value { tag, bytes: [0; VALUE], have: 0, rest })
    }

    /// The command, when its last fragment has passed.
    pub(crate) fn end(self) -> Result<Command, Violation> {
        if !matches!(self.step, Step::Header { have: 0, .. }) {
            return Err(Violation::CommandSet("ends inside an element"));
        }
        let parts = self.parts;
        Ok(Command {
            field: parts.field.ok_or(Violation::CommandSet("has no command field"))?,
            affected_class: parts.affected_class,
            requested_class: parts.requested_class,
            instance: parts.instance,
            status: parts.status,
            message: parts.message,
            // 0101: no data set (PS3.7 section 9.1).
            has_data: parts.data_set_type.ok_or(Violation::CommandSet("has no data set type"))? != 0x0101,
        })
    }
}

impl Parts {
    const fn wants(tag: Tag) -> bool {
        matches!(
            tag,
            AFFECTED_SOP_CLASS
                | REQUESTED_SOP_CLASS
                | COMMAND_FIELD
                | MESSAGE
                | MESSAGE_ANSWERED
                | DATA_SET_TYPE
                | STATUS
                | AFFECTED_SOP_INSTANCE
        )
    }

    fn take(&mut self, tag: Tag, value: &[u8]) -> Result<(), Violation> {
        let number = || match value {
            [low, high] => Ok(Some(u16::from_le_bytes([*low, *high]))),
            _ => Err(Violation::CommandSet("has a number that is not two bytes long")),
        };
        // Responses may leave the class empty.
        let class = || match value {
            [] => Ok(None),
            _ => Uid::from_field(value).map(Some).ok_or(Violation::CommandSet("has a SOP class that is no identifier")),
        };
        match tag {
            AFFECTED_SOP_CLASS => self.affected_class = class()?,
            REQUESTED_SOP_CLASS => self.requested_class = class()?,
            COMMAND_FIELD => self.field = number()?,
            MESSAGE | MESSAGE_ANSWERED => self.message = number().ok().flatten(),
            DATA_SET_TYPE => self.data_set_type = number()?,
            STATUS => self.status = number()?,
            AFFECTED_SOP_INSTANCE => self.instance = Uid::from_field(value),
            _ => {}
        }
        Ok(())
    }
}

/// The DIMSE services (PS3.7 sections 9 and 10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    Store,
    /// C-GET, C-FIND, C-MOVE, C-ECHO and N-GET.
    Read,
    EventReport,
    /// N-SET, N-ACTION, N-CREATE and N-DELETE.
    Change,
    Cancel,
}

impl Service {
    /// The service of a command field without its response bit.
    const fn of(field: u16) -> Option<Self> {
        match field {
            0x0001 => Some(Self::Store),
            0x0010 | 0x0020 | 0x0021 | 0x0030 | 0x0110 => Some(Self::Read),
            0x0100 => Some(Self::EventReport),
            0x0120 | 0x0130 | 0x0140 | 0x0150 => Some(Self::Change),
            0x0fff => Some(Self::Cancel),
            _ => None,
        }
    }
}

impl Command {
    /// Whether `from` may send this command in an accepted presentation context.
    ///
    /// A response is judged as what it answers, asked by the other end. The acceptor asks only where the requestor offered
    /// that (sub-operations of a C-GET), but for event reports, which are the acceptor's part of a service.
    ///
    /// # Errors
    /// [`Violation::NotPermitted`].
    pub(crate) fn judge(&self, from: End, context: &Proposed) -> Result<(), Violation> {
        self.reason_against(from, context).map_or(Ok(()), |why| {
            let (context, abstract_syntax) = (context.id, context.abstract_syntax);
            Err(Violation::NotPermitted { field: self.field, context, abstract_syntax, why })
        })
    }

    fn reason_against(&self, from: End, context: &Proposed) -> Option<&'static str> {
        let is_response = self.field & RESPONSE != 0;
        let asker = if is_response { from.other() } else { from };
        let Some(service) = Service::of(self.field & !RESPONSE).filter(|s| !is_response || *s != Service::Cancel)
        else {
            return Some("it is no command of DICOM");
        };
        let syntax = context.abstract_syntax.as_str();
        let operation = classes::operation(syntax);
        let permitted = match service {
            Service::Store => operation == Operation::Store,
            Service::EventReport | Service::Change => operation != Operation::Read,
            Service::Read | Service::Cancel => !classes::is_only_stored(syntax),
        };
        if !permitted {
            return Some("its operation was not asked for there");
        }
        if asker == End::Acceptor && service != Service::EventReport && !context.reversed {
            return Some("only the requestor may ask there");
        }
        if is_response || service == Service::Cancel {
            return None;
        }
        if self.affected_class.is_none() && self.requested_class.is_none() {
            return Some("it names no SOP class");
        }
        let foreign = [self.affected_class, self.requested_class]
            .iter()
            .flatten()
            .any(|class| *class != context.abstract_syntax && classes::operation(class.as_str()) != operation);
        foreign.then_some("its SOP class needs another operation")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(tag: Tag, value: &[u8]) -> Vec<u8> {
        let mut element = [0, 0].to_vec();
        element.extend_from_slice(&u16::try_from(tag).unwrap().to_le_bytes());
        element.extend_from_slice(&u32::try_from(value.len()).unwrap().to_le_bytes());
        element.extend_from_slice(value);
        element
    }

    fn read(elements: &[Vec<u8>]) -> Result<Command, Violation> {
        let mut set = CommandSet::new();
        set.feed(&elements.concat())?;
        set.end()
    }

    /// Shows REQ-GUARD-18: no order, repetition or length hides what a command asks.
    #[test]
    fn a_command_set_has_one_reading() {
        let class = element(AFFECTED_SOP_CLASS, b"1.2.840.10008.5.1.4.1.1.2\0");
        let field = element(COMMAND_FIELD, &[1, 0]);
        let kind = element(DATA_SET_TYPE, &[1, 0]);
        let originator = element(0x0000_1030, b"CT1 ");
        let parts = |all: &[&Vec<u8>]| all.iter().map(|part| (*part).clone()).collect::<Vec<_>>();
        let good = read(&parts(&[&class, &field, &kind, &originator])).unwrap();
        assert_eq!((good.field, good.has_data), (1, true));
        let text = |all: &[&Vec<u8>]| read(&parts(all)).unwrap_err().to_string();
        assert!(text(&[&originator, &class, &field, &kind]).contains("out of order"));
        assert!(text(&[&class, &field, &field, &kind]).contains("out of order"));
        assert!(text(&[&class, &field, &kind, &kind]).contains("out of order"));
        assert!(text(&[&class, &kind]).contains("no command field"));
        assert!(text(&[&class, &field]).contains("no data set type"));
        assert!(text(&[]).contains("no command field"));
        assert!(text(&[&class, &element(COMMAND_FIELD, &[1, 0, 0, 0]), &kind]).contains("two bytes"));
        assert!(text(&[&class, &element(COMMAND_FIELD, &[]), &kind]).contains("two bytes"));
        assert!(text(&[&element(AFFECTED_SOP_CLASS, &[b'1'; 66]), &field, &kind]).contains("too long"));
        assert!(text(&[&element(AFFECTED_SOP_CLASS, b"1.2\0.3"), &field, &kind]).contains("no identifier"));
        assert!(text(&[&class, &field, &kind, &vec![0, 0, 0, 9]]).contains("inside an element"));
        assert!(text(&[&class, &field, &kind, &vec![8, 0, 0, 0, 0, 0, 0, 0]]).contains("another group"));
        let endless = vec![0, 0, 0, 0x10, 0xff, 0xff, 0xff, 0xff];
        assert!(text(&[&class, &field, &kind, &endless]).contains("too long"));
        let long = element(0x0000_0902, &[b'x'; 40_000]);
        assert!(text(&[&class, &field, &kind, &long, &element(0x0000_1005, &[0; 40_000])]).contains("too long"));
    }

    const VERIFICATION: &str = "1.2.840.10008.1.1";
    const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
    const MR: &str = "1.2.840.10008.5.1.4.1.1.4";
    const FIND: &str = "1.2.840.10008.5.1.4.1.2.2.1";
    const GET: &str = "1.2.840.10008.5.1.4.1.2.2.3";
    const COMMITMENT: &str = "1.2.840.10008.1.20.1";
    const MPPS: &str = "1.2.840.10008.3.1.2.3.3";
    const UPS_PULL: &str = "1.2.840.10008.5.1.4.34.6.3";
    const UPS_PUSH: &str = "1.2.840.10008.5.1.4.34.6.1";
    const RT: &str = "1.2.840.10008.5.1.4.34.8";
    const PRIVATE: &str = "1.3.12.2.1107.5.9.1";

    fn uid(text: &str) -> Uid {
        Uid::from_field(text.as_bytes()).unwrap()
    }

    fn may(from: End, field: u16, class: &str, context: &str, reversed: bool) -> bool {
        let class = (!class.is_empty()).then(|| uid(class));
        let command = Command {
            field,
            affected_class: class,
            requested_class: None,
            instance: None,
            status: None,
            has_data: true,
            message: None,
        };
        command.judge(from, &Proposed { id: 1, abstract_syntax: uid(context), reversed }).is_ok()
    }

    /// Shows REQ-GUARD-17: what each end may send in which context.
    #[test]
    fn commands_stay_within_the_operation_of_their_context() {
        use End::{Acceptor, Requestor};
        let legitimate = [
            (Requestor, 0x0030, VERIFICATION, VERIFICATION, false),
            (Requestor, 0x0001, CT, CT, false),
            (Acceptor, 0x8001, CT, CT, false),
            (Requestor, 0x0020, FIND, FIND, false),
            (Acceptor, 0x8020, "", FIND, false),
            (Requestor, 0x0fff, "", FIND, false),
            (Requestor, 0x0010, GET, GET, false),
            (Acceptor, 0x0001, CT, CT, true),
            (Requestor, 0x8001, CT, CT, true),
            (Acceptor, 0x8010, GET, GET, false),
            (Requestor, 0x0130, COMMITMENT, COMMITMENT, false),
            (Acceptor, 0x8130, COMMITMENT, COMMITMENT, false),
            (Acceptor, 0x0100, COMMITMENT, COMMITMENT, false),
            (Requestor, 0x8100, COMMITMENT, COMMITMENT, false),
            (Requestor, 0x0100, COMMITMENT, COMMITMENT, true),
            (Requestor, 0x0140, MPPS, MPPS, false),
            (Requestor, 0x0120, MPPS, MPPS, false),
            (Requestor, 0x0020, UPS_PULL, UPS_PULL, false),
            (Requestor, 0x0110, UPS_PUSH, UPS_PULL, false),
            (Requestor, 0x0130, UPS_PUSH, UPS_PULL, false),
            (Requestor, 0x0140, RT, RT, false),
            (Requestor, 0x0020, PRIVATE, PRIVATE, false),
            (Requestor, 0x0001, PRIVATE, PRIVATE, false),
        ];
        for (from, field, class, context, reversed) in legitimate {
            assert!(may(from, field, class, context, reversed), "{from:?} {field:04x} {class} in {context}");
        }
        let refused = [
            (Requestor, 0x0001, CT, VERIFICATION, false),
            (Requestor, 0x0001, VERIFICATION, VERIFICATION, false),
            (Requestor, 0x0001, CT, FIND, false),
            (Requestor, 0x0001, FIND, CT, false),
            (Requestor, 0x0001, "", CT, false),
            (Requestor, 0x0140, MPPS, VERIFICATION, false),
            (Requestor, 0x0120, FIND, FIND, false),
            (Requestor, 0x0130, COMMITMENT, FIND, false),
            (Requestor, 0x0150, MPPS, VERIFICATION, false),
            (Requestor, 0x0100, COMMITMENT, VERIFICATION, false),
            (Acceptor, 0x0100, COMMITMENT, VERIFICATION, false),
            (Requestor, 0x0020, FIND, CT, false),
            (Requestor, 0x0020, CT, CT, false),
            (Requestor, 0x0021, FIND, UPS_PULL, false),
            (Acceptor, 0x0001, CT, CT, false),
            (Acceptor, 0x0001, CT, GET, true),
            (Acceptor, 0x0130, COMMITMENT, COMMITMENT, false),
            (Requestor, 0x8001, CT, CT, false),
            (Acceptor, 0x8001, CT, VERIFICATION, false),
            (Requestor, 0x0001, CT, RT, false),
            (Requestor, 0x0001, RT, RT, false),
            (Requestor, 0x0140, RT, MPPS, false),
            (Requestor, 0x0002, CT, CT, false),
            (Acceptor, 0x8fff, "", FIND, false),
        ];
        for (from, field, class, context, reversed) in refused {
            assert!(!may(from, field, class, context, reversed), "{from:?} {field:04x} {class} in {context}");
        }
        assert!(may(Requestor, 0x0001, MR, CT, false), "the same operation: the archive judges what it takes");
    }
}
