// The server's events, and what is to be done when they cease.

const FIRST_PAUSE = 1000;
const LONGEST_PAUSE = 30000;
/** A connection that was cut without a word is found out by asking. */
const SILENCE = 25000;
const PATIENCE = 10000;

export const RESOURCES = ["run", "ranks", "history", "lanes", "events", "steps", "checkpoints", "skips"];

export const api = (path) => new URL(`api/v1/${path}`, document.baseURI);

/** Reads a resource once. */
export async function get(path) {
  const answer = await fetch(api(path), { signal: AbortSignal.timeout(PATIENCE) });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(body.error ?? `the coordinator answered ${answer.status}`);
  return body;
}

export class Stream {
  #source = null;
  #pause = FIRST_PAUSE;
  #timer = null;
  #heard = 0;
  #run = null;

  /**
   * `receive(resource, text)` takes data, `tell(state, seconds)` what has become of the connection:
   * connecting, live, lost (with the seconds until the next attempt) or over. `isOver()` says
   * whether the run has come to its end, after which nothing more is to be expected.
   */
  constructor(receive, tell, isOver) {
    this.receive = receive;
    this.tell = tell;
    this.isOver = isOver;
    setInterval(() => this.#probe(), SILENCE);
  }

  open() {
    clearTimeout(this.#timer);
    this.#source?.close();
    const source = new EventSource(api("stream"));
    this.#source = source;
    source.onopen = () => {
      this.#pause = FIRST_PAUSE;
      this.#heard = performance.now();
      this.tell("live");
    };
    for (const resource of RESOURCES) {
      source.addEventListener(resource, (event) => {
        this.#heard = performance.now();
        if (resource === "run") this.#run = event.data;
        this.receive(resource, event.data);
      });
    }
    source.onerror = () => this.#lose();
  }

  /** An EventSource gives up for good at an answer that is no stream, so the pauses are ours. */
  #lose() {
    this.#source?.close();
    this.#source = null;
    if (this.isOver()) {
      this.tell("over");
      return;
    }
    const pause = this.#pause * (0.75 + Math.random() / 2);
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE);
    this.tell("lost", pause / 1000);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.open(), pause);
  }

  async #probe() {
    const source = this.#source;
    if (source === null || performance.now() - this.#heard < SILENCE) return;
    const told = await fetch(api("run"), { signal: AbortSignal.timeout(PATIENCE) })
      .then((answer) => (answer.ok ? answer.text() : null))
      .catch(() => null);
    if (source !== this.#source) return;
    if (told === null) this.#lose();
    // The run went on and the stream did not.
    else if (told !== this.#run) this.open();
  }
}
