// The charts of a run: what every step told, and what evaluations found.

import { Chart } from "./chart.js";
import { byId, make } from "./dom.js";
import { count, isHeadline, metricName, metricValue, number, percent } from "./format.js";

const COLUMNS = [
  { key: "loss", title: "Loss" },
  { key: "samples_per_second", title: "Samples/s", fromZero: true },
  { key: "logit_scale", title: "Logit scale" },
  { key: "lr", title: "Learning rate", fromZero: true },
  { key: "grad_norm", title: "Gradient norm", fromZero: true },
];

/** Lines of one chart differ in colour and in dashes. */
const STYLES = [
  { colour: "var(--line-1)" },
  { colour: "var(--line-2)", dash: "6 3" },
  { colour: "var(--line-3)", dash: "2 3" },
  { colour: "var(--line-4)", dash: "8 3 2 3" },
];
const ROWS_OF_NUMBERS = 25;

const cursor = {
  move: (step) => charts.forEach((chart) => chart.point(step)),
};

const charts = COLUMNS.map(({ key, ...options }) => new Chart({ id: `chart-${key}`, cursor, ...options }));
const evaluations = new Chart({
  id: "chart-evaluations",
  title: "Evaluation",
  cursor,
  fromZero: true,
  value: percent,
});
charts.push(evaluations);

let history = null;
let generations = [];

export function buildCurves() {
  byId("charts").append(...charts.map((chart) => chart.element));
  byId("numbers").addEventListener("toggle", showNumbers);
}

export function showHistory(data) {
  history = data;
  COLUMNS.forEach((column, i) => {
    const line = { name: column.title, values: data[column.key] ?? [], ...STYLES[0] };
    charts[i].show(data.step, [line], generations);
  });
  showEvaluations(data.evaluations ?? []);
  showNumbers();
}

/** A dashed line for every generation but the first. */
export function markGenerations(events) {
  const steps = events
    .filter((event) => event.kind === "generation" && event.step > 0)
    .map((event) => event.step);
  if (String(steps) === String(generations)) return;
  generations = steps;
  if (history !== null) showHistory(history);
}

let drawn = "";

function showEvaluations(found) {
  const text = JSON.stringify(found);
  if (text === drawn) return;
  drawn = text;
  const names = [...new Set(found.flatMap((one) => Object.keys(one.metrics)))];
  const headlines = names.filter(isHeadline).slice(0, STYLES.length);
  const lines = headlines.map((name, i) => ({
    name: metricName(name),
    values: found.map((one) => one.metrics[name] ?? null),
    dots: true,
    ...STYLES[i],
  }));
  evaluations.show(
    found.map((one) => one.step),
    lines,
  );
  byId("evaluations-all").hidden = names.length === 0;
  byId("evaluations-table").tBodies[0].replaceChildren(...names.map((name) => evaluationRow(name, found)));
}

function evaluationRow(name, found) {
  const of = found.filter((one) => typeof one.metrics[name] === "number");
  const lowest = /rank|loss/.test(name);
  const better = (a, b) =>
    (lowest ? b.metrics[name] < a.metrics[name] : b.metrics[name] > a.metrics[name]) ? b : a;
  const best = of.reduce(better, of[0]);
  return make(
    "tr",
    {},
    make("th", { scope: "row", text: metricName(name) }),
    make("td", { class: "number", text: metricValue(name, of.at(-1)?.metrics[name]) }),
    make("td", { class: "number", text: metricValue(name, best?.metrics[name]) }),
    make("td", { class: "number", text: count(best?.step) }),
  );
}

/** The curves for those who do not see them: evenly chosen steps, and the last. */
function showNumbers() {
  if (!byId("numbers").open || history === null) return;
  const table = byId("numbers").querySelector("table");
  const titles = ["Step", ...COLUMNS.map((column) => column.title)];
  table.tHead.replaceChildren(
    make(
      "tr",
      {},
      ...titles.map((text, i) => make("th", { scope: "col", class: i > 0 ? "number" : null, text })),
    ),
  );
  const last = history.step.length - 1;
  const rows = Math.min(ROWS_OF_NUMBERS, last + 1);
  const places = Array.from({ length: rows }, (_, i) =>
    rows === 1 ? last : Math.round((i * last) / (rows - 1)),
  );
  table.tBodies[0].replaceChildren(
    ...places.map((at) =>
      make(
        "tr",
        {},
        make("th", { scope: "row", text: count(history.step[at]) }),
        ...COLUMNS.map((column) => make("td", { class: "number", text: number(history[column.key]?.[at]) })),
      ),
    ),
  );
}
