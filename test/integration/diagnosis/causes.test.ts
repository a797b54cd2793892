// SPDX-License-Identifier: Apache-2.0
// Whether the log, the readiness tree, the status page and `attache wait` name each fault and its cure within two seconds of the start.
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Semaphore } from "../../../src/lib/async/semaphore.ts";
import { eventually } from "../../support/eventually.ts";
import { type Pod, startPod } from "../../support/pod.ts";
import { watchProcessors } from "../../support/processor-waits.ts";
import { startProgram } from "../../support/program.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { type Fault, faultsOfTheCa, faultsOfTheConfiguration, faultsOfTheMachine } from "./faults.ts";

const namedWithinMs = 2_000;
/** Each has an agent, an Envoy and a command, and the times are measured. */
const atOnce = new Semaphore(2);

interface Check {
  readonly code?: string;
  readonly state: string;
  readonly detail?: string;
  readonly checks?: readonly Check[];
}

describe.concurrent.each([
  ["the CA", faultsOfTheCa],
  ["the configuration", faultsOfTheConfiguration],
  ["the machine", faultsOfTheMachine],
] as const)("a fault of %s is named, with its cure", (_where, faults) => {
  test.each(faults)(
    "$title",
    async (fault) => {
      using _place = await atOnce.acquire(new AbortController().signal);
      await using stack = new AsyncDisposableStack();
      const options = await fault.plant(stack);
      const { path } = stack.use(await temporaryDirectory());
      const message = { ATTACHE_TERMINATION_MESSAGE_PATH: join(path, "termination-message") };
      const startMs = Date.now();
      const pod = stack.use(await startPod({ ...options, env: { ...options.env, ...message } }));
      using processors = watchProcessors(() => [pod.pid, ...pod.envoyPids()]);
      const url = `http://127.0.0.1:${String(pod.ports.readiness)}/healthz/ready`;
      const env = { ...message, PROXY_CONFIG: JSON.stringify({ statusPort: pod.ports.status }) };
      const wait = stack.use(startProgram(["wait", "--url", url], env));

      const logged = await eventually(() => saidAt(agentLines(pod), fault), { withinMs: 5_000 });
      const waited = await eventually(() => saidAt(wait.output().stdout, fault), { withinMs: 5_000 });
      for (const atMs of [logged, waited]) {
        expect(atMs - startMs - processors.waitedMs(startMs, atMs)).toBeLessThan(namedWithinMs);
      }
      if (fault.code !== undefined) {
        expect(await failedChecks(pod, fault)).toContain(fault.code);
        const headline = await readHeadline(pod);
        expect(linesThatSay(headline, fault), headline).toEqual([headline]);
      }
      wait.kill("SIGTERM");
      const { code, stderr } = await wait.exited;
      expect(code).not.toBe(0);
      expect(linesThatSay(stderr, fault)).toEqual(stderr.trim().split("\n"));
      // the consequence is not the cause
      expect(stderr).not.toMatch(/envoy-initialising|Last error/);
      expect(linesThatSay(agentLines(pod), fault)).toHaveLength(1);
    },
    20_000,
  );
});

/** Text in quotation marks is escaped in a field of a line. */
function agentLines(pod: Pod): string {
  return pod.log().replaceAll('\\"', '"');
}

function linesThatSay(text: string, { says }: Fault): readonly string[] {
  return text.split("\n").filter((line) => says.every((pattern) => pattern.test(line)));
}

/** @returns the time of the line that names the fault; of a line without one, now */
function saidAt(text: string, fault: Fault): number {
  const [line] = linesThatSay(text, fault);
  if (line === undefined) throw new Error(`not named yet:\n${text}`);
  const atMs = Date.parse(line.split("\t")[0] ?? "");
  return Number.isNaN(atMs) ? Date.now() : atMs;
}

/** What the status page begins with. */
async function readHeadline({ ports }: Pod): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${String(ports.status)}/debug/overview`);
  const { headline } = (await response.json()) as { readonly headline: { sentence: string; cure?: string } };
  return `${headline.sentence} ${headline.cure ?? ""}`;
}

/** The codes of the innermost checks that name the fault. */
async function failedChecks({ ports }: Pod, fault: Fault): Promise<readonly string[]> {
  const url = `http://127.0.0.1:${String(ports.status)}/healthz/ready`;
  const response = await fetch(url, { headers: { accept: "application/json" } });
  const { checks } = (await response.json()) as { readonly checks: readonly Check[] };
  const innermost = (check: Check): readonly Check[] =>
    check.checks === undefined ? [check] : check.checks.flatMap(innermost);
  const failed = checks.flatMap(innermost).filter(({ state }) => state === "failed");
  const named = failed.filter(({ detail = "" }) => fault.says.every((pattern) => pattern.test(detail)));
  expect(named, JSON.stringify(failed)).not.toEqual([]);
  return named.map(({ code = "" }) => code);
}
