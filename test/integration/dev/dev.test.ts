// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readlinkSync } from "node:fs";
import { mkdir, readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { DevReport } from "../../../src/dev/report.ts";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { eventually } from "../../support/eventually.ts";
import { type RunningProgram, startProgram } from "../../support/program.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

/** The one JSON object that was printed. */
function reportOf(stdout: string): DevReport {
  expect(stdout.trimEnd().split("\n")).toHaveLength(1);
  return JSON.parse(stdout) as DevReport;
}

/** Folders of runs that are still there. */
async function workDirectories(): Promise<readonly string[]> {
  return (await readdir(tmpdir())).filter((name) => name.startsWith("attache-dev-"));
}

/** Processes that work in a directory or below. */
function processesBelow(directory: string): readonly number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      const where = workingDirectory(pid);
      return where === directory || where.startsWith(`${directory}/`);
    })
    .map(Number);
}

function workingDirectory(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return "";
  }
}

async function untilSaid(program: RunningProgram, text: RegExp, withinMs = 25_000): Promise<RegExpExecArray> {
  return await eventually(
    () => {
      const match = text.exec(program.output().stdout);
      if (match === null) throw new Error(`${String(text)} was not said:\n${program.output().stdout}`);
      return match;
    },
    { withinMs, everyMs: 50 },
  );
}

describe("attache dev --once --json", () => {
  test("proves mTLS, the rejection of plain text and a rotation under traffic, and leaves nothing", async () => {
    await using program = startProgram(["dev", "--once", "--json"]);
    const { code, stdout, stderr } = await program.exited;
    expect(code, stderr).toBe(0);
    const report = reportOf(stdout);
    expect(report.workloads).toEqual(
      (["web", "api"] as const).map((name) => ({
        name,
        spiffeId: `spiffe://cluster.local/ns/demo/sa/${name}`,
        serial: expect.stringMatching(/^[0-9a-f]{8,}$/) as string,
        notAfter: expect.stringMatching(/^\d{4}-\d\d-\d\dT/) as string,
        ready: true,
      })),
    );
    expect(report.proof).toMatchObject({
      mtlsStatus: 200,
      peerSeenByApi: "spiffe://cluster.local/ns/demo/sa/web",
      plainTextRefused: true,
    });
    expect(report.proof.rotation).toMatchObject({ failed: 0 });
    expect(report.proof.rotation?.rotations).toBeGreaterThanOrEqual(2);
    expect(report.proof.rotation?.requests).toBeGreaterThanOrEqual(20);
    expect(report.failures).toEqual([]);
    for (const ms of Object.values(report.phases)) expect(ms).toBeGreaterThanOrEqual(0);
    expect(Object.keys(report.phases)).toEqual(
      expect.arrayContaining(["ca", "webEnvoy", "webCSR", "webSDS", "webReady", "apiReady", "rotation", "total"]),
    );
    expect(await workDirectories()).toEqual([]);
  });

  test("with --files it proves the same, without a control plane", async () => {
    await using folder = await temporaryDirectory();
    await using program = startProgram(["dev", "--once", "--json", "--files", "--keep", folder.path]);
    const { code, stdout, stderr } = await program.exited;
    expect(code, stderr).toBe(0);
    expect(reportOf(stdout)).toMatchObject({
      proof: { mtlsStatus: 200, plainTextRefused: true, rotation: { failed: 0 } },
      failures: [],
    });
    expect(await readdir(join(folder.path, "web"))).toContain("envoy");
    expect(await readdir(join(folder.path, "web"))).not.toContain("xds-cache");
  });

  test("with the CA stopped it exits 1, and says that the workloads are not ready and why", async () => {
    await using program = startProgram(["dev", "--once", "--json", "--fault", "ca-down", "--timeout", "4s"]);
    const { code, stdout } = await program.exited;
    expect(code).toBe(1);
    const report = reportOf(stdout);
    expect(report.failures).toHaveLength(1);
    expect(report.failures[0]).toMatchObject({
      proof: "ready",
      why: expect.stringMatching(/^not ready after 4 s: web: .*web: identity: /) as string,
    });
    expect(report.proof).toEqual({ mtlsStatus: null, peerSeenByApi: null, plainTextRefused: null, rotation: null });
    expect(report.workloads.map(({ serial, ready }) => ({ serial, ready }))).toEqual(
      Array(2).fill({ serial: null, ready: false }),
    );
  });

  test("with api's Envoy given another CA it exits 1, and says that mTLS failed", async () => {
    await using program = startProgram(["dev", "--once", "--json", "--fault", "foreign-ca"]);
    const { code, stdout } = await program.exited;
    expect(code).toBe(1);
    const report = reportOf(stdout);
    expect(report.failures.map(({ proof }) => proof)).toEqual(["mtls"]);
    expect(report.proof).toMatchObject({
      mtlsStatus: 503,
      peerSeenByApi: null,
      plainTextRefused: true,
      rotation: null,
    });
  });
});

