// Opens the status page of a run with two or more workers on this machine, looks at it as its
// reader would, and kills the worker of the highest rank:
//   node tests/page/run.mjs URL
// Prints what it saw as one line of JSON. TWINSPAN_SCREENSHOTS names a folder for pictures;
// TWINSPAN_PAGE_SECONDS is the longest wait for anything (120).

import { expect, main, screenshots, textOf, until, withPage } from "./browser.mjs";

const SECONDS = Number(process.env.TWINSPAN_PAGE_SECONDS ?? 120);

/** In the page: the number in an element. */
function numberIn(selector) {
  return Number(document.querySelector(selector).textContent.replaceAll(",", ""));
}

/** Waits until a figure is a number and then another one, larger or just different. */
async function move(page, selector, larger) {
  await page.evaluate(`window.numberIn = ${numberIn}`);
  await until(page, `a number in ${selector}`, (where) => window.numberIn(where) > 0, selector);
  const before = await page.evaluate(numberIn, selector);
  const changed = ([where, old, up]) => (up ? window.numberIn(where) > old : window.numberIn(where) !== old);
  await until(page, `${selector} goes on from ${before}`, changed, [selector, before, larger]);
  return [before, await page.evaluate(numberIn, selector)];
}

async function clickRank(page, ranks) {
  const last = ranks.at(-1);
  await page.click(`#ranks-table tr[data-rank="${last.rank}"]`);
  await until(
    page,
    `process ${last.pid} in the details of rank ${last.rank}`,
    (pid) => document.querySelector("#rank-pid")?.textContent === String(pid),
    last.pid,
  );
  await page.keyboard.press("Escape");
  await until(page, "Escape closes the details", () => document.querySelector("#rank").hidden);
  const focused = await page.evaluate(() => document.activeElement.closest("tr")?.dataset.rank);
  expect(focused === String(last.rank), `the focus came back to ${focused} and not to rank ${last.rank}`);
  await page.keyboard.press("Enter");
  await until(page, "Enter opens them again", () => !document.querySelector("#rank").hidden);
  return last;
}

async function clickStep(page, size) {
  await page.click("#steps-list .open");
  await until(
    page,
    `bars of ${size} ranks in the waterfall`,
    (wanted) => {
      const rows = [...document.querySelectorAll("#waterfall-ranks > li")];
      return (
        rows.length === wanted &&
        rows.every(
          (row) =>
            [...row.querySelectorAll(".span")].filter((bar) => bar.getBoundingClientRect().width > 0)
              .length >= 3,
        )
      );
    },
    size,
  );
  const trace = await textOf(page, "#waterfall-trace");
  expect(/^[0-9a-f]{32}$/.test(trace), `a trace id is 32 hexadecimal digits, not ${trace}`);
  return { step: await textOf(page, "#waterfall-title"), trace };
}

async function clickCheckpoint(page) {
  await page.click("#checkpoints-list .open");
  await until(
    page,
    "the parts of a checkpoint",
    () => document.querySelectorAll("#checkpoint-parts tbody tr").length >= 2,
  );
  const parts = await page.locator("#checkpoint-parts th").allTextContents();
  expect(parts.includes("open_clip_model.safetensors"), `no model among the parts: ${parts.join(", ")}`);
  return parts;
}

/** Waits until the page tells of a later generation, and gives it. */
async function nextGeneration(page, generation) {
  await page.evaluate(`window.numberIn = ${numberIn}`);
  await until(
    page,
    `a generation after ${generation}`,
    (old) => window.numberIn("#generation") > old,
    generation,
  );
  const now = await page.evaluate(numberIn, "#generation");
  await until(
    page,
    `generation ${now} in the timeline`,
    (wanted) =>
      document.querySelector(`#events-list [data-kind="generation"][data-generation="${wanted}"]`) !== null,
    now,
  );
  return now;
}

/** Every curve has a line, and one can be read from the keyboard. */
async function readCurves(page) {
  for (const curve of ["loss", "samples_per_second", "logit_scale", "lr"]) {
    await until(
      page,
      `a line in the curve of ${curve}`,
      (name) => document.querySelector(`#chart-${name} .lines path`)?.getAttribute("d").includes("L"),
      curve,
    );
  }
  await page.focus("#chart-loss svg");
  await page.keyboard.press("Home");
  const first = await page.getAttribute("#chart-loss svg", "aria-valuetext");
  expect(/^step \d+: [\d.]+$/.test(first), `the first point of the loss reads ${first}`);
  await page.keyboard.press("Escape");
}

async function look(page) {
  const get = async (resource) => (await fetch(new URL(`api/v1/${resource}`, page.url()))).json();
  await until(page, "a run that trains", () => document.querySelector("#state").dataset.state === "training");
  await until(
    page,
    "a live connection",
    () => document.querySelector("#connection").dataset.connection === "live",
  );
  const steps = await move(page, "#step", true);
  const samples_per_second = await move(page, "#samples-per-second", false);
  const ranks = (await get("ranks")).ranks
    .filter(({ rank }) => rank !== null)
    .sort((a, b) => a.rank - b.rank);
  expect(ranks.length >= 2, `two ranks or more are needed, not ${ranks.length}`);
  const highest = await clickRank(page, ranks);
  await readCurves(page);
  const waterfall = await clickStep(page, ranks.length);
  const parts = await clickCheckpoint(page);
  await screenshots(page, "run");
  const generation = await page.evaluate(numberIn, "#generation");
  process.kill(highest.pid, "SIGKILL");
  const next = await nextGeneration(page, generation);
  await screenshots(page, "after-a-kill");
  const kinds = await page
    .locator("#events-list li")
    .evaluateAll((events) => events.map((event) => event.dataset.kind));
  return {
    ranks: ranks.length,
    steps,
    samples_per_second,
    waterfall,
    parts,
    killed: highest.pid,
    generations: [generation, next],
    events: [...new Set(kinds)],
  };
}

await main(() => {
  const url = process.argv[2];
  expect(url !== undefined, "run.mjs wants the URL of a run's status page");
  return withPage(url, { seconds: SECONDS }, look);
});
