// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { EnvoyExitedError, EnvoyMissingError, exitCodeFor, startEnvoy } from "../../../src/envoy/index.ts";
import { type ParentDeathWatchdog, watchdogPaths } from "../../../src/envoy/parent-death-watchdog.ts";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { eventually } from "../../support/eventually.ts";
import { isRunning } from "../../support/process-state.ts";
import { staticEnvoy } from "../../support/static-envoy.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { testLog } from "../../support/test-log.ts";

const setpriv: ParentDeathWatchdog = { kind: "setpriv", path: watchdogPaths.setpriv[0] };
const shell: ParentDeathWatchdog = { kind: "shell", path: watchdogPaths.shell[0] };
const deps = (watchdog: ParentDeathWatchdog = setpriv) => ({
  log: testLog().log,
  clock: systemClock,
  random: Math.random,
  watchdog,
});

/** An Envoy configuration for a program that is not Envoy. */
async function program(directory: string, script: string, mode = 0o755) {
  const { config } = await staticEnvoy(directory);
  const binaryPath = join(directory, "program");
  await writeFile(binaryPath, script);
  await chmod(binaryPath, mode);
  return { ...config, binaryPath };
}

describe.each([
  ["setpriv", setpriv],
  ["a shell", shell],
  ["nothing", { kind: "none" } as const],
])("Envoy with %s as its watchdog", (_name, watchdog) => {
  test("runs under the process id it was started with, and is gone once disposed", async () => {
    await using directory = await temporaryDirectory();
    const { config, untilLive } = await staticEnvoy(directory.path);
    const envoy = startEnvoy(config, deps(watchdog));
    const admin = await envoy.orExited(untilLive());
    expect((await admin.serverInfo()).state).toBe("LIVE");
    expect(isRunning(envoy.pid)).toBe(true);
    await envoy[Symbol.asyncDispose]();
    expect(isRunning(envoy.pid)).toBe(false);
    await envoy[Symbol.asyncDispose]();
    expect(await envoy.exited).toEqual({ kind: "signal", signal: "SIGKILL", requested: true });
  });

  test("killed from outside, its end is told within a second and gives 137", async () => {
    await using directory = await temporaryDirectory();
    const { config, untilLive } = await staticEnvoy(directory.path);
    await using envoy = startEnvoy(config, deps(watchdog));
    await untilLive();
    const startMs = performance.now();
    process.kill(envoy.pid, "SIGKILL");
    const exit = await envoy.exited;
    expect(performance.now() - startMs).toBeLessThan(1_000);
    expect(exit).toEqual({ kind: "signal", signal: "SIGKILL", requested: false });
    expect(exitCodeFor(exit)).toBe(137);
  });

  test("its own exit code is passed on", async () => {
    await using directory = await temporaryDirectory();
    await using envoy = startEnvoy(await program(directory.path, "#!/bin/sh\nexit 7\n"), deps(watchdog));
    expect(exitCodeFor(await envoy.exited)).toBe(7);
  });

  test("leads a group of its own, and what a launcher in its place has started ends with it", async () => {
    await using directory = await temporaryDirectory();
    const pidFile = join(directory.path, "pid");
    const script = `#!/bin/sh\nsleep 60 &\necho $! > '${pidFile}.new' && mv '${pidFile}.new' '${pidFile}'\nwait\n`;
    await using envoy = startEnvoy(await program(directory.path, script), deps(watchdog));
    const started = await eventually(async () => Number(await readFile(pidFile, "utf8")), { withinMs: 3_000 });
    const groupOf = async (pid: number): Promise<number> =>
      Number((await readFile(`/proc/${String(pid)}/stat`, "utf8")).replace(/^.*\) /, "").split(" ")[2]);
    expect(await groupOf(envoy.pid)).toBe(envoy.pid);
    expect(await groupOf(started)).toBe(envoy.pid);
    await envoy.terminate(1_000);
    await eventually(
      () => {
        expect(isRunning(started)).toBe(false);
      },
      { withinMs: 1_000 },
    );
  });

  test("an end before it is live is a failure that tells the exit", async () => {
    await using directory = await temporaryDirectory();
    const { config } = await staticEnvoy(directory.path);
    await writeFile(join(directory.path, "bootstrap.json"), "{ not json");
    await using envoy = startEnvoy(config, deps(watchdog));
    const failed: unknown = await envoy.orExited(new Promise(() => undefined)).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(EnvoyExitedError);
    expect(failed).toMatchObject({ code: "AGENT_ENVOY_EXITED", exit: { kind: "code", code: 1, requested: false } });
  });

  test("a program that ignores SIGTERM is killed after its time", async () => {
    await using directory = await temporaryDirectory();
    const ready = join(directory.path, "ready");
    const config = await program(
      directory.path,
      `#!/bin/sh\ntrap '' TERM\n: > ${ready}\nwhile :; do read -r _ < /dev/zero; done\n`,
    );
    await using envoy = startEnvoy(config, deps(watchdog));
    await eventually(() => chmod(ready, 0o600), { withinMs: 2_000 });
    const startMs = performance.now();
    const exit = await envoy.terminate(200);
    expect(performance.now() - startMs).toBeGreaterThanOrEqual(195);
    expect(exit).toEqual({ kind: "signal", signal: "SIGKILL", requested: true });
  });
});

