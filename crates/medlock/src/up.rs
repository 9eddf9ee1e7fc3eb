//! `medlock up`: a hub until it is asked to stop.

use crate::cli::UpArgs;
use crate::config::{Config, HubConfig};
use crate::folder::Keys;
use crate::hub::Hub;
use crate::output::say;
use crate::{Failure, Outcome, doors, folder, monitoring, output, supervise};
use medlock_node::clock::Clock;
use sd_notify::NotifyState;
use std::path::Path;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// How often an authority is opened again whose database, token or signer was away.
const AGAIN: Duration = Duration::from_secs(30);

/// Runs a hub until asked to stop.
///
/// # Errors
/// When the configuration is wrong, a port is taken, or the state is damaged.
pub(crate) fn run(args: UpArgs) -> Result<Outcome, Failure> {
    let mut config = Config::load(args.config.as_deref())?;
    let written = config.hub.dir.clone();
    if let Some(dir) = args.dir.clone() {
        config.hub.dir = dir;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(until_stopped(args, config, &written));
    // A read of standard input may be under way for ever; it is not waited for.
    runtime.shutdown_background();
    result.map(|()| Outcome::Done)
}

/// `written` is the folder that the configuration names, whatever the arguments say.
async fn until_stopped(args: UpArgs, mut config: Config, written: &Path) -> Result<(), Failure> {
    // Before there is anything to reload: a signal nobody waits for ends the process.
    let mut asked = signal(SignalKind::hangup())?;
    let clock = Clock::system();
    // Who watches is told of all authorities or of none: that door opens when they have.
    let unwatched = Config { hub: HubConfig { monitoring: None, ..config.hub.clone() }, ..config.clone() };
    if !args.new_site {
        let or = "say --new-site, where you have made the passphrase yourself";
        folder::expects_none(&config.hub.authority(), &Keys::of(&config.hub), or)?;
    }
    free(&config.hub).await?;
    let mut hub = Hub::start_with(&unwatched, config.hub.authority(), clock.clone()).await?;
    hub.authorities.open(&config, &clock, &hub.authority).await?;
    hub.open_monitoring(&config.hub).await?;
    announce(&hub, &config.hub, args.json)?;
    monitoring::tell(&[NotifyState::Ready]);
    let watchdog = tokio::spawn(monitoring::watchdog());
    let stopped = supervise::asked_to_stop_or_gone(args.with_parent);
    tokio::pin!(stopped);
    let mut again = tokio::time::interval(AGAIN);
    again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            stopped = &mut stopped => break stopped?,
            Some(()) = asked.recv() => {
                let reloaded = reload(&mut hub, args.config.as_deref(), [written, &config.hub.dir], &clock).await;
                config = reloaded.unwrap_or(config);
            }
            // A database or token may come later than this hub.
            _ = again.tick(), if hub.authorities.is_one_away() => tokio::select! {
                stopped = &mut stopped => break stopped?,
                () = hub.authorities.open_those_away(&config, &clock, &hub.authority) => {}
            },
        }
    }
    watchdog.abort();
    monitoring::tell(&[NotifyState::Stopping]);
    hub.stop().await
}

/// Looks whether the ports are free before a site is made that could not open them.
async fn free(config: &HubConfig) -> Result<(), Failure> {
    if folder::was_made(&config.dir) {
        return Ok(());
    }
    let ports = [("devices", Some(config.devices)), ("people", Some(config.people)), ("monitoring", config.monitoring)];
    for (name, address) in ports.into_iter().filter_map(|(name, address)| Some((name, address?))) {
        drop(doors::listen(address, &format!("hub.{name}")).await?);
    }
    Ok(())
}

