// What the coordinator's API would tell of a run that is made up.

import { EVERY, TOTAL } from "./simulation.mjs";

const MOST_POINTS = 800;
/** Mean seconds of each phase of a step. */
const PHASES = {
  data_wait: 0.002,
  decode: 0.05,
  image_forward: 0.034,
  text_forward: 0.014,
  all_gather: 0.004,
  loss: 0.006,
  backward: 0.05,
  all_reduce: 0.016,
  optimizer: 0.004,
  commit: 0.001,
};

/** A document by its name; none has this name: undefined. */
export function document(run, name) {
  const [resource, step] = name.split("/");
  const documents = {
    run: () => runOf(run),
    ranks: () => ({ ranks: run.workers.map((worker, i) => rankOf(run, worker, i)) }),
    history: () => historyOf(run),
    lanes: () => lanesOf(run),
    events: () => ({ events: run.events.slice(-200) }),
    steps: () => (step === undefined ? { steps: run.steps } : waterfallOf(run, Number(step))),
    checkpoints: () => ({ checkpoints: run.checkpoints.slice(-100) }),
    skips: () => skipsOf(run),
  };
  return documents[resource]?.();
}

function historyOf(run) {
  const every = Math.ceil(run.step / MOST_POINTS);
  const { evaluations, ...columns } = run.history;
  const thin = ([name, values]) => [name, values.filter((_, i) => i % every === 0)];
  return { ...Object.fromEntries(Object.entries(columns).map(thin)), evaluations };
}

function runOf(run) {
  const last = (name) => run.history[name].at(-1);
  const some = run.step > 0;
  const at = run.straggler;
  return {
    run: "quickstart",
    url: "file:///runs/quickstart/",
    version: "0.1.0",
    state: run.state,
    term: 1,
    generation: run.scenario === "waiting" ? 0 : run.generation,
    message:
      {
        waiting_for_workers: `${run.workers.length} of ${2 * run.workers.length} workers have joined`,
        failed: "12 steps in a row were not finite; the last checkpoint is of step 768",
        ended: "the last checkpoint is of step 2000",
      }[run.state] ?? `next checkpoint at step ${(Math.floor(run.step / EVERY) + 1) * EVERY}`,
    world_size: run.scenario === "waiting" ? 0 : run.workers.length,
    step: run.step,
    start_step: 0,
    total_steps: TOTAL,
    global_batch: 128,
    training_seconds: run.step * 0.135,
    seconds_left: some ? (TOTAL - run.step) * 0.135 : null,
    metrics: some
      ? {
          loss: last("loss"),
          logit_scale: last("logit_scale"),
          lr: last("lr"),
          grad_norm: last("grad_norm"),
          data_time: 0.002,
          batch_time: 0.131,
          samples_per_second: last("samples_per_second"),
        }
      : null,
    evaluation: run.history.evaluations.at(-1) ?? null,
    checkpoint: run.checkpoints.at(-1)?.directory ?? null,
    skipped: some ? 3 : 0,
    straggler:
      at === null
        ? null
        : {
            rank: run.workers.indexOf(at),
            worker: at.name,
            host: hostOf(at),
            phase: "decode",
            excess_seconds: 0.31,
            from_step: run.step - 20,
            through_step: run.step,
          },
  };
}

const hostOf = (worker) => `node-${Math.floor(Number(worker.name.slice(2)) / 8)}`;

function phasesOf(run, worker) {
  const slow = worker === run.straggler;
  const spent = Object.fromEntries(
    Object.entries(PHASES).map(([name, mean]) => [name, mean * (0.95 + 0.1 * run.random())]),
  );
  return slow ? { ...spent, decode: 0.36, data_wait: 0.3 } : spent;
}

function rankOf(run, worker, rank) {
  const some = run.step > 0;
  const waiting = run.scenario === "waiting";
  const lanes = waiting ? [] : [2 * rank, 2 * rank + 1];
  return {
    rank: waiting ? null : rank,
    worker: worker.name,
    host: hostOf(worker),
    pid: worker.pid,
    address: `10.0.${rank >> 8}.${rank & 255}:40123`,
    device: "cpu",
    phase: waiting ? "joining" : some ? "compute" : "healing",
    step: run.step,
    heartbeat_age_seconds: rank === 9 ? 4.2 : run.random(),
    lease_age_seconds: waiting ? null : 3.2,
    memory_bytes: 812345678 + rank * 1e6,
    device_memory_bytes: null,
    wire_bytes: { sent: worker.sent, received: worker.sent },
    draining: rank === 5,
    lanes,
    step_seconds: some ? 0.131 : null,
    phases: some ? phasesOf(run, worker) : {},
  };
}

function lanesOf(run) {
  const lanes = Array.from({ length: 2 * run.workers.length }, (_, lane) => {
    const passed = run.step * 2 + (lane % 7);
    return {
      lane,
      rank: run.scenario === "waiting" ? null : lane >> 1,
      epoch: Math.floor(passed / 526),
      passed: passed % 526,
      of: 526,
    };
  });
  const shards = Array.from({ length: Math.max(9, run.workers.length) }, (_, shard) => ({
    shard,
    url: `s3://bucket/set/${String(shard).padStart(5, "0")}.tar`,
    samples: 500,
    passed: Math.min(500, Math.max(0, run.step * 4 - shard * 90)),
    quarantined: shard === 7 ? "404 Not Found" : null,
  }));
  return { samples: 500 * shards.length, sources: 1, shard_count: shards.length, shards, lanes };
}

function waterfallOf(run, number) {
  const step = run.steps.find((one) => one.step === number);
  if (step === undefined) return undefined;
  const ranks = run.workers.map((worker, rank) => {
    const start = run.random() * 0.002;
    let at = start;
    const spans = Object.entries(phasesOf(run, worker)).map(([name, seconds]) => {
      if (name === "decode") return { name, start: -0.06, seconds };
      at += seconds;
      return { name, start: at - seconds, seconds };
    });
    return { rank, host: hostOf(worker), start, seconds: at - start, spans };
  });
  const { reason, ...told } = step;
  return { ...told, ranks };
}

function skipsOf(run) {
  if (run.step === 0) return { total: 0, by_reason: {}, recent: [] };
  const recent = [
    ["corrupt_image", "a PNG with a wrong check sum in IDAT"],
    ["corrupt_image", "the JPEG ends too early"],
    ["no_caption", "no .txt member <b>at all</b>"],
  ].map(([reason, detail], i) => ({
    step: 3 + i,
    lane: i,
    epoch: 0,
    shard: "s3://bucket/set/00003.tar",
    key: `00003${i}`,
    reason,
    detail,
  }));
  return { total: 3, by_reason: { corrupt_image: 2, no_caption: 1 }, recent };
}
