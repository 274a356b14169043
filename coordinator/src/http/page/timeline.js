// What has happened: generations, checkpoints, losses and the rest.

import { Keyed, byId, make } from "./dom.js";
import { count, moment, words } from "./format.js";

let list = null;
let events = [];

export function buildTimeline() {
  list = new Keyed(byId("events-list"), keyOf, newEvent);
  byId("events-kind").addEventListener("change", show);
}

/** A coordinator that takes over numbers its events anew. */
const keyOf = (event) => `${event.id} ${event.kind} ${event.unix_seconds}`;

function newEvent(event) {
  const when = new Date(event.unix_seconds * 1000).toISOString();
  const element = make(
    "li",
    { "data-kind": event.kind, "data-generation": event.generation },
    make("time", { datetime: when, text: moment(event.unix_seconds) }),
    make("span", { class: "kind", text: words(event.kind) }),
    make("span", { class: "text", text: event.text }),
    make("span", {
      class: "quiet",
      text: `step ${count(event.step)}, generation ${count(event.generation)}`,
    }),
  );
  return { element, update: () => {} };
}

export function showEvents(data) {
  events = data.events;
  const kinds = byId("events-kind");
  const known = new Set([...kinds.options].map((option) => option.value));
  for (const { kind } of events) {
    if (known.has(kind)) continue;
    known.add(kind);
    kinds.append(make("option", { value: kind, text: words(kind) }));
  }
  show();
}

function show() {
  const kind = byId("events-kind").value;
  const wanted = events.filter((event) => kind === "" || event.kind === kind).reverse();
  byId("events-none").hidden = wanted.length > 0;
  byId("events-list").hidden = wanted.length === 0;
  list.show(wanted);
}
