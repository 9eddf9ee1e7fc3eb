//! A running hub: a site's authority behind its doors.

use crate::Failure;
use crate::admin::SOCKET;
use crate::authorities::Authorities;
use crate::clinical::{self, Face};
use crate::config::{Config, HubConfig};
use crate::doors::{self, Door, House, Issuers};
use crate::folder::{self, Keys};
use crate::monitoring::{self, Watched};
use medlock_authority::{Authority, AuthorityConfig, admin};
use medlock_clinical::ClinicalConfig;
use medlock_node::accept::{Meter, Rates};
use medlock_node::clock::Clock;
use medlock_node::stop::{self, Stopper};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// A running hub.
#[derive(Debug)]
pub(crate) struct Hub {
    /// The authority, for callers in this process.
    pub(crate) authority: Arc<Authority>,
    /// Where devices and sidecars reach it.
    pub(crate) devices: SocketAddr,
    /// Where ordinary software reaches it.
    pub(crate) people: SocketAddr,
    /// Further authorities, if there are any.
    pub(crate) authorities: Arc<Authorities>,
    config: HubConfig,
    /// The clinical face, and what it was opened with.
    clinical: (Option<Face>, ClinicalConfig),
    house: House,
    doors: Doors,
    stopper: Stopper,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Doors {
    devices: Option<Door>,
    people: Option<Door>,
    coap: Option<Door>,
    coaps: Option<Door>,
    monitoring: Option<Door>,
}

impl Hub {
    /// Opens the authority and its doors. What time it is, the authority reads from `clock`.
    ///
    /// # Errors
    /// When a port is taken or the state is damaged.
    pub(crate) async fn start(config: &HubConfig, authority: AuthorityConfig, clock: Clock) -> Result<Self, Failure> {
        Self::start_with(&Config { hub: config.clone(), ..Config::default() }, authority, clock).await
    }

    /// As [`Hub::start`], with a clinical face if the configuration enables it.
    ///
    /// # Errors
    /// As [`Hub::start`].
    pub(crate) async fn start_with(config: &Config, authority: AuthorityConfig, clock: Clock) -> Result<Self, Failure> {
        let (clinical, config) = (&config.clinical, &config.hub);
        let authority = tokio::task::spawn_blocking({
            let (config, clock) = (config.clone(), clock.clone());
            move || folder::open(&config.dir, &Keys::of(&config), &authority, clock)
        })
        .await??;
        let face = Face::open(config, clinical, &authority, &clock).await?;
        // Before anybody is told that the hub runs: who then asks finds it.
        let admin_socket = admin::Socket::open(&config.dir.join(SOCKET))?;
        let rates = Arc::new(Rates::per_second(NonZeroU32::new(config.requests_per_second)));
        let forwarded = config.forwarded()?;
        let house = House { rates, meter: Meter::default(), issuers: Issuers::default(), forwarded };
        house.issuers.read(config.issuers.as_deref())?;
        let authorities = Authorities::new(house.clone());
        let (stopper, stop) = stop::channel();
        let mut tasks = vec![
            tokio::spawn(Arc::clone(&authority).keep(stop.clone())),
            tokio::spawn(Arc::clone(&authority).follow_lists(stop.clone())),
        ];
        tasks.extend(face.as_ref().map(|face| face.keep(stop.clone())));
        let asked = admin::router(Arc::clone(&authority));
        let asked = asked.merge(face.as_ref().map(Face::admin_router).unwrap_or_default());
        tasks.push(tokio::spawn(admin::serve(asked, admin_socket, stop)));
        let mut hub = Self {
            authority,
            devices: config.devices,
            people: config.people,
            authorities,
            config: config.clone(),
            clinical: (face, clinical.clone()),
            house,
            doors: Doors::default(),
            stopper,
            tasks,
        };
        match hub.move_doors(config).await {
            Ok(_) => Ok(hub),
            Err(error) => {
                hub.stop().await?;
                Err(error)
            }
        }
    }

    /// Where small devices reach it over CoAP, if it is configured.
    pub(crate) fn coap(&self) -> Option<SocketAddr> {
        self.doors.coap.as_ref().map(Door::address)
    }

    /// Where small devices reach it over DTLS, if it is configured.
    pub(crate) fn coaps(&self) -> Option<SocketAddr> {
        self.doors.coaps.as_ref().map(Door::address)
    }

    /// Where records are, if they are served: for people and software, and for devices.
    pub(crate) fn records(&self) -> Vec<String> {
        self.clinical.0.as_ref().map(Face::bases).unwrap_or_default()
    }

    /// Where it is watched, if that is configured.
    pub(crate) fn monitoring(&self) -> Option<SocketAddr> {
        self.doors.monitoring.as_ref().map(Door::address)
    }

    /// Opens the door of those who watch, which [`Hub::start_with`] left shut: they are told of all authorities or of none.
    pub(crate) async fn open_monitoring(&mut self, config: &HubConfig) -> Result<(), Failure> {
        self.move_doors(config).await?;
        self.config.monitoring = config.monitoring;
        Ok(())
    }

