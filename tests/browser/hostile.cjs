// Hostile texts in every field that people, files, gateways and payrun.yaml write into, and the pages that show them.
"use strict";
const { execFileSync } = require("node:child_process");
const crypto = require("node:crypto");
const fs = require("node:fs");
const path = require("node:path");

module.exports = async ({ service, token, api, begin, until, run, items, person, browser, assert }) => {
  const texts = JSON.parse(fs.readFileSync("hostile.json", "utf8"));
  const text = (number) => texts[number % texts.length];
  const send = async (where, body) => {
    const reply = await fetch(`${service}/api/v1${where}`, {
      method: "POST",
      headers: { Authorization: `Bearer ${token("long")}`, "Content-Type": "application/json", "Idempotency-Key": crypto.randomUUID() },
      body: JSON.stringify(body),
    });
    assert.ok(reply.status < 300, `${where}: ${await reply.clone().text()}`);
    const answer = await reply.text();
    return answer && JSON.parse(answer);
  };

  // What people type as reasons and notes, each text in each place that takes one.
  const failed = items.filter((item) => item.state === "failed");
  for (const [number, note] of texts.entries()) await send(`/items/${items[0].item}/notes`, { note: `${number} ${note}` });
  if (failed.length > 0) await send(`/items/${failed[0].item}/retry`, { reason: text(1) });
  for (const [number, lane] of ["cbtis", "hipopay/refund", "hk/refund"].entries()) await send("/lanes/suspend", { lane, reason: text(number) });
  await send("/lanes/limit", { lane: "hipopay", rate: "5/s", reason: text(6) });
  await send("/pauses", { scope: "contract", name: text(1), gateway: "hk", ahead: true, reason: text(5) });

  // Many items at once, and a run and a batch that are given up.
  const haveFailed = () => until("they have failed", async () => ((await api(`/runs/${run}`)).by_state.failed ?? 0) > 7);
  await haveFailed();
  const filter = { action: "retry", states: ["failed"], run };
  const counted = await send("/items/bulk", filter);
  await send("/items/bulk", { ...filter, set: counted.set, reason: text(3) });
  const withdrawn = await begin("operator", "held-deductions", "data/later.csv", text(0));
  await send(`/runs/${withdrawn}/withdraw`, { reason: text(7) });

  // A file whose name and headings are hostile, with the headings kept for its columns.
  const bearer = { Authorization: `Bearer ${token("long")}` };
  const upload = await fetch(`${service}/api/v1/files?format=csv`, { method: "POST", headers: bearer, body: fs.readFileSync("data/headings.csv") });
  assert.equal(upload.status, 200, await upload.clone().text());
  const { file } = await upload.json();
  const target = "monthly-deductions/deduct";
  const sent = (name) => `/upload/${encodeURIComponent(file)}?target=${encodeURIComponent(target)}&encoding=&name=${encodeURIComponent(name)}`;
  const page = await person(browser, "long");
  await page.goto(service + sent(text(1)));
  const columns = page.locator("form[action$='/columns']");
  for (const [index, column] of ["contract_id", "plan", "amount", "currency", "active"].entries()) {
    const select = columns.locator(`select[name="column:${column}"]`);
    if (await select.count() > 0) await select.selectOption({ index: index + 1 });
  }
  await columns.locator("button").click();
  await page.waitForURL(/\/upload\/.+name=/);
  assert.ok(await page.locator("form[action$='/begin']").count() > 0, "the headings are kept for the columns");
  await page.context().close();

  // What a gateway may say, and what is told of it to people whose addresses are as long as may be.
  await haveFailed();
  await until("a mail waits", async () => (await api("/alerts")).length > 0);
  execFileSync("python3", [path.join(__dirname, "gateway_words.py")]);

  const bulks = (await api("/bulk-actions")).bulk_actions;
  return [
    ...texts.map((name) => sent(name)),
    ...texts.slice(0, 4).flatMap((one) => [`/search?q=${encodeURIComponent(one)}`, `/items?reason=${encodeURIComponent(one)}&state=failed`]),
    `/bulk?action=retry&state=failed,needs_review&reason=${encodeURIComponent(text(1))}`,
    ...bulks.flatMap((bulk) => [`/bulk/${bulk.bulk_action}`, `/items?bulk_action=${bulk.bulk_action}`]),
    `/runs/${withdrawn}`, `/items?run=${withdrawn}`, "/items", ...failed.slice(0, 3).map((item) => `/items/${item.item}`),
  ];
};
