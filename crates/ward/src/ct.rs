//! A machine that sends: a storage SCU (PS3.4 annex B) that also asks C-ECHO.

use crate::{
    Error,
    object::Object,
    wire::{Wire, check_title, command_set, push_part, tag},
};
use dicom_ul::pdu::{
    AssociationRQ, Pdu, PresentationContextProposed, PresentationContextResultReason, UserVariableItem,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, io, net::SocketAddr, time::Duration};
use tokio::{net::TcpStream, time::timeout};

/// The most a PDU of ours has, in bytes; also when the other side sets no limit.
const LARGEST_PDU: usize = 128 << 10;
/// What we take.
const OUR_PDU: u32 = 128 << 10;
/// Presentation contexts of one association (PS3.8 section 9.3.2.2).
const MAX_CONTEXTS: usize = 128;
const CONNECT: Duration = Duration::from_secs(10);
const VERIFICATION: &str = "1.2.840.10008.1.1";
const IMPLICIT: &str = "1.2.840.10008.1.2";
const NO_DATA_SET: [u8; 2] = 0x0101_u16.to_le_bytes();

/// How the machine calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CtOptions {
    /// Its own AE title.
    pub calling: String,
    /// The AE title it calls.
    pub called: String,
    /// Where it connects to.
    pub address: SocketAddr,
    /// Whether it sends small segments at once (`TCP_NODELAY`); stock machines do not.
    pub nodelay: bool,
}

/// What became of one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Which object.
    pub sop_instance: String,
    /// The SHA-256 of its data set, in hexadecimal.
    pub sha256: String,
    /// Bytes of its data set.
    pub bytes: usize,
    /// The answer: 0 is success; `None` if the called machine takes no such objects.
    pub status: Option<u16>,
}

/// Sends all objects, each in its own transfer syntax; what came of each, in order.
///
/// # Errors
/// [`Error::Refused`] and [`Error::Aborted`] as the called machine, or a guard, says it, and [`Error::Connection`].
pub async fn run(options: &CtOptions, objects: &[Object]) -> Result<Vec<Sent>, Error> {
    let mut sent = Vec::with_capacity(objects.len());
    let mut rest = objects;
    while !rest.is_empty() {
        // As many as fit the presentation contexts of one association.
        let mut contexts: BTreeMap<(&str, &str), u8> = BTreeMap::new();
        let mut fitting = 0;
        for object in rest {
            let key = (object.sop_class.as_str(), object.transfer_syntax.as_str());
            let next = contexts.len();
            if !contexts.contains_key(&key) && next == MAX_CONTEXTS {
                break;
            }
            contexts.entry(key).or_insert_with(|| u8::try_from(next * 2 + 1).unwrap_or(u8::MAX));
            fitting += 1;
        }
        let (now, later) = rest.split_at(fitting);
        send_all(options, &contexts, now, &mut sent).await?;
        rest = later;
    }
    Ok(sent)
}

async fn send_all(
    options: &CtOptions,
    contexts: &BTreeMap<(&str, &str), u8>,
    objects: &[Object],
    sent: &mut Vec<Sent>,
) -> Result<(), Error> {
    let proposed = contexts.iter().map(|((class, syntax), id)| (*id, *class, *syntax)).collect();
    let mut association = Association::open(options, proposed).await?;
    for (number, object) in objects.iter().enumerate() {
        let context = contexts[&(object.sop_class.as_str(), object.transfer_syntax.as_str())];
        let status = if association.accepts(context) {
            Some(association.store(context, u16::try_from(number % 65_535 + 1).unwrap_or(1), object).await?)
        } else {
            None
        };
        let (sop_instance, sha256) = (object.sop_instance.clone(), object.digest());
        sent.push(Sent { sop_instance, sha256, bytes: object.data_set.len(), status });
    }
    association.release().await
}

/// Asks whether the called machine is there (C-ECHO).
///
/// # Errors
/// As [`run`].
pub async fn echo(options: &CtOptions) -> Result<(), Error> {
    let mut association = Association::open(options, vec![(1, VERIFICATION, IMPLICIT)]).await?;
    if !association.accepts(1) {
        return Err(Error::Protocol("verification was not accepted".to_owned()));
    }
    let elements: [(u16, &[u8]); 4] = [
        (tag::SOP_CLASS, VERIFICATION.as_bytes()),
        (tag::FIELD, &0x0030_u16.to_le_bytes()),
        (tag::MESSAGE, &1_u16.to_le_bytes()),
        (tag::DATA_SET, &NO_DATA_SET),
    ];
    let mut out = Vec::new();
    push_part(&mut out, 1, true, &command_set(&elements), association.max_pdu);
    association.wire.send_bytes(&out).await?;
    match association.answer(0x8030).await? {
        0 => association.release().await,
        status => Err(Error::Protocol(format!("the echo was answered with status {status:04x}"))),
    }
}

