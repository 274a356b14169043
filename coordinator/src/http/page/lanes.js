// How far the lanes and the shards are in the present epoch.

import { Keyed, byId, make, setAttribute, setText } from "./dom.js";
import { count, several } from "./format.js";
import { Strip } from "./strip.js";

/** A dataset has many more shards than anyone reads in a list. */
const MOST_ROWS = 100;

class Part {
  #items = [];

  /** `choices`: [value, text, matches(item)]; `describe(item)`: {key, name, detail, passed, of, bad}. */
  constructor({ id, title, choices, describe, summarise }) {
    Object.assign(this, { choices, describe, summarise });
    this.choice = make(
      "select",
      { id: `${id}-show`, on: { change: () => this.#list() } },
      ...choices.map(([value, text]) => make("option", { value, text })),
    );
    this.strip = new Strip({ id: `${id}-strip`, pick: (key) => this.#reveal(key) });
    this.rest = make("p", { class: "quiet" });
    const body = make("tbody");
    const table = make(
      "table",
      { id: `${id}-table`, class: "rows" },
      make("caption", { class: "unseen", text: title }),
      body,
    );
    this.box = make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": title }, table);
    this.rows = new Keyed(
      body,
      (item) => this.describe(item).key,
      (item) => this.#row(item),
    );
    byId(id).append(
      make(
        "div",
        { class: "title" },
        make("h3", { text: title }),
        make("label", { class: "end" }, "Show ", this.choice),
      ),
      this.strip.element,
      this.box,
      this.rest,
    );
  }

  show(items) {
    this.#items = items;
    const cells = items.map((item) => {
      const { key, name, detail, passed, of, bad } = this.describe(item);
      return {
        key,
        fill: of > 0 ? passed / of : 1,
        mark: bad,
        text: `${name}: ${count(passed)} of ${count(of)}, ${detail}`,
      };
    });
    this.strip.show(cells, this.summarise(items));
    this.#list();
  }

  #list() {
    const [, , matches] = this.choices.find(([value]) => value === this.choice.value);
    const wanted = this.#items.filter(matches);
    this.rows.show(wanted.slice(0, MOST_ROWS));
    const left = wanted.length - MOST_ROWS;
    setText(this.rest, left > 0 ? `and ${count(left)} more` : wanted.length === 0 ? "none" : "");
    this.box.hidden = wanted.length === 0;
  }

  #row() {
    const name = make("th", { scope: "row" });
    const detail = make("td", { class: "long" });
    const share = make("td", { class: "number" });
    const bar = make("span", { class: "meter" });
    const element = make(
      "tr",
      {},
      name,
      detail,
      share,
      make("td", { class: "wide", "aria-hidden": "true" }, make("span", { class: "track" }, bar)),
    );
    return {
      element,
      update: (item) => {
        const told = this.describe(item);
        setText(name, told.name);
        setText(detail, told.detail);
        setAttribute(detail, "title", told.detail);
        setText(share, `${count(told.passed)} of ${count(told.of)}`);
        bar.style.width = `${told.of > 0 ? Math.min(100, (told.passed / told.of) * 100) : 100}%`;
        element.classList.toggle("bad", Boolean(told.bad));
        setAttribute(element, "data-key", told.key);
      },
    };
  }

  #reveal(key) {
    this.choice.value = this.choices[0][0];
    this.#list();
    this.rows.row(key)?.element.scrollIntoView({ block: "nearest" });
  }
}

/** Before there is a world, no lane has a rank, and that is no fault. */
let dealt = false;
/** Of many shards only those of interest are told. */
let shardCount = 0;
let lanes = null;
let shards = null;

export function buildLanes() {
  lanes = new Part({
    id: "lanes",
    title: "Lanes",
    choices: [
      ["all", "all lanes", () => true],
      ["unleased", "lanes without a rank", (lane) => lane.rank === null],
    ],
    describe: (lane) => ({
      key: lane.lane,
      name: `Lane ${lane.lane}`,
      detail: `${lane.rank === null ? "no rank" : `rank ${lane.rank}`}, epoch ${lane.epoch}`,
      passed: lane.passed,
      of: lane.of,
      bad: dealt && lane.rank === null,
    }),
    summarise: (all) => {
      const epochs = all.map((lane) => lane.epoch);
      if (epochs.length === 0) return "no lanes yet";
      const [low, high] = [Math.min(...epochs), Math.max(...epochs)];
      return `${several(all.length, "lane")}, in ${low === high ? `epoch ${low}` : `epochs ${low} to ${high}`}`;
    },
  });
  shards = new Part({
    id: "shards",
    title: "Shards",
    choices: [
      ["all", "all shards", () => true],
      ["begun", "begun in this epoch", (shard) => shard.passed > 0 && shard.passed < shard.samples],
      ["done", "done in this epoch", (shard) => shard.passed >= shard.samples],
      ["quarantined", "quarantined", (shard) => shard.quarantined !== null],
    ],
    describe: (shard) => ({
      key: shard.shard,
      name: `${shard.shard}`,
      detail: shard.quarantined === null ? shard.url : `quarantined: ${shard.quarantined} (${shard.url})`,
      passed: shard.passed,
      of: shard.samples,
      bad: shard.quarantined !== null,
    }),
    summarise: (all) => {
      const done = all.filter((shard) => shard.passed >= shard.samples).length;
      const bad = all.filter((shard) => shard.quarantined !== null).length;
      if (all.length < shardCount)
        return `${count(all.length)} of ${several(shardCount, "shard")}: those that are begun or quarantined`;
      return `${several(all.length, "shard")}, ${count(done)} done in this epoch${bad > 0 ? `, ${count(bad)} quarantined` : ""}`;
    },
  });
}

export function showLanes(data) {
  setText(byId("data-summary"), `${several(data.samples, "sample")} from ${several(data.sources, "source")}`);
  dealt = data.lanes.some((lane) => lane.rank !== null);
  shardCount = data.shard_count ?? data.shards.length;
  lanes.show(data.lanes);
  shards.show(data.shards);
}
