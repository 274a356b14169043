// Numbers, times and names as a reader wants them.

export const NONE = "–";

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

// Made once: to make one costs more than to use it a hundred times.
const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const FOUR_DIGITS = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });

/** Four digits that matter: 3.107, 0.0005, 950.1, 12,345. */
export function number(value) {
  if (!isNumber(value)) return NONE;
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e9)) return value.toExponential(2);
  return (size >= 1000 ? WHOLE : FOUR_DIGITS).format(value);
}

/** A whole number with its thousands parted. */
export const count = (value) => (isNumber(value) ? WHOLE.format(value) : NONE);

export const percent = (value) => (isNumber(value) ? `${(value * 100).toFixed(1)} %` : NONE);

/** Three digits, whose width does not change with a zero at the end. */
function threeDigits(value) {
  const size = Math.abs(value);
  return value.toFixed(size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2);
}

/** A short time: 850 µs, 12.3 ms, 1.25 s. */
export function seconds(value) {
  if (!isNumber(value)) return NONE;
  const size = Math.abs(value);
  if (size === 0) return "0 s";
  if (size < 1e-3) return `${(value * 1e6).toFixed(0)} µs`;
  if (size < 1) return `${threeDigits(value * 1e3)} ms`;
  if (size < 60) return `${threeDigits(value)} s`;
  return duration(value);
}

/** A long time: 42 s, 3 min 05 s, 2 h 14 min, 3 d 4 h. */
export function duration(value) {
  if (!isNumber(value)) return NONE;
  const whole = Math.max(0, Math.round(value));
  const two = (part) => String(part).padStart(2, "0");
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

/** A time since something, to a tenth of a second while it is short. */
export const age = (value) => (isNumber(value) && value < 10 ? `${value.toFixed(1)} s` : duration(value));

export function bytes(value) {
  if (!isNumber(value)) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let unit = 0;
  let size = value;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? size : threeDigits(size)} ${units[unit]}`;
}

/** A moment on the reader's clock; with its day where that is not today. */
export function moment(unixSeconds) {
  if (!isNumber(unixSeconds)) return NONE;
  const date = new Date(unixSeconds * 1000);
  const clock = date.toLocaleTimeString("en-GB");
  if (date.toDateString() === new Date().toDateString()) return clock;
  return `${date.toLocaleDateString("en-GB", { day: "numeric", month: "short" })}, ${clock}`;
}

export const words = (name) => String(name).replaceAll("_", " ");

/** One of something, or several. */
export const several = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

/** A rank by its number; a worker may have none yet. */
export const rankName = (rank) =>
  isNumber(rank.rank) ? `rank ${rank.rank}` : `worker ${rank.worker}, without a rank`;

/** A metric's name for people: "val/emoji-zeroshot-val-top1" is "emoji zero-shot top-1". */
export function metricName(name) {
  return name
    .replace(/^val\//, "")
    .replace(/-zeroshot-val-top(\d+)$/, " zero-shot top-$1")
    .replace(/-zeroshot-val-/, " zero-shot ")
    .replace(/-?(image_to_text|text_to_image)_/, (_, way) => ` ${way.replaceAll("_", "-")} `)
    .replaceAll("_", " ")
    .trim();
}

const isShare = (name) => !/rank|loss|samples/.test(name);

export const metricValue = (name, value) => (isShare(name) ? percent(value) : number(value));

/** Whether a metric tells how good a model is in one number, of 0 to 1. */
export const isHeadline = (name) => isShare(name) && /(top1|R@1)$/.test(name);

export function median(values) {
  const sorted = values.filter(isNumber).sort((a, b) => a - b);
  if (sorted.length === 0) return null;
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
