// An app as its developers write it with the SMART JavaScript client (npm `fhirclient`), used by a person in Chromium.
//
// It says `{"listening": PORT}`; is given one line `{"iss", "client", "scope", "user", "code"}`; and says what the app has seen, or
// `{"failed": why}`.
const { existsSync, readFileSync } = require("fs");
const http = require("http");
const { createInterface } = require("readline");
const puppeteer = require("puppeteer-core");

const library = readFileSync(require.resolve("fhirclient/build/fhir-client.js"));
const chromium = process.env.PATH.split(":").map((folder) => `${folder}/chromium`).find(existsSync);
let asked;

const pages = {
  "/fhir-client.js": () => ["text/javascript", library],
  "/launch": () => [
    "text/html",
    `<script src="/fhir-client.js"></script><script>
      FHIR.oauth2.authorize(${JSON.stringify({ clientId: asked.client, scope: asked.scope, redirectUri: "/app", iss: asked.iss })});
    </script>`,
  ],
  "/app": () => [
    "text/html",
    `<pre id="seen"></pre><script src="/fhir-client.js"></script><script>
      const show = (what) => { document.getElementById("seen").textContent = JSON.stringify(what); };
      (async () => {
        const client = await FHIR.oauth2.ready();
        const patient = await client.patient.read();
        const all = await client.request("Observation?patient=" + client.patient.id + "&_sort=-date&_count=2", { pageLimit: 0, flat: true });
        const first = client.state.tokenResponse.access_token;
        await client.refresh();
        const again = await client.request("Observation?patient=" + client.patient.id + "&_summary=count");
        const other = await client.request("Patient/${asked.other}").then(() => "read", (error) => error.statusCode || error.status);
        show({
          patient: patient.name[0].family, user: client.user.fhirUser, values: all.map((one) => one.valueQuantity.value),
          refreshed: client.state.tokenResponse.access_token !== first, total: again.total, other, scope: client.state.tokenResponse.scope,
        });
      })().catch((error) => show({ failed: String(error) }));
    </script>`,
  ],
};

const say = (what) => console.log(JSON.stringify(what));

const server = http.createServer((request, response) => {
  const page = pages[new URL(request.url, "http://app").pathname];
  const [type, body] = page ? page() : ["text/plain", ""];
  response.writeHead(page ? 200 : 404, { "content-type": type });
  response.end(body);
});

async function use(port) {
  const browser = await puppeteer.launch({ executablePath: chromium, args: ["--no-sandbox", "--disable-gpu"], pipe: true, timeout: 120_000 });
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(60_000);
    await page.goto(`http://127.0.0.1:${port}/launch`);
    await page.waitForSelector("#code");
    await page.type("#name", asked.user);
    await page.type("#code", asked.code);
    await page.click('form[action="/auth/login"] button');
    await page.waitForSelector('button[value="allow"]');
    const consent = await page.$eval("main, body", (body) => body.textContent);
    await page.click('button[value="allow"]');
    await page.waitForFunction(() => document.getElementById("seen")?.textContent);
    const seen = JSON.parse(await page.$eval("#seen", (seen) => seen.textContent));
    say({ ...seen, consent });
  } catch (error) {
    say({ failed: String(error) });
  } finally {
    await browser.close();
  }
}

server.listen(0, "127.0.0.1", () => {
  const { port } = server.address();
  say({ listening: port });
  createInterface({ input: process.stdin }).once("line", async (line) => {
    asked = JSON.parse(line);
    await use(port);
    process.exit(0);
  });
});
