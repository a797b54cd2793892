// SPDX-License-Identifier: Apache-2.0
import { cp, readdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type DevConfig, runDev } from "../../../src/dev/index.ts";
import type { DevReport } from "../../../src/dev/report.ts";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { loopback, requestHttp } from "../../../src/lib/net/http-client.ts";
import { envoyBinary } from "../../support/envoy-binary.ts";
import { eventually } from "../../support/eventually.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { resources } from "./mesh-without-agents.ts";

const never = new AbortController().signal;

/** One run in this very process; its agents are the built program. */
interface Run {
  /** Everything shown to people so far. */
  readonly shown: () => string;
  /** Everything printed for programs so far. */
  readonly printed: () => string;
  readonly code: Promise<number>;
  readonly stop: () => void;
  readonly untilShown: (text: RegExp) => Promise<RegExpExecArray>;
}

function startRun(config: Partial<DevConfig>): Run {
  let shown = "";
  let printed = "";
  const stop = new AbortController();
  const code = runDev(
    {
      once: false,
      json: false,
      keepDirectory: undefined,
      fault: "none",
      resourcesDirectory: resources,
      delivery: "ads",
      capture: undefined,
      envoyPath: envoyBinary(),
      program: { file: join(import.meta.dirname, "../../../bin/attache"), args: [] },
      env: { PATH: process.env["PATH"] ?? "", TMPDIR: tmpdir() },
      readyWithinMs: 25_000,
      rotationWithinMs: 25_000,
      ...config,
    },
    {
      clock: systemClock,
      print: (text) => (printed += text),
      screen: { write: (text) => (shown += text), redraws: false, colours: false },
    },
    stop.signal,
  );
  return {
    shown: () => shown,
    printed: () => printed,
    code,
    stop: () => {
      stop.abort();
    },
    untilShown: (text) =>
      eventually(
        () => {
          const match = text.exec(shown);
          if (match === null) throw new Error(`${String(text)} was not shown:\n${shown}`);
          return match;
        },
        { withinMs: 25_000, everyMs: 50 },
      ),
  };
}

/** A run on a copy of the demo's resources, and what a person does with the file to play with. */
async function startEdited(directory: string, delivery: DevConfig["delivery"]) {
  const copy = join(directory, "resources");
  await cp(resources, copy, { recursive: true });
  const work = join(directory, "work");
  const run = startRun({ resourcesDirectory: copy, keepDirectory: work, delivery });
  const [, port] = await run.untilShown(/curl http:\/\/127\.0\.0\.1:(\d+)\/ +web calls api/);
  const routes = join(copy, "web/rds.yaml");
  return {
    ...run,
    work,
    text: await readFile(routes, "utf8"),
    write: (text: string) => writeFile(routes, text),
    ask: async () => (await requestHttp({ url: loopback(Number(port), "/") }, never)).status,
  };
}

test("over ADS the mesh applies edits, rejects invalid ones with file and line, reports what Envoy rejects, and keeps logs", async () => {
  await using folder = await temporaryDirectory();
  const run = await startEdited(folder.path, "ads");
  const { work, text, write, ask } = run;
  const lineOf = (part: string): number => text.split("\n").findIndex((line) => line.includes(part)) + 1;
  expect(await readdir(join(work, "web/xds-cache"))).not.toEqual([]);

  await write(text.replace("numerator: 0", "numerator: 100"));
  await run.untilShown(/web\/rds\.yaml: in use by Envoy after \d+ ms/);
  expect(await ask()).toBe(503);
  await write(text.replace("weight: 100", "weight: heavy"));
  const [, line] = await run.untilShown(/web\/rds\.yaml:(\d+): invalid: .*heavy.*; Envoy keeps the previous version/);
  expect(Number(line)).toBe(lineOf("weight: 100"));
  await write(text.replace("weight: 100", "${WEIGHT}"));
  const [, place] = await run.untilShown(/web\/rds\.yaml:(\d+): invalid: unknown placeholder \$\{WEIGHT\}/);
  expect(Number(place)).toBe(lineOf("weight: 100"));
  expect(await ask()).toBe(503);
  await write(text.replace("weight: 100", "weight: 0"));
  await run.untilShown(/web\/rds\.yaml: rejected by Envoy, which keeps the previous version: .*weight/i);
  expect(await ask()).toBe(503);
  await write(text);
  await run.untilShown(/(in use by Envoy[^]*){2}/);
  expect(await ask()).toBe(200);

  run.stop();
  expect(await run.code).toBe(0);
  const left = await readdir(work, { recursive: true, withFileTypes: true });
  expect(left.filter((entry) => entry.isSocket())).toEqual([]);
  expect(left.filter((entry) => entry.name === "agent.log")).toHaveLength(2);
});

