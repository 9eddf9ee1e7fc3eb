//! What an authority does by itself while it is open.

use crate::issue;
use crate::objects::Kind as ObjectKind;
use crate::settings::Kind;
use crate::store::{StandingState, Subject};
use crate::{Authority, Error};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What is due, as the log names it, and what does it.
type Step = (&'static str, fn(&Authority) -> Result<(), Error>);

impl Authority {
    /// Calls [`Authority::tick`] every second until asked to stop, and, where several hubs share the store,
    /// [`Authority::hear`] four times a second.
    pub async fn keep(self: Arc<Self>, mut stop: medlock_node::stop::Stop) {
        const ROUNDS: u32 = 4;
        let shared = self.store.is_shared();
        let mut round: u32 = 0;
        let mut every = tokio::time::interval(Duration::from_secs(1) / if shared { ROUNDS } else { 1 });
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut set: Option<tokio::task::JoinHandle<()>> = None;
        loop {
            tokio::select! {
                () = stop.asked() => return,
                _ = every.tick() => {}
            }
            if let Err(error) = self.ask_witnesses().await {
                tracing::warn!(%error, "the log's witnesses could not be asked; they are asked again");
            }
            let authority = self.clone();
            // Of a large authority this takes seconds, for which nothing else waits.
            if set.as_ref().is_none_or(tokio::task::JoinHandle::is_finished) {
                let authority = self.clone();
                set = Some(tokio::task::spawn_blocking(move || authority.tick_set()));
            }
            let whole = !shared || round.is_multiple_of(ROUNDS);
            round = round.wrapping_add(1);
            let work = move || {
                if let Err(error) = authority.hear() {
                    tracing::warn!(%error, "what other hubs have published could not be heard; it is tried again");
                }
                if whole {
                    // Each step has said itself why it failed.
                    let _ = authority.tick();
                }
            };
            match tokio::task::spawn_blocking(work).await {
                Ok(()) => {}
                Err(error) => tracing::error!(%error, "upkeep ended unexpectedly; it is tried again"),
            }
        }
    }

    /// Does what is due: a status list or routing table that was to be published and is not, a status list that has
    /// reached half of its time or is from the future, and the hub's own credential. Each step is tried, whatever became of
    /// those before. A hub whose clock is far from the database server's, while another hub's is the server's, does nothing of it, and people
    /// are told once. Call it every second or so; [`Authority::keep`] does.
    ///
    /// # Errors
    /// The first thing that failed; the next call tries again.
    pub fn tick(&self) -> Result<(), Error> {
        // Whether there is room again; who asks how the hub is hears that there is none.
        let _ = self.keep_reserve();
        let shared: &[Step] = if self.store.is_shared() {
            self.each(&[
                ("whether the log goes on", Self::tell_of_other_log),
                ("whether the store goes on", Self::follow_acts),
            ])?;
            if let Err(error) = self.present.check() {
                return self.tell_of_namesake(&error);
            }
            self.locks.namesake_told.store(false, Ordering::Relaxed);
            self.compare_clocks()?;
            self.tell_of_clocks()?;
            if self.clocks_agree().is_err() {
                return Ok(());
            }
            &[("certificates that were begun", |own| Ok(issue::recover(&*own.store).map(drop)?))]
        } else {
            &[]
        };
        let due: &[Step] = match (self.has_issuing_key()?, self.settings.kind) {
            (false, _) => &[
                ("the key that issues", Self::tell_of_missing_key),
                ("what was brought to this hub", Self::publish_what_was_brought),
                ("suspensions", Self::tell_suspensions),
                ("the root's revocation list", Self::keep_root_crl),
            ],
            (true, Kind::Maker) => &[
                ("what a former key has signed", Self::keep_following),
                ("the hub's credential", |own| if own.has_hub() { own.renew_hub() } else { Ok(()) }),
                ("the root's revocation list", Self::keep_root_crl),
            ],
            (true, Kind::Site) => &[
                ("what the store has forgotten", Self::take_back_unforgotten),
                ("what the start left out", Self::keep_objects),
                ("the status list", Self::keep_status),
                ("the routing table", Self::keep_routes),
                ("what a clock ahead has signed", Self::sign_anew_what_is_ahead),
                ("what a former key has signed", Self::keep_following),
                ("what was brought to this hub", Self::publish_what_was_brought),
                ("suspensions", Self::tell_suspensions),
                ("the hub's credential", Self::renew_hub),
                ("the root's revocation list", Self::keep_root_crl),
            ],
        };
        self.each(&[shared, due].concat())
    }

    /// Takes each of these steps, and says which could not be; the first error.
    fn each(&self, steps: &[Step]) -> Result<(), Error> {
        let mut first = Ok(());
        for (what, step) in steps {
            if let Err(error) = step(self) {
                tracing::warn!(what, %error, "what is due could not be done; it is tried again");
                first = first.and(Err(error));
            }
        }
        first
    }

    /// Whether something is recorded that the status list does not tell yet.
    pub(crate) fn has_untold_status(&self) -> bool {
        let told = self.news.current(ObjectKind::Status).map(|told| told.version);
        // A store that is away tells nothing either.
        self.settings.kind == Kind::Site && self.store.epoch().is_ok_and(|epoch| told.is_none_or(|told| told < epoch))
    }

    fn keep_status(&self) -> Result<(), Error> {
        let epoch = self.store.epoch()?;
        let held = self.store.published(ObjectKind::Status.name())?;
        let now = self.clock.now();
        let told = self.news.current(ObjectKind::Status);
        let behind = told.as_ref().is_none_or(|told| told.version < epoch || self.went_back(held.as_ref()));
        let half = self.rules().status_seconds / 2;
        let old = held.is_some_and(|held| !(0..half).contains(&now.seconds_since(held.at)));
        if behind {
            // Something is recorded that nobody has heard.
            self.protect(|| self.publish_status())
        } else if old {
            self.store.next_epoch(now)?;
            self.publish_status()
        } else {
            Ok(())
        }
    }

    fn keep_objects(&self) -> Result<(), Error> {
        if self.locks.objects_behind.load(Ordering::Relaxed) { self.ensure_objects() } else { Ok(()) }
    }

    fn keep_routes(&self) -> Result<(), Error> {
        if self.locks.routes_behind.load(Ordering::Relaxed) { self.publish_routes() } else { Ok(()) }
    }

    fn keep_following(&self) -> Result<(), Error> {
        if self.locks.keys_behind.load(Ordering::Relaxed) { self.follow_keys() } else { Ok(()) }
    }

    /// Whoever began the log anew, or brought a backup back, did it under this hub: it works for the former one, and is of no use.
    fn tell_of_other_log(&self) -> Result<(), Error> {
        let Some(why) = self.log.left_behind()? else {
            self.locks.log_told.store(false, Ordering::Relaxed);
            return Ok(());
        };
        if !self.locks.log_told.swap(true, Ordering::Relaxed) {
            let hub = self.settings.hub_name.to_string();
            let text = format!("{hub}: {why}");
            self.alarm_about("log-left-behind", None, hub, text)?;
        }
        Ok(())
    }

    /// Tells people that an authority beside this one, in the same hub, cannot be opened: it is off, and this one goes on.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn tell_of_one_off(&self, name: &str, why: &str) -> Result<(), Error> {
        let text = format!(
            "the authority {name} is off, and the others go on without it: {why}. A database, a token or a signer that was away is found \
             within half a minute; when something else is mended, send the hub SIGHUP"
        );
        self.alarm_about("authority-off", None, name.to_owned(), text)
    }

    /// Tells people of entries with the role of a hub that no hub has made: an earlier version let people enter them, and every device
    /// of the site would listen to whoever has such a credential. A hub's own is known by its owner alone: one to which a person gave that
    /// owner is passed over.
    pub(super) fn tell_of_strange_hubs(&self) -> Result<(), Error> {
        for entry in self.store.hubs()? {
            let name = entry.name;
            let standing = self.store.standing(Subject::Device(name))?;
            let ended = standing.is_some_and(|standing| standing.state != StandingState::Suspended);
            if ended || entry == super::entry_of_hub(name, entry.dns.clone(), entry.ips.clone())? {
                continue;
            }
            let text = format!(
                "{name} is in the register with the role hub, and no hub has entered itself so: every device of the site listens to whoever \
                 has its credential. Unless you know better, `medlock device revoke {name} --reason retired`, and register the machine \
                 under another name for what it is"
            );
            self.alarm_about("no-hub-s-entry", Some(name), String::new(), text)?;
        }
        Ok(())
    }

    /// Tells people once that another hub has this one's name.
    fn tell_of_namesake(&self, error: &Error) -> Result<(), Error> {
        if self.locks.namesake_told.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        self.alarm_about("hub-name-taken", None, self.settings.hub_name.to_string(), error.to_string())
    }
}
