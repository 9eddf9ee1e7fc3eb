use super::*;
use crate::dicom::associate::tests::request;
use dicom_ul::pdu::{
    AssociationAC, PDataValue, PDataValueType, Pdu, PresentationContextResult, PresentationContextResultReason,
    UserVariableItem, write_pdu,
};
use proptest::prelude::*;

const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
const FIND: &str = "1.2.840.10008.5.1.4.1.2.2.1";
const AFFECTED_SOP_CLASS: Tag = 0x0000_0002;
const COMMAND_FIELD: Tag = 0x0000_0100;
const MESSAGE: Tag = 0x0000_0110;
const MESSAGE_ANSWERED: Tag = 0x0000_0120;
const DATA_SET_TYPE: Tag = 0x0000_0800;
const STATUS: Tag = 0x0000_0900;
const AFFECTED_SOP_INSTANCE: Tag = 0x0000_1000;

/// For an association in which images are stored (1) and asked for (3).
pub(crate) fn new_tap() -> Tap {
    tap_for(&[(1, CT, false), (3, FIND, false)])
}

fn tap_for(contexts: &[(u8, &str, bool)]) -> Tap {
    let proposed = |&(id, class, reversed): &(u8, &str, bool)| Proposed {
        id,
        abstract_syntax: Uid::from_field(class.as_bytes()).unwrap(),
        reversed,
    };
    Tap::new(&contexts.iter().map(proposed).collect::<Vec<_>>())
}

fn bytes_of(pdu: &Pdu) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_pdu(&mut bytes, pdu).unwrap();
    bytes
}

pub(crate) fn accepting(transfer_syntax: &str) -> Vec<u8> {
    accepting_contexts(&[1, 3], transfer_syntax)
}

fn accepting_contexts(ids: &[u8], transfer_syntax: &str) -> Vec<u8> {
    let accepted = |id: &u8| PresentationContextResult {
        id: *id,
        reason: PresentationContextResultReason::Acceptance,
        transfer_syntax: transfer_syntax.to_owned(),
    };
    bytes_of(&Pdu::AssociationAC(AssociationAC {
        protocol_version: 1,
        calling_ae_title: "CT1".to_owned(),
        called_ae_title: "PACS".to_owned(),
        application_context_name: "1.2.840.10008.3.1.1.1".to_owned(),
        presentation_contexts: ids.iter().map(accepted).collect(),
        user_variables: vec![UserVariableItem::MaxLength(16_384)],
    }))
}

fn implicit(tag: Tag, value: &[u8]) -> Vec<u8> {
    let mut element = Vec::new();
    element.extend_from_slice(&u16::try_from(tag >> 16).unwrap().to_le_bytes());
    element.extend_from_slice(&u16::try_from(tag & 0xffff).unwrap().to_le_bytes());
    element.extend_from_slice(&u32::try_from(value.len()).unwrap().to_le_bytes());
    element.extend_from_slice(value);
    element
}

fn command(field: u16, has_data: bool, status: Option<u16>) -> Vec<u8> {
    command_of(CT, field, has_data, status)
}

fn command_of(class: &str, field: u16, has_data: bool, status: Option<u16>) -> Vec<u8> {
    let mut set = implicit(AFFECTED_SOP_CLASS, class.as_bytes());
    set.extend(implicit(COMMAND_FIELD, &field.to_le_bytes()));
    let number = if field & 0x8000 == 0 { MESSAGE } else { MESSAGE_ANSWERED };
    set.extend(implicit(number, &17_u16.to_le_bytes()));
    set.extend(implicit(DATA_SET_TYPE, &if has_data { 1_u16 } else { 0x0101 }.to_le_bytes()));
    if let Some(status) = status {
        set.extend(implicit(STATUS, &status.to_le_bytes()));
    }
    set.extend(implicit(AFFECTED_SOP_INSTANCE, b"1.2.3.4\0"));
    set
}

/// A command in one fragment.
fn command_in(context: u8, set: &[u8]) -> Vec<u8> {
    let mut value = value(PDataValueType::Command, true, set);
    value.presentation_context_id = context;
    bytes_of(&Pdu::PData { data: vec![value] })
}

