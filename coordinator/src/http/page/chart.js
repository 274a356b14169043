// One chart over steps: axes, lines, and a cursor that all charts share.

import { draw, make, setAttribute, setText } from "./dom.js";
import { NONE, count, number } from "./format.js";

const HEIGHT = 150;
const EDGE = { left: 48, right: 10, top: 8, bottom: 20 };

/** Round values within a range, at most about `wanted` of them. */
export function ticks(low, high, wanted) {
  const raw = (high - low) / Math.max(wanted, 1);
  if (!(raw > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) =>
    Number(((first + i) * step).toPrecision(12)),
  );
}

const shown = (value) => typeof value === "number" && Number.isFinite(value);

export class Chart {
  #width = 320;
  #data = { steps: [], lines: [], marks: [] };
  #at = null;

  /** `cursor` has `move(step or null)`; `fromZero` starts the axis at 0; `value` writes one. */
  constructor({ id, title, cursor, fromZero = false, value = number }) {
    Object.assign(this, { title, cursor, fromZero, value });
    this.readout = make("span", { class: "readout" });
    this.grid = draw("g", { class: "grid" });
    this.marks = draw("g", { class: "marks" });
    this.lines = draw("g", { class: "lines" });
    this.hair = draw("g", { class: "hair", visibility: "hidden" });
    this.svg = draw(
      "svg",
      {
        height: HEIGHT,
        tabindex: "0",
        role: "slider",
        "aria-label": `${title}, by step`,
        "aria-valuemin": "0",
        on: {
          pointerdown: (event) => this.#point(event),
          pointermove: (event) => this.#point(event),
          pointerleave: () => cursor.move(null),
          blur: () => cursor.move(null),
          keydown: (event) => this.#key(event),
        },
      },
      this.grid,
      this.marks,
      this.lines,
      this.hair,
    );
    this.legend = make("ul", { class: "legend", hidden: true });
    this.empty = make("p", { class: "none", text: "nothing yet" });
    this.element = make(
      "figure",
      { id, class: "chart" },
      make("figcaption", {}, make("strong", { text: title }), this.readout),
      this.svg,
      this.empty,
      this.legend,
    );
    new ResizeObserver(([entry]) => {
      const width = Math.round(entry.contentRect.width);
      if (width > 0 && width !== this.#width) {
        this.#width = width;
        this.#draw();
      }
    }).observe(this.element);
  }

