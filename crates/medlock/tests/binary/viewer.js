// A person in Chromium with the demonstration's ready client.
//
// It is given one line `{"app", "user", "code"}`; and says what the person has seen, or `{"failed": why}`.
const { existsSync } = require("fs");
const { createInterface } = require("readline");
const puppeteer = require("puppeteer-core");

const chromium = process.env.PATH.split(":").map((folder) => `${folder}/chromium`).find(existsSync);
const say = (what) => console.log(JSON.stringify(what));

async function use({ app, user, code }) {
  const browser = await puppeteer.launch({ executablePath: chromium, args: ["--no-sandbox", "--disable-gpu"], pipe: true, timeout: 120_000 });
  const page = await browser.newPage();
  try {
    page.setDefaultTimeout(60_000);
    const wrong = [];
    page.on("pageerror", (error) => wrong.push(String(error)));
    const said = (wanted) => page.waitForFunction((wanted) => document.getElementById("said")?.textContent.includes(wanted), {}, wanted);
    const text = (selector) => page.$eval(selector, (node) => node.textContent);
    await page.goto(app);
    await page.click("#connect");
    await page.waitForSelector("#code");
    await page.type("#name", user);
    await page.type("#code", code);
    await page.click('form[action="/auth/login"] button');
    await page.waitForSelector('button[value="allow"]');
    const asked = await text("main");
    await page.click('button[value="allow"]');
    await said("Connected");
    const seen = {
      asked, said: await text("#said"), who: await text("#who"), points: await page.$eval("#curve polyline", (line) => line.points.numberOfItems),
      images: await page.$$eval("#studies tr", (rows) => rows.map((row) => Number(row.lastChild.textContent))), address: page.url(),
    };
    const shows = (id) => page.$eval(id, (node) => !node.hidden);
    await page.click("#withdraw");
    await said("0 readings, 0 image studies");
    // Who comes again finds that consent is withdrawn, and takes it back.
    await page.goto(app);
    await page.click("#connect");
    await page.waitForSelector('button[value="allow"]');
    await page.click('button[value="allow"]');
    await said("0 readings, 0 image studies");
    const withdrawn = [await shows("#withdraw"), await shows("#again")];
    await page.click("#again");
    await said(seen.said);
    say({ ...seen, withdrawn, allowed: [await shows("#withdraw"), await shows("#again")], wrong });
  } catch (error) {
    const shown = await page.evaluate(() => `${location}: ${document.body.innerText}`).catch(String);
    say({ failed: String(error), shown });
  } finally {
    await browser.close();
  }
}

createInterface({ input: process.stdin }).once("line", async (line) => {
  await use(JSON.parse(line));
  process.exit(0);
});
