// SPDX-License-Identifier: Apache-2.0
import { EventEmitter, once } from "node:events";
import { createServer } from "node:http";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { commandTable } from "../../../src/cli/command-table.ts";
import { command } from "../../../src/cli/commands/exec.ts";
import { runChild } from "../../../src/cli/run-child.ts";
import { StopRequest } from "../../../src/cli/signals.ts";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { eventually } from "../../support/eventually.ts";
import { freePorts } from "../../support/free-ports.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { existsSync } from "node:fs";

const env = { PATH: "/usr/bin:/bin" };
const never = new AbortController().signal;

/** Runs the command; its program writes nothing. */
async function exec(port: number, ...program: readonly string[]) {
  return await execWith(port, {}, ...program);
}

interface ExecOptions {
  readonly flags?: readonly string[];
  readonly stop?: AbortSignal;
}

async function execWith(port: number, { flags = [], stop = never }: ExecOptions, ...program: readonly string[]) {
  let said = "";
  const startMs = performance.now();
  const code = await command.run({
    args: ["--debug-port", String(port), "--quit-timeout", "300ms", ...flags, "--", ...program],
    env,
    programName: "attache",
    print: () => undefined,
    printError: (text) => {
      said += text;
    },
    stop,
    force: never,
    fault: () => undefined,
    onFault: () => undefined,
    commands: commandTable,
    onHangup: () => undefined,
    onReopenLogs: () => undefined,
    onRenew: () => undefined,
  });
  return { code, said, tookMs: performance.now() - startMs };
}

/**
 * An agent's readiness and control endpoints: keeps what it was asked, and answers control requests with `status`.
 * @param isReady whether readiness is 200; otherwise it lists what is pending, as the agent does
 */
async function controlEndpoint(status = 200, isReady = (): boolean => true, given = 0) {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    if (request.url === "/healthz/ready") {
      const ready = isReady();
      response.statusCode = ready ? 200 : 503;
      const checks = ready ? [] : [{ name: "identity", code: "certificate", state: "failed", detail: "no token" }];
      response.end(JSON.stringify({ ready, checks }));
      return;
    }
    asked.push(`${request.method ?? ""} ${request.url ?? ""}`);
    response.statusCode = status;
    response.end("OK");
  });
  server.listen(given, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return {
    asked,
    port: typeof address === "object" && address !== null ? address.port : 0,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

describe("attache exec", () => {
  test("returns the program's code and tells the agent to end", async () => {
    await using agent = await controlEndpoint();
    expect(await exec(agent.port, "/bin/sh", "-c", "exit 3")).toMatchObject({ code: 3, said: "" });
    expect(agent.asked).toEqual(["POST /quitquitquit"]);
  });

  test("returns 128 and the signal's number for a program that was killed", async () => {
    await using agent = await controlEndpoint();
    expect((await exec(agent.port, "/bin/sh", "-c", "kill -9 $$")).code).toBe(137);
    expect(agent.asked).toEqual(["POST /quitquitquit"]);
  });

  test.each([
    ["/nowhere/job", 127],
    ["/etc/passwd", 126],
  ])(
    "the program %s cannot be run: code %i, said in one line, and the agent is told all the same",
    async (path, code) => {
      await using agent = await controlEndpoint();
      const end = await exec(agent.port, path);
      expect(end.code).toBe(code);
      expect(end.said).toMatch(/^attache exec: run \S+: .+\n$/);
      expect(agent.asked).toEqual(["POST /quitquitquit"]);
    },
  );

  test("runs the program also when no agent is there", async () => {
    const [port = 0] = await freePorts(1);
    const end = await execWith(port, { flags: ["--agent-timeout", "300ms"] }, "/bin/sh", "-c", "exit 0");
    expect(end).toMatchObject({ code: 0 });
    expect(end.said).toMatch(
      /no agent responded at http:\S+: it has not started, .*\); the program runs all the same\n$/,
    );
    expect(end.tookMs).toBeLessThan(2_000);
  });

  test("an agent that does not want to end is told of, and the program's code stays", async () => {
    await using agent = await controlEndpoint(403);
    const end = await exec(agent.port, "/bin/sh", "-c", "exit 4");
    expect(end.code).toBe(4);
    expect(end.said).toContain("HTTP status 403");
  });
});

describe("B14: attache exec waits until the proxy is ready", () => {
  test("the program runs only then, and the agent is shut down afterwards", async () => {
    const readyAtMs = performance.now() + 700;
    let readyWhenRun = false;
    await using directory = await temporaryDirectory();
    const mark = join(directory.path, "ran");
    await using agent = await controlEndpoint(200, () => {
      const ready = performance.now() >= readyAtMs;
      if (ready) readyWhenRun = !existsSync(mark);
      return ready;
    });
    expect(await exec(agent.port, "/bin/sh", "-c", `: > ${mark}`)).toMatchObject({ code: 0, said: "" });
    expect([readyWhenRun, existsSync(mark)]).toEqual([true, true]);
    expect(agent.asked).toEqual(["POST /quitquitquit"]);
  });

  test("an agent that starts later than the program is waited for", async () => {
    const [port = 0] = await freePorts(1);
    const end = execWith(port, {}, "/bin/sh", "-c", "exit 5");
    await systemClock.delay(400);
    await using agent = await controlEndpoint(200, () => true, port);
    expect(await end).toMatchObject({ code: 5, said: "" });
    expect(agent.asked).toEqual(["POST /quitquitquit"]);
  });

  test.each([
    ["the default", [], 69, "the program is not run"],
    ["--timeout-fatal=false", ["--timeout-fatal=false"], 6, "the program runs all the same"],
  ])("a proxy that is not ready in time: %s", async (_title, flags, code, text) => {
    await using agent = await controlEndpoint(200, () => false);
    const end = await execWith(
      agent.port,
      { flags: ["--ready-timeout", "400ms", ...flags] },
      "/bin/sh",
      "-c",
      "exit 6",
    );
    expect(end.code).toBe(code);
    expect(end.said).toBe(
      `attache exec: the proxy was not ready within 400 ms: missing certificate (no token); ${text}\n`,
    );
    expect(agent.asked).toEqual(["POST /quitquitquit"]);
  });

  test("a missing agent is fatal only with --timeout-fatal", async () => {
    const [port = 0] = await freePorts(1);
    const flags = ["--agent-timeout", "200ms", "--timeout-fatal"];
    const end = await execWith(port, { flags }, "/bin/sh", "-c", "exit 6");
    expect(end).toMatchObject({ code: 69 });
    expect(end.said).toMatch(/no agent responded at http:\S+: it has not started, .*\); the program is not run\n$/);
  });

  test("--ready-timeout=0s runs the program at once", async () => {
    await using agent = await controlEndpoint(200, () => false);
    const end = await execWith(agent.port, { flags: ["--ready-timeout=0s"] }, "/bin/sh", "-c", "exit 6");
    expect(end).toMatchObject({ code: 6, said: "" });
  });

  test("a signal ends the wait with its code, and the program does not run", async () => {
    await using directory = await temporaryDirectory();
    const mark = join(directory.path, "ran");
    await using agent = await controlEndpoint(200, () => false);
    const stop = new AbortController();
    const end = execWith(agent.port, { stop: stop.signal }, "/bin/sh", "-c", `: > ${mark}`);
    await systemClock.delay(200);
    stop.abort(new StopRequest("SIGTERM"));
    expect(await end).toMatchObject({ code: 143, said: "" });
    expect(existsSync(mark)).toBe(false);
    expect(agent.asked).toEqual(["POST /quitquitquit"]);
  });
});

