// Serves the status page with a run that is made up, to look at it and to measure it:
//   node tests/page/simulated.mjs [RANKS] [training|waiting|early|straggler|failed|ended] [--processes]
// Prints {"url"} as its first line. With --processes every rank is a process that may be killed.
// SIGUSR2 cuts the streams.

import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname } from "node:path";
import { parseArgs } from "node:util";
import { document } from "./documents.mjs";
import { Simulation } from "./simulation.mjs";

const PAGE = new URL("../../coordinator/src/http/page/", import.meta.url);
const RESOURCES = ["run", "ranks", "history", "lanes", "events", "steps", "checkpoints", "skips"];
const KINDS = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};
const HEADERS = {
  "content-security-policy":
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cache-control": "no-store",
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { processes: { type: "boolean" } },
});
const ranks = Number(positionals[0] ?? 512);
const processes = values.processes ? Array.from({ length: ranks }, () => spawn("sleep", ["3600"])) : [];
const run = new Simulation(
  ranks,
  positionals[1] ?? "training",
  processes.map((child) => child.pid),
);
for (const child of processes) child.on("exit", () => run.lose(child.pid));

const watchers = new Set();

function answer(response, status, kind, body) {
  response.writeHead(status, { ...HEADERS, "content-type": kind });
  response.end(body);
}

function watch(response) {
  response.writeHead(200, { ...HEADERS, "content-type": "text/event-stream" });
  const watcher = { response, sent: new Map() };
  watchers.add(watcher);
  response.on("close", () => watchers.delete(watcher));
  send(watcher);
}

function send({ response, sent }) {
  for (const name of RESOURCES) {
    const text = JSON.stringify(document(run, name));
    if (sent.get(name) === text) continue;
    sent.set(name, text);
    response.write(`event: ${name}\ndata: ${text}\n\n`);
  }
  if (run.isOver) response.end();
}

async function serve({ url }, response) {
  const { pathname } = new URL(url, "http://localhost");
  if (pathname === "/api/v1/stream") return watch(response);
  if (pathname.startsWith("/api/v1/")) {
    const found = document(run, pathname.slice("/api/v1/".length));
    const body = JSON.stringify(found ?? { error: "there is nothing at this path" });
    return answer(response, found === undefined ? 404 : 200, "application/json", body);
  }
  const name = pathname === "/" ? "index.html" : pathname.match(/^\/assets\/([\w.-]+)$/)?.[1];
  const file = name === undefined ? null : await readFile(new URL(name, PAGE)).catch(() => null);
  if (file === null)
    return answer(
      response,
      404,
      "application/json",
      JSON.stringify({ error: "there is nothing at this path" }),
    );
  return answer(response, 200, KINDS[extname(name)] ?? "application/octet-stream", file);
}

const server = createServer((request, response) => void serve(request, response));
server.listen(0, "127.0.0.1", () =>
  console.log(JSON.stringify({ url: `http://127.0.0.1:${server.address().port}/` })),
);

setInterval(() => {
  run.advance();
  for (const watcher of watchers) send(watcher);
}, 1000);

process.on("SIGUSR2", () => {
  for (const { response } of watchers) response.end();
});
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => {
    for (const child of processes) child.kill();
    process.exit(0);
  });
}
