// Where the time of one step went, rank by rank.

import { ticks } from "./chart.js";
import { byId, make, setText } from "./dom.js";
import { count, median, moment, seconds, several, words } from "./format.js";
import { BESIDE, PHASES, colour, legend } from "./phases.js";

const WIDTH_OF_A_MARK = 90;
/** So much of a step's length is shown of what went before it. */
const AHEAD = 0.15;
/** In these a rank waits for another, and is not the one that is waited for. */
const WAITS = new Set(["all_gather", "all_reduce"]);

const namesOf = (ranks) =>
  PHASES.filter((name) => ranks.some((rank) => rank.spans.some((span) => span.name === name)));

/** A phase comes several times where the batch goes through the towers in parts. */
const spent = (rank, name) =>
  rank.spans.filter((span) => span.name === name).reduce((sum, span) => sum + span.seconds, 0);

let showTime = () => {};

export function buildWaterfall() {
  new ResizeObserver(() => showTime()).observe(byId("waterfall"));
}

/** Draws a step as /api/v1/steps/N tells it. */
export function showWaterfall(step) {
  const frame = frameOf(step.ranks);
  const readout = make("p", {
    id: "waterfall-readout",
    class: "readout",
    "aria-live": "polite",
    text: longestWait(step.ranks),
  });
  const rows = step.ranks.map((rank) => row(rank, frame, (text) => setText(readout, text)));
  if (rows.length > 0) rows[0].tabIndex = 0;
  const list = make(
    "ul",
    {
      id: "waterfall-ranks",
      class: "waterfall scroll tall",
      "aria-label": "Ranks of this step; arrow keys read them",
      on: { keydown: move },
    },
    ...rows,
  );
  const time = make("div", { class: "axis", "aria-hidden": "true" }, make("div"));
  showTime = () => time.firstChild.replaceChildren(...marksOf(frame));
  byId("waterfall").replaceChildren(
    make(
      "div",
      { class: "title" },
      make("h3", { id: "waterfall-title", tabindex: "-1", text: `Step ${count(step.step)}` }),
      make("p", {
        class: "quiet",
        text: `generation ${count(step.generation)}, ${several(step.ranks.length, "rank")}, ${seconds(step.seconds)}, at ${moment(step.unix_seconds)}`,
      }),
    ),
    make("p", { class: "quiet" }, "Trace ", make("code", { id: "waterfall-trace", text: step.trace_id })),
    readout,
    time,
    list,
    legend(namesOf(step.ranks)),
  );
  showTime();
}

/** The time of the step. What was decoded long before it is cut: it would leave the step no room. */
function frameOf(ranks) {
  const spans = ranks.flatMap((rank) => rank.spans);
  const to = [...spans, ...ranks].reduce((most, part) => Math.max(most, part.start + part.seconds), 1e-9);
  const from = [...spans, ...ranks].reduce((least, part) => Math.min(least, part.start), 0);
  return { from: Math.max(from, -to * AHEAD), to };
}

const share = (frame, at) => `${((at - frame.from) / (frame.to - frame.from)) * 100}%`;

function marksOf(frame) {
  const wanted = byId("waterfall").clientWidth / WIDTH_OF_A_MARK;
  return ticks(frame.from, frame.to, wanted).map((at) => {
    const mark = make("span", { text: seconds(at) });
    mark.style.left = share(frame, at);
    return mark;
  });
}

function row(rank, frame, say) {
  const tell = (span) =>
    `rank ${rank.rank} on ${rank.host}: ${words(span.name)} ${seconds(span.seconds)}, from ${seconds(span.start)}`;
  const bars = rank.spans.map((span) => {
    const bar = make("span", {
      class: span.name === BESIDE ? "span beside" : "span",
      "data-phase": span.name,
    });
    const start = Math.max(span.start, frame.from);
    const length = Math.max(span.start + span.seconds - start, 0);
    bar.style.left = share(frame, start);
    bar.style.width = `${(length / (frame.to - frame.from)) * 100}%`;
    bar.style.background = colour(span.name);
    return bar;
  });
  const line = make("span", { class: "line" }, ...bars);
  const parts = namesOf([rank]).map((name) => `${words(name)} ${seconds(spent(rank, name))}`);
  const whole = [`rank ${rank.rank} on ${rank.host}, ${seconds(rank.seconds)}`, ...parts].join(", ");
  return make(
    "li",
    {
      "data-rank": rank.rank,
      tabindex: "-1",
      "aria-label": whole,
      on: {
        pointerover: (event) => {
          const at = bars.indexOf(event.target);
          say(at < 0 ? whole : tell(rank.spans[at]));
        },
        focus: () => say(whole),
      },
    },
    make("span", { class: "who", text: `${rank.rank}` }),
    line,
    make("span", { class: "number", text: seconds(rank.seconds) }),
  );
}

function move(event) {
  const by = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
  const ends = { Home: "firstElementChild", End: "lastElementChild" }[event.key];
  const now = event.target.closest("li");
  const next = by === undefined ? event.currentTarget[ends] : now?.[by];
  if (!next) return;
  event.preventDefault();
  now.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}

/** The phase in which one rank stands out the most from the middle of all. */
function longestWait(ranks) {
  const names = namesOf(ranks).filter((name) => !WAITS.has(name));
  const found = names.map((name) => {
    const times = ranks.map((rank) => spent(rank, name));
    const most = times.indexOf(times.reduce((a, b) => Math.max(a, b), 0));
    return { name, rank: ranks[most], excess: times[most] - median(times) };
  });
  const worst = found.reduce((a, b) => (a && a.excess >= b.excess ? a : b), null);
  if (worst === null || ranks.length < 2) return "";
  const { name, rank, excess } = worst;
  return (
    `Rank ${rank.rank} on ${rank.host} differs the most: ` +
    `${words(name)} took it ${seconds(excess)} longer than the median rank.`
  );
}