    /// Has its doors where the configuration wants them. Returns the settings that have changed.
    async fn move_doors(&mut self, config: &HubConfig) -> Result<Vec<&'static str>, Failure> {
        let (house, authority, authorities) = (&self.house, &self.authority, &self.authorities);
        let face = self.clinical.0.as_ref();
        let people = async |address| {
            let router = medlock_authority::people_router(Arc::clone(authority)).merge(monitoring::live());
            let router = router.merge(face.map(Face::people_router).unwrap_or_default());
            Door::plain(address, "hub.people", house.people_terms(), router.merge(authorities.router())).await
        };
        let watched = async |address| {
            let watched = Watched {
                clinical: face.map(Face::clinical),
                site: Arc::clone(authority),
                authorities: Arc::clone(authorities),
                meter: house.meter.clone(),
            };
            Door::plain(address, "hub.monitoring", house.terms("monitoring"), monitoring::router(watched)).await
        };
        let devices = async |address| Door::devices(address, "hub.devices", house, (authority, face)).await;
        let coap = async |address| Door::coap(address, "hub.coap", house, (authority, face)).await;
        let coaps = async |address| Door::coaps(address, "hub.coaps", house, (authority, face)).await;
        let doors = &mut self.doors;
        let moved = [
            ("hub.devices", doors::move_to(&mut doors.devices, Some(config.devices), devices).await?),
            ("hub.people", doors::move_to(&mut doors.people, Some(config.people), people).await?),
            ("hub.coap", doors::move_to(&mut doors.coap, config.coap, coap).await?),
            ("hub.coaps", doors::move_to(&mut doors.coaps, config.coaps, coaps).await?),
            ("hub.monitoring", doors::move_to(&mut doors.monitoring, config.monitoring, watched).await?),
        ];
        if let Some(door) = &doors.devices {
            self.devices = door.address();
        }
        if let Some(door) = &doors.people {
            self.people = door.address();
        }
        Ok(moved.into_iter().filter_map(|(key, moved)| moved.then_some(key)).collect())
    }

    /// Goes on with this configuration. Returns what has changed.
    ///
    /// # Errors
    /// When a setting cannot be used, or changes only with a restart; what came before it in this order has changed: the
    /// doors of the site, its settings, the other authorities.
    pub(crate) async fn reconfigure(&mut self, config: &Config, clock: &Clock) -> Result<Vec<String>, Failure> {
        if Keys::of(&config.hub) != Keys::of(&self.config) {
            return Err(
                "where the keys are changes only when the hub is started anew: passphrase_file, pkcs11, signer".into(),
            );
        }
        if config.clinical != self.clinical.1 {
            return Err("[clinical] changes only when the hub is started anew".into());
        }
        if config.hub.forwarded != self.config.forwarded {
            return Err("forwarded changes only when the hub is started anew".into());
        }
        clinical::check(&config.hub, &config.clinical)?;
        self.house.issuers.read(config.hub.issuers.as_deref())?;
        let moved = self.move_doors(&config.hub).await?;
        let mut changed: Vec<String> = moved.into_iter().map(str::to_owned).collect();
        let (new, authority) = (config.hub.authority(), Arc::clone(&self.authority));
        if new != self.config.authority() {
            tokio::task::spawn_blocking({
                let new = new.clone();
                move || authority.reconfigure(&new)
            })
            .await??;
            folder::keep_in_force(&new, &Keys::of(&config.hub))?;
        }
        if config.hub.requests_per_second != self.config.requests_per_second {
            self.house.rates.change(NonZeroU32::new(config.hub.requests_per_second));
        }
        for name in self.config.differences(&config.hub) {
            if !changed.contains(&name) {
                changed.push(name);
            }
        }
        // What is compared with at the next time is what is in force.
        self.config = config.hub.clone();
        changed.extend(self.authorities.open(config, clock, &self.authority).await?);
        // Whoever reads the configuration again may have put something into the folders that it names.
        self.authority.look_at_lists();
        self.authorities.all().iter().for_each(|(_, authority)| authority.look_at_lists());
        Ok(changed)
    }

    /// Closes the door for devices: to them, the hub is down.
    pub(crate) async fn close_devices(&mut self) {
        if let Some(door) = self.doors.devices.take() {
            door.close().await;
        }
    }

    /// Opens the door for devices again, at the same address.
    ///
    /// # Errors
    /// When the port was taken meanwhile.
    pub(crate) async fn open_devices(&mut self) -> Result<(), Failure> {
        if self.doors.devices.is_none() {
            let authority = (&self.authority, self.clinical.0.as_ref());
            let door = Door::devices(self.devices, "hub.devices", &self.house, authority).await?;
            self.doors.devices = Some(door);
        }
        Ok(())
    }

    /// Stops everything and waits until answers under way are given.
    ///
    /// # Errors
    /// When a part of the hub had failed.
    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        // Whoever sends others here is told at once, while answers under way are still given.
        self.authority.begin_to_stop();
        self.authorities.all().iter().for_each(|(_, authority)| authority.begin_to_stop());
        let doors = std::mem::take(&mut self.doors);
        for door in [doors.devices, doors.people, doors.coap, doors.coaps, doors.monitoring].into_iter().flatten() {
            door.close().await;
        }
        self.authorities.stop().await?;
        self.stopper.stop();
        for task in self.tasks {
            task.await?;
        }
        Ok(())
    }
}
