// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import type { Finding } from "../../src/diagnosis/doctor/check.ts";
import type { PreparedPod } from "./pod.ts";
import { projectRoot } from "./run-program.ts";

export interface DoctorRun {
  readonly code: number | null;
  readonly findings: readonly Finding[];
  readonly durationSeconds: number;
}

export interface DoctorRunOptions {
  /** Added to the environment of the pod; undefined takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Words before the program, which run it. */
  readonly launcher?: readonly string[];
  readonly args?: readonly string[];
}

/** `attache doctor` where the agent of a pod runs, or would run. */
export async function runDoctorIn(
  { directory, env }: Pick<PreparedPod, "directory" | "env">,
  { env: more = {}, launcher = [], args = [] }: DoctorRunOptions = {},
): Promise<DoctorRun> {
  const [program = "", ...words] = [...launcher, join(projectRoot, "bin/attache"), "doctor", "-o", "json", ...args];
  const child = spawn(program, words, { cwd: directory, env: { ...env, ...more }, stdio: ["ignore", "pipe", "pipe"] });
  const exited = once(child, "exit") as Promise<[number | null]>;
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), exited]);
  if (!stdout.startsWith("{")) throw new Error(`no report (exit code ${String(code)}): ${stderr}${stdout}`);
  const { findings, durationSeconds } = JSON.parse(stdout) as DoctorRun;
  return { code, findings, durationSeconds };
}

/** The checks of the machine. */
const machineChecks = "settings process paths sockets ports limits interception envoy envoy-admin".split(" ");

/** `fail sockets.sds`: what the checks of the machine find wrong, each with its fact. */
export function machineProblems({ findings }: DoctorRun): readonly string[] {
  return findings
    .filter(({ outcome, check }) => outcome !== "ok" && machineChecks.includes(check.split(".")[0] ?? ""))
    .map(({ outcome, check, fact }) => `${outcome} ${check}: ${fact}`);
}
