// SPDX-License-Identifier: Apache-2.0
import type { AgentConfig } from "../config/agent-config.ts";
import { type EnvoyAdmin, loadRunningEnvoy, type RunningEnvoy, type SupervisedEnvoy } from "../envoy/index.ts";
import { type Clock, deadline } from "../lib/async/clock.ts";
import { describeError } from "../lib/errors.ts";
import type { Logger } from "../lib/log/log.ts";
import { orAborted } from "../lib/async/tasks.ts";
import type { EnvoyReadiness, ListenerStatus } from "../model/envoy-readiness.ts";
import type { AgentEnd } from "./agent.ts";

/** What the agent asks of Envoy, and how it ends it; without Envoy there is nothing to ask or to end. */
export interface EnvoySide {
  readonly readiness: EnvoyReadinessSide | undefined;
  /** Resolves when Envoy is gone; never without an Envoy. */
  readonly exited: Promise<unknown>;
  /** Begins a drain before the end: the preStop hook of a native sidecar. Bears repetition. */
  drainByRequest(): void;
  end(order: EndOrder): Promise<AgentEnd>;
}

interface EnvoyReadinessSide {
  read(signal: AbortSignal): Promise<EnvoyReadiness>;
  listeners(signal: AbortSignal): Promise<ListenerStatus | undefined>;
  initTargets(signal: AbortSignal): Promise<readonly string[]>;
  failures(): { readonly count: number; readonly last: string };
}

export interface EndOrder {
  /** Whether the end may begin with a drain. */
  readonly wantsDrain: boolean;
  /** Whether the pod was ever ready. */
  readonly wasReady: boolean;
  /** Ends a drain early. */
  readonly hurry: AbortSignal;
  /** Ends everything at once. */
  readonly force: AbortSignal;
}

interface EnvoySideDeps {
  readonly log: Logger;
  readonly clock: Clock;
  readonly random: () => number;
}

/** What is started for Envoy's sake goes to `modules`. */
export async function createEnvoySide(
  envoy: SupervisedEnvoy | undefined,
  config: AgentConfig,
  modules: AsyncDisposableStack,
  deps: EnvoySideDeps,
): Promise<EnvoySide> {
  if (envoy === undefined) return withoutEnvoy;
  const module = await loadRunningEnvoy();
  const { startHost } = await import("../host/index.ts");
  const { drain: drainConfig, admin: adminAddress } = config.envoy;
  const admin = module.createEnvoyAdmin(adminAddress, deps);
  const hostDeps = { ...deps, isOwnChild: (pid: number) => envoy.owns(pid), adoptsOrphans: process.pid === 1 };
  const host = modules.use(await startHost(config.host, envoy.pid, hostDeps));
  const sockets = new module.SocketConnections(admin, [...drainConfig.uncountedPorts, adminAddress.port]);
  return {
    readiness: createReadinessSide(envoy, admin, drainConfig.uncountedPorts, module),
    exited: envoy.exited,
    drainByRequest() {
      admin.drainListeners({ direction: drainConfig.direction, openEnded: true }).catch((error: unknown) => {
        deps.log.warn("Envoy does not drain", { cause: describeError(error) });
      });
    },
    async end({ wantsDrain, wasReady, hurry, force }) {
      const drain =
        wantsDrain &&
        envoy.exit === undefined &&
        (wasReady || (await mayServe(admin, module.readEnvoyReadiness, deps.clock)));
      envoy.endSoon();
      const settled = { ...admin, drainListeners: drainSettled(envoy, admin, deps.clock) };
      const order = { process: envoy, admin: settled, config: drainConfig, drain, hurry, force };
      const countSockets = (signal: AbortSignal) => sockets.count(envoy.pid, signal);
      const { exit } = await module.drainAndStop(drainConfig.countsSockets ? { ...order, countSockets } : order, deps);
      return await module.explainEnd(
        { exit, oomKills: await host.oomKillsSinceStart(), wasReady, restarts: envoy.counts.restarts },
        config.envoy,
      );
    },
  };
}

/** An Envoy that takes over at this moment is the one to ask; it is waited for, but not for long. */
function drainSettled(envoy: SupervisedEnvoy, admin: EnvoyAdmin, clock: Clock): EnvoyAdmin["drainListeners"] {
  return async (order, signal) => {
    using limit = deadline(clock, settledWithinMs, signal);
    await orAborted(envoy.untilSettled(), limit.signal).catch(() => undefined);
    await admin.drainListeners(order, signal);
  };
}

const settledWithinMs = 1_000;

function createReadinessSide(
  envoy: SupervisedEnvoy,
  admin: EnvoyAdmin,
  ownPorts: readonly number[],
  { describeExit, ListenerSockets, readEnvoyReadiness, readInitTargets }: RunningEnvoy,
): EnvoyReadinessSide {
  // nobody is left to answer then, and the end does not wait for the question's time to run out
  const gone = new AbortController();
  void envoy.exited.then(() => {
    gone.abort(new Error("Envoy has ended"));
  });
  const until = (signal: AbortSignal): AbortSignal => AbortSignal.any([signal, gone.signal]);
  const watchListeners = perProcess(envoy, () => new ListenerSockets(admin, ownPorts));
  return {
    read: (signal) => readEnvoyReadiness(admin, until(signal)),
    listeners: (signal) => watchListeners().read(until(signal)),
    initTargets: (signal) => readInitTargets(admin, until(signal)),
    failures() {
      const { counts, lastFailure } = envoy;
      return { count: counts.failures, last: lastFailure === undefined ? "" : describeExit(lastFailure) };
    },
  };
}

/** Made anew after each failure: an Envoy that was started again has lost nothing yet. */
function perProcess<T>({ counts }: SupervisedEnvoy, create: () => T): () => T {
  let made = { failures: counts.failures, value: create() };
  return () => {
    if (made.failures !== counts.failures) made = { failures: counts.failures, value: create() };
    return made.value;
  };
}

const withoutEnvoy: EnvoySide = {
  readiness: undefined,
  exited: new Promise(() => undefined),
  drainByRequest: () => undefined,
  end: () => Promise.resolve({ code: 0, reason: "ended as asked" }),
};

/**
 * Whether an Envoy may have clients though the pod was never seen ready. One that shows its state is believed to be as
 * seen: it is in its start. One that shows none, but says that it is up, is not.
 */
async function mayServe(admin: EnvoyAdmin, read: RunningEnvoy["readEnvoyReadiness"], clock: Clock): Promise<boolean> {
  using limit = deadline(clock, mayServeWithinMs);
  try {
    if ((await read(admin, limit.signal)).state !== undefined) return false;
    await admin.request("GET", "/ready", {}, limit.signal);
    return true;
  } catch {
    return false;
  }
}

/** The end of a start takes a second at most. */
const mayServeWithinMs = 300;
