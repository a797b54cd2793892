// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { describeError } from "../lib/errors.ts";
import { killGroup, ownGroup } from "../lib/process-group.ts";
import type { EnvoyConfig } from "./envoy-config.ts";

/** Envoy's verdict on its bootstrap. */
export type Validation =
  | { readonly kind: "accepted" }
  | {
      readonly kind: "rejected";
      /** The reason, one line; undefined when Envoy wrote nothing. */
      readonly detail: string | undefined;
      /** The last part of Envoy's output. */
      readonly output: string;
    }
  /** No result in time, or the binary does not run. */
  | { readonly kind: "unknown"; readonly problem: string };

/** Of the child that the agent itself runs: the last part is kept, where the reason is. */
const maxOutputLength = 64 * 1024;
const maxDetailLength = 600;

/**
 * Runs `envoy --mode validate` with the same binary, environment and user. A running Envoy is not disturbed.
 *
 * `node:child_process` runs it, as it runs Envoy: the agent validates in the 700 ms in which it explains a failed start,
 * and before a hot restart, after which the 3.3 MB of execa would stay. docs/adr/0010-named-packages.md
 * @param timeoutMs after which it is killed; 50 to 150 ms are usual
 */
export async function validateBootstrap(
  config: Pick<EnvoyConfig, "binaryPath" | "args" | "env" | "user">,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<Validation> {
  if (signal?.aborted === true) return { kind: "unknown", problem: "stopped" };
  const child = spawn(config.binaryPath, validationArgs(config.args), {
    ...ownGroup,
    stdio: ["ignore", "ignore", "pipe"],
    env: config.env,
    ...(config.user ?? {}),
  });
  const limit = AbortSignal.any([AbortSignal.timeout(timeoutMs), ...(signal === undefined ? [] : [signal])]);
  const kill = (): void => {
    killGroup(child);
    // a process that has left the group may hold it open
    child.stderr.destroy();
  };
  limit.addEventListener("abort", kill, { once: true });
  let output = "";
  child.stderr.setEncoding("utf8");
  child.stderr.on("data", (text: string) => {
    output = (output + text).slice(-maxOutputLength);
  });
  const end = await new Promise<number | string>((resolve) => {
    child.once("error", (error) => {
      resolve(describeError(error));
    });
    child.once("close", (code, killedBy) => {
      resolve(code ?? `ended by ${killedBy ?? "a signal"}; the limit is ${String(timeoutMs)} ms`);
    });
  });
  limit.removeEventListener("abort", kill);
  if (typeof end === "string") return { kind: "unknown", problem: end };
  if (end === 126 || end === 127) return { kind: "unknown", problem: `exit code ${String(end)}` };
  return end === 0 ? { kind: "accepted" } : { kind: "rejected", detail: findReason(output), output: output.trim() };
}

/** Never as an epoch of a hot restart, so that no running Envoy is disturbed. */
export function validationArgs(args: readonly string[]): readonly string[] {
  const singleEpoch = "--disable-hot-restart";
  return [...args.filter((arg) => arg !== singleEpoch), singleEpoch, "--mode", "validate"];
}

/**
 * The line in which Envoy reports why it exits: the message of the last line of level critical or error, otherwise the
 * last line. Without the bootstrap, which Envoy repeats after `Unable to parse JSON as proto (why): `: it may have secrets.
 * Source: lines of Envoy 1.40 before its bootstrap is read, `[time][thread][level][logger] [file:line] message`
 */
export function findReason(output: string): string | undefined {
  const lines = output.split("\n").filter((line) => line.trim() !== "");
  const found = lines.findLast((line) =>
    /\]\[(critical|error)\]|\t(critical|error)\t|"level":"(critical|error)"/.test(line),
  );
  const line = found ?? lines.at(-1);
  // as the agent has Envoy write its lines: time, level, logger and place, message, thread
  const columns = line?.split("\t");
  const message = columns !== undefined && columns.length >= 4 ? columns[3] : line;
  const reason = message?.replace(/^(\[[^\]]*\])+\s*(\[[^\]]*\]\s*)?/, "");
  const documentAt = reason?.indexOf("): {") ?? -1;
  return reason?.slice(0, documentAt < 0 ? maxDetailLength : Math.min(maxDetailLength, documentAt + 1));
}
