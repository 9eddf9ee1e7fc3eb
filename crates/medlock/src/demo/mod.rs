//! `medlock up --demo`: the whole story on one machine, with real processes and real sockets.

mod device;
mod diabetes;
mod impostor;
mod relay;
mod report;
mod smart;
pub(crate) mod stage;
mod story;
mod ward;

use crate::cli::UpArgs;
use crate::{Failure, Outcome, output, supervise};
use medlock_ward::diabetes::clarity;
use report::Teller;

pub(crate) use ward::WardCommand;

/// A part of the demonstration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Ward {
    /// A CT and a PACS.
    Imaging,
    /// A glucose sensor, a dosing controller and an insulin pump.
    Diabetes,
}

/// Tells the story; without `--once`, the ward goes on until interrupted.
///
/// # Errors
/// When the stage cannot be set: no port, no folder, no images.
pub(crate) fn run(args: UpArgs) -> Result<Outcome, Failure> {
    // A folder without images is said before anything is started.
    ward::images(args.images.as_deref(), 1)?;
    // So is a file that is no export.
    if let Some(file) = &args.cgm {
        clarity::open(file).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(tell(args));
    runtime.shutdown_background();
    result
}

/// Plays one machine of the ward.
///
/// # Errors
/// When its files or ports cannot be used.
pub(crate) fn run_ward(command: WardCommand) -> Result<Outcome, Failure> {
    ward::run(command)
}

async fn tell(args: UpArgs) -> Result<Outcome, Failure> {
    let mut teller = Teller::new(args.json);
    let told = if args.ward == Some(Ward::Diabetes) {
        None
    } else {
        teller.say("Medlock demonstration: a hub, a CT and a PACS on this machine, and those who should be refused.\n");
        story::tell(&mut teller, &args).await
    };
    if args.ward != Some(Ward::Imaging) {
        diabetes::tell(&mut teller, args.cgm.as_deref()).await;
    }
    let ready = match &told {
        Some((stage, Some(_))) if !args.once => Some(smart::ready(stage).await?),
        _ => None,
    };
    teller.report.ready = ready;
    let report = &teller.report;
    let held = report.steps.iter().filter(|step| step.held).count();
    teller.say(&format!("\n{held} of {} steps held.", report.steps.len()));
    if report.images_sent > 0 {
        let (sent, identical) = (report.images_sent, report.images_received_identical);
        teller.say(&format!("{sent} images sent, {identical} arrived with exactly the bytes that were sent."));
    }
    if args.json {
        output::json(report)?;
    }
    let held = report.all_held();
    if let Some((mut stage, _)) = told {
        if !args.once {
            story::invite(&teller, &stage);
            supervise::asked_to_stop_or_gone(args.with_parent).await?;
        }
        if let Some(ready) = teller.report.ready.take() {
            ready.close().await;
        }
        stage.hub.close_devices().await;
        stage.hub.stop().await?;
    } else if !args.once {
        teller.say("All is shown. The diabetes ward runs in its own time, hours in a second, and has ended.");
    }
    Ok(if held { Outcome::Done } else { Outcome::Refused })
}
