// The ranks: a strip that shows who differs, and a table to find and compare them.

import { Keyed, byId, make, setAttribute, setText, walk } from "./dom.js";
import { NONE, age, bytes, count, median, rankName, seconds, several, words } from "./format.js";
import { PHASES, barBackground, barSeconds, inOrder, legend, ownWork } from "./phases.js";
import { LEVELS, Strip } from "./strip.js";

/** Heartbeats come about once a second. */
export const LATE_SECONDS = 3;

const COLUMNS = [
  { name: "rank", title: "Rank", value: (rank) => rank.rank ?? Infinity },
  { name: "worker", title: "Worker", value: (rank) => rank.worker },
  { name: "host", title: "Host", value: (rank) => rank.host },
  { name: "device", title: "Device", value: (rank) => rank.device },
  { name: "step", title: "Step", numeric: true, value: (rank) => rank.step },
  { name: "phase", title: "Now in", value: (rank) => rank.phase },
  { name: "bar", title: "Mean step by phase", value: (rank) => ownWork(rank) ?? 0 },
  { name: "own", title: "Own work", numeric: true, value: (rank) => ownWork(rank) ?? 0 },
  { name: "wait", title: "Data wait", numeric: true, value: (rank) => rank.phases?.data_wait ?? 0 },
  { name: "heartbeat", title: "Heartbeat", numeric: true, value: (rank) => rank.heartbeat_age_seconds ?? 0 },
  { name: "memory", title: "Memory", numeric: true, value: (rank) => rank.memory_bytes ?? 0 },
];

/** What the strip's colours may show: "step" and "own", the phases, and two more. */
const HEATS = [
  ["own", "own work a step", ownWork],
  ["step", "whole step", (rank) => rank.step_seconds],
  ...PHASES.map((phase) => [phase, words(phase), (rank) => rank.phases?.[phase] ?? null]),
  ["heartbeat", "age of heartbeat", (rank) => rank.heartbeat_age_seconds],
];

let ranks = [];
let straggler = null;
let order = { name: "rank", down: false };
let scale = 1;
let open = () => {};
let refocus = () => {};
let table = null;

const byElement = new WeakMap();
/** Rows out of sight are written when they come into it: hundreds would take long in every second. */
const inSight = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      const row = byElement.get(target);
      if (isIntersecting && !row.seen) row.write();
      row.seen = isIntersecting;
    }
  },
  { rootMargin: "200px" },
);

const strip = new Strip({ id: "heat-strip", pick: (worker) => open(worker) });

/** `onOpen(worker)` shows a rank's details. */
export function buildRanks(onOpen) {
  open = onOpen;
  byId("heat").append(strip.element, legend(PHASES, { id: "phases" }));
  byId("heat-by").append(...HEATS.map(([value, text]) => make("option", { value, text })));
  byId("heat-by").addEventListener("change", showHeat);
  byId("ranks-filter").addEventListener("input", filter);
  byId("ranks-table").tHead.rows[0].append(...COLUMNS.map(heading));
  const body = byId("ranks-table").tBodies[0];
  table = new Keyed(body, (rank) => rank.worker, newRow);
  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (row !== null) open(row.dataset.worker);
  });
  refocus = walk(body, ".open");
}

function heading({ name, title, numeric }) {
  const sort = make("button", {
    type: "button",
    text: title,
    on: {
      click: () => {
        order = { name, down: order.name === name && !order.down };
        showOrder();
        showTable(false);
      },
    },
  });
  return make(
    "th",
    {
      scope: "col",
      class: `col-${name}${numeric ? " number" : ""}`,
      "aria-sort": name === "rank" ? "ascending" : "none",
    },
    sort,
  );
}

function showOrder() {
  [...byId("ranks-table").tHead.rows[0].cells].forEach((cell, i) => {
    const sorted = COLUMNS[i].name === order.name ? (order.down ? "descending" : "ascending") : "none";
    setAttribute(cell, "aria-sort", sorted);
  });
}

function newRow(first) {
  const button = make("button", { type: "button", class: "open", tabindex: "-1" });
  const bar = make("span", { class: "bar", role: "img" });
  const cells = Object.fromEntries(
    COLUMNS.map(({ name, numeric }) => {
      const tag = name === "rank" ? "th" : "td";
      return [
        name,
        make(tag, { class: `col-${name}${numeric ? " number" : ""}`, scope: name === "rank" ? "row" : null }),
      ];
    }),
  );
  cells.rank.append(button);
  cells.bar.append(bar);
  const element = make("tr", { "data-worker": first.worker }, ...Object.values(cells));
  const row = {
    element,
    seen: true,
    update(rank) {
      row.rank = rank;
      setAttribute(element, "data-rank", rank.rank);
      setText(button, rank.rank ?? NONE);
      setAttribute(button, "aria-label", `Details of ${rankName(rank)}`);
      element.classList.toggle("late", rank.heartbeat_age_seconds > LATE_SECONDS);
      element.classList.toggle("straggler", straggler === rank.worker);
      if (row.seen) row.write();
    },
    write: () => writeRow(row.rank, cells, bar),
  };
  byElement.set(element, row);
  inSight.observe(element);
  return row;
}