/// Reads the configuration again and goes on with it, and gives it. What cannot be used is said.
async fn reload(hub: &mut Hub, file: Option<&Path>, [written, dir]: [&Path; 2], clock: &Clock) -> Option<Config> {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => monitoring::tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "there is no monotonic clock"),
    }
    let reloaded = async {
        let mut config = Config::load(file)?;
        if config.hub.dir != written {
            return Err("hub.dir changes only when the hub is started anew".into());
        }
        dir.clone_into(&mut config.hub.dir);
        let changed = hub.reconfigure(&config, clock).await?;
        Ok::<_, Failure>((config, changed))
    };
    let config = match reloaded.await {
        Ok((config, changed)) => {
            if changed.is_empty() {
                tracing::warn!("the configuration was read again, and nothing in it has changed");
            } else {
                tracing::warn!(changed = changed.join(" "), "the configuration was read again and is in force");
            }
            Some(config)
        }
        Err(error) => {
            tracing::error!(
                error = output::chain(&*error),
                "the configuration was read again and cannot be used; what it could not change goes on as it was"
            );
            None
        }
    };
    monitoring::tell(&[NotifyState::Ready]);
    config
}

fn announce(hub: &Hub, config: &HubConfig, json: bool) -> Result<(), Failure> {
    let dir = config.dir.display();
    if json {
        output::json(&serde_json::json!({
            "event": "up", "site": config.site, "dir": config.dir, "devices": hub.devices, "people": hub.people, "coap": hub.coap(),
            "coaps": hub.coaps(), "monitoring": hub.monitoring(), "authorities": hub.authorities.reached(),
            "records": hub.records(), "off": hub.authorities.off(), "new": hub.authority.was_made_now(), "root_key": hub.authority.root().key.to_string(),
        }))?;
        return Ok(());
    }
    say!("{} is up", config.site);
    say!("  state                {dir}");
    say!("  devices and sidecars {} (TLS)", hub.devices);
    say!("  ordinary software    http://{}", hub.people);
    if let Some(coap) = hub.coap() {
        say!("  small devices        {coap} (CoAP with EDHOC and OSCORE)");
    }
    if let Some(coaps) = hub.coaps() {
        say!("  small devices        {coaps} (CoAP over DTLS)");
    }
    for (address, whose) in hub.records().iter().zip(["iss of apps and software", "devices, by their certificates"]) {
        say!("  records (FHIR)       {address} ({whose})");
    }
    if let Some(monitoring) = hub.monitoring() {
        say!("  monitoring           http://{monitoring}/metrics");
    }
    for other in hub.authorities.reached() {
        say!("  {:<20} {} ({}), http://{}/a/{0}/", other.name, other.organization, other.kind, hub.people);
        if let Some(devices) = other.devices {
            say!("  {:<20} {devices} (TLS)", "");
        }
    }
    if config.passphrase_file.is_none() && config.pkcs11.is_none() && config.signer.is_none() {
        say!(
            "  passphrase           {dir}/keys/passphrase: keep it elsewhere (passphrase_file), or the same disk has both"
        );
    }
    for (name, why) in hub.authorities.off() {
        say!("  {name:<20} OFF: {why}");
    }
    for other in hub.authorities.reached().iter().filter(|other| other.new) {
        say!("A NEW AUTHORITY WAS MADE: there was no {}. Its root key is {}.", other.name, other.root_key);
    }
    if hub.authority.was_made_now() {
        tell_of_new_site(hub, config);
    }
    say!("Next: medlock device register NAME --dir {dir} --role modality --ae TITLE --address HOST:PORT");
    Ok(())
}

/// Whoever thought that there was a site hears that there was none.
fn tell_of_new_site(hub: &Hub, config: &HubConfig) {
    let (dir, word) = (config.dir.display(), output::word(&config.dir.to_string_lossy()));
    say!("A NEW SITE WAS MADE: there was none in {dir}. Its root key is {}.", hub.authority.root().key);
    let root = config.dir.join("keys").join("root.key");
    if root.exists() {
        say!("  Take {} offline: whoever has it and its passphrase is this site.", root.display());
    }
    say!("  Then make a backup, on another disk: medlock authority backup FOLDER --dir {word}");
}
