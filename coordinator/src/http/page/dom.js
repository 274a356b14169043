// Small helpers around the document. Whatever comes from a run goes in as text, never as HTML.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

/** An HTML element with attributes and children; `text` is its text, `on` its listeners. */
export function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same of SVG. */
export function draw(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, { text, on = {}, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  for (const [event, listener] of Object.entries(on)) {
    element.addEventListener(event, listener);
  }
  if (text !== undefined) element.textContent = text;
  element.append(...children);
  return element;
}

/** Writes a text only where it differs: an equal one would cost a layout. */
export function setText(element, text) {
  const string = String(text);
  if (element.textContent !== string) element.textContent = string;
}

export function setAttribute(element, name, value) {
  if (value === null || value === undefined) {
    element.removeAttribute(name);
  } else if (element.getAttribute(name) !== String(value)) {
    element.setAttribute(name, value);
  }
}

/** A list whose elements stay the same element for as long as their key is shown. */
export class Keyed {
  #rows = new Map();

  /** `create(item)` gives a row: an object with `element` and `update(item)`. */
  constructor(parent, keyOf, create) {
    this.parent = parent;
    this.keyOf = keyOf;
    this.create = create;
  }

  row(key) {
    return this.#rows.get(key);
  }

  rows() {
    return [...this.#rows.values()];
  }

  /** Shows these items; in their order unless `keepOrder`, where new ones come last. */
  show(items, keepOrder = false) {
    const wanted = new Set(items.map(this.keyOf));
    for (const [key, row] of this.#rows) {
      if (wanted.has(key)) continue;
      row.element.remove();
      this.#rows.delete(key);
    }
    let place = this.parent.firstElementChild;
    for (const item of items) {
      const key = this.keyOf(item);
      let row = this.#rows.get(key);
      const isNew = row === undefined;
      if (isNew) {
        row = this.create(item);
        this.#rows.set(key, row);
      }
      row.update(item);
      if (keepOrder) {
        if (isNew) this.parent.append(row.element);
      } else if (row.element === place) {
        place = place.nextElementSibling;
      } else {
        this.parent.insertBefore(row.element, place);
      }
    }
  }
}

/** Lets the arrow keys walk through the buttons of a list, of which Tab reaches one. */
export function walk(container, selector) {
  const visible = () =>
    [...container.querySelectorAll(selector)].filter((button) => !button.closest("[hidden]"));
  container.addEventListener("keydown", (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity }[
      event.key
    ];
    const now = event.target.closest(selector);
    if (by === undefined || now === null) return;
    const buttons = visible();
    const next = Math.min(Math.max(buttons.indexOf(now) + by, 0), buttons.length - 1);
    event.preventDefault();
    buttons[next].focus();
  });
  container.addEventListener("focusin", (event) => {
    const now = event.target.closest(selector);
    if (now === null) return;
    for (const other of container.querySelectorAll(`${selector}[tabindex="0"]`)) other.tabIndex = -1;
    now.tabIndex = 0;
  });
  /** To be called after a change: one of those that are seen can be reached. */
  return () => {
    const reached = container.querySelector(`${selector}[tabindex="0"]`);
    if (reached !== null && reached.closest("[hidden]") === null) return;
    if (reached !== null) reached.tabIndex = -1;
    const first = visible()[0];
    if (first !== undefined) first.tabIndex = 0;
  };
}
