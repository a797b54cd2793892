// SPDX-License-Identifier: Apache-2.0
import { rmSync } from "node:fs";
import { writeStartFiles } from "../bootstrap/index.ts";
import type { AgentConfig } from "../config/agent-config.ts";
import { startEnvoy } from "../envoy/index.ts";
import type { Clock } from "../lib/async/clock.ts";
import { AgentError, describeError, exitCodeOf } from "../lib/errors.ts";
import type { Logger } from "../lib/log/log.ts";
import type { LogLevelSwitch } from "../lib/log/log-levels.ts";
import { listenUnix, type UnixListener } from "../lib/net/unix-socket.ts";
import type { JsonValue } from "../lib/json.ts";
import { type PendingHold, Readiness } from "../model/readiness.ts";
import { version } from "../model/version.ts";
import { createRecorder } from "../recorder/index.ts";
import type { ReadinessCheck } from "../status/index.ts";
import { StartPhases } from "./start-phases.ts";

export interface AgentDeps {
  readonly log: Logger;
  readonly clock: Clock;
  readonly random: () => number;
  /** Reads the configuration anew, from the same words and variables and the files as they are now. */
  readonly readConfig: () => Promise<AgentConfig>;
  readonly logLevels: LogLevelSwitch;
  /** Takes the values away whose names say that they are secret. */
  readonly redact: (value: JsonValue) => JsonValue;
  /** Writes the lines so far, without loading anything; called right after Envoy's exec. */
  readonly flushLog: () => void;
  /** Loads the log's writer; called when what Envoy waits for is served. */
  readonly loadLog: () => Promise<void>;
}

export interface AgentSignals {
  /** Ends the agent in order. */
  readonly stop: AbortSignal;
  /** Ends it at once. */
  readonly force: AbortSignal;
  /** What stopped it, where that was a fault that nobody caught. */
  readonly fault: () => unknown;
  /** Has a hang-up, the request to take up new files, call the listener. */
  readonly onHangup: (listener: () => void) => void;
}

/** How the agent ended. */
export interface AgentEnd {
  /** Envoy's exit code, 128 and the signal that killed it, or 0 after an orderly stop. docs/exit-codes.md */
  readonly code: number;
  /** One line: what ended Envoy or the agent, and what to do about it. */
  readonly reason: string;
}

/** Runs the agent until Envoy is gone. Whatever ends it is in the log, once, and in the account of an abnormal end. */
export async function runAgent(config: AgentConfig, deps: AgentDeps, signals: AgentSignals): Promise<AgentEnd> {
  const recorder = createRecorder(config.recorder, () => deps.clock.now());
  const log = recorder.logger(deps.log);
  const holds = new Readiness(() => deps.clock.now());
  const start: StartState = {
    phases: new StartPhases(log, deps.clock),
    holds,
    pendingAtEnd: undefined,
    envoySeen: undefined,
  };
  const end = await endOf(startAndServe(config, start, { ...deps, log }, signals), signals);
  if (end.code === 0) removeBootstrap(config);
  else log.error(end.reason, { exitCode: end.code, errorCode: end.errorCode });
  const details = end.code === 0 ? undefined : await whyNeverReady(end, start);
  for (const failure of recorder.leaveAccount({ ...end, details }))
    log.warn("the account of the end cannot be left", { failure });
  return end;
}

/** How far the start has come, and what readiness waits for. */
interface StartState {
  readonly phases: StartPhases;
  readonly holds: Readiness;
  /** What was pending when the modules began to close, whose holds end with them. */
  pendingAtEnd: readonly PendingHold[] | undefined;
  /** What Envoy answered last, while it could not serve. */
  envoySeen: ReadinessCheck | undefined;
}

