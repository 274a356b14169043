// The steps that were sampled last, one trace each.

import { Keyed, byId, make, setAttribute, setText, walk } from "./dom.js";
import { count, moment, seconds } from "./format.js";
import { get } from "./stream.js";
import { buildWaterfall, showWaterfall } from "./waterfall.js";

const REASONS = {
  interval: "by interval",
  first: "first of a generation",
  slow: "slow",
  failed: "failed",
  checkpoint: "checkpoint",
};

const MOST_TRIES = 10;

let list = null;
let chosen = null;
/** What was last told of the chosen one, and how often it was asked for. */
let shown = null;
let asked = 0;
let refocus = () => {};

const keyOf = (step) => `${step.generation}/${step.step}`;

export function buildSteps() {
  list = new Keyed(byId("steps-list"), keyOf, newStep);
  refocus = walk(byId("steps-list"), ".open");
  buildWaterfall();
}

function newStep(first) {
  const title = make("strong");
  const reason = make("span", { class: "reason" });
  const took = make("span", { class: "number" });
  const when = make("time");
  const button = make(
    "button",
    {
      type: "button",
      class: "open",
      tabindex: "-1",
      "aria-controls": "waterfall",
      on: { click: () => choose(first) },
    },
    title,
    took,
    reason,
    when,
  );
  return {
    element: make("li", { "data-step": first.step, "data-reason": first.reason }, button),
    update(step) {
      setText(title, `Step ${count(step.step)}`);
      setText(reason, REASONS[step.reason] ?? step.reason);
      setText(took, seconds(step.seconds));
      setText(when, moment(step.unix_seconds));
      this.mark();
    },
    mark: () => setAttribute(button, "aria-pressed", String(chosen === first)),
  };
}

export function showSteps(data) {
  byId("steps-none").hidden = data.steps.length > 0;
  byId("steps-list").hidden = data.steps.length === 0;
  list.show([...data.steps].reverse());
  refocus();
}

async function choose(step) {
  chosen = step;
  shown = null;
  asked = 0;
  for (const row of list.rows()) row.mark();
  const place = byId("waterfall");
  place.hidden = false;
  place.setAttribute("aria-busy", "true");
  await draw(step);
  if (chosen === step) place.removeAttribute("aria-busy");
}

async function draw(step) {
  asked += 1;
  try {
    const told = await get(`steps/${step.step}`);
    if (chosen !== step) return;
    if (told.ranks.length !== shown?.ranks.length) showWaterfall(told);
    shown = told;
  } catch (error) {
    if (chosen !== step || shown !== null) return;
    byId("waterfall").replaceChildren(
      make("p", { class: "none", text: `Step ${count(step.step)} cannot be shown: ${error.message}` }),
    );
  }
}

/** Ranks tell of a step one after another: one that lacks some of this world's is asked for again. */
export function completeStep(run) {
  if (shown === null || shown.generation !== run.generation) return;
  if (shown.ranks.length < run.world_size && asked < MOST_TRIES) draw(chosen);
}
