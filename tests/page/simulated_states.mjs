// Does the page say what state a run is in, in each of them? And what when its stream ends, or a
// rank's worker leaves?
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

/** In the page: keeps every word about the connection, and what is said to those who listen. */
function keepWords() {
  window.told = [];
  window.said = [];
  const keep = (id, into) => {
    const element = document.getElementById(id);
    new MutationObserver(() => into.push(element.textContent)).observe(element, { childList: true });
  };
  addEventListener("DOMContentLoaded", () => {
    keep("connection", window.told);
    keep("announcer", window.said);
  });
}

/** A run's end is no loss of the connection, and both it and the coordinator's leave are said. */
async function endsInOrder(page, state) {
  await connectionIs(page, "over");
  const told = await page.evaluate(() => window.told);
  expect(!told.some((text) => text.includes("lost")), `the end was told as a loss: ${told.join("; ")}`);
  await until(
    page,
    `"${state}" and the coordinator's leave said as one`,
    (wanted) => window.said.some((text) => text.includes(wanted) && text.includes("run is over")),
    state,
  );
}

/** The worker of an open rank leaves: its last data stay, and the keyboard is not left nowhere. */
async function rankLeaves(page) {
  await page.click('#ranks-table tr[data-rank="2"]');
  await until(
    page,
    "details of rank 2",
    () => document.querySelector("#rank-title")?.textContent === "Rank 2",
  );
  process.kill(Number(await textOf(page, "#rank-pid")), "SIGKILL");
  await until(page, "the note that it left", () => !document.querySelector("#rank-gone").hidden);
  await until(
    page,
    "the training time is said to be of generation 2",
    () => document.querySelector("#elapsed-of").textContent === "of generation 2",
  );
  await page.keyboard.press("Escape");
  const focused = await page.evaluate(() => document.activeElement.id);
  expect(focused === "ranks-filter", `the focus is at "${focused}" after the details of a lost rank`);
}

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
    await endsInOrder(page, "failed");
    expect(await isShown(page, "#reconnect"), "nobody can ask for a new connection");
  },
  async ended(page) {
    await endsInOrder(page, "ended");
    expect((await textOf(page, "#step")) === "2,000", "the last step is gone with the stream");
    expect((await page.locator("#skips-table b").count()) === 0, "a text of the data became HTML");
  },
  async training(page, server) {
    await connectionIs(page, "live");
    server.kill("SIGUSR2");
    await connectionIs(page, "lost");
    expect(Number(await textOf(page, "#step")) > 0, "the data is gone with the connection");
    await connectionIs(page, "live");
    await rankLeaves(page);
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
    await withSimulated([RANKS, state, "--processes"], (url, server) =>
      withPage(url, { before: (page) => page.addInitScript(keepWords) }, (page) => look(state, page, server)),
    );
  }
  return { states: Object.keys(STATES) };
});