describe("attache dev", () => {
  test.each([0, 100, 250, 500, 800, 1_500])("Ctrl-C after %d ms of the start leaves nothing", async (momentMs) => {
    await using program = startProgram(["dev"]);
    await systemClock.delay(momentMs);
    program.kill("SIGINT");
    const { code, signal } = await program.exited;
    expect(signal === "SIGINT" || code === 0 || code === 1).toBe(true);
    expect(await workDirectories()).toEqual([]);
  });

  test("an agent that dies stops the mesh with 1 and the path of its log", async () => {
    await using folder = await temporaryDirectory();
    const work = join(folder.path, "work");
    await using program = startProgram(["dev", "--keep", work]);
    await untilSaid(program, /Press Ctrl-C to stop the mesh/);
    for (const pid of processesBelow(join(work, "api"))) process.kill(pid, "SIGKILL");
    const { code, stderr } = await program.exited;
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^Error: run the agent of api: it stopped unexpectedly with SIGKILL; its log is .*agent\.log\n$/,
    );
  });

  test("an agent that dies without --keep: its last lines are shown, since its log is removed", async () => {
    await using program = startProgram(["dev"]);
    const [, work = ""] = await untilSaid(program, /in (\/\S+)\n[^]*Press Ctrl-C to stop the mesh/);
    for (const pid of processesBelow(join(work, "api"))) process.kill(pid, "SIGTERM");
    const { code, stdout } = await program.exited;
    expect(code).toBe(1);
    const [, shown = ""] = stdout.split(`Last lines of ${work}/api/agent.log:`);
    expect(shown).toContain("Envoy exited");
    expect(shown).toContain(`${work} is removed; use --keep DIR to keep the logs.`);
    expect(await workDirectories()).toEqual([]);
  });

  test.each(["SIGHUP", "SIGTERM"] as const)("%s stops it like Ctrl-C", async (name) => {
    await using program = startProgram(["dev"]);
    await untilSaid(program, /Press Ctrl-C to stop the mesh/);
    program.kill(name);
    expect(await program.exited).toMatchObject({ code: 0, stderr: "" });
    expect(await workDirectories()).toEqual([]);
  });

  test("SIGKILL of attache dev itself stops agents and Envoys", async () => {
    await using folder = await temporaryDirectory();
    const work = join(folder.path, "work");
    await using program = startProgram(["dev", "--keep", work]);
    await untilSaid(program, /Press Ctrl-C to stop the mesh/);
    expect(processesBelow(work)).toHaveLength(4);
    program.kill("SIGKILL");
    await program.exited;
    await eventually(
      () => {
        expect(processesBelow(work)).toEqual([]);
      },
      { withinMs: 5_000 },
    );
  });

  test("a directory with other files is rejected, and not changed", async () => {
    await using folder = await temporaryDirectory();
    await mkdir(join(folder.path, "documents"));
    await using program = startProgram(["dev", "--once", "--keep", folder.path]);
    const { code, stderr } = await program.exited;
    expect({ code, stderr }).toEqual({
      code: 69,
      stderr: `Error: work in ${folder.path}: it has other files; choose a new or an empty directory\n`,
    });
    expect(await readdir(folder.path)).toEqual(["documents"]);
  });

  test.each([
    { args: ["--nope"], env: {}, code: 64, said: /--nope.*--once/ },
    { args: ["--timeout", "soon"], env: {}, code: 64, said: /--timeout is a duration such as 30s/ },
    { args: ["--fault", "x"], env: {}, code: 64, said: /ca-down/ },
    { args: ["--resources", "/nowhere"], env: {}, code: 64, said: /\/nowhere\/web: the directory cannot be read/ },
    { args: [], env: { ENVOY_PATH: "/nowhere/envoy" }, code: 69, said: /none at \/nowhere\/envoy; set ENVOY_PATH/ },
  ])("wrong input is said in one line: $args $env", async ({ args, env, code, said }) => {
    await using program = startProgram(["dev", "--once", ...args], env);
    const exit = await program.exited;
    expect(exit.code).toBe(code);
    expect(exit.stderr).toMatch(said);
    expect(exit.stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(await workDirectories()).toEqual([]);
  });
});
