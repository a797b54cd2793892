// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import type { AgentConfig } from "../config/agent-config.ts";
import type { SupervisedEnvoy } from "../envoy/index.ts";
import type { Clock } from "../lib/async/clock.ts";
import { releaseStartMemory } from "../lib/start-memory.ts";
import type { Deps } from "../lib/deps.ts";
import { startTask } from "../lib/async/tasks.ts";
import type { UnixListener } from "../lib/net/unix-socket.ts";
import type { Readiness } from "../model/readiness.ts";
import type { ReadinessCheck, StatusServer, StatusSources } from "../status/index.ts";
import type { XdsProxy } from "../xds/index.ts";
import type { AgentDeps, AgentEnd, AgentSignals } from "./agent.ts";
import { startDiscovery } from "./discovery-module.ts";
import { prepareDns } from "./dns-module.ts";
import { Ending } from "./ending.ts";
import { notingPhases } from "./envoy-phases.ts";
import { createEnvoySide, type EnvoySide } from "./envoy-side.ts";
import { startIdentity } from "./identity-modules.ts";
import { createInspection } from "./inspection.ts";
import { tellPlatform } from "./platform.ts";
import { tellPreflight } from "./preflight.ts";
import type { StartPhases } from "./start-phases.ts";
import { startWorkloadHealth } from "./workload-health.ts";

/** What was started before anything was loaded that is not needed for it. */
export interface Started {
  readonly config: AgentConfig;
  /** Undefined with `DISABLE_ENVOY`. */
  readonly envoy: SupervisedEnvoy | undefined;
  readonly sdsSocket: UnixListener | undefined;
  readonly xdsSocket: UnixListener | undefined;
  readonly phases: StartPhases;
  readonly holds: Readiness;
  /** Called when the end has come, while all modules are still open. */
  readonly onEnd: () => void;
  /** Called with what Envoy answers while it cannot serve; with undefined when it can. */
  readonly onEnvoySeen: (check: ReadinessCheck | undefined) => void;
}

/**
 * Builds the modules that serve Envoy, which starts meanwhile, and runs until Envoy is gone. Each module's module is loaded
 * when its turn comes. Modules close in reverse, after Envoy.
 */
export async function serve(started: Started, deps: AgentDeps, signals: AgentSignals): Promise<AgentEnd> {
  const { config, envoy, phases, holds } = started;
  using ending = new Ending(signals.stop);
  const moduleDeps = { ...deps, fail: ending.fail.bind(ending) };
  await using modules = new AsyncDisposableStack();

  const envoyStarts = (): SupervisedEnvoy["counts"] =>
    envoy?.counts ?? { failures: 0, restarts: 0, swaps: 0, refusedSwaps: 0 };
  const identityStart = { config, socket: started.sdsSocket, holds, phases, envoyStarts };
  const identity = await startIdentity(identityStart, modules, moduleDeps);
  const dns = prepareDns(config, holds, modules);
  modules.defer(started.onEnd);
  const xds = await startDiscovery({ config, socket: started.xdsSocket, identity, holds, dns }, modules, moduleDeps);
  await dns?.start(identity.metrics.agent.dns, moduleDeps);
  const side = await createEnvoySide(envoy, config, modules, moduleDeps);
  const sources: StatusSources = {
    holds,
    envoy: side.readiness === undefined ? undefined : notingPhases(side.readiness, phases),
    terminating: () => ending.reason(),
    startPhases: () => phases.ended,
    onEnvoySeen: started.onEnvoySeen,
    onFirstReady: () => {
      phases.end("ready");
      identity.metrics.agent.start.durationSeconds.set(phases.sinceStartMs() / 1_000);
    },
    metrics: identity.metrics.scrape(config.status.scrape, deps),
    quit: () => {
      ending.quit();
    },
    drain: () => {
      drainByRequest(ending, holds, side);
    },
    requiredFiles: outputFiles(config),
    inspect: createInspection({ config, identity, xds, dns, ending, logLevels: deps.logLevels, redact: deps.redact }),
  };
  const { listenStatus } = await import("../status/index.ts");
  const status = modules.use(await listenStatus(config.status, sources, moduleDeps));
  identity.metrics.showReadiness(() => status.lastReady());
  phases.end("status served");
  await startBackground({ ...started, xds, status, onHangup: signals.onHangup }, modules, moduleDeps);

  signals.force.addEventListener("abort", () => {
    deps.log.info("asked again: the end comes at once");
  });
  await ending.until(side.exited);
  deps.log.info("the end begins", { cause: ending.reason() ?? "Envoy has ended" });
  const wasReady = phases.hasEnded("ready");
  const end = await side.end({ wantsDrain: ending.wantsDrain, wasReady, hurry: ending.hurry, force: signals.force });
  if (ending.failure !== undefined) throw ending.failure;
  return end;
}

/** Bears repetition. That it drains counts for strict readiness only: pilot-agent stays ready. */
function drainByRequest(ending: Ending, holds: Readiness, side: Pick<EnvoySide, "drainByRequest">): void {
  ending.drained();
  holds.hold("drain", "Envoy drains, as was asked for by POST /drain", () => false);
  side.drainByRequest();
}

interface Background extends Started {
  readonly xds: XdsProxy | undefined;
  readonly status: StatusServer;
  readonly onHangup: AgentSignals["onHangup"];
}

/** What nobody waits for: readiness looked at, the workload's health, new inputs, the log's writer, what is worth a line. */
async function startBackground(
  { config, envoy, xds, status, onHangup }: Background,
  modules: AsyncDisposableStack,
  deps: AgentDeps & Deps,
): Promise<void> {
  modules.use(startTask((stop) => endStart(status, deps.clock, stop), deps.fail));
  await startWorkloadHealth({ config, xds, status }, modules, deps);
  if (envoy !== undefined) {
    const { startTakingUpInputs } = await import("./new-inputs.ts");
    modules.use(startTakingUpInputs({ config, envoy, onHangup }, deps));
  }
  await deps.loadLog();
  modules.use(startTask(() => tellPreflight(config, deps.log), deps.fail));
  modules.use(startTask((signal) => tellPlatform(config, deps, signal), deps.fail));
}

/** What a proxyless application reads; without it the pod is not ready. */
function outputFiles({ cert: { output } }: AgentConfig): readonly string[] {
  if (output === undefined) return [];
  return ["cert-chain.pem", "key.pem", "root-cert.pem"].map((name) => join(output.directory, name));
}

/** Sees the pod become ready, also when nobody asks; what only the start needed is given back then. */
async function endStart(status: Pick<StatusServer, "untilReady">, clock: Clock, signal: AbortSignal): Promise<void> {
  await status.untilReady(signal);
  await releaseStartMemory(clock, signal);
}
