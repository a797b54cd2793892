// SPDX-License-Identifier: Apache-2.0
import { dirname, join } from "node:path";
import { preflightBootstrap, writeStartFiles } from "../bootstrap/index.ts";
import type { AgentConfig } from "../config/agent-config.ts";
import { type SupervisedEnvoy, startEnvoy } from "../envoy/index.ts";
import { startTask } from "../lib/async/tasks.ts";
import { describeError } from "../lib/errors.ts";
import { exitCode } from "../lib/exit-code.ts";
import type { JsonObject } from "../lib/json.ts";
import type { Logger } from "../lib/log/log.ts";
import { formatHostPort } from "../lib/net/host-port.ts";
import { listenUnix, type UnixListener } from "../lib/net/unix-socket.ts";
import type { PendingHold, Readiness } from "../model/readiness.ts";
import { version } from "../model/version.ts";
import type { FlightRecorder } from "../recorder/index.ts";
import type { Inspection, ReadinessCheck, StatusServer, StatusSources } from "../status/index.ts";
import type { XdsProxy } from "../xds/index.ts";
import type { Identity } from "./identity.ts";
import { caAddresses } from "./ca-address.ts";
import { controls } from "./controls.ts";
import type { createDebugInfo } from "./debug-info.ts";
import type { EnvoyLifecycle } from "./envoy-lifecycle.ts";
import { NeverReadyError, Shutdown, type StartPhases } from "./lifecycle.ts";
import type { ModuleMetrics, ModuleMetricsOptions } from "./metrics.ts";
import type { AgentDeps, AgentExit, AgentSignals, ModuleDeps } from "./types.ts";

/** How far the start has come: what the crash report of an agent that was never ready shows. */
export interface StartState {
  readonly phases: StartPhases;
  readonly holds: Readiness;
  /** The holds at the moment when the modules began to close, which releases them. */
  pendingAtExit: readonly PendingHold[] | undefined;
  /** Envoy's last readiness check that failed; undefined when the last one passed. */
  envoyCheck: ReadinessCheck | undefined;
  /** For an end that leaves no time for a crash report. @returns the abort of the engine in the previous run, once */
  readonly prepareForAbort: FlightRecorder["prepareForAbort"];
  /** The last warnings and errors of the log. */
  readonly problems: FlightRecorder["problems"];
  /** What the flight recorder holds. */
  readonly events: FlightRecorder["events"];
  /** Counts what the flight recorder holds against budgets. */
  readonly limitRecorder: FlightRecorder["useBudgets"];
}

/**
 * Starts Envoy, then the modules that serve it, and runs until Envoy has exited. The order of the lines is the order of
 * the start. Before Envoy's exec nothing heavy is loaded, and the only wait is for a locality from the cloud.
 */
export async function startAndServe(
  given: AgentConfig,
  start: StartState,
  deps: AgentDeps,
  signals: AgentSignals,
): Promise<AgentExit> {
  const config = given.platform.localityNeeded ? await withLocality(given, deps, signals.stop) : given;
  await using sdsSocket = await listenSds(config);
  await using xdsSocket = await listenXds(config);
  const document = writeStartFiles(config);
  await using envoy = config.disableEnvoy ? undefined : startEnvoy(config.envoy, deps);
  start.phases.end(config.disableEnvoy ? "start files written" : "Envoy started");
  logStart(config, deps.log);
  await prepareForAbort(config, start, deps.log);
  return await serve({ config, document, envoy, sdsSocket, xdsSocket, start }, deps, signals);
}

/** The parts that exist when Envoy has been executed. */
interface Started {
  readonly config: AgentConfig;
  /** Envoy's bootstrap; undefined for a file that Envoy reads unchanged. */
  readonly document: JsonObject | undefined;
  /** Undefined with `DISABLE_ENVOY`. */
  readonly envoy: SupervisedEnvoy | undefined;
  readonly sdsSocket: UnixListener | undefined;
  readonly xdsSocket: UnixListener | undefined;
  readonly start: StartState;
}

