// Every page of the dashboard in Chromium: what it shows, how it looks, and what it does.
//
//   node pages.cjs SERVICE FOLDER BROWSER [SCREENSHOTS]   FOLDER has the tokens of the roles
"use strict";
const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { chromium } = require("playwright-core");

const [service, folder, executablePath, pictures] = process.argv.slice(2);
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const token = (role) => fs.readFileSync(path.join(folder, `${role}.token`), "utf8").match(/payrun_[\w-]{43}/)[0];

const LANGUAGES = { en: "en", "zh-CN": "zh-Hans", "zh-HK": "zh-Hant" };
const problems = [];

/** A browser of a person: signed in, with every complaint of the browser noted. */
async function person(browser, role, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type()) && !/status of 4\d\d/.test(message.text())) problems.push(`${page.url()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => problems.push(`${page.url()}: ${error.message}`));
  page.on("dialog", (dialog) => { problems.push(`${page.url()}: a dialog says ${dialog.message()}`); dialog.dismiss(); });
  await page.goto(`${service}/sign-in`);
  await page.fill("#token", token(role));
  await page.click("button.primary");
  await page.waitForURL(`${service}/`);
  return page;
}

/** Looks at a page: that it is whole, that nothing runs, and that nobody stumbles. */
async function look(page, where, { status = 200, name } = {}) {
  const response = await page.goto(service + where);
  assert.equal(response.status(), status, where);
  const seen = await page.evaluate(() => ({
    language: document.documentElement.lang,
    owned: window.owned,
    // A tag of ours as text.
    isEscaped: document.body.innerText.includes("<time "),
    width: document.documentElement.scrollWidth,
    heading: document.querySelector("h1")?.textContent.trim(),
    bytes: document.documentElement.outerHTML.length,
  }));
  if (seen.isEscaped) problems.push(`${where}: its own markup is text`);
  if (seen.owned !== undefined) problems.push(`${where}: a text ran as script`);
  // A telephone shows what is too wide smaller: its own width says nothing.
  const screen = page.viewportSize().width;
  if (seen.width > screen) problems.push(`${where}: ${seen.width} px wide, on a screen of ${screen}`);
  if (!seen.heading) problems.push(`${where}: no heading`);
  await page.evaluate(axe);
  const found = await page.evaluate(async () => (await window.axe.run()).violations
    .filter((one) => ["serious", "critical"].includes(one.impact))
    .map((one) => `${one.id}: ${one.nodes.slice(0, 2).map((node) => node.target.join(" ")).join(" | ")}`));
  for (const one of found) problems.push(`${where}: ${one}`);
  if (pictures && name) await page.screenshot({ path: path.join(pictures, `${name}.png`), fullPage: true });
  return seen;
}

const named = (where) => where.replace(/[^a-z0-9]+/gi, "-").replace(/^-|-$/g, "").slice(0, 120) || "today";

/** Begins a run by the API, as a program does; `name`: what its file was called. */
async function begin(role, workflow, file, name) {
  const bearer = { Authorization: `Bearer ${token(role)}` };
  const upload = await fetch(`${service}/api/v1/files?format=csv`, { method: "POST", headers: bearer, body: fs.readFileSync(file) });
  assert.equal(upload.status, 200, await upload.clone().text());
  const started = await fetch(`${service}/api/v1/runs`, {
    method: "POST",
    headers: { ...bearer, "Content-Type": "application/json", "Idempotency-Key": crypto.randomUUID() },
    body: JSON.stringify({ workflow, inputs: { deduct: (await upload.json()).file }, ...(name ? { input_names: { deduct: name } } : {}) }),
  });
  assert.equal(started.status, 201, await started.clone().text());
  return (await started.json()).run.run;
}

/** Asks the API until something is so. */
async function until(what, look) {
  for (let tries = 0; tries < 300; tries += 1) {
    const found = await look();
    if (found) return found;
    await new Promise((resolve) => { setTimeout(resolve, 100); });
  }
  throw new Error(`it did not happen: ${what}`);
}

async function api(where) {
  const reply = await fetch(`${service}/api/v1${where}`, { headers: { Authorization: `Bearer ${token("viewer")}` } });
  assert.equal(reply.status, 200, where);
  return reply.json();
}

async function main() {
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  const run = await begin("operator", "monthly-deductions", "data/few.csv");
  const held = await begin("operator", "held-deductions", "data/few.csv");
  await until("items have ended", async () => {
    const { succeeded = 0, failed = 0 } = (await api(`/runs/${run}`)).by_state;
    return succeeded > 5 && failed > 7;
  });
  const items = (await api(`/items?run=${run}&limit=500`)).items;
  const one = (state) => items.find((item) => item.state === state)?.item;
  const hostile = await require("./hostile.cjs")({ service, token, api, begin, until, run, items, person, browser, assert });
  const pages = [
    "/", "/runs", `/runs/${run}`, "/search", `/search?q=${encodeURIComponent(items[0].key.slice(0, 4))}`, "/gateways", "/alerts", "/settings",
    ...(await require("./paths.cjs")({ run, held, one })),
  ];

  for (const [locale, tag] of Object.entries(LANGUAGES)) {
    for (const colorScheme of ["light", "dark"]) {
      for (const width of [1280, 390]) {
        const page = await person(browser, tag === "en" && colorScheme === "light" ? "long" : "admin", { locale, colorScheme, viewport: { width, height: 900 }, isMobile: width < 500 });
        // No language and no colour makes more of a text than another.
        const everything = tag === "en" && colorScheme === "light" ? [...pages, ...hostile] : pages;
        for (const where of everything) {
          const seen = await look(page, where, { name: `${named(where)}-${tag}-${colorScheme}-${width}` });
          assert.equal(seen.language, tag, where);
        }
        await page.context().close();
      }
    }
  }
  console.log(`${hostile.length} pages of hostile texts, 1280 and 390 px`);
  console.log(`${pages.length} pages in 3 languages, light and dark, 1280 and 390 px`);

  await require("./actions.cjs")({ browser, person, look, service, run, held, api, until, begin, assert });
  await browser.close();
  if (problems.length > 0) {
    console.error([...new Set(problems)].join("\n"));
    process.exit(1);
  }
  console.log("no page complains, runs a text, is too wide, or has a serious finding of axe");
}

main().catch((error) => { console.error(error, [...new Set(problems)].join("\n")); process.exit(1); });
