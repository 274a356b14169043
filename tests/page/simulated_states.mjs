// Does the page say what state a run is in, in each of them? And what when its stream ends?
//   node tests/page/simulated_states.mjs

import { expect, main, screenshots, textOf, until, withPage, withSimulated } from "./browser.mjs";

const RANKS = "3";

const isShown = (page, selector) => page.locator(selector).isVisible();

const connectionIs = (page, wanted) =>
  until(
    page,
    `the connection is ${wanted}`,
    (state) => document.querySelector("#connection").dataset.connection === state,
    wanted,
  );

/** What the page of a run in each state must show. */
const STATES = {
  async waiting(page) {
    expect(
      (await textOf(page, "#message")).includes("workers have joined"),
      "nothing tells how many workers have joined",
    );
    expect((await textOf(page, "#samples-per-second")) === "–", "there is a rate before the first step");
    expect(await isShown(page, "#steps-none"), "there are sampled steps before the first step");
  },
  async early(page) {
    expect((await textOf(page, "#loss")) === "–", "there is a loss before the first step");
    await until(page, "three ranks", () => document.querySelectorAll("#ranks-table tbody tr").length === 3);
  },
  async straggler(page) {
    expect(
      (await textOf(page, "#straggler")).includes("rank 2"),
      "the rank that the others wait for is not named",
    );
    await until(
      page,
      "a mark at its row",
      () => document.querySelector("#ranks-table tr.straggler")?.dataset.rank === "2",
    );
  },
  async failed(page) {
    expect((await textOf(page, "#failure")).includes("not finite"), "the reason of the failure is not told");
    await connectionIs(page, "over");
    expect(await isShown(page, "#reconnect"), "nobody can ask for a new connection");
  },
  async ended(page) {
    await connectionIs(page, "over");
    expect((await textOf(page, "#step")) === "2,000", "the last step is gone with the stream");
    expect((await page.locator("#skips-table b").count()) === 0, "a text of the data became HTML");
  },
  async training(page, server) {
    await connectionIs(page, "live");
    server.kill("SIGUSR2");
    await connectionIs(page, "lost");
    expect(Number(await textOf(page, "#step")) > 0, "the data is gone with the connection");
    await connectionIs(page, "live");
  },
};

const NAMES = { waiting: "waiting for workers", failed: "failed", ended: "ended" };

async function look(state, page, server) {
  await until(page, "a state", () => document.querySelector("#state").dataset.state !== "unknown");
  const name = await textOf(page, "#state");
  expect(name === (NAMES[state] ?? "training"), `a run that is ${state} is called ${name}`);
  await STATES[state](page, server);
  await screenshots(page, `simulated-${state}`);
}

await main(async () => {
  for (const state of Object.keys(STATES)) {
    await withSimulated([RANKS, state], (url, server) =>
      withPage(url, {}, (page) => look(state, page, server)),
    );
  }
  return { states: Object.keys(STATES) };
});
