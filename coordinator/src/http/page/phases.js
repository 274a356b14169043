// The phases of a step, in order. Their colours are in style.css, as --phase-<name>.

import { make } from "./dom.js";
import { words } from "./format.js";

export const PHASES = [
  "data_wait",
  "decode",
  "image_forward",
  "text_forward",
  "all_gather",
  "loss",
  "backward",
  "all_reduce",
  "optimizer",
  "commit",
  "checkpoint",
];

/** Batches are decoded ahead, beside the step: its time is not part of the step's. */
export const BESIDE = "decode";

/** In these a rank waits for the others. What is left is its own work. */
const TOGETHER = new Set([BESIDE, "all_gather", "all_reduce", "checkpoint"]);

export const colour = (phase) =>
  PHASES.includes(phase) ? `var(--phase-${phase.replaceAll("_", "-")})` : "var(--quiet)";

/** Phases of a record in their order; an unknown one comes last. */
export function inOrder(phases) {
  const place = ([name]) => (PHASES.includes(name) ? PHASES.indexOf(name) : PHASES.length);
  return Object.entries(phases ?? {}).sort((a, b) => place(a) - place(b));
}

const sum = (entries) => entries.reduce((total, [, seconds]) => total + seconds, 0);

/** Seconds a step that a rank itself needed, not counting its wait for others. */
export function ownWork(rank) {
  const own = inOrder(rank.phases).filter(([name]) => !TOGETHER.has(name));
  return own.length === 0 ? null : sum(own);
}

/** Seconds that a rank's bar stands for. */
export const barSeconds = (rank) =>
  Math.max(rank.step_seconds ?? 0, sum(inOrder(rank.phases).filter(([name]) => name !== BESIDE)));

/** A bar's background: the phases one after another, decoding as a thin line below. */
export function barBackground(rank, scale) {
  const stops = [];
  let at = 0;
  for (const [name, seconds] of inOrder(rank.phases)) {
    if (name === BESIDE) continue;
    const from = at;
    at += (seconds / scale) * 100;
    stops.push(`${colour(name)} ${from.toFixed(2)}% ${at.toFixed(2)}%`);
  }
  if (stops.length === 0) return "none";
  const layers = [
    `linear-gradient(to right, ${stops.join(", ")}, transparent ${at.toFixed(2)}%) 0 0 / 100% 74% no-repeat`,
  ];
  const beside = rank.phases[BESIDE];
  if (beside !== undefined) {
    const end = Math.min(100, (beside / scale) * 100).toFixed(2);
    layers.push(
      `linear-gradient(to right, ${colour(BESIDE)} 0 ${end}%, transparent ${end}%) 0 100% / 100% 18% no-repeat`,
    );
  }
  return layers.join(", ");
}

/** The colours of these phases, explained. */
export function legend(phases, attributes) {
  return make(
    "ul",
    { class: "legend", "aria-label": "Colours of the phases of a step", ...attributes },
    ...phases.map((phase) => {
      const swatch = make("span", { class: phase === BESIDE ? "swatch thin" : "swatch" });
      swatch.style.background = colour(phase);
      return make("li", {}, swatch, phase === BESIDE ? `${words(phase)} (beside the step)` : words(phase));
    }),
  );
}
