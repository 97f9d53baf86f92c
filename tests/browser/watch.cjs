// A large run, watched to its end on two pages that nobody loads again.
//
//   node watch.cjs SERVICE FOLDER BROWSER ITEMS   FOLDER has the tokens of the roles
"use strict";
const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { chromium } = require("playwright-core");

const [service, folder, executablePath, many] = process.argv.slice(2);
const items = Number(many);
const token = (role) => fs.readFileSync(path.join(folder, `${role}.token`), "utf8").match(/payrun_[\w-]{43}/)[0];
const bearer = (role) => ({ Authorization: `Bearer ${token(role)}` });
const problems = [];

/** How long the run may take, and how long a page may stay as it is while the run goes on. */
const LONGEST = 600_000;
const SILENT = 15_000;

async function api(where) {
  const reply = await fetch(`${service}/api/v1${where}`, { headers: bearer("viewer") });
  assert.equal(reply.status, 200, where);
  return reply.json();
}

async function begin() {
  const upload = await fetch(`${service}/api/v1/files?format=csv`, { method: "POST", headers: bearer("operator"), body: fs.readFileSync("data/many.csv") });
  assert.equal(upload.status, 200, await upload.clone().text());
  const inputs = { deduct: (await upload.json()).file };
  for (;;) {
    const started = await fetch(`${service}/api/v1/runs`, {
      method: "POST",
      headers: { ...bearer("operator"), "Content-Type": "application/json", "Idempotency-Key": "the-large-one" },
      body: JSON.stringify({ workflow: "monthly-deductions", inputs }),
    });
    assert.ok([200, 201, 202].includes(started.status), await started.clone().text());
    const { run } = await started.json();
    if (run) return run.run;
  }
}

/** A page that counts how often it changes and how long it stays as it is, and notices if it is loaded again. */
async function watch(browser, where, part) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  page.on("console", (message) => { if (["error", "warning"].includes(message.type())) problems.push(`${where}: ${message.text()}`); });
  page.on("pageerror", (error) => problems.push(`${where}: ${error.message}`));
  await page.goto(`${service}/sign-in`);
  await page.fill("#token", token("viewer"));
  await page.click("button.primary");
  await page.waitForURL(`${service}/`);
  await page.goto(service + where);
  await page.evaluate((selector) => {
    window.watched = { changes: 0, longest: 0, at: performance.now(), failed: 0 };
    new MutationObserver(() => {
      const now = performance.now();
      window.watched.longest = Math.max(window.watched.longest, now - window.watched.at);
      window.watched.at = now;
      window.watched.changes += 1;
      if (document.getElementById("not-renewed")?.hidden === false) window.watched.failed += 1;
    }).observe(document.querySelector(selector), { subtree: true, childList: true, characterData: true, attributes: true });
  }, part);
  return page;
}

async function main() {
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  const run = await begin();
  const began = Date.now();
  const pages = [await watch(browser, `/runs/${run}`, "#live"), await watch(browser, "/", "main")];
  const nodes = () => Promise.all(pages.map((page) => page.evaluate(() => document.querySelectorAll("*").length)));
  const first = await nodes();
  let seen = await api(`/runs/${run}`);
  while (seen.state !== "finished") {
    assert.ok(Date.now() - began < LONGEST, `it goes on for too long: ${JSON.stringify(seen.by_state)}`);
    await new Promise((resolve) => { setTimeout(resolve, 500); });
    seen = await api(`/runs/${run}`);
  }
  const seconds = (Date.now() - began) / 1000;
  assert.equal(Object.values(seen.by_state).reduce((sum, one) => sum + one, 0), items, JSON.stringify(seen.by_state));
  const total = new Intl.NumberFormat("en").format(seen.by_state.succeeded);
  for (const [index, page] of pages.entries()) {
    // Both say at last what the API says, by themselves.
    await page.waitForFunction((text) => document.querySelector("main").innerText.includes(text), total, { timeout: 30_000 });
    const watched = await page.evaluate(() => window.watched);
    assert.ok(watched, `${page.url()}: somebody loaded it again`);
    assert.ok(watched.changes > 1, `${page.url()}: it did not change`);
    assert.equal(watched.failed, 0, `${page.url()}: it said that it could not be renewed`);
    assert.ok(watched.longest < SILENT, `${page.url()}: it stayed as it was for ${Math.round(watched.longest)} ms`);
    console.log(`${new URL(page.url()).pathname}: ${watched.changes} changes, ${Math.round(watched.longest)} ms at most between two`);
    const grown = (await nodes())[index];
    assert.ok(grown < first[index] + 2_000, `${page.url()}: from ${first[index]} to ${grown} elements`);
  }
  await browser.close();
  assert.deepEqual(problems, []);
  console.log(`${items} items in ${seconds.toFixed(0)} s, watched to the end on two pages`);
}

main().catch((error) => { console.error(error, problems.join("\n")); process.exit(1); });
