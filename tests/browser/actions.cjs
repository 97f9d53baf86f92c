// What people do on the pages: by pointer, by keyboard, and without script.
"use strict";

/** The keys work, and lead to a row and the search. */
async function keys({ browser, person, service, assert }) {
  const page = await person(browser, "viewer");
  await page.goto(`${service}/runs`);
  await page.keyboard.press("j");
  assert.equal(await page.locator("tr.at").count(), 1);
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/runs\/\d+$/);
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.id), "search");
  await page.keyboard.press("Escape");
  await page.locator("h1").click();
  await page.keyboard.press("?");
  assert.ok(await page.locator("dialog#keys").isVisible());
  await page.context().close();
}

/** A run is watched to its end without a reload. */
async function live({ browser, person, service, begin, assert, until, api }) {
  const run = await begin("operator", "monthly-deductions", "data/contracts.csv");
  const page = await person(browser, "viewer");
  await page.goto(`${service}/runs/${run}`);
  const first = await page.locator("#live").innerText();
  await until("some items have ended", async () => (await api(`/runs/${run}`)).open < 100);
  await page.waitForFunction((before) => document.getElementById("live").innerText !== before, first, { timeout: 10_000 });
  assert.equal(page.url(), `${service}/runs/${run}`);
  await page.context().close();
}

/** Everything is there without script, and a lane is suspended and released by forms alone. */
async function withoutScript({ browser, person, service, assert }) {
  const page = await person(browser, "operator", { javaScriptEnabled: false });
  await page.goto(`${service}/gateways`);
  const card = page.locator("section", { has: page.locator("h2", { hasText: "egms" }) });
  await card.locator("details.do").first().locator("summary").click();
  await card.locator("form[action='/gateways/suspend'] input[name=reason]").fill("<b>they</b> asked for it");
  await card.locator("form[action='/gateways/suspend'] button").click();
  await page.waitForURL(`${service}/gateways`);
  assert.ok(await card.getByText("<b>they</b> asked for it").isVisible());
  await card.locator("details.do").first().locator("summary").click();
  await card.locator("form[action='/gateways/release'] input[name=reason]").fill("they are back");
  await card.locator("form[action='/gateways/release'] button").click();
  assert.equal(await card.getByText("asked for it").count(), 0);
  await page.context().close();
}

/** A viewer is offered nothing that changes anything. */
async function viewers({ browser, person, service, run, assert }) {
  const page = await person(browser, "viewer");
  for (const where of ["/", "/runs", `/runs/${run}`, "/gateways", "/alerts"]) {
    await page.goto(service + where);
    const actions = await page.evaluate(() => [...document.querySelectorAll("form[method=post]")].map((form) => form.getAttribute("action")));
    assert.deepEqual(actions, ["/sign-out"], where);
  }
  await page.context().close();
}

module.exports = async (tools) => {
  for (const action of [keys, live, withoutScript, viewers]) {
    await action(tools);
    console.log(`${action.name}: as it should`);
  }
};