/** Each module is loaded when its line is reached, while Envoy starts. Modules close in reverse, after Envoy. */
async function serve(started: Started, deps: AgentDeps, signals: AgentSignals): Promise<AgentExit> {
  const { config, envoy, sdsSocket, xdsSocket, start } = started;
  const { phases, holds } = start;
  using shutdown = new Shutdown(signals.stop);
  await using modules = new AsyncDisposableStack();
  const { compileAddressCheck } = await import("../lib/net/address-check.ts");
  compileAddressCheck();
  const { checkPorts } = await import("./port-check.ts");
  const fail = shutdown.fail.bind(shutdown);
  const portsChecked = checkPorts(started, { ...deps, fail }, shutdown.signal);
  const { createAgentBudgets, recogniseEnvoy } = await import("./budgets.ts");
  const budgets = createAgentBudgets(config, modules, { ...deps, ...start });
  const moduleDeps: ModuleDeps = { ...deps, budgets, ...recogniseEnvoy(envoy), fail };

  const { createModuleMetrics } = await import("./metrics.ts");
  const metrics = await createModuleMetrics(metricsOptions(config, envoy), moduleDeps);

  const { startIdentity, serveSecrets, watchExternalSds } = await import("./identity.ts");
  const identityOptions = { config, holds, phases, metrics };
  const identity = await startIdentity(identityOptions, modules, moduleDeps);
  metrics.observeCertificate(() => identity.status());
  watchExternalSds(config.identity, metrics, modules, moduleDeps);
  if (sdsSocket !== undefined) await serveSecrets(sdsSocket, identity, identityOptions, modules, moduleDeps);

  const { prepareDns, startDiscovery } = await import("./discovery.ts");
  const dns = prepareDns(config, holds, modules);
  modules.defer(() => {
    start.pendingAtExit = holds.pending();
  });
  const xds = await startDiscovery({ config, socket: xdsSocket, identity, metrics, holds, dns }, modules, moduleDeps);
  await dns?.start(metrics.agent.dns, moduleDeps);

  const { createEnvoyLifecycle } = await import("./envoy-lifecycle.ts");
  const lifecycle = await createEnvoyLifecycle(envoy, { config, phases, xds }, modules, moduleDeps);

  const { listenStatus } = await import("../status/index.ts");
  const sources: StatusSources = {
    ...readinessSources(start, lifecycle, shutdown),
    onFirstReady: () => void reportReady(phases, metrics, lifecycle, shutdown.signal),
    requiredFiles: outputFiles(config),
    metrics: metrics.scrape(config.status.scrape, deps),
    ...controls({ shutdown, holds, lifecycle, identity }),
    inspect: () => inspect({ config, identity, xds, dns, shutdown, envoy, lifecycle, start }, moduleDeps),
  };
  const portsTaken = await portsChecked;
  if (portsTaken !== undefined) throw portsTaken;
  const status = modules.use(await listenStatus(config.status, sources, moduleDeps));
  metrics.observeReadiness(() => status.lastReady());
  phases.end("status served");

  await startBackground({ ...started, identity, xds, status }, signals, modules, moduleDeps);
  await shutdown.untilBegun(lifecycle.exited);
  return await stopEnvoy(shutdown, lifecycle, phases, deps.log, signals.force);
}

/** Loaded when somebody looks. */
async function inspect(...parts: Parameters<typeof createDebugInfo>): Promise<Inspection> {
  return (await import("./debug-info.ts")).createDebugInfo(...parts);
}

/** The engine's report goes to the directory of the bootstrap, which is in memory in a pod and survives the container. */
async function prepareForAbort({ bootstrap, sds }: AgentConfig, start: StartState, log: Logger): Promise<void> {
  const directory = dirname(bootstrap.kind === "file" ? sds.socketPath : bootstrap.path);
  try {
    const abort = await start.prepareForAbort(directory);
    if (abort !== undefined) log.error("the JavaScript engine aborted in the previous run", { ...abort });
  } catch (error) {
    log.debug("the engine cannot write a report when it aborts", { error: describeError(error) });
  }
}

async function withLocality(config: AgentConfig, deps: AgentDeps, stop: AbortSignal): Promise<AgentConfig> {
  const { awaitPlatform } = await import("./platform.ts");
  return await awaitPlatform(config, deps, stop);
}

/** Undefined without Envoy, because there is no client. */
async function listenSds({ sds, disableEnvoy }: AgentConfig): Promise<UnixListener | undefined> {
  return disableEnvoy ? undefined : await listenUnix({ path: sds.socketPath, mode: sds.socketMode });
}

async function listenXds({ xds }: AgentConfig): Promise<UnixListener | undefined> {
  if (xds.kind === "files") return undefined;
  return await listenUnix({ path: xds.proxy.socketPath, mode: xds.proxy.socketMode });
}

function logStart(config: AgentConfig, log: Logger): void {
  const { role, node, xds, identity, ca } = config;
  const { id, ips, cluster, locality } = node;
  const configSource = xds.kind === "files" ? xds.directory : xds.proxy.upstream.addresses.map(formatHostPort).join();
  const ofCa = caAddresses(ca).map(({ kind, address }) => `${kind} ${address}`);
  const certificates = identity.kind === "ca" ? ofCa.join(", ") : identity.kind;
  log.info("agent started", { version, role, id, ips, configSource, certificates });
  log.debug("node", { cluster, ...locality });
}

