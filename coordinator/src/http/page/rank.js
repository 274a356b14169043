// One rank in detail.

import { byId, make, setText } from "./dom.js";
import { NONE, age, bytes, count, rankName, seconds, words } from "./format.js";
import { colour, inOrder } from "./phases.js";
import { focusRow, markOpen, rankOf } from "./ranks.js";

const ago = (value) => (typeof value === "number" ? `${age(value)} ago` : NONE);
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

const FACTS = [
  ["worker", "Worker", (rank) => rank.worker],
  ["host", "Host", (rank) => rank.host],
  ["address", "Address", (rank) => rank.address],
  ["pid", "Process", (rank) => String(rank.pid)],
  ["device", "Device", (rank) => rank.device],
  ["phase", "Now in", (rank) => words(rank.phase) + (rank.draining ? ", draining" : "")],
  ["step", "Step", (rank) => count(rank.step)],
  ["heartbeat", "Last heartbeat", (rank) => ago(rank.heartbeat_age_seconds)],
  ["lease", "Lease renewed", (rank) => ago(rank.lease_age_seconds)],
  ["memory", "Memory", (rank) => bytes(rank.memory_bytes)],
  ["device-memory", "Device memory", (rank) => bytes(rank.device_memory_bytes)],
  ["sent", "Sent to ranks", (rank) => bytes(rank.wire_bytes?.sent)],
  ["received", "Received", (rank) => bytes(rank.wire_bytes?.received)],
  ["lanes", "Lanes", (rank) => ranges(rank.lanes ?? [])],
];

let shown = null;

export function buildRank() {
  const title = make("h3", { id: "rank-title", tabindex: "-1" });
  const close = make("button", { type: "button", class: "close", text: "Close", on: { click: closeRank } });
  const facts = make(
    "dl",
    {},
    ...FACTS.map(([name, text]) => make("div", {}, make("dt", { text }), make("dd", { id: `rank-${name}` }))),
  );
  const phases = make(
    "table",
    { id: "rank-phases" },
    make("caption", { text: "Mean seconds of a step" }),
    make("tbody"),
  );
  byId("rank").append(
    make("div", { class: "title" }, title, close),
    make("p", { id: "rank-gone", class: "none", hidden: true }),
    facts,
    phases,
  );
  byId("rank").addEventListener("keydown", (event) => {
    if (event.key === "Escape") closeRank();
  });
}

/** Opens the details of this worker's rank. */
export function openRank(worker) {
  shown = worker;
  byId("rank").hidden = false;
  markOpen(worker);
  showRank();
  byId("rank-title").focus({ preventScroll: true });
  byId("rank").scrollIntoView({ block: "nearest" });
}

function closeRank() {
  const worker = shown;
  shown = null;
  byId("rank").hidden = true;
  markOpen(null);
  focusRow(worker);
}

/** Writes what is known of the rank that is open. */
export function showRank() {
  if (shown === null) return;
  const rank = rankOf(shown);
  const gone = byId("rank-gone");
  gone.hidden = rank !== undefined;
  if (rank === undefined) {
    setText(gone, "This worker has left. What it last told:");
    return;
  }
  setText(byId("rank-title"), capital(rankName(rank)));
  for (const [name, , value] of FACTS) setText(byId(`rank-${name}`), value(rank));
  const phases = inOrder(rank.phases);
  const longest = Math.max(...phases.map(([, value]) => value), rank.step_seconds ?? 0, 1e-9);
  const rows = phases.map(([name, value]) => phaseRow(words(name), value, longest, colour(name)));
  if (typeof rank.step_seconds === "number")
    rows.push(phaseRow("whole step", rank.step_seconds, longest, "var(--quiet)"));
  byId("rank-phases").hidden = rows.length === 0;
  byId("rank-phases").tBodies[0].replaceChildren(...rows);
}

function phaseRow(name, value, longest, background) {
  const bar = make("span", { class: "meter" });
  bar.style.background = background;
  bar.style.width = `${(value / longest) * 100}%`;
  return make(
    "tr",
    {},
    make("th", { scope: "row", text: name }),
    make("td", { class: "number", text: seconds(value) }),
    make("td", { class: "wide", "aria-hidden": "true" }, bar),
  );
}

/** 0, 1, 2, 5 as "0–2, 5". */
function ranges(numbers) {
  const runs = [];
  for (const n of [...numbers].sort((a, b) => a - b)) {
    if (runs.length > 0 && runs.at(-1)[1] === n - 1) runs.at(-1)[1] = n;
    else runs.push([n, n]);
  }
  return runs.map(([from, to]) => (from === to ? `${from}` : `${from}–${to}`)).join(", ") || "none";
}
