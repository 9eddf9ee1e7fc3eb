//! A client that is ready for a person with a browser: one page, its script and no other's.

use super::app::{self, REGISTERED, SCOPES};
use super::{USER, administer};
use crate::Failure;
use crate::doors::Door;
use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use medlock_clinical::auth::{Asked, Told};
use medlock_node::accept::{Limits, Terms};
use serde::Serialize;
use serde_json::json;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// Where it is, and with what a person signs in.
#[derive(Debug, Serialize)]
pub(crate) struct Ready {
    /// Its page, to which codes are sent too.
    pub(crate) app: String,
    /// The address of the records: `iss` and `aud` of a launch.
    pub(crate) fhir: String,
    /// Its identifier at the hub.
    pub(crate) client: String,
    /// What an app may ask that is registered as it is.
    pub(crate) scope: &'static str,
    /// The name with which the patient signs in.
    pub(crate) user: &'static str,
    /// The code for that; it works once.
    pub(crate) code: String,
    /// It is open as long as this.
    #[serde(skip)]
    door: Option<Door>,
}

impl Ready {
    /// Registers the client with the hub in `folder`, whose records are at `base`, opens its page, and gets a code for the patient.
    ///
    /// # Errors
    /// When the hub refuses, or no port can be had.
    pub(super) async fn open(folder: &Path, base: &str) -> Result<Self, Failure> {
        let settings = Arc::new(OnceLock::new());
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let terms = Terms { door: "client", ..Terms::from(Limits::default()) };
        let door = Door::plain(any_port, "the ready client", terms, pages(base, Arc::clone(&settings))).await?;
        let (app, fhir) = (format!("http://{}/", door.address()), format!("{base}/fhir"));
        let client = app::register(folder, "Ward Viewer", &app).await?.id;
        let told = json!({ "iss": fhir, "client_id": client, "redirect_uri": app, "scope": SCOPES });
        settings.get_or_init(|| told.to_string());
        let code = match administer(folder, &Asked::Code { name: USER.to_owned() }).await? {
            Told::Account { code, .. } => code,
            other => return Err(format!("no code was made: {other:?}").into()),
        };
        Ok(Self { app, fhir, client, scope: REGISTERED, user: USER, code, door: Some(door) })
    }

    /// In words; `folder` is that of the hub.
    pub(crate) fn invitation(&self, folder: &Path) -> String {
        let Self { app, fhir, client, scope, user, code, .. } = self;
        let folder = folder.display();
        format!(
            "See the readings and the images as an app does. Open in a browser\n  {app}\nsign in as \"{user}\" with the code {code}, which works \
             once, and agree.\n\nOr with an app of your own (docs/smart-apps.md):\n  iss, aud      {fhir}\n  client_id     {client}\n  \
             redirect_uri  {app}\n  scope         {scope}\n  medlock clinical client add NAME --redirect URL --dir {folder}\n  \
             medlock clinical user code {user} --dir {folder}"
        )
    }

    /// Closes its page.
    pub(crate) async fn close(mut self) {
        if let Some(door) = self.door.take() {
            door.close().await;
        }
    }
}

fn pages(base: &str, settings: Arc<OnceLock<String>>) -> Router {
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' {base}; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    let page = move |kind: &'static str, text: String| -> Response {
        let headers = [
            (CONTENT_TYPE, kind.to_owned()),
            (CONTENT_SECURITY_POLICY, policy.clone()),
            (CACHE_CONTROL, "no-store".to_owned()),
            (REFERRER_POLICY, "no-referrer".to_owned()),
        ];
        (headers, text).into_response()
    };
    let fixed = |kind, text: &'static str| {
        let page = page.clone();
        get(async move || page(kind, text.to_owned()))
    };
    Router::new()
        .route("/", fixed("text/html; charset=utf-8", include_str!("viewer.html")))
        .route("/viewer.js", fixed("text/javascript; charset=utf-8", include_str!("viewer.js")))
        .route("/viewer.css", fixed("text/css; charset=utf-8", include_str!("viewer.css")))
        .route(
            "/settings.json",
            get(async move || page("application/json", settings.get().cloned().unwrap_or_default())),
        )
}
