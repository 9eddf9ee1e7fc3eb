//! A machine that stores: a storage SCP (PS3.4 annex B) that also answers C-ECHO.

use crate::{
    Error,
    object::{Object, digest},
    wire::{Command, Message, Wire, check_title, command_set, push_part, tag},
};
use dicom_ul::pdu::{
    AssociationAC, AssociationRJ, AssociationRJResult, AssociationRJServiceUserReason, AssociationRJSource,
    AssociationRQ, Pdu, PresentationContextResult, PresentationContextResultReason, UserVariableItem,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fs, future::Future, net::SocketAddr, path::PathBuf, sync::Arc};
use tokio::{net::TcpListener, task::JoinSet};

/// The largest object that is stored, in bytes.
const MAX_OBJECT: usize = 512 << 20;
const OUR_PDU: u32 = 128 << 10;
const NO_DATA_SET: [u8; 2] = 0x0101_u16.to_le_bytes();
/// Out of resources: refused (PS3.4 section B.2.3).
const OUT_OF_RESOURCES: u16 = 0xa700;

/// How the machine answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacsOptions {
    /// Its AE title: calls of others are refused.
    pub title: String,
    /// Where it listens; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Where it keeps files; `None` forgets all but the digests.
    pub directory: Option<PathBuf>,
    /// Whether it sends small segments at once (`TCP_NODELAY`); stock machines do not.
    pub nodelay: bool,
}

/// What happened at the PACS; one line of JSON for whoever started it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// It listens.
    Listening {
        /// Where.
        address: SocketAddr,
    },
    /// It was asked whether it is there.
    Echo {
        /// By whom.
        calling: String,
    },
    /// It stored an object.
    Stored {
        /// Who sent it.
        calling: String,
        /// What kind of object.
        sop_class: String,
        /// Which object.
        sop_instance: String,
        /// How it is written.
        transfer_syntax: String,
        /// Bytes of the data set.
        bytes: usize,
        /// The SHA-256 of the data set as it came, in hexadecimal.
        sha256: String,
    },
    /// An association ended otherwise than by its release.
    Failed {
        /// Whose; empty if it had not said.
        calling: String,
        /// What happened.
        error: String,
    },
}

/// A PACS that listens.
#[derive(Debug)]
pub struct Pacs {
    listener: TcpListener,
    options: Arc<PacsOptions>,
}

impl Pacs {
    /// Opens the listener.
    ///
    /// # Errors
    /// [`Error::Connection`] if the address is taken, [`Error::File`] if the directory cannot be made, [`Error::Title`].
    pub async fn bind(options: PacsOptions) -> Result<Self, Error> {
        check_title(&options.title)?;
        if let Some(path) = &options.directory {
            fs::create_dir_all(path).map_err(|source| Error::File { path: path.clone(), source })?;
        }
        let address = options.listen;
        let listener = TcpListener::bind(address).await.map_err(|source| Error::Connection { address, source })?;
        Ok(Self { listener, options: Arc::new(options) })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until `stop` is ready.
    pub async fn run(self, stop: impl Future<Output = ()>, report: impl Fn(Event) + Clone + Send + Sync + 'static) {
        if let Ok(address) = self.address() {
            report(Event::Listening { address });
        }
        let mut tasks = JoinSet::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => return,
                Some(_) = tasks.join_next() => {}
                accepted = self.listener.accept() => if let Ok((stream, _)) = accepted
                    && let Ok(wire) = Wire::new(stream, self.options.nodelay)
                {
                    let (options, report) = (self.options.clone(), report.clone());
                    tasks.spawn(async move {
                        let mut calling = String::new();
                        if let Err(error) = serve(wire, &options, &mut calling, &report).await {
                            report(Event::Failed { calling, error: error.to_string() });
                        }
                    });
                },
            }
        }
    }
}

/// Opens a PACS and answers until `stop` is ready.
///
/// # Errors
/// As [`Pacs::bind`].
pub async fn run(
    options: PacsOptions,
    stop: impl Future<Output = ()>,
    report: impl Fn(Event) + Clone + Send + Sync + 'static,
) -> Result<(), Error> {
    Pacs::bind(options).await?.run(stop, report).await;
    Ok(())
}

