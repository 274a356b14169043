// The checkpoints that are in force, and the parts of one.

import { Keyed, byId, make, setAttribute, setText, walk } from "./dom.js";
import { bytes, count, moment, seconds, several } from "./format.js";

let list = null;
let checkpoints = [];
let chosen = null;
let refocus = () => {};

export function buildCheckpoints() {
  list = new Keyed(byId("checkpoints-list"), (checkpoint) => checkpoint.directory, newCheckpoint);
  refocus = walk(byId("checkpoints-list"), ".open");
}

const told = (parts) => parts.filter(Boolean).join(", ");
const partsOf = ({ parts }) => parts.length > 0 && several(parts.length, "part");

function newCheckpoint({ directory }) {
  const step = make("strong");
  const what = make("span");
  const when = make("time");
  const button = make(
    "button",
    {
      type: "button",
      class: "open",
      tabindex: "-1",
      "aria-controls": "checkpoint",
      "aria-expanded": "false",
      on: { click: () => choose(directory) },
    },
    step,
    what,
    when,
  );
  return {
    element: make("li", { "data-directory": directory }, button),
    update(checkpoint) {
      setText(step, `Step ${count(checkpoint.step)}`);
      setText(
        what,
        told([bytes(checkpoint.bytes), partsOf(checkpoint), checkpoint.retired && "removed since"]),
      );
      setText(when, checkpoint.unix_seconds === null ? "" : moment(checkpoint.unix_seconds));
      setAttribute(button, "aria-expanded", String(chosen === directory));
    },
  };
}

function choose(directory) {
  chosen = chosen === directory ? null : directory;
  show();
}

export function showCheckpoints(data) {
  checkpoints = [...data.checkpoints].reverse();
  show();
}

function show() {
  byId("checkpoints-none").hidden = checkpoints.length > 0;
  byId("checkpoints-list").hidden = checkpoints.length === 0;
  list.show(checkpoints);
  refocus();
  const checkpoint = checkpoints.find(({ directory }) => directory === chosen);
  const details = byId("checkpoint");
  details.hidden = checkpoint === undefined;
  if (checkpoint === undefined || details.dataset.directory === chosen) return;
  details.dataset.directory = chosen;
  details.replaceChildren(
    make("h3", { text: `Checkpoint of step ${count(checkpoint.step)}` }),
    make("p", { class: "path", text: checkpoint.directory }),
    make("p", { class: "quiet", text: told([bytes(checkpoint.bytes), writtenOf(checkpoint)]) }),
    checkpoint.parts.length > 0
      ? make("div", { class: "scroll" }, partsTable(checkpoint))
      : make("p", { class: "none", text: "Its parts are not kept here any more; its manifest names them." }),
  );
}

/** An earlier coordinator's checkpoint comes without its times. */
function writtenOf({ seconds: took, unix_seconds: when }) {
  const within = took === null ? "" : ` in ${seconds(took)}`;
  return when === null ? "written under an earlier coordinator" : `written${within}, at ${moment(when)}`;
}

function partsTable(checkpoint) {
  const largest = Math.max(...checkpoint.parts.map((part) => part.bytes), 1);
  const rows = checkpoint.parts.map((part) => {
    const bar = make("span", { class: "meter" });
    bar.style.width = `${(part.bytes / largest) * 100}%`;
    return make(
      "tr",
      {},
      make("th", { scope: "row", class: "path", text: part.name }),
      make("td", { class: "number", text: bytes(part.bytes) }),
      make("td", { class: "wide", "aria-hidden": "true" }, bar),
    );
  });
  return make(
    "table",
    { id: "checkpoint-parts" },
    make("caption", { class: "unseen", text: "Parts" }),
    make("tbody", {}, ...rows),
  );
}
