//! The story, step by step. A step that fails does not end it: what can still be shown is shown.

use super::impostor::{self, Impostor};
use super::report::Teller;
use super::smart::{self, Clinic};
use super::stage::{self, Stage, ask, within};
use super::ward::CtResult;
use crate::Failure;
use crate::cli::UpArgs;
use crate::hub::Hub;
use medlock_authority::admin::{Reason, Request};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How soon news must be in effect.
const AT_ONCE: Duration = Duration::from_secs(1);
/// How often something is looked at again.
const LOOK: Duration = Duration::from_millis(50);

/// Tells the story; the stage as it is at the end, if it could be set, and the records, if there are any.
pub(crate) async fn tell(teller: &mut Teller, args: &UpArgs) -> Option<(Stage, Option<Clinic>)> {
    let (hub, folder) = teller.step("hub-started", "a hub starts and makes a site", start()).await?;
    let set = Stage::set(hub, folder, args);
    let mut stage = teller
        .step("sidecars-enrolled", "the sidecars of CT and PACS enrol themselves", async {
            let stage = set.await?;
            Ok((
                stage,
                "both have a credential; here the demonstration compares the fingerprint that each shows with the hub's, as an engineer \
                 would; nobody installed a certificate"
                    .into(),
            ))
        })
        .await?;
    // Before there are images: they are of a patient who is known.
    let clinic = smart::begin(teller, &stage, args).await;
    images_encrypted(teller, &stage).await;
    refusals(teller, &stage).await;
    expiry(teller, &mut stage).await;
    suspension(teller, &stage).await;
    if let Some(clinic) = &clinic {
        smart::images_recorded(teller, clinic, args).await;
    }
    teller.step("stolen-cut-off", "the CT's key is declared stolen while it sends", stolen(&stage)).await;
    if let Some(clinic) = &clinic {
        smart::tell(teller, &stage, clinic).await;
    }
    Some((stage, clinic))
}

/// What one can do while the ward goes on.
pub(crate) fn invite(teller: &Teller, stage: &Stage) {
    let dir = stage.folder.path().join("hub");
    if let Some(ready) = &teller.report.ready {
        teller.say(&format!("\n{}", ready.invitation(&dir)));
    }
    teller.say(&format!(
        "\nThe ward goes on until you press Ctrl-C. Look around:\n  medlock device list --dir {0}\n  medlock authority audit --dir {0}\n  less {1}",
        dir.display(),
        stage.folder.path().join("pacs1/audit.log").display()
    ));
}

async fn start() -> Result<((Hub, TempDir), String), Failure> {
    let (hub, folder) = stage::start_hub_with_records().await?;
    let seen = format!("root and issuing key are made; devices reach it on {}", hub.devices);
    Ok(((hub, folder), seen))
}

async fn images_encrypted(teller: &mut Teller, stage: &Stage) {
    let sent = teller
        .step("images-encrypted", "the CT sends its images to the PACS, in plain DICOM as ever", async {
            let result = delivered(stage).await?;
            if !stage.wire.seen.only_ciphertext() {
                return Err("something on the wire could be read".into());
            }
            let seen = format!(
                "{} images arrived as they were; {} bytes went over the wire, none of them readable",
                result.sent.len(),
                stage.wire.seen.bytes()
            );
            Ok((result, seen))
        })
        .await;
    count(teller, stage, sent);
}

async fn refusals(teller: &mut Teller, stage: &Stage) {
    teller
        .step("stranger-refused", "a stranger calls the PACS, without a certificate and with one of its own", async {
            let bare = Impostor::nobody(&stage.hub).call_as_ct1(stage.pacs_sidecar.listen).await?;
            let stranger = Impostor::stranger(&stage.hub, stage.folder.path())?;
            let own = stranger.call_as_ct1(stage.pacs_sidecar.listen).await?;
            Ok(((), format!("refused without ({bare}) and with ({own})")))
        })
        .await;
    teller
        .step("ae-title-thief-refused", "an enrolled workstation calls itself CT1", async {
            let before = stage.audit_since(0)?.len();
            let thief = Impostor::insider(&stage.hub, stage.folder.path()).await?;
            let refused = thief.call_as_ct1(stage.pacs_sidecar.listen).await?;
            let audit = audited(stage, before, "workstation1").await?;
            if !audit {
                return Err("the audit does not name the thief".into());
            }
            Ok(((), format!("{refused}; the audit names both")))
        })
        .await;
    teller
        .step("plain-port-refused", "somebody elsewhere calls the CT's own plain port", async {
            let refused = impostor::call_plain_port_from_elsewhere(stage.ct_sidecar.plain).await?;
            Ok(((), refused))
        })
        .await;
}

