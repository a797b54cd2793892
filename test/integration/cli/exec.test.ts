// SPDX-License-Identifier: Apache-2.0
import { EventEmitter, once } from "node:events";
import { createServer } from "node:http";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { commandTable } from "../../../src/cli/command-table.ts";
import { command } from "../../../src/cli/commands/exec.ts";
import { runChild } from "../../../src/cli/run-child.ts";
import { eventually } from "../../support/eventually.ts";
import { freePorts } from "../../support/free-ports.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { existsSync } from "node:fs";

const env = { PATH: "/usr/bin:/bin" };
const never = new AbortController().signal;

/** Runs the command; its program writes nothing. */
async function exec(port: number, ...program: readonly string[]) {
  let said = "";
  const startMs = performance.now();
  const code = await command.run({
    args: ["--debug-port", String(port), "--quit-timeout", "300ms", "--", ...program],
    env,
    programName: "attache",
    print: () => undefined,
    printError: (text) => {
      said += text;
    },
    stop: never,
    force: never,
    fault: () => undefined,
    onFault: () => undefined,
    commands: commandTable,
    onHangup: () => undefined,
  });
  return { code, said, tookMs: performance.now() - startMs };
}

/** An agent's control endpoint: keeps what it was asked, and answers with `status`. */
async function controlEndpoint(status = 200) {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method ?? ""} ${request.url ?? ""}`);
    response.statusCode = status;
    response.end("OK");
  });
  server.listen(0, "127.0.0.1");
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
    const end = await exec(port, "/bin/sh", "-c", "exit 0");
    expect(end).toMatchObject({ code: 0, said: "" });
    expect(end.tookMs).toBeLessThan(1_000);
  });

  test("an agent that does not want to end is told of, and the program's code stays", async () => {
    await using agent = await controlEndpoint(403);
    const end = await exec(agent.port, "/bin/sh", "-c", "exit 4");
    expect(end.code).toBe(4);
    expect(end.said).toContain("HTTP status 403");
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