function metricsOptions({ identity, xds }: AgentConfig, envoy: SupervisedEnvoy | undefined): ModuleMetricsOptions {
  return {
    envoyStarts: () => envoy?.counts ?? { restarts: 0, hotRestarts: 0, failedHotRestarts: 0 },
    externalSds: identity.kind === "external-sds",
    xdsProxy: xds.kind !== "files",
  };
}

function readinessSources(
  start: StartState,
  lifecycle: EnvoyLifecycle,
  shutdown: Shutdown,
): Pick<StatusSources, "holds" | "envoy" | "terminating" | "startPhases" | "onEnvoySeen"> {
  return {
    holds: start.holds,
    envoy: lifecycle.readiness,
    terminating: () => shutdown.reason(),
    startPhases: () => start.phases.ended,
    onEnvoySeen(check) {
      start.envoyCheck = check;
    },
  };
}

/** Envoy's version is read only now: the description of itself, in which it stands, is large. */
async function reportReady(phases: StartPhases, metrics: ModuleMetrics, lifecycle: EnvoyLifecycle, stop: AbortSignal) {
  phases.end("ready");
  metrics.agent.start.durationSeconds.set(phases.sinceStartMs() / 1_000);
  phases.logReady({ envoyVersion: (await lifecycle.info?.read(stop))?.version });
}

/** The files that a proxyless application reads. Without them the pod is not ready. */
function outputFiles({ cert: { output } }: AgentConfig): readonly string[] {
  if (output === undefined) return [];
  return ["cert-chain.pem", "key.pem", "root-cert.pem"].map((name) => join(output.directory, name));
}

interface Serving extends Started {
  readonly identity: Identity;
  readonly xds: XdsProxy | undefined;
  readonly status: StatusServer;
}

/**
 * Starts the parts that serve no client: the wait for readiness, health reports, hot restarts, the log writer, checks
 * that only log.
 */
async function startBackground(
  { config, envoy, identity, xds, status }: Serving,
  { onRenew, onHangup, onReopenLogs }: AgentSignals,
  modules: AsyncDisposableStack,
  deps: ModuleDeps,
): Promise<void> {
  const awaitReady = async (signal: AbortSignal): Promise<void> => {
    await status.untilReady(signal);
    const { releaseStartMemory } = await import("../lib/start-memory.ts");
    await releaseStartMemory(deps.clock, signal);
  };
  modules.use(startTask(awaitReady, deps.fail));
  onRenew(() => identity.renew("SIGUSR2"));
  const { startWorkloadHealth } = await import("./discovery.ts");
  await startWorkloadHealth({ config, xds, status }, modules, deps);
  if (envoy !== undefined) {
    const { startHotRestarts } = await import("./hot-restart.ts");
    modules.use(startHotRestarts({ config, envoy, onHangup }, deps));
  }
  const { startLogReopening } = await import("./log-reopening.ts");
  modules.use(await startLogReopening({ envoy, onReopenLogs }, deps));
  modules.use(startTask(() => logPreflight(config, deps.log), deps.fail));
  const { logPlatform } = await import("./platform.ts");
  modules.use(startTask((signal) => logPlatform(config, deps, signal), deps.fail));
}

/**
 * Logs the fields of an override, and of the bootstrap under it, that Envoy's API does not have. Without an override all
 * is ours, and the schema, which takes 10 MB and 20 ms, is not loaded.
 */
async function logPreflight(config: AgentConfig, log: Logger): Promise<void> {
  const { bootstrap, disableEnvoy } = config;
  if (disableEnvoy || bootstrap.kind === "file" || bootstrap.override === undefined) return;
  try {
    for (const { document, path, message, certain } of await preflightBootstrap(config)) {
      log[certain ? "error" : "warn"]("Envoy's bootstrap does not fit Envoy's API", {
        document,
        path,
        problem: message,
      });
    }
  } catch (error) {
    log.warn("cannot check Envoy's bootstrap", { error: describeError(error) });
  }
}

/** @throws the error of the module whose server failed; NeverReadyError unless the end was asked for */
async function stopEnvoy(
  shutdown: Shutdown,
  lifecycle: EnvoyLifecycle,
  phases: StartPhases,
  log: Logger,
  force: AbortSignal,
): Promise<AgentExit> {
  log.info("shutting down", { cause: shutdown.reason() ?? "Envoy has exited" });
  const { shouldDrain, drainEnd } = shutdown;
  const wasReady = phases.hasEnded("ready");
  const cause = shutdown.reason();
  const exit = await lifecycle.stop({ shouldDrain, wasReady, drainEnd, force });
  if (shutdown.failure !== undefined) throw shutdown.failure;
  const isSuccess = wasReady || shutdown.hasQuit;
  if (exit.code === exitCode.ok && !isSuccess) throw new NeverReadyError(cause ?? exit.reason);
  return exit;
}
