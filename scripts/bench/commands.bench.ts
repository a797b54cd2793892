// SPDX-License-Identifier: Apache-2.0
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { systemCode } from "../../src/lib/errors.ts";
import { type FakeApp, startFakeApp } from "../../test/fakes/fake-app.ts";
import { temporaryDirectory } from "../../test/support/temporary-directory.ts";
import type { Comparison } from "./comparison.ts";
import { assertLoad } from "./load-assertion.ts";
import { findPeer } from "./peer.ts";
import { type Readings, type RowSpec, runInRounds } from "./rounds.ts";
import { peakPrivateMegabytes, timeRuns } from "./whole-command.ts";

export const name = "commands";

const rounds = 7;
const runsOfSample = 5;
/** The status port of a pod: `request` sends to no other ports than those of a pod. */
const statusPort = 15_020;
const root = join(import.meta.dirname, "../..");

interface Command {
  /** Of its processor time and peak memory beside an empty process: what is reached and 15 %. docs/adr/0003-bundling.md */
  readonly limits: { readonly processorMs: number; readonly mb: number };
  readonly words: readonly string[];
  /** What each run writes. */
  readonly output: string;
  readonly requests: number;
}

const commands: readonly Command[] = [
  { limits: { processorMs: 1.3, mb: 1.15 }, words: ["version", "--short"], output: "client version: ", requests: 0 },
  {
    limits: { processorMs: 1.8, mb: 1.5 },
    words: ["request", "GET", "healthz/ready", "--debug-port", String(statusPort)],
    output: "ready to serve\n",
    requests: 1,
  },
  {
    limits: { processorMs: 1.9, mb: 1.6 },
    words: ["wait", "--url", `http://localhost:${String(statusPort)}/healthz/ready`],
    output: "Envoy is ready!",
    requests: 1,
  },
];

/**
 * Whole processes of the commands that run in a pod, by the launcher, beside an empty Node.js process without one, and the
 * peer's same command. The far end is an HTTP server on the pod's status port. Asserts each run's exit code and output, and
 * that the server got its request. The peer's `wait` sends its first request after half a second.
 */
export async function run(): Promise<readonly Comparison[]> {
  await using directory = await temporaryDirectory();
  const empty = join(directory.path, "empty.cjs");
  writeFileSync(empty, "");
  await using app = await startStatusPort();
  const rows: Comparison[] = [];
  for (const command of commands) {
    if (app === undefined && command.requests > 0) {
      process.stdout.write(`commands: ${command.words.join(" ")}: SKIPPED, port ${String(statusPort)} is in use\n`);
    } else rows.push(...(await compare(command, [pinnedNode(), empty], app)));
  }
  return rows;
}

/** @returns undefined when the port is in use */
async function startStatusPort(): Promise<FakeApp | undefined> {
  try {
    return await startFakeApp((_request, response) => response.end("ready to serve"), "127.0.0.1", statusPort);
  } catch (error) {
    if (systemCode(error) === "EADDRINUSE") return undefined;
    throw error;
  }
}

/** The one that the launcher takes. */
function pinnedNode(): string {
  const pinned = join(root, `node_modules/node-linux-${process.arch}/bin/node`);
  return existsSync(pinned) ? pinned : process.execPath;
}

async function compare(
  command: Command,
  empty: readonly string[],
  app: FakeApp | undefined,
): Promise<readonly Comparison[]> {
  const peer = findPeer();
  const whole = (program: string) => () => measure([program, ...command.words], command, app);
  return await runInRounds({
    rounds,
    subjects: {
      attache: whole(process.env["BENCH_AGENT"] ?? join(root, "bin/attache")),
      reference: () => measure(empty, { output: "", requests: 0 }, app),
      peer: peer === undefined ? undefined : whole(peer.path),
    },
    rows: rowsOf(command),
  });
}

function rowsOf({ words: [command = ""], limits }: Command): Readonly<Record<string, RowSpec>> {
  const limit = (atMost: number) => ({ limits: { reference: { atMost } } });
  return {
    processorMs: { name: `${command}: processor time`, unit: "ms", ...limit(limits.processorMs) },
    ms: { name: `${command}: start to end`, unit: "ms" },
    mb: { name: `${command}: private memory, peak`, unit: "MB", ...limit(limits.mb) },
  };
}

async function measure(
  words: readonly string[],
  command: Pick<Command, "output" | "requests">,
  app: FakeApp | undefined,
): Promise<Readings> {
  const { output, requests } = command;
  const before = app?.requests.length ?? 0;
  const { processorMs, ms, output: written } = await timeRuns(words, runsOfSample);
  const mb = await peakPrivateMegabytes(words);
  const label = words.slice(0, 2).join(" ");
  if (output !== "")
    assertLoad(`runs of ${label} with their output`, written.split(output).length - 1, runsOfSample, 1);
  assertLoad(`requests of ${label}`, (app?.requests.length ?? 0) - before, requests * (runsOfSample + 1), 1);
  return { processorMs, ms, mb };
}
