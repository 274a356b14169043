// A run that is made up, with any number of ranks; documents.mjs tells of it.

export const TOTAL = 2000;
export const EVERY = 32;
/** Steps behind a run that trains: as many as make its history long. */
const BEGIN = 780;

/** Numbers that are the same in every run of this program. */
function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Scenarios: training, waiting, early (no metrics yet), straggler, failed, ended. */
export class Simulation {
  constructor(ranks, scenario, pids = []) {
    Object.assign(this, {
      scenario,
      pids,
      random: random(7),
      generation: 1,
      step: 0,
      events: [],
      checkpoints: [],
      steps: [],
    });
    this.history = {
      step: [],
      loss: [],
      samples_per_second: [],
      logit_scale: [],
      lr: [],
      grad_norm: [],
      evaluations: [],
    };
    this.workers = Array.from({ length: ranks }, (_, i) => ({
      name: `1-${i}`,
      pid: pids[i] ?? 40000 + i,
      sent: 0,
    }));
    this.state = { waiting: "waiting_for_workers", failed: "failed", ended: "ended" }[scenario] ?? "training";
    if (scenario === "waiting") this.workers = this.workers.slice(0, Math.ceil(ranks / 2));
    else this.#form();
    const begin = { waiting: 0, early: 0, ended: TOTAL }[scenario] ?? BEGIN;
    while (this.step < begin) this.#step();
    if (this.state === "ended") this.#event("end", `the run ended at step ${this.step}`);
    if (this.state === "failed") this.#event("end", "the run failed: 12 steps in a row were not finite");
  }

  get straggler() {
    return this.scenario === "straggler" ? this.workers[Math.min(2, this.workers.length - 1)] : null;
  }

  get isOver() {
    return this.state === "failed" || this.state === "ended";
  }

  /** A second goes by. */
  advance() {
    if (this.state !== "training" || this.scenario === "early") return;
    for (let i = 0; i < 4 && this.step < TOTAL; i += 1) this.#step();
    if (this.step === TOTAL) {
      this.state = "ended";
      this.#event("end", `the run ended at step ${this.step}`);
    }
  }

  /** A worker's process has gone. */
  lose(pid) {
    const lost = this.workers.find((worker) => worker.pid === pid);
    if (lost === undefined) return;
    this.workers = this.workers.filter((worker) => worker !== lost);
    this.#event("lost", `worker ${lost.name} is lost: its connection was closed`);
    this.generation += 1;
    this.#form();
  }

  #form() {
    this.#event(
      "generation",
      `generation ${this.generation}: ${this.workers.length} workers, from step ${this.step}`,
    );
  }

  #event(kind, text) {
    const id = this.events.length;
    this.events.push({
      id,
      unix_seconds: Date.now() / 1000,
      kind,
      step: this.step,
      generation: this.generation,
      text,
    });
  }

  #step() {
    this.step += 1;
    const { history, step } = this;
    const noise = this.random() - 0.5;
    history.step.push(step);
    history.loss.push(0.2 + 4.6 * Math.exp(-step / 260) + 0.18 * noise);
    history.samples_per_second.push(step === 1 ? 120 : 940 + 60 * noise);
    history.logit_scale.push(14.3 + 6 * (1 - Math.exp(-step / 700)));
    history.lr.push(
      step < 100 ? 5e-6 * step : 2.5e-4 * (1 + Math.cos((Math.PI * (step - 100)) / (TOTAL - 100))),
    );
    history.grad_norm.push(0.8 + this.random() * 0.4 + (step % 97 === 0 ? 2 : 0));
    for (const worker of this.workers) worker.sent += 9_876_543;
    if (step % 10 === 1 || step % EVERY === 0)
      this.#sample(step % EVERY === 0 ? "checkpoint" : step === 1 ? "first" : "interval");
    if (step % EVERY === 0) this.#checkpoint();
  }

  #sample(reason) {
    const trace = Array.from({ length: 4 }, () =>
      Math.floor(this.random() * 2 ** 32)
        .toString(16)
        .padStart(8, "0"),
    ).join("");
    this.steps.push({
      step: this.step,
      generation: this.generation,
      trace_id: trace,
      unix_seconds: Date.now() / 1000,
      seconds: 0.131,
      reason,
    });
    this.steps = this.steps.slice(-32);
  }

  #checkpoint() {
    const parts = [
      ["open_clip_model.safetensors", 31_988_000],
      ["optimizer-00001-of-00002.safetensors", 31_980_000],
      ["optimizer-00002-of-00002.safetensors", 31_990_000],
      ["open_clip_config.json", 412],
    ].map(([name, bytes]) => ({ name, bytes }));
    const step = String(this.step).padStart(8, "0");
    const first = this.checkpoints.length === 0;
    this.checkpoints.push({
      step: this.step,
      directory: `checkpoints/step-${step}-94e4599a`,
      unix_seconds: first ? null : Date.now() / 1000,
      seconds: first ? null : 0.42,
      bytes: parts.reduce((sum, part) => sum + part.bytes, 0),
      parts: first ? [] : parts,
      retired: first,
    });
    this.#event("checkpoint", `checkpoint of step ${this.step}`);
    const metrics = {
      "val/emoji-zeroshot-val-top1": 0.4 * (1 - Math.exp(-this.step / 300)),
      "val/emoji-zeroshot-val-top5": 0.7 * (1 - Math.exp(-this.step / 300)),
      "val/emoji-captions-image_to_text_R@1": 0.37 * (1 - Math.exp(-this.step / 400)),
      "val/emoji-captions-image_to_text_mean_rank": 400 * Math.exp(-this.step / 300) + 9,
    };
    this.history.evaluations.push({ step: this.step, metrics });
    this.#event("evaluation", `evaluation of step ${this.step}`);
  }
}
