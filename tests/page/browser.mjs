// A browser that keeps account of everything on a page that should not be there.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const REPOSITORY = fileURLToPath(new URL("../../", import.meta.url));
const SERVERS = resolve(REPOSITORY, process.env.TWINSPAN_TEST_SERVERS ?? "target/test-servers");
const CHROMIUM = process.env.TWINSPAN_CHROMIUM ?? "/usr/bin/chromium";
const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const SCREENSHOTS = process.env.TWINSPAN_SCREENSHOTS;

export const DESKTOP = { width: 1440, height: 900 };
export const PHONE = { width: 390, height: 844 };

/** What does not hold; it ends the program with 1 and this message. */
export class Unmet extends Error {}

export function expect(holds, message) {
  if (!holds) throw new Unmet(message);
}

function playwright() {
  try {
    return createRequire(join(SERVERS, "package.json"))("playwright-core");
  } catch {
    throw new Unmet(`playwright-core is not in ${SERVERS}: run tests/install-servers.sh`);
  }
}

/** Opens a page at this address, and gives it to `use` with the list of what was wrong on it. */
export async function withPage(url, { seconds = 60, before = () => {} }, use) {
  const browser = await playwright().chromium.launch({
    executablePath: CHROMIUM,
    headless: true,
    args: ARGUMENTS,
  });
  try {
    const page = await browser.newPage({ viewport: DESKTOP });
    page.setDefaultTimeout(seconds * 1000);
    const wrong = watch(page, new URL(url).origin);
    await page.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", (event) =>
        console.error(`policy violated: ${event.violatedDirective} by ${event.blockedURI}`),
      );
    });
    await before(page);
    await page.goto(url, { waitUntil: "domcontentloaded" });
    const result = await use(page);
    expect(wrong.length === 0, `the page is not clean: ${wrong.join("; ")}`);
    return result;
  } finally {
    await browser.close();
  }
}

function watch(page, origin) {
  const wrong = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning")
      wrong.push(`${message.type()} in the console: ${message.text()}`);
  });
  page.on("pageerror", (error) => wrong.push(`error of the page: ${error.message}`));
  page.on("requestfailed", (request) =>
    wrong.push(`failed: ${request.url()} (${request.failure()?.errorText})`),
  );
  page.on("response", (response) => {
    if (response.status() >= 400) wrong.push(`answered ${response.status()}: ${response.url()}`);
  });
  page.on("request", (request) => {
    if (new URL(request.url()).origin !== origin) wrong.push(`a request to another place: ${request.url()}`);
  });
  return wrong;
}

/** Waits until a function holds in the page; says what was awaited when it does not. */
export async function until(page, awaited, holds, argument) {
  try {
    await page.waitForFunction(holds, argument);
  } catch (error) {
    throw new Unmet(`in vain: ${awaited} (${error.message.split("\n")[0]})`);
  }
}

/** Serves a made-up run for as long as `use(url, server)` goes on. */
export async function withSimulated(options, use) {
  const program = fileURLToPath(new URL("simulated.mjs", import.meta.url));
  const server = spawn(process.execPath, [program, ...options], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const [line] = await once(createInterface(server.stdout), "line");
    return await use(JSON.parse(line).url, server);
  } finally {
    server.kill();
  }
}

export const textOf = (page, selector) => page.locator(selector).first().textContent();

/** Pictures of the whole page, where TWINSPAN_SCREENSHOTS names a folder. */
export async function screenshots(page, name) {
  if (!SCREENSHOTS) return;
  await mkdir(SCREENSHOTS, { recursive: true });
  for (const [kind, { width }, colorScheme] of [
    ["light", DESKTOP, "light"],
    ["dark", DESKTOP, "dark"],
    ["phone", PHONE, "light"],
  ]) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height: DESKTOP.height });
    await twoFrames(page);
    // A window as high as the page has all of it in sight, and so up to date.
    const height = await page.evaluate(() => document.documentElement.scrollHeight);
    await page.setViewportSize({ width, height });
    await twoFrames(page);
    await page.screenshot({ path: join(SCREENSHOTS, `${name}-${kind}.png`) });
  }
  await page.setViewportSize(DESKTOP);
  await page.emulateMedia({ colorScheme: "light" });
}

const twoFrames = (page) =>
  page.evaluate(
    () =>
      new Promise((done) => {
        requestAnimationFrame(() => requestAnimationFrame(done));
      }),
  );

/** Runs a program's body: one line of JSON, or the reason why not and 1. */
export async function main(body) {
  try {
    console.log(JSON.stringify(await body()));
  } catch (error) {
    console.error(error instanceof Unmet ? error.message : error.stack);
    process.exitCode = 1;
  }
}