async fn expiry(teller: &mut Teller, stage: &mut Stage) {
    let sent = teller
        .step("expired-still-arrives", "the hub goes away and the CT's credential expires", async {
            stage.hub.close_devices().await;
            let until = stage.ct_not_after().await?;
            while jiff::Timestamp::now() <= until {
                tokio::time::sleep(LOOK).await;
            }
            // A whole second more: dates in certificates are whole seconds.
            tokio::time::sleep(Duration::from_secs(1)).await;
            let before = stage.audit_since(0)?.len();
            let result = delivered(stage).await?;
            if !audited(stage, before, "expired-within-grace").await? {
                return Err("the audit does not mark the association".into());
            }
            Ok((result, format!("expired at {until}; images still arrive, marked in the audit")))
        })
        .await;
    count(teller, stage, sent);
    let sent = teller
        .step("renewed", "the hub comes back and the CT's sidecar renews with the expired credential", async {
            let expired = stage.ct_not_after().await?;
            stage.hub.open_devices().await?;
            let until = within(async {
                loop {
                    let now = stage.ct_not_after().await?;
                    if now > expired {
                        return Ok(now);
                    }
                    tokio::time::sleep(LOOK).await;
                }
            })
            .await?;
            stage.pacs_sidecar.until_connected().await?;
            let result = delivered(stage).await?;
            Ok((result, format!("good again until {until}")))
        })
        .await;
    count(teller, stage, sent);
}

async fn suspension(teller: &mut Teller, stage: &Stage) {
    teller
        .step("suspended", "the CT is suspended", async {
            let why = "something looks odd".to_owned();
            ask(&stage.hub, Request::Suspend { device: "ct1".into(), why }).await?;
            let began = Instant::now();
            let refused = until(stage, |result| result.error.is_some()).await?;
            let milliseconds = began.elapsed().as_millis();
            Ok(((), format!("{} ({milliseconds} ms after)", refused.error.unwrap_or_default())))
        })
        .await;
    let sent = teller
        .step("restored", "the suspension is lifted", async {
            let why = "it was nothing".to_owned();
            ask(&stage.hub, Request::Restore { device: "ct1".into(), why }).await?;
            let result = until(stage, |result| result.error.is_none()).await?;
            Ok((result, "images arrive again".into()))
        })
        .await;
    count(teller, stage, sent);
}

async fn stolen(stage: &Stage) -> Result<((), String), Failure> {
    let before = stage.pacs.count();
    let mut sending = stage.ct.start(true)?;
    within(async {
        while stage.pacs.count() < before + 10 {
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    })
    .await?;
    let began = Instant::now();
    let (device, why) = ("ct1".to_owned(), "van broken into".to_owned());
    ask(&stage.hub, Request::Revoke { device, reason: Reason::Stolen, why }).await?;
    let ended: CtResult = within(async { Ok(serde_json::from_str(&sending.line().await?)?) }).await?;
    let took = began.elapsed();
    let how = ended.error.ok_or("the association went on to its end")?;
    if took >= AT_ONCE {
        return Err(format!("cut off only after {} ms", took.as_millis()).into());
    }
    match stage.ct.send().await?.error {
        Some(refused) => Ok(((), format!("cut off in {} ms ({how}); a new association: {refused}", took.as_millis()))),
        None => Err("a new association was accepted".into()),
    }
}

/// The CT sends all its images; all must be taken and arrive as they were.
async fn delivered(stage: &Stage) -> Result<CtResult, Failure> {
    let result = stage.ct.send().await?;
    if let Some(error) = &result.error {
        return Err(error.clone().into());
    }
    if let Some(refused) = result.sent.iter().find(|sent| sent.status != Some(0)) {
        return Err(format!("{} was not taken: status {:?}", refused.sop_instance, refused.status).into());
    }
    // The acknowledgement can overtake the report of the PACS to us.
    within(async {
        while stage.pacs.identical(&result.sent) < result.sent.len() {
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    })
    .await
    .map_err(|_| "not all images arrived as they were sent")?;
    Ok(result)
}

fn count(teller: &mut Teller, stage: &Stage, sent: Option<CtResult>) {
    if let Some(result) = sent {
        teller.report.images_sent += result.sent.len();
        teller.report.images_received_identical += stage.pacs.identical(&result.sent);
    }
}

/// Sends until the result is as wanted, which must be soon.
async fn until(stage: &Stage, wanted: impl Fn(&CtResult) -> bool) -> Result<CtResult, Failure> {
    within(async {
        loop {
            let result = stage.ct.send().await?;
            if wanted(&result) {
                return Ok(result);
            }
        }
    })
    .await
}

/// Whether the audit of the PACS's sidecar says `what`, soon, behind its first `before` bytes.
async fn audited(stage: &Stage, before: usize, what: &str) -> Result<bool, Failure> {
    for _ in 0..100 {
        if stage.audit_since(before)?.contains(what) {
            return Ok(true);
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(false)
}
