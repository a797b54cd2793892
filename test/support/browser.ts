// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { Readable, Writable } from "node:stream";
import { temporaryDirectory } from "./temporary-directory.ts";

export interface View {
  readonly width: number;
  readonly height: number;
  readonly scheme?: "light" | "dark";
  /** A phone: touch, and the page's own idea of the width of the screen. */
  readonly isPhone?: boolean;
}

/** One tab of a real browser. */
export interface BrowserPage {
  /** Opens a page and waits until it has loaded. */
  open(url: string): Promise<void>;
  /** Shows the page in another size, or with other colours. */
  resize(view: View): Promise<void>;
  /** The value of an expression in the page. Values are JSON. */
  evaluate(expression: string): Promise<unknown>;
  /** The text that a reader sees. */
  text(): Promise<string>;
  /** The whole page, at most as high as given. */
  screenshot(options: { readonly mostHeight?: number; readonly format: "png" | "webp" }): Promise<Buffer>;
  /** Errors of scripts, violations of the page's policy, failed requests. */
  readonly problems: readonly string[];
}

export interface Browser extends AsyncDisposable {
  page(view: View): Promise<BrowserPage>;
}

interface Answer {
  readonly id?: number;
  readonly sessionId?: string;
  readonly method?: string;
  readonly params?: Record<string, unknown>;
  readonly result?: Record<string, unknown>;
  readonly error?: { readonly message: string };
}

type Listener = (method: string, params: Record<string, unknown>) => void;

const withinMs = 20_000;

/**
 * Starts Chromium without a window, and talks to it over a pipe.
 * Source: Chrome DevTools Protocol; `--remote-debugging-pipe` reads from descriptor 3 and writes to 4, messages end with NUL
 */
export async function startBrowser(): Promise<Browser> {
  await using stack = new AsyncDisposableStack();
  const { path } = stack.use(await temporaryDirectory());
  mkdirSync(`${path}/home`);
  const flags = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--hide-scrollbars",
  ];
  const child = spawn("chromium", [...flags, "--remote-debugging-pipe", `--user-data-dir=${path}/profile`], {
    env: { ...process.env, HOME: `${path}/home`, TMPDIR: path, DBUS_SESSION_BUS_ADDRESS: "disabled:" },
    stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
    detached: true,
  });
  const exited = new Promise<void>((resolve) => {
    child.once("exit", () => {
      resolve();
    });
    child.once("error", () => {
      resolve();
    });
  });
  stack.defer(async () => {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, "SIGKILL");
    await exited;
  });
  const [, , , input, output] = child.stdio;
  if (!(input instanceof Writable) || !(output instanceof Readable)) throw new Error("chromium has no pipe");
  const connection = new Connection(input, output, exited);
  const owned = stack.move();
  return {
    page: (view) => openTab(connection, view),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

class Connection {
  readonly #input: Writable;
  readonly #exited: Promise<void>;
  readonly #waiting = new Map<
    number,
    { resolve: (result: Record<string, unknown>) => void; reject: (e: Error) => void }
  >();
  readonly #listeners = new Map<string, Listener>();
  #lastId = 0;

  constructor(input: Writable, output: Readable, exited: Promise<void>) {
    this.#input = input;
    this.#exited = exited;
    input.on("error", () => undefined);
    let rest = "";
    output.setEncoding("utf8").on("data", (text: string) => {
      const parts = (rest + text).split("\0");
      rest = parts.pop() ?? "";
      for (const part of parts) this.#receive(JSON.parse(part) as Answer);
    });
  }

  listen(sessionId: string, listener: Listener): void {
    this.#listeners.set(sessionId, listener);
  }

  async call(method: string, params: object = {}, sessionId?: string): Promise<Record<string, unknown>> {
    const id = ++this.#lastId;
    const answer = new Promise<Record<string, unknown>>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
    });
    this.#input.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    const gone = this.#exited.then(() => {
      throw new Error(`chromium (Debian package chromium) has exited before it answered ${method}`);
    });
    return await Promise.race([answer, gone]);
  }

  #receive({ id, sessionId, method, params, result, error }: Answer): void {
    if (id === undefined) {
      if (sessionId !== undefined && method !== undefined) this.#listeners.get(sessionId)?.(method, params ?? {});
      return;
    }
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) waiting?.resolve(result ?? {});
    else waiting?.reject(new Error(error.message));
  }
}

async function openTab(connection: Connection, view: View): Promise<BrowserPage> {
  const { targetId } = await connection.call("Target.createTarget", { url: "about:blank" });
  const { sessionId } = await connection.call("Target.attachToTarget", { targetId, flatten: true });
  const session = String(sessionId);
  const call = (method: string, params?: object) => connection.call(method, params, session);
  const problems: string[] = [];
  let loaded: (() => void) | undefined;
  connection.listen(session, (method, params) => {
    if (method === "Page.loadEventFired") loaded?.();
    const problem = problemOf(method, params);
    if (problem !== undefined) problems.push(problem);
  });
  for (const domain of ["Page", "Runtime", "Log"]) await call(`${domain}.enable`);
  const resize = async ({ width, height, scheme = "light", isPhone = false }: View): Promise<void> => {
    const deviceScaleFactor = isPhone ? 2 : 1;
    await call("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor, mobile: isPhone });
    await call("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: scheme }] });
  };
  await resize(view);
  const evaluate = async (expression: string): Promise<unknown> => {
    const params = { expression, returnByValue: true, awaitPromise: true };
    const { result, exceptionDetails } = await call("Runtime.evaluate", params);
    if (exceptionDetails !== undefined) throw new Error(`${expression}: ${JSON.stringify(exceptionDetails)}`);
    return (result as { readonly value?: unknown }).value;
  };
  return {
    problems,
    resize,
    evaluate,
    async open(url) {
      const done = new Promise<void>((resolve) => {
        loaded = resolve;
      });
      await call("Page.navigate", { url });
      await inTime(done, `loading ${url}`);
    },
    text: async () => String(await evaluate("document.body.innerText")),
    async screenshot({ mostHeight = 16_000, format }) {
      const [width, height] = (await evaluate(
        "[document.documentElement.clientWidth, document.documentElement.scrollHeight]",
      )) as [number, number];
      const clip = { x: 0, y: 0, width, height: Math.min(height, mostHeight), scale: 1 };
      const { data } = await call("Page.captureScreenshot", {
        format,
        quality: format === "webp" ? 75 : undefined,
        captureBeyondViewport: true,
        clip,
      });
      return Buffer.from(String(data), "base64");
    },
  };
}

function problemOf(method: string, params: Record<string, unknown>): string | undefined {
  if (method === "Runtime.exceptionThrown") return JSON.stringify(params["exceptionDetails"]);
  if (method !== "Log.entryAdded") return undefined;
  const { level, text } = params["entry"] as { readonly level: string; readonly text: string };
  return level === "error" || level === "warning" ? text : undefined;
}

async function inTime<T>(work: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`${what} took more than ${String(withinMs)} ms`));
    }, withinMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
