// SPDX-License-Identifier: Apache-2.0
import type { AgentConfig } from "../config/agent-config.ts";
import { type EnvoyAdmin, loadRunningEnvoy, type RunningEnvoy, type SupervisedEnvoy } from "../envoy/index.ts";
import { type Clock, deadline } from "../lib/async/clock.ts";
import { orAborted } from "../lib/async/tasks.ts";
import { describeError } from "../lib/errors.ts";
import type { EnvoyReadiness, ListenerStatus } from "../model/envoy-readiness.ts";
import type { EnvoyLogControl } from "../status/index.ts";
import { EnvoyInfo } from "./envoy-info.ts";
import type { XdsProxy } from "../xds/index.ts";
import type { StartPhases } from "./lifecycle.ts";
import { portSetting } from "./port-check.ts";
import type { AgentExit, ModuleDeps } from "./types.ts";
import { createUpdateProblems, type UpdateProblems } from "./update-problems.ts";

/** The running Envoy: its readiness, its drain and its shutdown. */
export interface EnvoyLifecycle {
  /** Undefined without Envoy. */
  readonly readiness: EnvoyReadinessSource | undefined;
  /** Resolves when Envoy has exited for good; never without Envoy. */
  readonly exited: Promise<unknown>;
  /** Undefined without Envoy. */
  readonly info: EnvoyInfo | undefined;
  /** Undefined without Envoy. */
  readonly logLevels: EnvoyLogControl | undefined;
  /** Starts a drain before the shutdown: the preStop hook of a native sidecar. Further calls change nothing. */
  startDrain(): void;
  /** Drains Envoy if necessary, and stops it. */
  stop(order: StopOrder): Promise<AgentExit>;
}

interface EnvoyReadinessSource {
  read(signal: AbortSignal): Promise<EnvoyReadiness>;
  listeners(signal: AbortSignal): Promise<ListenerStatus | undefined>;
  initTargets(signal: AbortSignal): Promise<readonly string[]>;
  failures(): { readonly count: number; readonly last: string };
}

export interface StopOrder {
  readonly shouldDrain: boolean;
  /** Whether the pod was ever ready. */
  readonly wasReady: boolean;
  /** Aborts when the drain must end. */
  readonly drainEnd: AbortSignal;
  /** Aborts when Envoy must be killed. */
  readonly force: AbortSignal;
}

export interface EnvoyLifecycleOptions {
  readonly config: AgentConfig;
  readonly phases: StartPhases;
  /** Undefined where Envoy reads its configuration from files. */
  readonly xds: Pick<XdsProxy, "problemOf"> | undefined;
}

/** What it starts for Envoy goes to `modules`. */
export async function createEnvoyLifecycle(
  envoy: SupervisedEnvoy | undefined,
  { config, phases, xds }: EnvoyLifecycleOptions,
  modules: AsyncDisposableStack,
  deps: ModuleDeps,
): Promise<EnvoyLifecycle> {
  if (envoy === undefined) return withoutEnvoy;
  const module = await loadRunningEnvoy();
  const { startHost } = await import("../host/index.ts");
  const { drain: drainConfig } = config.envoy;
  const updateProblems = createUpdateProblems({ config, xds }, deps);
  const settingOf = (port: number): string =>
    adminPorts(config.envoy).includes(port) ? "proxyAdminPort" : portSetting(config, port);
  const admin = module.createEnvoyAdmin(() => envoy.current.admin, deps);
  const hostDeps = { ...deps, isOwnChild: (pid: number) => envoy.owns(pid), adoptsOrphans: process.pid === 1 };
  const host = modules.use(await startHost(config.host, envoy.pid, hostDeps));
  const sockets = new module.SocketConnections(admin, [...drainConfig.uncountedPorts, ...adminPorts(config.envoy)]);
  return {
    readiness: createReadinessSource({ envoy, admin, phases, updateProblems, module }, drainConfig.uncountedPorts),
    exited: envoy.exited,
    info: new EnvoyInfo({ envoy, admin, describeExit: module.describeExit }, deps.clock),
    logLevels: {
      read: (signal) => module.readLogLevels(admin, signal),
      set: (levels, signal) => module.setLogLevels(admin, levels, signal),
      process: () => envoy.pid,
    },
    startDrain() {
      admin.drainListeners({ direction: drainConfig.direction, openEnded: true }).catch((error: unknown) => {
        deps.log.warn("drain request to Envoy failed", { error: describeError(error) });
      });
    },
    async stop({ shouldDrain, wasReady, drainEnd, force }) {
      const drain =
        shouldDrain &&
        envoy.exit === undefined &&
        (wasReady || (await mayHaveClients(envoy, admin, module.readEnvoyReadiness, deps.clock)));
      envoy.beginShutdown();
      const settled = { ...admin, drainListeners: drainSettled(envoy, admin, deps.clock) };
      const order = { process: envoy, admin: settled, config: drainConfig, drain, endDrain: drainEnd, force };
      const countSockets = (signal: AbortSignal) => sockets.count(envoy.pid, signal);
      const { exit } = await module.drainAndStop(drainConfig.countsSockets ? { ...order, countSockets } : order, deps);
      return await module.diagnoseExit(
        { exit, oomKills: await host.oomKillsSinceStart(), wasReady, restarts: envoy.counts.restarts, settingOf },
        config.envoy,
      );
    },
  };
}

