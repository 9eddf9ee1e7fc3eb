// A SMART app: a standalone launch (SMART App Launch 2.2) with PKCE, then FHIR R4. It uses no library, and nothing of this hospital.
"use strict";

const FHIR = "application/fhir+json";
const GLUCOSE = "http://loinc.org|99504-3";
const at = (id) => document.getElementById(id);
const say = (text) => { at("said").textContent = text; };
const base64url = (bytes) =>
  btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const secret = () => base64url(crypto.getRandomValues(new Uint8Array(32)));

async function json(address, options) {
  const answer = await fetch(address, options);
  const told = JSON.parse((await answer.text()) || "{}");
  if (!answer.ok) throw new Error(`${answer.status}: ${told.error_description ?? told.issue?.[0]?.diagnostics ?? told.error}`);
  return told;
}

const discover = (iss) => json(`${iss}/.well-known/smart-configuration`);

// Sends the person to the hospital, to sign in and to agree.
async function launch() {
  const { iss, client_id, redirect_uri, scope } = await json("/settings.json");
  const server = await discover(iss);
  const launched = { state: secret(), verifier: secret() };
  sessionStorage.setItem("launched", JSON.stringify(launched));
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(launched.verifier));
  location.assign(`${server.authorization_endpoint}?${new URLSearchParams({
    response_type: "code", client_id, redirect_uri, scope, state: launched.state, aud: iss,
    code_challenge: base64url(hash), code_challenge_method: "S256",
  })}`);
}

// Redeems the code with which the person came back.
async function redeem(answer) {
  const launched = JSON.parse(sessionStorage.getItem("launched") ?? "{}");
  sessionStorage.removeItem("launched");
  history.replaceState(null, "", "/");
  if (answer.has("error")) throw new Error(answer.get("error_description") ?? answer.get("error"));
  if (!launched.state || answer.get("state") !== launched.state) throw new Error("this answer is to another question: connect again");
  const { iss, client_id, redirect_uri } = await json("/settings.json");
  const server = await discover(iss);
  if (answer.get("iss") !== server.issuer) throw new Error("this answer is of another server: connect again");
  const form = new URLSearchParams({
    grant_type: "authorization_code", client_id, redirect_uri, code: answer.get("code"), code_verifier: launched.verifier,
  });
  const token = await json(server.token_endpoint, { method: "POST", body: form });
  return {
    patient: token.patient,
    ask: (path, method = "GET", body) => json(`${iss}/${path}`, {
      method,
      headers: {
        Authorization: `Bearer ${token.access_token}`, Accept: FHIR,
        ...(body && { "Content-Type": FHIR, Prefer: "return=representation" }),
      },
      body: body && JSON.stringify(body),
    }),
  };
}

const resources = (bundle) => (bundle.entry ?? []).map((entry) => entry.resource);

async function show(app) {
  const { patient, ask } = app;
  const readings = resources(await ask(`Observation?patient=${patient}&code=${GLUCOSE}&_sort=date&_count=500`));
  const studies = resources(await ask(`ImagingStudy?patient=${patient}&_count=100`));
  const values = readings.map((one) => one.valueQuantity?.value).filter((value) => value !== undefined);
  at("readings").textContent = values.length ? `${values.length} readings, the last one ${values.at(-1)}` : "no readings";
  const x = (place) => (600 * place) / Math.max(values.length - 1, 1);
  const y = (value) => 160 - (160 * (value - 40)) / 260;
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  line.setAttribute("points", values.map((value, place) => `${x(place)},${y(value)}`).join(" "));
  at("curve").replaceChildren(line);
  at("studies").replaceChildren(...studies.map((study) => {
    const row = document.createElement("tr");
    const cells = [study.started ?? "", study.modality?.map((one) => one.code).join(", "), study.numberOfSeries, study.numberOfInstances];
    row.append(...cells.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
    return row;
  }));
  say(`Connected: ${values.length} readings, ${studies.length} image studies.`);
  at("record").hidden = false;
}

// All are denied, until it is taken back.
const denial = (patient) => ({
  resourceType: "Consent", status: "active", patient: { reference: `Patient/${patient}` },
  scope: { coding: [{ system: "http://terminology.hl7.org/CodeSystem/consentscope", code: "patient-privacy" }] },
  category: [{ coding: [{ system: "http://loinc.org", code: "59284-0" }] }],
  policy: [{ uri: "urn:medlock:fhir:base-policy" }],
  provision: { provision: [{ type: "deny" }] },
});

// Whether it is such a one: it names nobody and nothing, and excepts nothing.
const deniesAll = ({ provision }) => {
  const all = provision?.provision ?? [];
  return all.length > 0 && all.every((one) => one.type === "deny" && Object.keys(one).every((name) => ["type", "id"].includes(name)));
};

async function begin(answer) {
  const app = await redeem(answer);
  at("connect").hidden = true;
  const patient = await app.ask(`Patient/${app.patient}`);
  at("who").textContent = patient.name?.[0]?.text ?? [patient.name?.[0]?.given?.join(" "), patient.name?.[0]?.family].filter(Boolean).join(" ");
  // Whoever withdrew before, on this page or another, finds here that it is so, and takes it back.
  const withdrawn = async () => resources(await app.ask(`Consent?patient=${app.patient}&status=active`)).filter(deniesAll);
  const offer = async () => {
    at("withdraw").hidden = (await withdrawn()).length > 0;
    at("again").hidden = !at("withdraw").hidden;
    await show(app);
  };
  at("withdraw").onclick = () => attempt(async () => {
    await app.ask("Consent", "POST", denial(app.patient));
    await offer();
  });
  at("again").onclick = () => attempt(async () => {
    for (const consent of await withdrawn()) await app.ask(`Consent/${consent.id}`, "PUT", { ...consent, status: "inactive" });
    await offer();
  });
  await offer();
}

const attempt = (work) => work().catch((error) => say(`It did not work: ${error.message}`));

at("connect").onclick = () => attempt(launch);
const answer = new URLSearchParams(location.search);
if (answer.has("code") || answer.has("error")) attempt(() => begin(answer));