test("with files the mesh applies edits too, and Envoy itself rejects invalid ones", async () => {
  await using folder = await temporaryDirectory();
  const run = await startEdited(folder.path, "files");
  const { text, write, ask } = run;
  expect(await readdir(join(run.work, "web"))).not.toContain("xds-cache");

  await write(text.replace("numerator: 0", "numerator: 100"));
  await run.untilShown(/web\/rds\.yaml: in use by Envoy after \d+ ms/);
  expect(await ask()).toBe(503);
  await write(text.replace("weight: 100", "weight: heavy"));
  await run.untilShown(/web\/rds\.yaml: not accepted by Envoy/);
  await write(text.replace("weight: 100", "${WEIGHT}"));
  await run.untilShown(/web\/rds\.yaml: invalid: .*rds\.yaml:\d+: unknown placeholder \$\{WEIGHT\}/);
  await write(text);
  await run.untilShown(/(in use by Envoy[^]*){2}/);
  expect(await ask()).toBe(200);

  run.stop();
  expect(await run.code).toBe(0);
});

test("an invalid resource is rejected at the start with file and line, before anything is started", async () => {
  await using folder = await temporaryDirectory();
  const copy = join(folder.path, "resources");
  await cp(resources, copy, { recursive: true });
  await writeFile(join(copy, "api/cds.yaml"), "resources:\n- name: app\n");
  const run = startRun({ once: true, resourcesDirectory: copy });
  await expect(run.code).rejects.toMatchObject({
    code: "AGENT_XDS_RESOURCE",
    message: `${join(copy, "api/cds.yaml")}:2: there is no @type`,
  });
});

test("a failed proof is reported with its reason and the end of the logs", async () => {
  const run = startRun({ once: true, json: true, fault: "foreign-ca" });
  expect(await run.code).toBe(1);
  const report = JSON.parse(run.printed()) as DevReport;
  expect(report.failures.map(({ proof }) => proof)).toEqual(["mtls"]);
  expect(run.shown()).toContain("✗ web reaches api over mTLS\n      request web -> api returned 503 instead of 200");
  expect(run.shown()).toMatch(/Last lines of .*web\/agent\.log:/);
});

test("what an agent waits for is reported when it does not become ready in time", async () => {
  const run = startRun({ once: true, json: true, fault: "ca-down", readyWithinMs: 3_000 });
  expect(await run.code).toBe(1);
  const report = JSON.parse(run.printed()) as DevReport;
  expect(report.failures[0]?.details).toContainEqual(expect.stringMatching(/^web: identity: .*ECONNREFUSED/));
});

test("an agent that cannot start fails the proof, with its exit code", async () => {
  const run = startRun({ once: true, json: true, envoyPath: "/nowhere/envoy" });
  expect(await run.code).toBe(1);
  const report = JSON.parse(run.printed()) as DevReport;
  expect(report.failures[0]?.why).toMatch(/run the agent of (web|api): it stopped unexpectedly with exit code 69/);
  expect(run.shown()).toContain("/nowhere/envoy");
});