/// An open association: for a machine that keeps one, or for a bench.
#[derive(Debug)]
pub struct Association {
    wire: Wire,
    accepted: Vec<u8>,
    max_pdu: usize,
}

impl Association {
    /// Opens an association for presentation contexts of number, abstract and transfer syntax.
    ///
    /// # Errors
    /// As [`run`].
    pub async fn open(options: &CtOptions, contexts: Vec<(u8, &str, &str)>) -> Result<Self, Error> {
        check_title(&options.calling)?;
        check_title(&options.called)?;
        let address = options.address;
        let broken = |source| Error::Connection { address, source };
        let stream = timeout(CONNECT, TcpStream::connect(address)).await;
        let stream = stream.map_err(|_| broken(io::ErrorKind::TimedOut.into()))?.map_err(broken)?;
        let mut wire = Wire::new(stream, options.nodelay).map_err(broken)?;
        let presentation_contexts = contexts
            .into_iter()
            .map(|(id, abstract_syntax, transfer_syntax)| PresentationContextProposed {
                id,
                abstract_syntax: abstract_syntax.to_owned(),
                transfer_syntaxes: vec![transfer_syntax.to_owned()],
            })
            .collect();
        let request = AssociationRQ {
            protocol_version: 1,
            calling_ae_title: options.calling.clone(),
            called_ae_title: options.called.clone(),
            application_context_name: "1.2.840.10008.3.1.1.1".to_owned(),
            presentation_contexts,
            user_variables: vec![
                UserVariableItem::MaxLength(OUR_PDU),
                UserVariableItem::ImplementationClassUID(dicom_ul::IMPLEMENTATION_CLASS_UID.to_owned()),
            ],
        };
        wire.send(&Pdu::AssociationRQ(request)).await?;
        let answer = match wire.expect().await? {
            Pdu::AssociationAC(answer) => answer,
            other => return Err(Error::Protocol(other.short_description().to_string())),
        };
        let accepted = answer
            .presentation_contexts
            .iter()
            .filter(|context| context.reason == PresentationContextResultReason::Acceptance)
            .map(|context| context.id)
            .collect();
        let theirs = answer.user_variables.iter().find_map(|item| match item {
            UserVariableItem::MaxLength(length @ 1..) => usize::try_from(*length).ok(),
            _ => None,
        });
        Ok(Self { wire, accepted, max_pdu: theirs.unwrap_or(LARGEST_PDU).min(LARGEST_PDU) })
    }

    /// Whether the called machine accepted the presentation context with this number.
    #[must_use]
    pub fn accepts(&self, context: u8) -> bool {
        self.accepted.contains(&context)
    }

    /// Sends one object and waits for the answer's status.
    ///
    /// # Errors
    /// As [`run`].
    pub async fn store(&mut self, context: u8, message: u16, object: &Object) -> Result<u16, Error> {
        let elements: [(u16, &[u8]); 6] = [
            (tag::SOP_CLASS, object.sop_class.as_bytes()),
            (tag::FIELD, &0x0001_u16.to_le_bytes()),
            (tag::MESSAGE, &message.to_le_bytes()),
            (tag::PRIORITY, &0_u16.to_le_bytes()),
            (tag::DATA_SET, &0_u16.to_le_bytes()),
            (tag::INSTANCE, object.sop_instance.as_bytes()),
        ];
        let mut out = Vec::with_capacity(object.data_set.len() + 4096);
        push_part(&mut out, context, true, &command_set(&elements), self.max_pdu);
        push_part(&mut out, context, false, &object.data_set, self.max_pdu);
        self.wire.send_bytes(&out).await?;
        self.answer(0x8001).await
    }

    async fn answer(&mut self, field: u16) -> Result<u16, Error> {
        let message = self.wire.message(1 << 16).await?;
        let message = message.ok_or_else(|| Error::Protocol("the association ended before an answer".to_owned()))?;
        match (message.command().number(tag::FIELD), message.command().number(tag::STATUS)) {
            (Some(got), Some(status)) if got == field => Ok(status),
            _ => Err(Error::Protocol("the answer belongs to another command".to_owned())),
        }
    }

    /// Ends the association in good order.
    ///
    /// # Errors
    /// As [`run`].
    pub async fn release(mut self) -> Result<(), Error> {
        self.wire.send(&Pdu::ReleaseRQ).await?;
        match self.wire.expect().await? {
            Pdu::ReleaseRP => Ok(()),
            other => Err(Error::Protocol(other.short_description().to_string())),
        }
    }
}
