// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import type { EnvoyConfig } from "./envoy-config.ts";
import { validationArgs } from "./epoch-args.ts";

/** What Envoy says about its own bootstrap. */
export type Validation =
  | { readonly kind: "accepted" }
  /** Its last word about it, one line; undefined when it said nothing. */
  | { readonly kind: "refused"; readonly detail: string | undefined }
  /** No word within the time, or the binary does not run. */
  | { readonly kind: "unknown" };

const keptBytes = 64 * 1024;
const longestDetail = 600;

/**
 * Runs `envoy --mode validate` with the same binary, arguments and user; the running Envoy is not disturbed.
 * @param timeoutMs after which it is killed; about 50 to 150 ms are usual
 */
export async function validateBootstrap(
  config: EnvoyConfig,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<Validation> {
  if (signal?.aborted === true) return { kind: "unknown" };
  const child = spawn(config.binaryPath, validationArgs(config.args), {
    stdio: ["ignore", "ignore", "pipe"],
    env: config.env,
    timeout: timeoutMs,
    killSignal: "SIGKILL",
    ...(signal === undefined ? {} : { signal }),
    ...(config.user ?? {}),
  });
  let said = "";
  child.stderr.setEncoding("utf8");
  child.stderr.on("data", (text: string) => {
    said = (said + text).slice(-keptBytes);
  });
  const code = await new Promise<number | null>((resolve) => {
    child.once("error", () => {
      resolve(null);
    });
    child.once("close", resolve);
  });
  if (code === null || code === 126 || code === 127) return { kind: "unknown" };
  return code === 0 ? { kind: "accepted" } : { kind: "refused", detail: lastComplaint(said) };
}

/**
 * The line in which Envoy says why it gives up: the last of level critical or error, without what stands before its
 * message; else the last line of all.
 * Source: lines of Envoy 1.40 before its bootstrap is read, `[time][thread][level][logger] [file:line] message`
 */
export function lastComplaint(output: string): string | undefined {
  const lines = output.split("\n").filter((line) => line.trim() !== "");
  const complaint = lines.findLast((line) =>
    /\]\[(critical|error)\]|\t(critical|error)\t|"level":"(critical|error)"/.test(line),
  );
  const line = complaint ?? lines.at(-1);
  return line?.replace(/^(\[[^\]]*\])+\s*(\[[^\]]*\]\s*)?/, "").slice(0, longestDetail);
}