async fn serve(
    mut wire: Wire,
    options: &PacsOptions,
    calling: &mut String,
    report: &(impl Fn(Event) + Sync),
) -> Result<(), Error> {
    let request = match wire.receive().await? {
        Some(Pdu::AssociationRQ(request)) => request,
        Some(other) => return Err(Error::Protocol(other.short_description().to_string())),
        None => return Ok(()),
    };
    calling.clone_from(&request.calling_ae_title);
    if request.called_ae_title != options.title {
        let reason = AssociationRJServiceUserReason::CalledAETitleNotRecognized;
        let source = AssociationRJSource::ServiceUser(reason);
        return wire.send(&Pdu::AssociationRJ(AssociationRJ { result: AssociationRJResult::Permanent, source })).await;
    }
    let (answer, syntaxes) = accept(&request);
    let max_pdu = request.user_variables.iter().find_map(|item| match item {
        UserVariableItem::MaxLength(length @ 1..) => usize::try_from(*length).ok(),
        _ => None,
    });
    wire.send(&Pdu::AssociationAC(answer)).await?;
    while let Some(message) = wire.message(MAX_OBJECT).await? {
        let (field, status) = match message.command().number(tag::FIELD) {
            Some(0x0030) => {
                report(Event::Echo { calling: calling.clone() });
                (0x8030, 0)
            }
            Some(0x0001) => {
                let object = object(&message, &syntaxes);
                (0x8001, object.map_or(OUT_OF_RESOURCES, |object| store(options, calling, object, report)))
            }
            other => {
                return Err(Error::Protocol(format!("command {other:04x?} is not one of a PACS that only stores")));
            }
        };
        let mut out = Vec::new();
        let answer = answer_to(message.command(), field, status);
        push_part(&mut out, message.context, true, &answer, max_pdu.unwrap_or(1 << 14));
        wire.send_bytes(&out).await?;
    }
    Ok(())
}

/// The command set of an answer.
fn answer_to(command: Command<'_>, field: u16, status: u16) -> Vec<u8> {
    let asked = |element| command.value(element).unwrap_or_default();
    let (field, status) = (field.to_le_bytes(), status.to_le_bytes());
    let mut elements: Vec<(u16, &[u8])> = vec![
        (tag::SOP_CLASS, asked(tag::SOP_CLASS)),
        (tag::FIELD, &field),
        (tag::RESPONDED, asked(tag::MESSAGE)),
        (tag::DATA_SET, &NO_DATA_SET),
        (tag::STATUS, &status),
    ];
    if let Some(instance) = command.value(tag::INSTANCE) {
        elements.push((tag::INSTANCE, instance));
    }
    command_set(&elements)
}

/// Accepts every context with the first transfer syntax proposed: objects are stored as they come.
fn accept(request: &AssociationRQ) -> (AssociationAC, BTreeMap<u8, String>) {
    let syntaxes: BTreeMap<u8, String> = request
        .presentation_contexts
        .iter()
        .filter_map(|context| Some((context.id, context.transfer_syntaxes.first()?.clone())))
        .collect();
    let presentation_contexts = syntaxes
        .iter()
        .map(|(id, transfer_syntax)| PresentationContextResult {
            id: *id,
            reason: PresentationContextResultReason::Acceptance,
            transfer_syntax: transfer_syntax.clone(),
        })
        .collect();
    let answer = AssociationAC {
        protocol_version: 1,
        calling_ae_title: request.calling_ae_title.clone(),
        called_ae_title: request.called_ae_title.clone(),
        application_context_name: request.application_context_name.clone(),
        presentation_contexts,
        user_variables: vec![
            UserVariableItem::MaxLength(OUR_PDU),
            UserVariableItem::ImplementationClassUID(dicom_ul::IMPLEMENTATION_CLASS_UID.to_owned()),
        ],
    };
    (answer, syntaxes)
}

fn object(message: &Message, syntaxes: &BTreeMap<u8, String>) -> Option<Object> {
    Some(Object {
        sop_class: message.command().text(tag::SOP_CLASS)?,
        sop_instance: message.command().text(tag::INSTANCE)?,
        transfer_syntax: syntaxes.get(&message.context)?.clone(),
        data_set: message.data.clone(),
    })
}