  /** `lines`: [{name, values, colour, dots}] over `steps`; `marks`: steps with a dashed line. */
  show(steps, lines, marks = []) {
    this.legend.replaceChildren(...lines.map((line) => this.#entry(line)));
    this.#data = { steps, lines, marks };
    this.#draw();
  }

  #entry(line) {
    const swatch = make("span", { class: "swatch" });
    swatch.style.background = line.colour;
    line.told = make("span");
    return make("li", {}, swatch, line.told);
  }

  /** The cursor of all charts stands at this step, or nowhere. */
  point(step) {
    this.#at = step === null ? null : this.#nearest(step);
    this.#showCursor();
  }

  #nearest(step) {
    const { steps } = this.#data;
    let [low, high] = [0, steps.length - 1];
    if (high < 0) return null;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (steps[middle] < step) low = middle + 1;
      else high = middle;
    }
    return low > 0 && step - steps[low - 1] < steps[low] - step ? low - 1 : low;
  }

  #point(event) {
    const { steps } = this.#data;
    if (steps.length === 0) return;
    const box = this.svg.getBoundingClientRect();
    const share = (event.clientX - box.left - EDGE.left) / (this.#width - EDGE.left - EDGE.right);
    this.cursor.move(steps[0] + share * (steps[steps.length - 1] - steps[0]));
  }

  #key(event) {
    const { steps } = this.#data;
    const by = {
      ArrowLeft: -1,
      ArrowDown: -1,
      ArrowRight: 1,
      ArrowUp: 1,
      PageDown: -10,
      PageUp: 10,
      Home: -Infinity,
      End: Infinity,
    }[event.key];
    if (event.key === "Escape") this.cursor.move(null);
    if (by === undefined || steps.length === 0) return;
    event.preventDefault();
    const at = Math.min(Math.max((this.#at ?? steps.length - 1) + by, 0), steps.length - 1);
    this.cursor.move(steps[at]);
  }

  #draw() {
    const { steps, lines, marks } = this.#data;
    const values = lines.flatMap((line) => line.values.filter(shown));
    const some = values.length > 0;
    this.svg.toggleAttribute("hidden", !some);
    this.empty.hidden = some;
    if (!some) {
      setText(this.readout, "");
      this.legend.hidden = true;
      return;
    }
    let low = values.reduce((a, b) => Math.min(a, b));
    let high = values.reduce((a, b) => Math.max(a, b));
    if (this.fromZero) low = Math.min(0, low);
    if (low === high) [low, high] = [low - Math.abs(low) * 0.1 - 1e-9, high + Math.abs(high) * 0.1 + 1e-9];
    const pad = this.fromZero ? 0 : (high - low) * 0.04;
    [low, high] = [low - pad, high + (high - low) * 0.04];
    const first = steps[0];
    const span = Math.max(steps[steps.length - 1] - first, 1);
    const inner = this.#width - EDGE.left - EDGE.right;
    const x = (step) => EDGE.left + ((step - first) / span) * inner;
    const y = (value) =>
      HEIGHT - EDGE.bottom - ((value - low) / (high - low)) * (HEIGHT - EDGE.top - EDGE.bottom);
    this.x = x;
    this.y = y;
    setAttribute(this.svg, "width", this.#width);
    this.#drawGrid(ticks(low, high, 4), ticks(first, first + span, inner / 55), x, y);
    this.marks.replaceChildren(
      ...marks
        .filter((step) => step > first && step <= first + span)
        .map((step) => draw("line", { x1: x(step), x2: x(step), y1: EDGE.top, y2: HEIGHT - EDGE.bottom })),
    );
    this.lines.replaceChildren(...lines.flatMap((line) => this.#drawLine(line, steps)));
    this.#showCursor();
  }

  #drawGrid(across, along, x, y) {
    this.grid.replaceChildren(
      ...across.flatMap((value) => [
        draw("line", { x1: EDGE.left, x2: this.#width - EDGE.right, y1: y(value), y2: y(value) }),
        draw("text", { x: EDGE.left - 6, y: y(value) + 3.5, "text-anchor": "end", text: this.value(value) }),
      ]),
      ...along
        .filter(Number.isInteger)
        .map((step) =>
          draw("text", { x: x(step), y: HEIGHT - 5, "text-anchor": "middle", text: count(step) }),
        ),
    );
  }

  #drawLine({ values, colour, dots, dash }, steps) {
    let path = "";
    let drawn = false;
    values.forEach((value, i) => {
      if (shown(value))
        path += `${drawn ? "L" : "M"}${this.x(steps[i]).toFixed(1)} ${this.y(value).toFixed(1)}`;
      drawn = shown(value) || (dots && drawn);
    });
    const line = draw("path", { d: path, "stroke-dasharray": dash });
    line.style.stroke = colour;
    const points =
      dots || values.filter(shown).length === 1
        ? values.flatMap((value, i) => (shown(value) ? [this.#dot(steps[i], value, colour, 2.5)] : []))
        : [];
    return [line, ...points];
  }

  #dot(step, value, colour, r) {
    const dot = draw("circle", { cx: this.x(step), cy: this.y(value), r });
    dot.style.fill = colour;
    return dot;
  }

  #showCursor() {
    const { steps, lines } = this.#data;
    if (steps.length === 0) return;
    const last = steps.length - 1;
    const at = this.#at === null ? last : Math.min(this.#at, last);
    const values = lines.map((line) => (shown(line.values[at]) ? this.value(line.values[at]) : NONE));
    const step = `step ${count(steps[at])}`;
    const parts =
      lines.length === 1 ? values[0] : lines.map((line, i) => `${line.name} ${values[i]}`).join(", ");
    // One line stands with the title, several below with their names.
    setText(this.readout, lines.length > 1 ? step : this.#at === null ? parts : `${step}: ${parts}`);
    this.legend.hidden = lines.length === 1;
    if (lines.length > 1) lines.forEach((line, i) => setText(line.told, `${line.name} ${values[i]}`));
    setAttribute(this.svg, "aria-valuemin", steps[0]);
    setAttribute(this.svg, "aria-valuemax", steps[last]);
    setAttribute(this.svg, "aria-valuenow", steps[at]);
    setAttribute(this.svg, "aria-valuetext", `${step}: ${parts}`);
    setAttribute(this.hair, "visibility", this.#at === null ? "hidden" : "visible");
    if (this.#at === null || this.x === undefined) return;
    const x = this.x(steps[at]);
    this.hair.replaceChildren(
      draw("line", { x1: x, x2: x, y1: EDGE.top, y2: HEIGHT - EDGE.bottom }),
      ...lines
        .filter((line) => shown(line.values[at]))
        .map((line) => this.#dot(steps[at], line.values[at], line.colour, 3.5)),
    );
  }
}
