//! The association request: read within bounds, decoded by dicom-ul's codec, kept as the bytes it came in.

use crate::dicom::{
    classes,
    refuse::Refusal,
    text::{AeTitle, Uid},
};
use dicom_ul::pdu::{Pdu, read_pdu};
use medlock_trust::Operations;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest association request that is read, in bytes with its header.
///
/// PS3.8 allows 128 presentation contexts. With 20 transfer syntaxes of 40 bytes each that is about 110 kB; stock
/// software stays below 16 kB.
pub const MAX_REQUEST: usize = 128 * 1024;

/// The most presentation contexts of one request: odd numbers from 1 to 255 (PS3.8 section 9.3.2.2).
pub const MAX_CONTEXTS: usize = 128;

/// DICOM's application context name (PS3.7 annex A.2.1).
const APPLICATION_CONTEXT: &str = "1.2.840.10008.3.1.1.1";

const HEADER: usize = 6;
/// Version, reserved bytes, two titles and 32 reserved bytes (PS3.8 table 9-11).
const FIXED: usize = 2 + 2 + 16 + 16 + 32;

/// What an association request says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Who calls.
    pub calling: AeTitle,
    /// Who is called.
    pub called: AeTitle,
    /// The proposed presentation contexts.
    pub contexts: Vec<Proposed>,
}

/// One proposed presentation context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proposed {
    /// Its number.
    pub id: u8,
    /// What it is for: a SOP class.
    pub abstract_syntax: Uid,
    /// Whether the requestor offers to be asked in it too: it proposed the SCP role for itself (PS3.7 annex D.3.3.4).
    pub reversed: bool,
}

impl Request {
    /// The operations the request asks for, from its presentation contexts.
    #[must_use]
    pub fn operations(&self) -> Operations {
        self.contexts.iter().fold(Operations::NONE, |all, context| {
            all.union(Operations::of(&[classes::operation(context.abstract_syntax.as_str())]))
        })
    }

    /// The operations the acceptor may ask of the requestor: those of the presentation contexts in which the requestor
    /// offers to be asked, as it does for the sub-operations of a C-GET.
    #[must_use]
    pub fn reversed_operations(&self) -> Operations {
        self.contexts.iter().filter(|context| context.reversed).fold(Operations::NONE, |all, context| {
            all.union(Operations::of(&[classes::operation(context.abstract_syntax.as_str())]))
        })
    }

    /// Reads a whole A-ASSOCIATE-RQ, header included.
    ///
    /// The lengths of items are walked first, so that the codec sees only requests with exactly one application context,
    /// one user information item and one abstract syntax in each presentation context: where two parsers could read
    /// different things out of the same bytes there is nothing to read.
    ///
    /// # Errors
    /// The refusal that fits.
    pub fn from_pdu(pdu: &[u8]) -> Result<Self, Refusal> {
        if pdu.len() > MAX_REQUEST {
            return Err(Refusal::TooLong(MAX_REQUEST));
        }
        if pdu.first() != Some(&1) {
            return Err(Refusal::NotARequest);
        }
        let reversed = check_shape(pdu)?;
        let decoded = read_pdu(pdu, u32::try_from(MAX_REQUEST).unwrap_or(u32::MAX), true);
        let Ok(Some(Pdu::AssociationRQ(request))) = decoded else {
            return Err(Refusal::Malformed("an item cannot be decoded"));
        };
        if request.protocol_version & 1 == 0 {
            return Err(Refusal::ProtocolVersion);
        }
        if request.application_context_name.trim_end_matches(['\0', ' ']) != APPLICATION_CONTEXT {
            return Err(Refusal::ApplicationContext);
        }
        let title = |at: usize| AeTitle::from_field(pdu.get(at..at + 16).unwrap_or_default());
        let called = title(HEADER + 4).ok_or(Refusal::Malformed("called AE title"))?;
        let calling = title(HEADER + 20).ok_or(Refusal::Malformed("calling AE title"))?;
        let mut contexts: Vec<Proposed> = Vec::with_capacity(request.presentation_contexts.len().min(MAX_CONTEXTS));
        for context in &request.presentation_contexts {
            let id = context.id;
            let abstract_syntax =
                Uid::from_field(context.abstract_syntax.as_bytes()).ok_or(Refusal::Malformed("abstract syntax"))?;
            if id % 2 == 0 || contexts.iter().any(|earlier| earlier.id == id) {
                return Err(Refusal::Malformed("number of a presentation context"));
            }
            let reversed = reversed.contains(&abstract_syntax);
            contexts.push(Proposed { id, abstract_syntax, reversed });
        }
        Ok(Self { calling, called, contexts })
    }