/** What an agent that ends before it was ever ready was waiting for, as a tree. */
async function whyNeverReady(end: FailedEnd, start: StartState): Promise<string | undefined> {
  const { phases, holds, pendingAtEnd, envoySeen } = start;
  if (phases.hasEnded("ready")) return undefined;
  const { renderTermination } = await import("../status/index.ts");
  return renderTermination({
    cause: end.error ?? end.reason,
    pending: pendingAtEnd ?? holds.pending(),
    envoy: envoySeen,
    phases: phases.ended,
  });
}

/** Leaves the account of an agent whose configuration was refused. The error itself is the caller's to tell. */
export async function accountForRefusal(
  error: unknown,
  recorder: AgentConfig["recorder"],
  clock: Clock,
): Promise<void> {
  const { renderTermination } = await import("../status/index.ts");
  const details = renderTermination({ cause: error, pending: [], phases: [] });
  createRecorder(recorder, () => clock.now()).leaveAccount({ ...failedEnd(error), details });
}

/**
 * The order of the lines is the order of the start; nothing that can wait stands before Envoy's exec, and what serves
 * Envoy is loaded after it, while Envoy starts.
 */
async function startAndServe(
  given: AgentConfig,
  start: StartState,
  deps: AgentDeps,
  signals: AgentSignals,
): Promise<AgentEnd> {
  const { phases, holds } = start;
  const config = given.platform.localityNeeded ? await knowPlatform(given, deps, signals.stop) : given;
  await using sdsSocket = await listenSds(config);
  await using xdsSocket = await listenXds(config);
  writeStartFiles(config);
  await using envoy = config.disableEnvoy ? undefined : startEnvoy(config.envoy, deps);
  phases.end("Envoy started");
  const { id, cluster, ips, locality } = config.node;
  deps.log.info("proxy", { version, role: config.role, id, ips });
  deps.log.debug("node", { cluster, ...locality });
  deps.flushLog();
  const { serve } = await import("./serve.ts");
  const onEnd = (): void => {
    start.pendingAtEnd = holds.pending();
  };
  const onEnvoySeen = (check: ReadinessCheck | undefined): void => {
    start.envoySeen = check;
  };
  return await serve({ config, envoy, sdsSocket, xdsSocket, phases, holds, onEnd, onEnvoySeen }, deps, signals);
}

/** Without Envoy nobody is served over SDS. */
async function listenSds({ sds, disableEnvoy }: AgentConfig): Promise<UnixListener | undefined> {
  return disableEnvoy ? undefined : await listenUnix({ path: sds.socketPath, mode: sds.socketMode });
}

/** Only where a cloud was named and no label tells the locality: nobody else pays for it. */
async function knowPlatform(config: AgentConfig, deps: AgentDeps, stop: AbortSignal): Promise<AgentConfig> {
  const { awaitPlatform } = await import("./platform.ts");
  return await awaitPlatform(config, deps, stop);
}

async function listenXds({ xds }: AgentConfig): Promise<UnixListener | undefined> {
  if (xds.kind === "files") return undefined;
  return await listenUnix({ path: xds.proxy.socketPath, mode: xds.proxy.socketMode });
}

/** After a crash it stays, to be looked at. */
function removeBootstrap({ bootstrap }: AgentConfig): void {
  if (bootstrap.kind === "generated") rmSync(bootstrap.path, { force: true });
}

type FailedEnd = AgentEnd & { readonly errorCode?: string; readonly error?: unknown };

/** A fault that nobody caught ends the agent in order, and is what it ends with. */
async function endOf(run: Promise<AgentEnd>, { fault }: AgentSignals): Promise<FailedEnd> {
  try {
    const end = await run;
    const uncaught = fault();
    return uncaught === undefined ? end : failedEnd(uncaught);
  } catch (error) {
    return failedEnd(error);
  }
}

function failedEnd(error: unknown): FailedEnd {
  const errorCode = error instanceof AgentError ? error.code : "AGENT_FAULT";
  return { code: exitCodeOf(error), reason: describeError(error), errorCode, error };
}