describe("signals for the program", () => {
  test.each(["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1"] as const)("%s is passed on", async (name) => {
    await using directory = await temporaryDirectory();
    const ready = join(directory.path, "ready");
    const signals = new EventEmitter();
    const script = `trap 'exit 42' ${name.slice(3)}; : > ${ready}; while :; do sleep 0.01; done`;
    const order = { command: "/bin/sh", args: ["-c", script], env, signals, onTerminal: false, stop: never };
    const end = runChild(order);
    await eventually(
      () => {
        expect(existsSync(ready)).toBe(true);
      },
      { withinMs: 2_000 },
    );
    signals.emit(name, name);
    expect((await end).code).toBe(42);
  });

  test("a terminal's own SIGINT is not given twice", async () => {
    const signals = new EventEmitter();
    const args = ["-c", "trap 'exit 42' INT; sleep 0.2; exit 7"];
    const end = runChild({ command: "/bin/sh", args, env, signals, onTerminal: true, stop: never });
    signals.emit("SIGINT", "SIGINT");
    expect((await end).code).toBe(7);
  });

  test("a program that shuts down slowly after SIGTERM is not killed", async () => {
    await using directory = await temporaryDirectory();
    const ready = join(directory.path, "ready");
    const signals = new EventEmitter();
    // longer than the 5 s after which the library would send SIGKILL
    const script = `trap 'sleep 5.5; exit 42' TERM; : > ${ready}; while :; do sleep 0.01; done`;
    const end = runChild({ command: "/bin/sh", args: ["-c", script], env, signals, onTerminal: false, stop: never });
    await eventually(
      () => {
        expect(existsSync(ready)).toBe(true);
      },
      { withinMs: 2_000 },
    );
    signals.emit("SIGTERM", "SIGTERM");
    expect((await end).code).toBe(42);
  });

  test("a stop that came before the program reaches it", async () => {
    const stop = AbortSignal.abort(new Error("received SIGTERM"));
    const args = ["-c", "sleep 5"];
    const end = await runChild({ command: "/bin/sh", args, env, signals: new EventEmitter(), onTerminal: false, stop });
    expect(end.code).toBe(143);
  });
});