    /// Reads a request from `stream`, and only it: what follows stays there. Returns the original bytes too. The caller
    /// sets the time limit.
    ///
    /// # Errors
    /// The refusal that fits; memory grows only as bytes arrive.
    pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<(Self, Vec<u8>), Refusal> {
        let mut pdu = vec![0; HEADER];
        if stream.read(&mut pdu[..1]).await.map_err(|_| Refusal::Silent)? == 0 {
            return Err(Refusal::Silent);
        }
        if pdu[0] != 1 {
            return Err(Refusal::NotARequest);
        }
        stream.read_exact(&mut pdu[1..]).await.map_err(|_| Refusal::Incomplete)?;
        let length = length_of(&pdu);
        if length < FIXED {
            return Err(Refusal::Malformed("length"));
        }
        if length > MAX_REQUEST - HEADER {
            return Err(Refusal::TooLong(MAX_REQUEST));
        }
        let got = stream.take(length as u64).read_to_end(&mut pdu).await.map_err(|_| Refusal::Incomplete)?;
        if got < length {
            return Err(Refusal::Incomplete);
        }
        Ok((Self::from_pdu(&pdu)?, pdu))
    }
}

/// The length field of a PDU's header.
fn length_of(header: &[u8]) -> usize {
    header.get(2..6).and_then(|bytes| bytes.try_into().ok()).map_or(0, |bytes| u32::from_be_bytes(bytes) as usize)
}

/// Walks the items of the request and of its presentation contexts. Returns the SOP classes for which the requestor
/// proposes the SCP role for itself.
fn check_shape(pdu: &[u8]) -> Result<Vec<Uid>, Refusal> {
    let body = pdu.get(HEADER..).unwrap_or_default();
    if body.len() < FIXED || length_of(pdu) != body.len() {
        return Err(Refusal::Malformed("length"));
    }
    let (mut names, mut contexts, mut users) = (0_usize, 0_usize, 0_usize);
    let mut reversed = Vec::new();
    for item in Items(&body[FIXED..]) {
        match item.ok_or(Refusal::Malformed("length of an item"))? {
            (0x10, _) => names += 1,
            (0x20, content) => {
                contexts += 1;
                check_context(content)?;
            }
            (0x50, content) => {
                users += 1;
                for sub in Items(content) {
                    let (kind, content) = sub.ok_or(Refusal::Malformed("length of a user information item"))?;
                    if kind == 0x54 {
                        reversed.extend(scp_role(content)?);
                    }
                }
            }
            _ => return Err(Refusal::Malformed("unknown item")),
        }
    }
    match (names, contexts, users) {
        (1, 1..=MAX_CONTEXTS, 1) => Ok(reversed),
        _ => Err(Refusal::Malformed("number of items")),
    }
}

/// The SOP class of a role selection, if it proposes the SCP role (PS3.7 table D.3-9): length, SOP class, SCU role, SCP
/// role.
fn scp_role(content: &[u8]) -> Result<Option<Uid>, Refusal> {
    const BROKEN: Refusal = Refusal::Malformed("role selection");
    let (length, rest) = content.split_first_chunk::<2>().ok_or(BROKEN)?;
    let (class, roles) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length))).ok_or(BROKEN)?;
    let [_scu, scp] = roles else { return Err(BROKEN) };
    let class = Uid::from_field(class).ok_or(BROKEN)?;
    Ok((*scp != 0).then_some(class))
}

/// A presentation context: number, three reserved bytes, one abstract syntax and at least one transfer syntax.
fn check_context(content: &[u8]) -> Result<(), Refusal> {
    let (mut abstracts, mut transfers) = (0_usize, 0_usize);
    for item in Items(content.get(4..).unwrap_or_default()) {
        match item.ok_or(Refusal::Malformed("length of a syntax"))? {
            (0x30, _) => abstracts += 1,
            (0x40, _) => transfers += 1,
            _ => return Err(Refusal::Malformed("unknown item in a presentation context")),
        }
    }
    if abstracts == 1 && transfers >= 1 { Ok(()) } else { Err(Refusal::Malformed("presentation context")) }
}