describe("the agent killed with SIGKILL", () => {
  const parents: number[] = [];
  afterEach(() => {
    for (const pid of parents.splice(0)) if (isRunning(pid)) process.kill(pid, "SIGKILL");
  });

  test.each([
    ["setpriv", setpriv],
    ["a shell", shell],
  ])("takes Envoy with it, by %s", async (_name, watchdog) => {
    await using directory = await temporaryDirectory();
    const { config, untilLive } = await staticEnvoy(directory.path);
    const parent = spawn(
      process.execPath,
      ["test/fixtures/envoy/envoy-parent.ts", JSON.stringify({ config, watchdog })],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    const [line] = (await once(parent.stdout, "data")) as [Buffer];
    const envoyPid = Number(line.toString());
    parents.push(envoyPid);
    await untilLive();
    expect(isRunning(envoyPid)).toBe(true);
    parent.kill("SIGKILL");
    await eventually(
      () => {
        expect(isRunning(envoyPid)).toBe(false);
      },
      { withinMs: 2_000 },
    );
  });
});

describe("an Envoy that cannot be run", () => {
  test.each([
    ["that is not there", "/nowhere/envoy", "absent"],
    ["that is a directory", "/tmp", "not-a-file"],
    ["that no directory of the search path has", "envoy-of-no-place", "absent"],
  ])("a binary %s is refused before anything runs", async (_name, binaryPath, reason) => {
    await using directory = await temporaryDirectory();
    const { config } = await staticEnvoy(directory.path);
    const start = () => startEnvoy({ ...config, binaryPath, env: { PATH: "/usr/bin" } }, deps());
    expect(start).toThrow(EnvoyMissingError);
    expect(start).toThrow(expect.objectContaining({ code: "AGENT_ENVOY_MISSING", reason }));
  });

  test("a file without the execute bit is refused", async () => {
    await using directory = await temporaryDirectory();
    const config = await program(directory.path, "", 0o644);
    expect(() => startEnvoy(config, deps())).toThrow(expect.objectContaining({ reason: "not-executable" }));
  });

  test.each([
    ["setpriv", setpriv],
    ["a shell", shell],
  ])("a file of no executable format ends in 69, with %s", async (_name, watchdog) => {
    await using directory = await temporaryDirectory();
    const config = await program(directory.path, "\u007fELF damaged");
    await using envoy = startEnvoy(config, deps(watchdog));
    expect(exitCodeFor(await envoy.exited)).toBe(69);
  });

  test("a bare name is looked up in Envoy's search path", async () => {
    await using directory = await temporaryDirectory();
    const config = await program(directory.path, "#!/bin/sh\nexit 5\n");
    const env = { PATH: `/nowhere:${directory.path}:/bin` };
    await using envoy = startEnvoy({ ...config, binaryPath: "program", env }, deps());
    expect(exitCodeFor(await envoy.exited)).toBe(5);
  });
});

test.runIf(process.getuid?.() === 0)(
  "an agent that is root runs Envoy as the configured user, without its own groups",
  async () => {
    await using directory = await temporaryDirectory();
    for (const path of [directory.path, dirname(directory.path)]) await chmod(path, 0o711);
    const script = '#!/bin/sh\n[ "$(id -u):$(id -g):$(id -G)" = "1337:1338:1338" ] && exit 4\nexit 1\n';
    const config = await program(directory.path, script);
    const user = { uid: 1337, gid: 1338 };
    await using envoy = startEnvoy({ ...config, env: { PATH: "/usr/bin:/bin" }, user }, deps());
    expect(exitCodeFor(await envoy.exited)).toBe(4);
  },
);
