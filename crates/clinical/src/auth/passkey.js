// Passkeys on the pages of the authorization server. Without this script people sign in with a code.
"use strict";
(() => {
  if (!window.PublicKeyCredential) return;
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (one) => one.charCodeAt(0));
  const text = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

  // What the authenticator answers goes into the hidden fields of the form, which is sent as any other.
  const connect = (id, ask, answer) => {
    const form = document.getElementById(id);
    if (!form) return;
    form.hidden = false;
    const told = form.querySelector("[role=alert]");
    form.querySelector("button").addEventListener("click", async () => {
      told.textContent = "";
      try {
        const credential = await ask(form.dataset);
        for (const [name, value] of Object.entries(answer(credential))) form.elements[name].value = text(value);
        form.submit();
      } catch {
        told.textContent = form.dataset.failed;
      }
    });
  };

  connect(
    "passkey",
    ({ challenge, rp }) =>
      navigator.credentials.get({
        publicKey: { challenge: bytes(challenge), rpId: rp, userVerification: "required", timeout: 120000 },
      }),
    ({ rawId, response }) => ({
      credential: rawId,
      client_data: response.clientDataJSON,
      authenticator_data: response.authenticatorData,
      signature: response.signature,
    }),
  );

  connect(
    "new-passkey",
    ({ challenge, rp, user, name }) =>
      navigator.credentials.create({
        publicKey: {
          challenge: bytes(challenge),
          rp: { id: rp, name: rp },
          user: { id: bytes(user), name, displayName: name },
          pubKeyCredParams: [-7, -8, -257].map((alg) => ({ type: "public-key", alg })),
          authenticatorSelection: { residentKey: "required", userVerification: "required" },
          attestation: "none",
          timeout: 120000,
        },
      }),
    ({ response }) => ({ client_data: response.clientDataJSON, attestation: response.attestationObject }),
  );
})();