/// Items of type, reserved byte, two bytes of length and content. `Some(None)` is an item that does not fit; the last.
struct Items<'a>(&'a [u8]);

impl<'a> Iterator for Items<'a> {
    type Item = Option<(u8, &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = std::mem::take(&mut self.0);
        let (kind, rest) = rest.split_first()?;
        let Some((header, rest)) = rest.split_first_chunk::<3>() else { return Some(None) };
        let length = usize::from(u16::from_be_bytes([header[1], header[2]]));
        let Some((content, rest)) = rest.split_at_checked(length) else { return Some(None) };
        self.0 = rest;
        Some(Some((*kind, content)))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use dicom_ul::pdu::{AssociationRQ, PresentationContextProposed, UserVariableItem, write_pdu};
    use medlock_trust::Operation;
    use proptest::prelude::*;

    pub(crate) fn request(calling: &str, called: &str, classes: &[&str]) -> Vec<u8> {
        let contexts = classes.iter().zip((1..=255).step_by(2)).map(|(class, id)| PresentationContextProposed {
            id,
            abstract_syntax: (*class).to_owned(),
            transfer_syntaxes: vec!["1.2.840.10008.1.2".to_owned(), "1.2.840.10008.1.2.1".to_owned()],
        });
        let pdu = Pdu::AssociationRQ(AssociationRQ {
            protocol_version: 1,
            calling_ae_title: calling.to_owned(),
            called_ae_title: called.to_owned(),
            application_context_name: APPLICATION_CONTEXT.to_owned(),
            presentation_contexts: contexts.collect(),
            user_variables: vec![
                UserVariableItem::MaxLength(16_384),
                UserVariableItem::ImplementationClassUID("1.2.3".to_owned()),
                UserVariableItem::SopClassExtendedNegotiationSubItem("1.2.840.10008.5.1.4.1.2.2.1".to_owned(), vec![1]),
            ],
        });
        let mut bytes = Vec::new();
        write_pdu(&mut bytes, &pdu).unwrap();
        bytes
    }

    #[test]
    fn a_request_is_understood() {
        let pdu = request("CT1", "PACS", &["1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.1"]);
        let read = Request::from_pdu(&pdu).unwrap();
        assert_eq!((read.calling.as_str(), read.called.as_str(), read.contexts.len()), ("CT1", "PACS", 2));
        assert_eq!(read.operations(), Operations::of(&[Operation::Store, Operation::Read]));
    }

    #[test]
    fn damaged_requests_are_refused_with_their_reason() {
        let good = request("CT1", "PACS", &["1.2.840.10008.1.1"]);
        let with = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut pdu = good.clone();
            change(&mut pdu);
            Request::from_pdu(&pdu).unwrap_err().code()
        };
        assert_eq!(with(&|pdu| pdu[0] = 2), "dicom-not-a-request");
        assert_eq!(with(&|pdu| pdu.truncate(40)), "dicom-request-malformed");
        assert_eq!(with(&|pdu| pdu.push(0)), "dicom-request-malformed");
        assert_eq!(with(&|pdu| pdu[7] = 2), "dicom-protocol-version");
        assert_eq!(with(&|pdu| pdu[10..26].fill(b' ')), "dicom-request-malformed");
        assert_eq!(with(&|pdu| pdu[26] = 0), "dicom-request-malformed");
        assert_eq!(with(&|pdu| pdu[78] = b'9'), "dicom-application-context");
        assert_eq!(with(&|pdu| pdu.resize(MAX_REQUEST + 1, 0)), "dicom-request-too-long");
    }

    /// A second abstract syntax in one context could be read as `read` here and as `store` there.
    #[test]
    fn what_two_parsers_could_read_differently_is_refused() {
        let one = request("CT1", "PACS", &["1.2.840.10008.1.1"]);
        let syntax = 74 + one[74..].windows(2).position(|pair| pair == [0x30, 0]).unwrap();
        let length = 4 + usize::from(one[syntax + 3]);
        let mut two = one.clone();
        let second = one[syntax..syntax + length].to_vec();
        two.splice(syntax..syntax, second);
        let context = 74 + one[74..].windows(2).position(|pair| pair == [0x20, 0]).unwrap();
        two[context + 3] += u8::try_from(length).unwrap();
        two[5] += u8::try_from(length).unwrap();
        assert!(matches!(Request::from_pdu(&two), Err(Refusal::Malformed("presentation context"))));
    }

