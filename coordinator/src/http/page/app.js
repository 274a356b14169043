// Brings what the stream tells to the parts of the page.

import { buildCheckpoints, showCheckpoints } from "./checkpoints.js";
import { buildCurves, markGenerations, showHistory } from "./curves.js";
import { byId } from "./dom.js";
import { isFinal, showConnection, showRun } from "./header.js";
import { buildLanes, showLanes } from "./lanes.js";
import { buildRank, openRank, showRank } from "./rank.js";
import { buildRanks, showRanks, showStraggler } from "./ranks.js";
import { showSkips } from "./skips.js";
import { buildSteps, completeStep, showSteps } from "./steps.js";
import { RESOURCES, Stream } from "./stream.js";
import { buildTimeline, showEvents } from "./timeline.js";

let run = null;

const SHOW = {
  run: (data) => {
    run = data;
    showStraggler(data);
    showRun(data);
    completeStep(data);
  },
  ranks: (data) => {
    showRanks(data);
    showRank();
  },
  history: showHistory,
  lanes: showLanes,
  events: (data) => {
    markGenerations(data.events);
    showEvents(data);
  },
  steps: showSteps,
  checkpoints: showCheckpoints,
  skips: showSkips,
};

/** The newest text of each resource that is not shown yet. */
const waiting = new Map();
/** A page that nobody sees is not drawn; it is brought up to date now and then, for its title. */
const HIDDEN_PAUSE = 2000;

function receive(resource, text) {
  if (waiting.size === 0) {
    if (document.hidden) setTimeout(show, HIDDEN_PAUSE);
    else requestAnimationFrame(show);
  }
  waiting.set(resource, text);
}

/** Shows all that waits, and leaves in the browser's timeline how long that took. */
function show() {
  if (waiting.size === 0) return;
  const start = performance.now();
  const resources = RESOURCES.filter((resource) => waiting.has(resource));
  const texts = new Map(waiting);
  waiting.clear();
  for (const resource of resources) {
    try {
      SHOW[resource](JSON.parse(texts.get(resource)));
    } catch (error) {
      // The other parts are shown all the same.
      reportError(error);
    }
  }
  // The layout is due anyway; asked for here, it is part of the measure.
  document.body.getBoundingClientRect();
  performance.clearMeasures("frame");
  performance.measure("frame", { start, end: performance.now(), detail: resources });
}

buildCurves();
buildRanks(openRank);
buildRank();
buildSteps();
buildLanes();
buildTimeline();
buildCheckpoints();

/** A stream ends right behind its last data, which may not be shown yet. */
function isOver() {
  show();
  return isFinal(run);
}

const stream = new Stream(receive, showConnection, isOver);
byId("reconnect").addEventListener("click", () => {
  showConnection("connecting");
  stream.open();
});
stream.open();