const withoutEnvoy: EnvoyLifecycle = {
  readiness: undefined,
  exited: new Promise(() => undefined),
  info: undefined,
  logLevels: undefined,
  startDrain: () => undefined,
  stop: () => Promise.resolve({ code: 0, reason: "shut down on request" }),
};

interface ReadinessSourceParts {
  readonly phases: StartPhases;
  readonly updateProblems: UpdateProblems;
  readonly envoy: SupervisedEnvoy;
  readonly admin: EnvoyAdmin;
  readonly module: RunningEnvoy;
}

function createReadinessSource(
  { envoy, admin, phases, updateProblems, module }: ReadinessSourceParts,
  uncountedPorts: readonly number[],
): EnvoyReadinessSource {
  const { describeExit, ListenerSockets, readEnvoyReadiness, readInitTargets } = module;
  // a query to an Envoy that has exited must not delay the shutdown until its own deadline
  const exited = new AbortController();
  void envoy.exited.then(() => {
    exited.abort(new Error("Envoy has exited"));
  });
  const until = (signal: AbortSignal): AbortSignal => AbortSignal.any([signal, exited.signal]);
  const listenerSockets = perProcess(envoy, () => new ListenerSockets(admin, uncountedPorts));
  return {
    async read(signal) {
      const readiness = await readEnvoyReadiness(admin, envoy.current.expects, until(signal));
      if (readiness.cdsUpdates > 0) phases.end("clusters accepted");
      if (readiness.ldsUpdates > 0) phases.end("listeners accepted");
      if (readiness.workersStarted === true) phases.end("workers started");
      return await updateProblems(readiness, admin, until(signal));
    },
    listeners: (signal) => listenerSockets().read(until(signal)),
    initTargets: (signal) => readInitTargets(admin, until(signal)),
    failures() {
      const { counts, lastFailure } = envoy;
      return { count: counts.failures, last: lastFailure === undefined ? "" : describeExit(lastFailure) };
    },
  };
}

/** None on a Unix socket. */
function adminPorts({ admin }: AgentConfig["envoy"]): readonly number[] {
  return "port" in admin ? [admin.port] : [];
}

/** A value that is created again after each failure of Envoy: a restarted Envoy has lost no listener yet. */
function perProcess<T>({ counts }: SupervisedEnvoy, create: () => T): () => T {
  let made = { failures: counts.failures, value: create() };
  return () => {
    if (made.failures !== counts.failures) made = { failures: counts.failures, value: create() };
    return made.value;
  };
}

const settledWithinMs = 1_000;

/** Sends the drain request to the current Envoy. Waits for a hot restart that is under way, but not for long. */
function drainSettled(envoy: SupervisedEnvoy, admin: EnvoyAdmin, clock: Clock): EnvoyAdmin["drainListeners"] {
  return async (order, signal) => {
    using limit = deadline(clock, settledWithinMs, signal);
    await orAborted(envoy.untilSettled(), limit.signal).catch(() => undefined);
    await admin.drainListeners(order, signal);
  };
}

/** A shutdown during the start takes a second at most. */
const mayHaveClientsWithinMs = 300;

/**
 * Whether Envoy may have clients although the pod was never ready. False if Envoy reports its state: it is still
 * starting. True if it does not report its state, but `/ready` succeeds.
 */
async function mayHaveClients(
  { current }: SupervisedEnvoy,
  admin: EnvoyAdmin,
  read: RunningEnvoy["readEnvoyReadiness"],
  clock: Clock,
): Promise<boolean> {
  using limit = deadline(clock, mayHaveClientsWithinMs);
  try {
    if ((await read(admin, current.expects, limit.signal)).state !== undefined) return false;
    await admin.request("GET", "/ready", {}, limit.signal);
    return true;
  } catch {
    return false;
  }
}