fn data_set() -> Vec<u8> {
    let mut set = implicit(0x0008_0018, b"1.2.3.4\0");
    set.extend(implicit(STUDY_DATE, b"20260102"));
    set.extend(implicit(STUDY_TIME, b"030405.6"));
    set.extend(implicit(MODALITY, b"CT"));
    set.extend(implicit(ZONE, b"+0100 "));
    set.extend(implicit(0x0008_1140, &[0; 300]));
    set.extend(implicit(0x0010_0010, b"Nobody^Here "));
    set.extend(implicit(PATIENT_ID, b"P-17"));
    set.extend(implicit(ISSUER, b"Clinic "));
    set.extend(implicit(STUDY, b"1.2.3\0"));
    set.extend(implicit(SERIES, b"1.2.3.5\0"));
    set.extend(implicit(0x7fe0_0010, &[7; 5000]));
    set
}

fn value(value_type: PDataValueType, is_last: bool, data: &[u8]) -> PDataValue {
    PDataValue { presentation_context_id: 1, value_type, is_last, data: data.to_vec() }
}

/// A store with its command in two fragments and its data set in many, all but the last two in PDUs of their own.
fn store() -> Vec<u8> {
    let command = command(1, true, None);
    let (first, second) = command.split_at(11);
    let mut bytes = bytes_of(&Pdu::PData { data: vec![value(PDataValueType::Command, false, first)] });
    let data = data_set();
    let mut chunks = data.chunks(701).peekable();
    let mut values = vec![value(PDataValueType::Command, true, second)];
    while let Some(chunk) = chunks.next() {
        values.push(value(PDataValueType::Data, chunks.peek().is_none(), chunk));
        if values.len() == 2 {
            bytes.extend(bytes_of(&Pdu::PData { data: std::mem::take(&mut values) }));
        }
    }
    if !values.is_empty() {
        bytes.extend(bytes_of(&Pdu::PData { data: values }));
    }
    bytes
}

pub(crate) fn requestor_side() -> Vec<u8> {
    let mut bytes = store();
    bytes.extend(store());
    bytes.extend(command_in(3, &command_of(FIND, 0x20, false, None)));
    bytes.extend(bytes_of(&Pdu::ReleaseRQ));
    bytes
}

fn follow(steps: &[(End, &[u8])], chunk: usize) -> Result<Vec<Event>, Violation> {
    follow_with(new_tap(), steps, chunk)
}

fn follow_with(mut tap: Tap, steps: &[(End, &[u8])], chunk: usize) -> Result<Vec<Event>, Violation> {
    let mut events = Vec::new();
    for (from, bytes) in steps {
        for part in bytes.chunks(chunk) {
            tap.feed(*from, part, &mut |event| events.push(event))?;
        }
    }
    Ok(events)
}

fn expected_instance() -> Instance {
    Instance {
        sop_class: Uid::from_field(CT.as_bytes()),
        sop_instance: Uid::from_field(b"1.2.3.4"),
        patient: Some(patient_id(b"P-17")),
        issuer: issuer(b"Clinic"),
        study: Uid::from_field(b"1.2.3"),
        series: Uid::from_field(b"1.2.3.5"),
        modality: short(b"CT"),
        began: [&b"20260102"[..], b"030405.6", b"+0100"].map(short),
        message: Some(17),
    }
}

fn whole() -> Vec<Event> {
    let instance = expected_instance();
    vec![
        Event::Accepted(2),
        Event::Storing(instance),
        Event::Stored(instance),
        Event::Storing(instance),
        Event::Stored(instance),
        Event::Asked(Query::Find, Uid::from_field(FIND.as_bytes())),
        Event::ReleaseRequested,
        Event::Answered { status: 0xa700, message: Some(17) },
        Event::Released,
    ]
}

/// Shows REQ-INTAKE-60, REQ-GUARD-07, REQ-INTAKE-44: however the bytes are cut, the same is seen.
#[test]
fn the_same_is_seen_however_the_bytes_are_cut() {
    let accept = accepting("1.2.840.10008.1.2");
    let requestor = requestor_side();
    let mut answers = bytes_of(&Pdu::PData {
        data: vec![value(PDataValueType::Command, true, &command(0x8001, false, Some(0xa700)))],
    });
    answers.extend(bytes_of(&Pdu::ReleaseRP));
    let steps = [(End::Acceptor, &accept[..]), (End::Requestor, &requestor[..]), (End::Acceptor, &answers[..])];
    for chunk in (1..40).chain([64, 100, 701, 4096, 1 << 20]) {
        assert_eq!(follow(&steps, chunk).unwrap(), whole(), "chunks of {chunk}");
    }
}

#[test]
fn a_data_set_that_cannot_be_read_is_still_counted() {
    let accept = accepting("1.2.840.10008.1.2.1.99");
    let requestor = store();
    let events = follow(&[(End::Acceptor, &accept), (End::Requestor, &requestor)], 1000).unwrap();
    let Event::Stored(instance) = events[2] else { panic!("{events:?}") };
    assert_eq!((instance.study, instance.sop_instance), (None, Uid::from_field(b"1.2.3.4")));
}

