// How long does the page take for one second's data of many ranks?
//   node tests/page/simulated_ranks.mjs [RANKS]

import { expect, main, screenshots, until, withPage, withSimulated } from "./browser.mjs";

const RANKS = Number(process.argv[2] ?? 512);
const FRAMES = 8;
const LIMIT = 200;

/** In the page: keeps each measure that the page makes of a frame of data. */
function keepFrames() {
  window.frames_of_data = [];
  new PerformanceObserver((list) => {
    for (const entry of list.getEntriesByName("frame"))
      window.frames_of_data.push({ ms: entry.duration, ranks: entry.detail.includes("ranks") });
  }).observe({ type: "measure" });
}

/** Measures of frames with the ranks in sight, where they cost the most; and of the first of all. */
async function measure(page) {
  const first = await page.evaluate(() => window.frames_of_data.find((frame) => frame.ranks).ms);
  await page.locator("#ranks-table").scrollIntoViewIfNeeded();
  await page.evaluate(() => {
    window.frames_of_data.length = 0;
  });
  await until(
    page,
    `${FRAMES} frames of data`,
    (wanted) => window.frames_of_data.filter((frame) => frame.ranks).length >= wanted,
    FRAMES,
  );
  const frames = await page.evaluate(() =>
    window.frames_of_data.filter((frame) => frame.ranks).map((frame) => frame.ms),
  );
  frames.sort((a, b) => a - b);
  const [first_ms, median_ms, max_ms] = [first, frames[frames.length >> 1], frames.at(-1)].map(Math.round);
  return { first_ms, median_ms, max_ms, frames: frames.length };
}

async function use(page) {
  await until(
    page,
    `${RANKS} rows`,
    (wanted) => document.querySelectorAll("#ranks-table tbody tr").length === wanted,
    RANKS,
  );
  const last = RANKS - 1;
  await page.fill("#ranks-filter", String(last));
  await until(
    page,
    "one row after filtering",
    () => document.querySelectorAll("#ranks-table tbody tr:not([hidden])").length === 1,
  );
  await page.click(`#ranks-table tr[data-rank="${last}"]`);
  await until(
    page,
    "details of the last rank",
    (rank) => document.querySelector("#rank-title")?.textContent === `Rank ${rank}`,
    last,
  );
  await page.fill("#ranks-filter", "");
  await page.click("#steps-list .open");
  await until(
    page,
    "a waterfall of all ranks",
    (wanted) => document.querySelectorAll("#waterfall-ranks > li").length === wanted,
    RANKS,
  );
  const frames = await measure(page);
  await screenshots(page, `simulated-${RANKS}`);
  expect(
    frames.median_ms < LIMIT,
    `a frame of ${RANKS} ranks takes ${frames.median_ms} ms, more than ${LIMIT}`,
  );
  return { ranks: RANKS, ...frames };
}

await main(() =>
  withSimulated([String(RANKS)], (url) =>
    withPage(url, { before: (page) => page.addInitScript(keepFrames) }, use),
  ),
);
