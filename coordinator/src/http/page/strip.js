// Many things as one compact strip of cells: ranks by their heat, lanes and shards by how full they are.

import { make, setAttribute, setText } from "./dom.js";

const SMALLEST = 9;
export const LEVELS = 6;

export class Strip {
  #cells = [];
  #columns = 1;
  #width = 0;
  #colours = null;

  /** `pick(key)` is called when a cell is clicked; a table beside it serves the keyboard. */
  constructor({ id, pick }) {
    this.canvas = make("canvas", {
      id,
      role: "img",
      on: {
        pointermove: (event) => this.#point(event),
        pointerleave: () => this.#say(null),
        click: (event) => {
          const cell = this.#cellAt(event);
          if (cell !== undefined) pick(cell.key);
        },
      },
    });
    this.readout = make("p", { class: "quiet readout" });
    this.box = make("div", { class: "strip-box" }, this.canvas);
    this.element = make("div", { class: "strip" }, this.box, this.readout);
    new ResizeObserver(([entry]) => {
      this.#width = entry.contentRect.width;
      this.#draw();
    }).observe(this.box);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.#colours = null;
      this.#draw();
    });
  }

  /** `cells`: [{key, text, level (0 to 5) or fill (0 to 1), mark}]; `summary` is its alternative. */
  show(cells, summary) {
    this.#cells = cells;
    this.summary = summary;
    setAttribute(this.canvas, "aria-label", summary);
    if (!this.canvas.matches(":hover")) this.#say(null);
    this.#draw();
  }

  #say(cell) {
    setText(this.readout, cell?.text ?? this.summary ?? "");
  }

  #cellAt(event) {
    const row = Math.floor(event.offsetY / this.height);
    return this.#cells[row * this.#columns + Math.floor((event.offsetX / this.#width) * this.#columns)];
  }

  #point(event) {
    this.#say(this.#cellAt(event));
  }

  #draw() {
    const n = this.#cells.length;
    if (n === 0 || this.#width === 0) return;
    const rows = Math.ceil(n / Math.max(1, Math.floor(this.#width / SMALLEST)));
    this.#columns = Math.ceil(n / rows);
    this.height = rows === 1 ? 22 : rows < 4 ? 15 : rows < 12 ? 11 : 7;
    const scale = window.devicePixelRatio || 1;
    const [wide, high] = [Math.round(this.#width * scale), Math.round(rows * this.height * scale)];
    if (this.canvas.width !== wide || this.canvas.height !== high) {
      this.canvas.width = wide;
      this.canvas.height = high;
      this.canvas.style.height = `${rows * this.height}px`;
    }
    const paint = this.canvas.getContext("2d");
    paint.setTransform(scale, 0, 0, scale, 0, 0);
    paint.clearRect(0, 0, this.#width, rows * this.height);
    this.#paint(paint);
  }

  #paint(paint) {
    this.#colours ??= coloursOf(this.canvas);
    const { heat, full, empty, mark } = this.#colours;
    const wide = this.#width / this.#columns;
    const [w, h] = [Math.max(wide - 1, 1), this.height - 1];
    this.#cells.forEach((cell, i) => {
      const [x, y] = [(i % this.#columns) * wide, Math.floor(i / this.#columns) * this.height];
      paint.fillStyle = cell.level === undefined ? empty : heat[cell.level];
      paint.fillRect(x, y, w, h);
      if (cell.fill !== undefined) {
        const part = Math.min(Math.max(cell.fill, 0), 1) * h;
        paint.fillStyle = full;
        paint.fillRect(x, y + h - part, w, part);
      }
      if (cell.mark) {
        paint.strokeStyle = mark;
        paint.lineWidth = 2;
        paint.strokeRect(x + 1, y + 1, w - 2, h - 2);
      }
    });
  }
}

/** Read once for each colour scheme: in the midst of a frame they would cost a layout. */
function coloursOf(element) {
  const style = getComputedStyle(element);
  const colour = (name) => style.getPropertyValue(name).trim();
  const heat = Array.from({ length: LEVELS }, (_, level) => colour(`--heat-${level}`));
  return { heat, full: colour("--full"), empty: colour("--empty"), mark: colour("--bad") };
}
