// SPDX-License-Identifier: Apache-2.0
import { delimiter, join } from "node:path";
import { AgentError } from "../../lib/errors.ts";
import { exitCode } from "../../lib/exit-code.ts";
import { isProgram } from "../find-envoy.ts";

/** The workloads cannot have captured traffic on this machine. */
export class DevCaptureError extends AgentError {
  readonly code = "AGENT_DEV_CAPTURE";
  override readonly exitCode = exitCode.unavailable;
  constructor(problem: string, cause?: unknown) {
    super(`capture the traffic of the workloads: ${problem}`, { cause });
  }
}

/** Programs for administrators are not on the path of every user. */
export function systemPath(env: Readonly<Record<string, string>>): string {
  return [env["PATH"] ?? "", "/usr/sbin", "/sbin"].join(delimiter);
}

export async function hasProgram(name: string, env: Readonly<Record<string, string>>): Promise<boolean> {
  const folders = systemPath(env).split(delimiter);
  for (const folder of folders) if (folder !== "" && (await isProgram(join(folder, name)))) return true;
  return false;
}

/**
 * Runs a program of the system to its end.
 * @param attempt what it is for, for the message
 * @throws DevCaptureError with what it printed
 */
export async function runSystemProgram(
  attempt: string,
  [file, ...args]: readonly [string, ...string[]],
  { env, input = "" }: { readonly env: Readonly<Record<string, string>>; readonly input?: string },
): Promise<string> {
  const { execa } = await import("execa");
  const { failed, stdout, stderr, shortMessage } = await execa(file, args, {
    env: { ...env, PATH: systemPath(env) },
    extendEnv: false,
    input,
    // Ctrl-C reaches this program only
    detached: true,
    reject: false,
  });
  if (failed) throw new DevCaptureError(attempt, new Error(stderr.trim() || shortMessage));
  return stdout;
}