function writeRow(rank, cells, bar) {
  setText(cells.worker, rank.worker);
  setText(cells.host, rank.host);
  setAttribute(cells.host, "title", rank.host);
  setText(cells.device, rank.device);
  setText(cells.step, count(rank.step));
  setText(cells.phase, rank.draining ? `${words(rank.phase)}, draining` : words(rank.phase));
  setText(cells.own, seconds(ownWork(rank)));
  setText(cells.wait, seconds(rank.phases?.data_wait));
  setText(cells.heartbeat, age(rank.heartbeat_age_seconds));
  setText(cells.memory, bytes(rank.device_memory_bytes ?? rank.memory_bytes));
  setAttribute(bar, "aria-label", describe(rank));
  bar.style.background = barBackground(rank, scale);
}

const describe = (rank) =>
  inOrder(rank.phases)
    .map(([name, value]) => `${words(name)} ${seconds(value)}`)
    .join(", ") || "no step yet";

export function showRanks(data) {
  ranks = data.ranks;
  byId("ranks-none").hidden = ranks.length > 0;
  byId("ranks-scroll").hidden = ranks.length === 0;
  byId("heat").hidden = ranks.length === 0;
  scale = roundUp(Math.max(...ranks.map(barSeconds), 1e-6));
  // Rows do not run away from a pointer or from the keyboard.
  showTable(byId("ranks-table").tBodies[0].matches(":hover, :focus-within"));
  showHeat();
}

/** Bars keep their scale while the longest step changes but little. */
const roundUp = (value) => 2 ** (Math.ceil(Math.log2(value) * 4) / 4);

export function showStraggler(run) {
  straggler = run.straggler?.worker ?? null;
}

export const rankOf = (worker) => ranks.find((rank) => rank.worker === worker);

/** Marks the row whose details are shown. */
export function markOpen(worker) {
  for (const row of table.rows())
    setAttribute(row.element, "aria-current", row.rank.worker === worker ? "true" : null);
}

/** Gives the focus back to a rank's row; where that is gone or filtered out, to the filter. */
export function focusRow(worker) {
  const row = table.row(worker)?.element;
  if (row === undefined || row.hidden) byId("ranks-filter").focus();
  else row.querySelector(".open").focus();
}

function showTable(keepOrder) {
  const { value } = COLUMNS.find((column) => column.name === order.name);
  const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
  const sorted = [...ranks].sort((a, b) => (order.down ? -1 : 1) * compare(value(a), value(b)));
  table.show(sorted, keepOrder);
  filter();
}

function filter() {
  const wanted = byId("ranks-filter").value.trim().toLowerCase();
  let seen = 0;
  for (const { element, rank } of table.rows()) {
    const text = `${rank.rank} ${rank.worker} ${rank.host} ${rank.device} ${words(rank.phase)} ${rank.draining ? "draining" : ""}`;
    const matches =
      wanted === "" ||
      (/^\d+$/.test(wanted) ? String(rank.rank) === wanted : text.toLowerCase().includes(wanted));
    if (element.hidden === matches) element.hidden = !matches;
    seen += matches ? 1 : 0;
  }
  setText(
    byId("ranks-count"),
    wanted === "" ? several(ranks.length, "rank") : `${count(seen)} of ${several(ranks.length, "rank")}`,
  );
  refocus();
}

function showHeat() {
  const [name, title, value] = HEATS.find(([heat]) => heat === byId("heat-by").value) ?? HEATS[0];
  const values = ranks.map(value);
  const middle = median(values);
  const cells = ranks.map((rank, i) => ({
    key: rank.worker,
    level: levelOf(values[i], middle, name === "heartbeat"),
    mark: rank.worker === straggler,
    text: `${rankName(rank)} on ${rank.host}: ${title} ${seconds(values[i])}${middle > 0 ? `, the median is ${seconds(middle)}` : ""}`,
  }));
  const most = values.reduce((best, now, i) => ((now ?? -1) > (values[best] ?? -1) ? i : best), 0);
  const summary =
    middle === null
      ? `${title}: nothing yet`
      : `${title}: median ${seconds(middle)}, longest ${seconds(values[most])} (${rankName(ranks[most])})`;
  strip.show(cells, summary);
}

/** 0: at the median or below, or nearly; then 1.15, 1.3, 1.6, 2 and 3 times it. */
function levelOf(value, middle, isAge) {
  if (value === null || value === undefined || middle === null) return undefined;
  const ratio = isAge ? value / 1.2 : value / Math.max(middle, 1e-3);
  return Math.min([1.15, 1.3, 1.6, 2, 3].filter((limit) => ratio >= limit).length, LEVELS - 1);
}