#[test]
fn refusals_and_aborts_are_seen() {
    let reject = Reject { result: 1, source: 1, reason: 7 };
    assert_eq!(follow(&[(End::Acceptor, &reject.pdu())], 1).unwrap(), [Event::Rejected(reject)]);
    let abort = crate::dicom::refuse::abort(crate::dicom::refuse::AbortReason::UnexpectedPdu);
    assert_eq!(follow(&[(End::Requestor, &abort)], 3).unwrap(), [Event::Aborted(2, 2)]);
}

/// Shows REQ-GUARD-08: bytes that are no DICOM end the association.
#[test]
fn broken_framing_is_a_violation() {
    let accept = accepting("1.2.840.10008.1.2");
    let again = request("CT1", "PACS", &[CT]);
    let early = store();
    let broken: [&[u8]; 7] = [
        b"GET / HTTP/1.1\r\n",
        &[4, 0, 0, 0, 0, 2, 0, 0],
        &[4, 0, 0, 0, 0, 10, 0, 0, 0, 200, 1, 3],
        &[4, 0, 0, 0, 0, 10, 0, 0, 0, 1, 1, 3],
        &[5, 0, 0, 0, 0, 5, 0],
        &accept,
        &again,
    ];
    for bytes in broken {
        assert!(follow(&[(End::Acceptor, &accept), (End::Requestor, bytes)], 5).is_err(), "{bytes:?}");
    }
    assert!(follow(&[(End::Requestor, &early)], 100).is_err(), "data before the association is accepted");
    let endless = [2, 0, 0xff, 0xff, 0xff, 0xff];
    assert!(follow(&[(End::Acceptor, &endless)], 100).is_err());
}

/// Shows REQ-GUARD-17: a command is judged by the context it comes in, before its last byte is passed on.
#[test]
fn a_command_outside_its_context_is_a_violation() {
    const VERIFICATION: &str = "1.2.840.10008.1.1";
    let contexts = [(1, VERIFICATION, false), (3, CT, false), (5, CT, true)];
    let accept = accepting_contexts(&[1, 3, 5], "1.2.840.10008.1.2");
    let follow = |from: End, bytes: &[u8]| {
        [1, 7, 4096].map(|chunk| follow_with(tap_for(&contexts), &[(End::Acceptor, &accept), (from, bytes)], chunk))
    };
    let (store, echo) = (command(1, true, None), command_of(VERIFICATION, 0x30, false, None));
    for (from, context, set) in [
        (End::Requestor, 1, &echo),
        (End::Requestor, 3, &store),
        (End::Requestor, 5, &store),
        (End::Acceptor, 5, &store),
    ] {
        assert!(follow(from, &command_in(context, set)).iter().all(Result::is_ok), "{from:?} {context}");
    }
    for (from, context, set) in
        [(End::Requestor, 1, &store), (End::Requestor, 3, &echo), (End::Acceptor, 3, &store), (End::Acceptor, 1, &echo)]
    {
        for result in follow(from, &command_in(context, set)) {
            let violation = result.unwrap_err();
            assert_eq!(violation.code(), "dicom-command-not-permitted", "{from:?} {context}: {violation}");
        }
    }
    for context in [0, 2, 4, 7, 255] {
        assert!(follow(End::Requestor, &command_in(context, &echo)).iter().all(Result::is_err), "{context}");
    }
}

/// Shows REQ-GUARD-17: what was not proposed cannot be accepted, and what was not accepted cannot be used.
#[test]
fn only_proposed_and_accepted_contexts_are_used() {
    let one = accepting_contexts(&[1], "1.2.840.10008.1.2");
    let find = command_in(3, &command_of(FIND, 0x20, false, None));
    assert!(follow(&[(End::Acceptor, &one), (End::Requestor, &find)], 100).is_err(), "not accepted");
    for ids in [&[5][..], &[0], &[2], &[1, 1]] {
        let accept = accepting_contexts(ids, "1.2.840.10008.1.2");
        assert!(follow(&[(End::Acceptor, &accept)], 100).is_err(), "{ids:?}");
    }
}

