// SPDX-License-Identifier: Apache-2.0
import { execFile } from "node:child_process";
import { systemCode } from "../lib/errors.ts";

/** The version of an Envoy binary, or why it does not tell one. */
export type EnvoyVersion =
  | { readonly kind: "known"; readonly version: string /** Such as `RELEASE`. */; readonly build: string }
  | { readonly kind: "missing" }
  | { readonly kind: "unknown"; readonly problem: string };

const timeoutMs = 2_000;
const maxOutputBytes = 64 * 1024;

/**
 * Runs `envoy --version`, which starts nothing. Never rejects.
 * Source of the format: Envoy's `HASH/VERSION/STATUS/BUILD/TLS` (observed with Envoy 1.30 to 1.40)
 */
export async function readEnvoyVersion(binaryPath: string, signal: AbortSignal): Promise<EnvoyVersion> {
  const options = { timeout: timeoutMs, killSignal: "SIGKILL", maxBuffer: maxOutputBytes, signal } as const;
  return await new Promise((resolve) => {
    execFile(binaryPath, ["--version"], options, (error, output) => {
      resolve(error === null ? parseVersion(output) : problemOf(error));
    });
  });
}

function parseVersion(output: string): EnvoyVersion {
  const [, version, build = ""] = /version: [^/\s]+\/(\d[^/\s]*)\/[^/\s]*\/([^/\s]*)/.exec(output) ?? [];
  if (version === undefined) return { kind: "unknown", problem: "the output of --version has no version of Envoy" };
  return { kind: "known", version, build };
}

function problemOf(error: Error & { readonly killed?: boolean }): EnvoyVersion {
  const code = systemCode(error);
  if (code === "ENOENT") return { kind: "missing" };
  if (error.killed === true) return { kind: "unknown", problem: `no response within ${String(timeoutMs / 1_000)} s` };
  return { kind: "unknown", problem: code === undefined ? "it failed" : `it cannot be run (${code})` };
}
