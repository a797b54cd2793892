// SPDX-License-Identifier: Apache-2.0
import { readFile } from "node:fs/promises";
import { assertNever } from "../lib/errors.ts";
import type { EnvoyConfig } from "./envoy-config.ts";
import { describeExit, type EnvoyExit, exitCodeFor } from "./envoy-exit.ts";
import { findTakenPort } from "./taken-port.ts";
import { validateBootstrap } from "./validation.ts";

export interface EnvoyEndFacts {
  readonly exit: EnvoyExit;
  /** Processes of the container that were killed for lack of memory while Envoy ran. */
  readonly oomKills: number;
  /** Whether Envoy was ever ready. */
  readonly wasReady: boolean;
  /** How often Envoy was started again before. */
  readonly restarts?: number;
}

/** Envoy's end, explained. */
export interface EnvoyEnd {
  readonly cause: "asked" | "clean" | "failed" | "start-failed" | "crashed" | "killed" | "out-of-memory" | "not-run";
  /** The agent's exit code. */
  readonly code: number;
  /** One line: what happened, and what to do about it. */
  readonly reason: string;
}

/** So that the whole end stays within a second of Envoy's. */
const diagnoseWithinMs = 700;

/**
 * Explains Envoy's end. Of one that never came up, Envoy itself is asked what is wrong with its bootstrap, and its ports
 * are looked at: of these its check takes no notice.
 */
export async function explainEnd(facts: EnvoyEndFacts, config: EnvoyConfig): Promise<EnvoyEnd> {
  if (causeOf(facts) !== "start-failed") return judgeEnd(facts, undefined);
  const [validation, takenPort, takenBase] = await Promise.all([
    validateBootstrap(config, diagnoseWithinMs),
    findTakenPort([config.admin.port, ...config.drain.uncountedPorts]),
    isBaseTaken(config.hotRestart?.baseId),
  ]);
  if (validation.kind === "rejected") return judgeEnd(facts, validation.detail);
  if (takenPort !== undefined)
    return judgeEnd(facts, `port ${String(takenPort)}, which it needs, is taken; end what listens there`);
  if (!takenBase) return judgeEnd(facts, undefined);
  return judgeEnd(facts, "another Envoy of this machine has its base id; set ATTACHE_HOT_RESTART_BASE_ID to another");
}

/** Source: names of Envoy's sockets for hot restart, as /proc/net/unix shows them with Envoy 1.40 */
async function isBaseTaken(baseId: number | undefined): Promise<boolean> {
  if (baseId === undefined) return false;
  const sockets = await readFile("/proc/net/unix", "latin1").catch(() => "");
  return sockets.includes(`@envoy_domain_socket_child_${String(baseId * 10)}@`);
}

/** @param complaint what stood in Envoy's way, where that is known */
export function judgeEnd(facts: EnvoyEndFacts, complaint: string | undefined): EnvoyEnd {
  const cause = causeOf(facts);
  return { cause, code: exitCodeFor(facts.exit), reason: reasonFor(cause, describeEnd(facts), complaint) };
}

function describeEnd({ exit, restarts = 0 }: EnvoyEndFacts): string {
  const text = describeExit(exit);
  return restarts === 0 ? text : `${text} after ${String(restarts)} restart${restarts === 1 ? "" : "s"}`;
}

function causeOf({ exit, oomKills, wasReady }: EnvoyEndFacts): EnvoyEnd["cause"] {
  if (exitCodeFor(exit) === 0) return exit.asked ? "asked" : "clean";
  if (exit.kind === "not-run") return "not-run";
  if (exit.kind === "code") return wasReady ? "failed" : "start-failed";
  if (exit.signal === "SIGKILL" && oomKills > 0) return "out-of-memory";
  return exit.signal === "SIGKILL" || exit.signal === "SIGTERM" || exit.signal === "SIGINT" ? "killed" : "crashed";
}

function reasonFor(cause: EnvoyEnd["cause"], exit: string, complaint: string | undefined): string {
  switch (cause) {
    case "asked":
      return "Envoy was ended as asked";
    case "clean":
      return "Envoy ended by itself, without an error";
    case "failed":
      return `Envoy gave up with ${exit}; its last lines in the log say why`;
    case "start-failed":
      return complaint === undefined
        ? `Envoy did not come up: ${exit}; its lines in the log say why`
        : `Envoy did not come up: ${exit}: ${complaint}`;
    case "crashed":
      return `Envoy crashed with ${exit}; its lines in the log may have the backtrace`;
    case "killed":
      return `Envoy was killed by ${exit}, not by this agent; look for who did it`;
    case "out-of-memory":
      return `Envoy was killed for lack of memory (${exit}); raise the container's memory limit, or send it less configuration`;
    case "not-run":
      return "Envoy could not be executed; check that binaryPath names an Envoy built for this machine";
    default:
      return assertNever(cause);
  }
}