/// Shows REQ-GUARD-18: an element in front hides no command from the audit.
#[test]
fn a_command_set_out_of_order_is_a_violation() {
    let accept = accepting("1.2.840.10008.1.2");
    let mut set = implicit(0x0000_1030, b"CT1 ");
    set.extend(command(1, true, None));
    let result = follow(&[(End::Acceptor, &accept), (End::Requestor, &command_in(1, &set))], 9);
    assert_eq!(result, Err(Violation::CommandSet("is out of order")));
    let cut = command(1, true, None);
    // 53 bytes are class, field and data set type.
    for length in 0..53 {
        let result = follow(&[(End::Acceptor, &accept), (End::Requestor, &command_in(1, &cut[..length]))], 100);
        assert!(matches!(result, Err(Violation::CommandSet(_))), "{length}: {result:?}");
    }
}

/// Shows REQ-GUARD-18: fragments of two messages are not mixed, so nobody can read another message than we do.
#[test]
fn messages_do_not_mix() {
    let accept = accepting("1.2.840.10008.1.2");
    let set = command(1, true, None);
    let piece = |context, kind, is_last, data: &[u8]| {
        let value = PDataValue { presentation_context_id: context, value_type: kind, is_last, data: data.to_vec() };
        bytes_of(&Pdu::PData { data: vec![value] })
    };
    let (command, data) = (PDataValueType::Command, PDataValueType::Data);
    let begun = piece(1, command.clone(), false, &set[..20]);
    let whole = piece(1, command.clone(), true, &set);
    for bytes in [
        [&begun[..], &piece(3, command.clone(), true, &set[20..])].concat(),
        [&begun[..], &piece(1, data.clone(), true, b"")].concat(),
        [&whole[..], &whole].concat(),
        [&whole[..], &piece(3, data.clone(), true, b"x")].concat(),
        piece(1, data.clone(), true, b""),
        piece(1, command, true, b""),
        [store(), piece(1, data, true, b"x")].concat(),
    ] {
        assert!(follow(&[(End::Acceptor, &accept), (End::Requestor, &bytes)], 50).is_err(), "{bytes:02x?}");
    }
}

#[test]
fn the_boundary_is_known() {
    let bytes = requestor_side();
    let mut boundary = Boundary::default();
    let mut at = Vec::new();
    for (index, byte) in bytes.iter().enumerate() {
        assert!(index > 0 || boundary.is_between_pdus());
        boundary.feed(&[*byte]);
        if boundary.is_between_pdus() {
            at.push(index + 1);
        }
    }
    assert_eq!(at.last(), Some(&bytes.len()));
    let mut whole = Boundary::default();
    whole.feed(&bytes[..at[3]]);
    assert!(whole.is_between_pdus());
    whole.feed(&bytes[at[3]..at[3] + 8]);
    assert!(!whole.is_between_pdus());
}

/// The follower's whole state, without what the answer to the request needs while it passes.
#[test]
fn the_follower_is_small() {
    assert!(size_of::<Tap>() < 2048, "{}", size_of::<Tap>());
}

proptest! {
    /// Shows REQ-GUARD-06 for the bytes of an association.
    #[test]
    fn no_input_panics(
        bytes in proptest::collection::vec(any::<u8>(), 0..2000), chunk in 1_usize..100, accepted in any::<bool>(),
    ) {
        let accept = if accepted { accepting("1.2.840.10008.1.2.1") } else { Vec::new() };
        let _ = follow(&[(End::Acceptor, &accept), (End::Requestor, &bytes), (End::Acceptor, &bytes)], chunk);
    }

    #[test]
    fn changed_bytes_are_followed_alike_in_any_chunks(
        changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..6),
        chunks in proptest::collection::vec(1_usize..900, 1..60),
    ) {
        let accept = accepting("1.2.840.10008.1.2");
        let mut bytes = requestor_side();
        for (at, value) in changes {
            let length = bytes.len();
            bytes[at % length] = value;
        }
        let mut one = new_tap();
        let mut many = new_tap();
        let (mut seen_once, mut seen_many) = (Vec::new(), Vec::new());
        one.feed(End::Acceptor, &accept, &mut |_| {}).unwrap();
        many.feed(End::Acceptor, &accept, &mut |_| {}).unwrap();
        let expected = one.feed(End::Requestor, &bytes, &mut |event| seen_once.push(event));
        let mut rest = &bytes[..];
        let mut result = Ok(());
        for chunk in chunks.into_iter().chain([usize::MAX]) {
            let (part, behind) = rest.split_at(rest.len().min(chunk));
            result = many.feed(End::Requestor, part, &mut |event| seen_many.push(event));
            rest = behind;
            if result.is_err() || rest.is_empty() { break; }
        }
        prop_assert_eq!(expected, result);
        prop_assert_eq!(seen_once, seen_many);
    }
}
