// The run's name, state and figures.

import { byId, setAttribute, setText } from "./dom.js";
import {
  NONE,
  count,
  duration,
  isHeadline,
  metricName,
  metricValue,
  number,
  seconds,
  words,
} from "./format.js";

const FINAL = new Set(["stopped", "ended", "failed"]);

/** Whether the run is over, so that its coordinator goes and no data comes any more. */
export const isFinal = (run) => FINAL.has(run?.state);

/** What is said within this time is said as one: a reader hears only the last text it finds. */
const BREATH = 250;

let announced = {};
let unsaid = [];

function say(text) {
  if (unsaid.length === 0) setTimeout(speak, BREATH);
  unsaid.push(text);
}

function speak() {
  setText(byId("announcer"), unsaid.join(". "));
  unsaid = [];
}

/** Says to those who listen to the page what has changed of these. */
function announce(facts) {
  const changed = Object.entries(facts).filter(([name, text]) => text !== "" && announced[name] !== text);
  announced = facts;
  for (const [, text] of changed) say(text);
}

export function showRun(run) {
  setText(byId("run-name"), run.run);
  setText(byId("state"), words(run.state));
  setAttribute(byId("state"), "data-state", run.state);
  const failed = run.state === "failed";
  setText(byId("message"), failed ? "" : (run.message ?? ""));
  showNotice(byId("failure"), failed ? `The run failed: ${run.message}` : "");
  setText(byId("generation"), count(run.generation));
  setText(byId("term"), count(run.term));
  setText(byId("world-size"), count(run.world_size));
  showProgress(run);
  showFigures(run);
  const straggler = stragglerText(run.straggler);
  showNotice(byId("straggler"), straggler);
  setText(byId("version"), run.version ?? "");
  setText(byId("run-url"), run.url ?? "");
  setText(document.querySelector("title"), titleOf(run));
  announce({
    state: `The run is ${words(run.state)}${failed ? `: ${run.message}` : ""}`,
    generation: `Generation ${run.generation}, ${run.world_size} ranks`,
    straggler,
  });
}

function titleOf(run) {
  const share = run.total_steps > 0 ? `${Math.floor((run.step / run.total_steps) * 100)} % ` : "";
  return `${share}${run.run} (${words(run.state)}) – twinspan`;
}

function showProgress(run) {
  const total = Math.max(run.total_steps, 1);
  const share = (step) => `scaleX(${Math.min(Math.max(step / total, 0), 1)})`;
  byId("progress-fill").style.transform = share(run.step);
  byId("progress-start").style.transform = share(run.start_step ?? 0);
  const bar = byId("progress-bar");
  setAttribute(bar, "aria-valuemax", run.total_steps);
  setAttribute(bar, "aria-valuenow", run.step);
  setAttribute(bar, "aria-valuetext", `step ${count(run.step)} of ${count(run.total_steps)}`);
  setAttribute(bar, "data-state", run.state);
}

function showFigures(run) {
  const metrics = run.metrics ?? {};
  setText(byId("step"), count(run.step));
  setText(byId("total-steps"), `of ${count(run.total_steps)}`);
  setText(byId("samples-per-second"), number(metrics.samples_per_second));
  setText(byId("time-left"), isFinal(run) ? NONE : duration(run.seconds_left));
  setText(byId("elapsed"), duration(run.training_seconds));
  // The coordinator counts it anew in each generation.
  setText(byId("elapsed-of"), run.generation > 1 ? `of generation ${count(run.generation)}` : "");
  setText(byId("loss"), number(metrics.loss));
  setText(byId("step-time"), seconds(metrics.batch_time));
  const waited = typeof metrics.data_time === "number" ? `${seconds(metrics.data_time)} for data` : "";
  setText(byId("data-time"), waited);
  setText(byId("skipped"), count(run.skipped));
  const figures = Object.entries(run.evaluation?.metrics ?? {});
  const [name, value] = figures.find(([metric]) => isHeadline(metric)) ?? figures[0] ?? [];
  setText(byId("evaluation"), name === undefined ? NONE : metricValue(name, value));
  setText(
    byId("evaluation-name"),
    name === undefined ? "" : `${metricName(name)}, step ${count(run.evaluation.step)}`,
  );
}

function stragglerText(straggler) {
  if (!straggler) return "";
  const { rank, worker, host, phase, excess_seconds, from_step, through_step } = straggler;
  return (
    `The others wait for rank ${rank} (worker ${worker} on ${host}): ${words(phase)} takes it ` +
    `${seconds(excess_seconds)} a step longer, seen from step ${from_step} to ${through_step}.`
  );
}

function showNotice(element, text) {
  setText(element, text);
  element.hidden = text === "";
}

/** What has become of the connection, of `stream.js`. */
export function showConnection(state, pause) {
  const text = {
    connecting: "connecting",
    live: "live",
    lost: `connection lost, data kept; next attempt in ${Math.max(1, Math.round(pause))} s`,
    over: "the run is over and its coordinator has left; data kept",
  }[state];
  const element = byId("connection");
  if (element.dataset.connection !== state && state !== "connecting") {
    say(state === "live" ? "Connected" : text);
  }
  element.dataset.connection = state;
  setText(element, text);
  byId("reconnect").hidden = state !== "lost" && state !== "over";
}