/// Keeps the object; the status to answer with.
fn store(options: &PacsOptions, calling: &str, object: Object, report: &impl Fn(Event)) -> u16 {
    // The identifier becomes a file name: nothing but digits and full stops, a digit first.
    let is_uid = object.sop_instance.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && object.sop_instance.starts_with(|first: char| first.is_ascii_digit());
    if let Some(directory) = &options.directory {
        let path = directory.join(format!("{}.dcm", object.sop_instance));
        let written = is_uid && object.to_file().is_ok_and(|file| fs::write(&path, file).is_ok());
        if !written {
            report(Event::Failed { calling: calling.to_owned(), error: format!("cannot write {}", path.display()) });
            return OUT_OF_RESOURCES;
        }
    }
    report(Event::Stored {
        calling: calling.to_owned(),
        bytes: object.data_set.len(),
        sha256: digest(&object.data_set),
        sop_class: object.sop_class,
        sop_instance: object.sop_instance,
        transfer_syntax: object.transfer_syntax,
    });
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ct::{self, CtOptions},
        object::Series,
    };
    use std::sync::Mutex;

    async fn start(directory: Option<PathBuf>) -> (CtOptions, Arc<Mutex<Vec<Event>>>, tokio::task::JoinHandle<()>) {
        let listen = "127.0.0.1:0".parse().unwrap();
        let pacs =
            Pacs::bind(PacsOptions { title: "PACS".to_owned(), listen, directory, nodelay: true }).await.unwrap();
        let address = pacs.address().unwrap();
        let events: Arc<Mutex<Vec<Event>>> = Arc::default();
        let seen = events.clone();
        let task = tokio::spawn(pacs.run(std::future::pending(), move |event| seen.lock().unwrap().push(event)));
        let options = CtOptions { calling: "CT1".to_owned(), called: "PACS".to_owned(), address, nodelay: true };
        (options, events, task)
    }

    /// Shows REQ-WARD-02: what is stored is what was sent, byte by byte.
    #[tokio::test]
    async fn images_are_stored_as_they_were_sent() {
        let directory = tempfile::tempdir().unwrap();
        let (options, events, task) = start(Some(directory.path().to_owned())).await;
        let series = Series::new("P-1", "A^B");
        let mut objects: Vec<_> = (1..=3).map(|number| series.image(number).unwrap()).collect();
        // More pairs of class and transfer syntax than one association has contexts for.
        for number in 0..150 {
            let sop_class = format!("1.2.3.{number}");
            objects.push(Object { sop_class, sop_instance: format!("1.9.{number}"), ..objects[0].clone() });
        }
        ct::echo(&options).await.unwrap();
        let sent = ct::run(&options, &objects).await.unwrap();
        assert!(sent.iter().all(|sent| sent.status == Some(0)));
        let events = events.lock().unwrap().clone();
        let stored: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                Event::Stored { sop_instance, sha256, .. } => Some((sop_instance.clone(), sha256.clone())),
                _ => None,
            })
            .collect();
        let expected: Vec<_> = sent.iter().map(|sent| (sent.sop_instance.clone(), sent.sha256.clone())).collect();
        assert_eq!(stored, expected);
        for object in &objects {
            let path = directory.path().join(format!("{}.dcm", object.sop_instance));
            assert_eq!(&Object::from_file(&path).unwrap(), object);
        }
        task.abort();
    }

    #[tokio::test]
    async fn another_title_is_refused_and_a_bad_name_is_not_written() {
        let directory = tempfile::tempdir().unwrap();
        let (options, _, task) = start(Some(directory.path().join("in"))).await;
        let other = CtOptions { called: "OTHER".to_owned(), ..options.clone() };
        assert!(matches!(ct::echo(&other).await, Err(Error::Refused { result: 1, from: 1, reason: 7 })));
        let image = Series::new("P-1", "A^B").image(1).unwrap();
        let evil = Object { sop_instance: "../../evil".to_owned(), ..image };
        assert_eq!(ct::run(&options, &[evil]).await.unwrap()[0].status, Some(OUT_OF_RESOURCES));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        task.abort();
    }
}
