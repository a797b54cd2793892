// SPDX-License-Identifier: Apache-2.0
import { readFile } from "node:fs/promises";
import { assertNever, systemCode } from "../lib/errors.ts";
import { readPortHolder } from "../lib/net/socket-table.ts";
import { validateBootstrap } from "./validation.ts";
import type { EnvoyConfig } from "./envoy-config.ts";
import { describeTakenPorts, type TakenPort } from "./envoy-errors.ts";
import { describeExit, type EnvoyExit, exitCodeFor } from "./envoy-exit.ts";

export interface EnvoyExitFacts {
  readonly exit: EnvoyExit;
  /** Processes of the container that the kernel killed for lack of memory while Envoy ran. */
  readonly oomKills: number;
  /** Whether Envoy was ever ready. */
  readonly wasReady: boolean;
  /** How often Envoy was restarted before. */
  readonly restarts?: number;
  /** The setting that moves a port of Envoy's; empty where there is none. */
  readonly settingOf?: (port: number) => string;
}

/** Why Envoy exited for good. */
export interface ExitDiagnosis {
  readonly cause:
    | "requested"
    | "clean"
    | "failed"
    | "start-failed"
    | "crashed"
    | "killed"
    | "out-of-memory"
    | "not-run";
  /** The agent's exit code. */
  readonly code: number;
  /** One line: what happened, and what to do about it. */
  readonly reason: string;
}

/** The agent exits within a second of Envoy. */
const diagnoseWithinMs = 700;

/**
 * Determines why Envoy exited. For an Envoy that failed to start, it validates the bootstrap and checks Envoy's ports
 * and base id, which the validation does not.
 */
export async function diagnoseExit(facts: EnvoyExitFacts, config: EnvoyConfig): Promise<ExitDiagnosis> {
  if (causeOf(facts) !== "start-failed") return classifyExit(facts, undefined);
  const { settingOf = () => "" } = facts;
  const [validation, takenPorts, baseIdTaken] = await Promise.all([
    validateBootstrap(config, diagnoseWithinMs),
    findTakenPorts([adminPort(config.admin), ...config.drain.uncountedPorts], settingOf),
    isBaseIdTaken(config.hotRestart?.baseId),
  ]);
  if (validation.kind === "rejected") return classifyExit(facts, validation.detail);
  if (takenPorts.length > 0) {
    return classifyExit(facts, describeTakenPorts(takenPorts));
  }
  if (!baseIdTaken) return classifyExit(facts, undefined);
  return classifyExit(facts, "another Envoy on this machine has the same base id; set ATTACHE_HOT_RESTART_BASE_ID");
}

/** 0 for a Unix socket. */
function adminPort(admin: EnvoyConfig["admin"]): number {
  return "port" in admin ? admin.port : 0;
}

/** @param problem the cause that prevented Envoy's start, if known */
export function classifyExit(facts: EnvoyExitFacts, problem: string | undefined): ExitDiagnosis {
  const cause = causeOf(facts);
  return { cause, code: exitCodeFor(facts.exit), reason: reasonFor(cause, describeWithRestarts(facts), problem) };
}

function describeWithRestarts({ exit, restarts = 0 }: EnvoyExitFacts): string {
  const text = describeExit(exit);
  return restarts === 0 ? text : `${text} after ${String(restarts)} restart${restarts === 1 ? "" : "s"}`;
}

function causeOf({ exit, oomKills, wasReady }: EnvoyExitFacts): ExitDiagnosis["cause"] {
  if (exitCodeFor(exit) === 0) return exit.requested ? "requested" : "clean";
  if (exit.kind === "not-run") return "not-run";
  if (exit.kind === "code") return wasReady ? "failed" : "start-failed";
  if (exit.signal === "SIGKILL" && oomKills > 0) return "out-of-memory";
  return exit.signal === "SIGKILL" || exit.signal === "SIGTERM" || exit.signal === "SIGINT" ? "killed" : "crashed";
}

function reasonFor(cause: ExitDiagnosis["cause"], exit: string, problem: string | undefined): string {
  switch (cause) {
    case "requested":
      return "Envoy was shut down on request";
    case "clean":
      return "Envoy exited by itself, without an error";
    case "failed":
      return `Envoy failed with ${exit}; see its last lines in the log`;
    case "start-failed":
      return `Envoy failed to start with ${exit}${problem === undefined ? "; see its lines in the log" : `: ${problem}`}`;
    case "crashed":
      return `Envoy crashed with ${exit}; its lines in the log may have a backtrace`;
    case "killed":
      return `Envoy was killed by ${exit}, which this agent did not send; find the sender`;
    case "out-of-memory":
      return `Envoy ran out of memory and was killed (${exit}); raise the container's memory limit, or send Envoy less configuration`;
    case "not-run":
      return "Envoy could not be executed; check that binaryPath names an Envoy built for this machine";
    default:
      return assertNever(cause);
  }
}

/** Source: names of Envoy's sockets for hot restart, as in /proc/net/unix with Envoy 1.40 */
async function isBaseIdTaken(baseId: number | undefined): Promise<boolean> {
  if (baseId === undefined) return false;
  const sockets = await readFile("/proc/net/unix", "latin1").catch(() => "");
  return sockets.includes(`@envoy_domain_socket_child_${String(baseId * 10)}@`);
}

/** The ports that are in use on any address. */
async function findTakenPorts(
  ports: readonly number[],
  settingOf: (port: number) => string,
): Promise<readonly TakenPort[]> {
  const checked = await Promise.all(ports.map(async (port) => port > 0 && (await isTaken(port))));
  const taken = ports.filter((_, index) => checked[index] === true);
  return await Promise.all(
    taken.map(async (port) => ({ port, setting: settingOf(port), holder: await readPortHolder(port) })),
  );
}

async function isTaken(port: number): Promise<boolean> {
  const { createServer } = await import("node:net");
  return await new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error) => {
      resolve(systemCode(error) === "EADDRINUSE");
    });
    server.listen(port, "0.0.0.0", () => {
      server.close(() => {
        resolve(false);
      });
    });
  });
}
