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

/** A batch is approved on a phone by somebody else than its author, who types the sum; a wrong sum releases nothing. */
async function approval({ browser, person, service, held, api, until, assert }) {
  const author = await person(browser, "operator");
  await author.goto(`${service}/approvals/${held}/deduct`);
  assert.equal(await author.locator("form[action$='/approve']").count(), 0, "nobody approves what they began");
  await author.context().close();
  const page = await person(browser, "approver", { viewport: { width: 390, height: 844 }, isMobile: true });
  await page.goto(`${service}/approvals/${held}/deduct`);
  const form = page.locator("form[action$='/approve']");
  const [batch] = await api(`/runs/${held}/approvals`);
  await form.locator("[name=reason]").fill("looked at");
  const sum = form.locator("input:not([type=hidden]):not([name=reason])").first();
  await sum.fill("1.00");
  await form.locator("button").click();
  assert.equal((await api(`/runs/${held}/approvals`))[0].state, "waiting");
  await page.goto(`${service}/approvals/${held}/deduct`);
  await form.locator("[name=reason]").fill("looked at");
  await sum.fill(batch.sums.HKD);
  await form.locator("button").click();
  await until("it is released", async () => (await api(`/runs/${held}/approvals`))[0].state !== "waiting");
  await page.context().close();
}

/** What failed is counted, and exactly that is tried again; the page says what became of it. */
async function bulk({ browser, person, service, run, assert }) {
  const page = await person(browser, "operator");
  await page.goto(`${service}/bulk?run=${run}&state=failed&action=retry`);
  const form = page.locator("form[action='/bulk']");
  if (await form.count() === 0) return page.context().close();
  await form.locator("[name=why]").fill("they have paid in");
  await form.locator("button").click();
  await page.waitForURL(/\/bulk\/\d+$/);
  assert.ok(await page.getByText("they have paid in").first().isVisible());
  return page.context().close();
}

/** A form that is refused comes back filled, without script, with the focus at what is wrong; nothing that was typed runs. */
async function refused({ browser, person, service, run, api, assert }) {
  const [item] = (await api(`/items?run=${run}&state=failed,rejected,succeeded&limit=1`)).items;
  const typed = `"><script>window.owned=1</script>${"W".repeat(500)}`;
  for (const javaScriptEnabled of [true, false]) {
    const page = await person(browser, "operator", { javaScriptEnabled, viewport: { width: 390, height: 844 }, isMobile: true });
    await page.goto(`${service}/items/${item.item}`);
    const form = page.locator("form[action$='/notes']");
    await page.locator("details#note summary").click();
    // Longer than the browser lets anybody type.
    const note = form.locator("[name=note]");
    if (javaScriptEnabled) {
      await note.evaluate((field) => field.removeAttribute("maxlength"));
      await note.fill(typed);
    } else {
      await note.fill(" ");
    }
    await form.locator("button").click();
    await page.waitForURL(/\/notes$/);
    assert.equal(await note.inputValue(), javaScriptEnabled ? typed : " ");
    assert.ok(await page.locator("#refusal").isVisible());
    assert.equal(await page.locator("[name=note]:focus").count(), 1, "the focus is at what is wrong");
    if (javaScriptEnabled) {
      const seen = await page.evaluate(() => ({ owned: window.owned, width: document.documentElement.scrollWidth }));
      assert.equal(seen.owned, undefined);
      assert.ok(seen.width <= 390, `${seen.width} px wide`);
    }
    await note.fill("as it should be");
    await form.locator("button").click();
    await page.waitForURL(/\/items\/\d+$/);
    await page.context().close();
  }
}

/** A file is sent by a page, looked at, and its run waits and is withdrawn: nothing of it is sent. */
async function upload({ browser, person, service, api, until, assert }) {
  const page = await person(browser, "operator");
  await page.goto(`${service}/upload`);
  await page.locator("select[name=target]").selectOption({ index: 0 });
  await page.setInputFiles("input[type=file]", { name: "more.csv", mimeType: "text/csv", buffer: Buffer.from("contract_id,plan,amount,currency,active\nWx0009000000001,basic,38.00,HKD,yes\n") });
  await page.locator("form[action='/upload'] button").first().click();
  await page.waitForURL(/\/upload\/.+/);
  const begin = page.locator("form[action$='/begin']");
  await begin.locator("select[name=send_after]").selectOption({ index: 1 });
  await begin.locator("button").click();
  await page.waitForURL(/\/runs\/\d+$/);
  const run = Number(page.url().split("/").pop());
  await page.locator("form[action$='/withdraw'] [name=reason]").fill("the wrong file");
  await page.locator("form[action$='/withdraw'] button").click();
  await until("it is withdrawn", async () => (await api(`/runs/${run}`)).by_state.cancelled === 1);
  assert.equal((await api(`/runs/${run}`)).open, 0);
  await page.context().close();
}

module.exports = async (tools) => {
  for (const action of [keys, live, withoutScript, viewers, approval, bulk, refused, upload]) {
    await action(tools);
    console.log(`${action.name}: as it should`);
  }
};