    #[test]
    fn a_number_used_twice_is_refused() {
        let mut pdu = request("CT1", "PACS", &["1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.1.2"]);
        let second = pdu.windows(5).rposition(|item| item[0] == 0x20 && item[1] == 0 && item[4] == 3).unwrap();
        pdu[second + 4] = 1;
        assert!(matches!(Request::from_pdu(&pdu), Err(Refusal::Malformed("number of a presentation context"))));
    }

    /// Adds a role selection to a request; `item` is its content.
    fn with_role(mut pdu: Vec<u8>, item: &[u8]) -> Vec<u8> {
        let length = u16::try_from(item.len()).unwrap().to_be_bytes();
        let whole = [&[0x54, 0, length[0], length[1]], item].concat();
        let user = pdu.windows(5).rposition(|item| item[..2] == [0x50, 0] && item[4] == 0x51).unwrap();
        for at in [4, user + 2] {
            let old = u16::from_be_bytes([pdu[at], pdu[at + 1]]);
            pdu[at..at + 2].copy_from_slice(&(old + u16::try_from(whole.len()).unwrap()).to_be_bytes());
        }
        pdu.extend(whole);
        pdu
    }

    #[test]
    fn role_selection_says_what_the_acceptor_may_ask() {
        let one = request("CT1", "PACS", &["1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.2.2.3"]);
        assert_eq!(Request::from_pdu(&one).unwrap().reversed_operations(), Operations::NONE);
        let item = |class: &[u8], roles: &[u8]| [&[0, u8::try_from(class.len()).unwrap()], class, roles].concat();
        let ct = b"1.2.840.10008.5.1.4.1.1.2";
        let read = Request::from_pdu(&with_role(one.clone(), &item(ct, &[0, 1]))).unwrap();
        assert_eq!(read.reversed_operations(), Operations::of(&[Operation::Store]));
        assert_eq!(read.contexts.iter().map(|context| context.reversed).collect::<Vec<_>>(), [true, false]);
        let read = Request::from_pdu(&with_role(one.clone(), &item(ct, &[1, 0]))).unwrap();
        assert_eq!(read.reversed_operations(), Operations::NONE);
        for broken in [&[][..], &[0, 9, b'1', 0, 1], &item(ct, &[0]), &item(ct, &[0, 1, 0]), &item(b"x", &[0, 1])] {
            let refusal = Request::from_pdu(&with_role(one.clone(), broken)).unwrap_err();
            assert_eq!(refusal, Refusal::Malformed("role selection"), "{broken:?}");
        }
    }

    #[tokio::test]
    async fn only_the_request_is_taken_from_the_stream() {
        let pdu = request("CT1", "PACS", &["1.2.840.10008.1.1"]);
        let mut bytes = pdu.clone();
        bytes.extend_from_slice(b"next");
        let mut stream = &bytes[..];
        let (_, original) = Request::read(&mut stream).await.unwrap();
        assert_eq!(original, pdu);
        assert_eq!(stream, b"next");
    }

    #[tokio::test]
    async fn a_long_request_is_refused_before_it_is_read() {
        let mut stream = &[1, 0, 0xff, 0xff, 0xff, 0xff][..];
        assert_eq!(Request::read(&mut stream).await.unwrap_err(), Refusal::TooLong(MAX_REQUEST));
        let mut stream = &b"GET / HTTP/1.1\r\n"[..];
        assert_eq!(Request::read(&mut stream).await.unwrap_err(), Refusal::NotARequest);
        let mut stream = &[1, 0, 0, 0, 1, 0, 0, 1][..];
        assert_eq!(Request::read(&mut stream).await.unwrap_err(), Refusal::Incomplete);
    }

    proptest! {
        /// Shows REQ-GUARD-06 for the association request.
        #[test]
        fn no_input_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Request::from_pdu(&bytes);
        }

        #[test]
        fn no_change_of_a_good_request_panics(
            changes in proptest::collection::vec((0_usize..400, any::<u8>()), 1..8), cut in 0_usize..400,
        ) {
            let mut pdu = request("CT1", "PACS", &["1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.1.2"]);
            for (at, value) in changes {
                let length = pdu.len();
                pdu[at % length] = value;
            }
            let _ = Request::from_pdu(&pdu);
            pdu.truncate(cut);
            let _ = Request::from_pdu(&pdu);
        }
    }
}
