// A page in Chromium, which can send no header when it connects: it asks for a ticket with its token, connects, and says what it hears, a
// line each.
const { existsSync } = require("fs");
const puppeteer = require("puppeteer-core");

const chromium = process.env.PATH.split(":").map((folder) => `${folder}/chromium`).find(existsSync);
const [base, token, id] = process.argv.slice(2);

(async () => {
  const browser = await puppeteer.launch({ executablePath: chromium, args: ["--no-sandbox", "--disable-gpu"], pipe: true, timeout: 120_000 });
  const page = await browser.newPage();
  const ended = new Promise((end) => page.exposeFunction("say", (text) => (console.log(text), text.startsWith("closed") && end())));
  await page.goto(`${base}/fhir/metadata`);
  await page.evaluate(
    async (base, token, id) => {
      const headers = { authorization: `Bearer ${token}` };
      const answer = await fetch(`${base}/fhir/Subscription/${id}/$get-ws-binding-token`, { method: "POST", headers });
      const { parameter } = await answer.json();
      const ticket = parameter.find((one) => one.name === "token").valueString;
      const socket = new WebSocket(`${base.replace("http", "ws")}/fhir/websocket`);
      socket.onopen = () => socket.send(`bind-with-token ${ticket}`);
      socket.onmessage = ({ data }) => window.say(data);
      socket.onclose = ({ code, reason }) => window.say(`closed ${code} ${reason}`);
    },
    base,
    token,
    id,
  );
  await ended;
  await browser.close();
})();
