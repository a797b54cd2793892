// SPDX-License-Identifier: Apache-2.0
import { describeError } from "../lib/errors.ts";
import { exitCode } from "../lib/exit-code.ts";
import { orAborted, untilAborted } from "../lib/async/tasks.ts";
import { readLastLines } from "./agent-process.ts";
import type { DevConfig, DevDeps } from "./dev-config.ts";
import { workloadNames } from "./mesh.ts";
import { Progress, Timeline } from "./progress.ts";
import { nothingProved, type ProofResult, runProofs } from "./run-proofs.ts";
import { type DevReport, proofNames, renderHints, renderJsonReport, renderProof, renderWorkloads } from "./report.ts";
import { type RunningMesh, startMesh } from "./running-mesh.ts";
import { createWorkDirectory, type WorkDirectory } from "./work-directory.ts";
import { observeWorkload, phaseNames, startRotationWatch } from "./workload-state.ts";

/** The context of one run. */
interface Run {
  readonly config: DevConfig;
  readonly deps: DevDeps;
  readonly directory: WorkDirectory;
  readonly timeline: Timeline;
  readonly progress: Progress;
}

/** The reasons to end a run: it is stopped, or an agent stopped unexpectedly. */
interface EndSignals {
  readonly stop: AbortSignal;
  readonly broken: AbortSignal;
}

/**
 * Runs the mesh: starts it, runs the proofs, prints the report, and waits until it is stopped, unless it exits after the
 * proofs. When it returns or throws, all its processes, sockets and temporary files are gone.
 * @returns the exit code: 0 when every proof succeeded, 1 otherwise
 * @throws AgentError when the mesh cannot start, or an agent stops unexpectedly after the proofs
 */
export async function runDev(config: DevConfig, deps: DevDeps, stop: AbortSignal): Promise<number> {
  const timeline = new Timeline(deps.clock);
  const progress = new Progress(deps.screen);
  await using directory = await createWorkDirectory(config.keepDirectory);
  const run: Run = { config, deps, directory, timeline, progress };
  progress.say(`attache dev: a mesh on this machine, in ${directory.path}\n`);
  progress.expect("CA", ["listening"]);
  for (const workload of workloadNames) progress.expect(workload, phaseNames);
  const onCa = (port: number): void => {
    progress.end("CA", "listening", `${String(timeline.end("ca"))} ms, on 127.0.0.1:${String(port)}`);
  };
  await using mesh = await startMesh({ config, directory, onCa }, deps);
  timeline.end("agents");
  const broken = new AbortController();
  void mesh.brokenBy.then((error) => {
    broken.abort(error);
  });
  const ends: EndSignals = { stop, broken: broken.signal };
  const report = await prove(run, mesh, ends);
  if (report === undefined) return config.once ? exitCode.failed : exitCode.ok;
  show(run, mesh, report);
  const broke = broken.signal.aborted;
  if (report.failures.length > 0) await showLogs(run, mesh, config.once || broke);
  if (!config.once && !broke) await stayUp(run, mesh, report, ends);
  return report.failures.length === 0 ? exitCode.ok : exitCode.failed;
}

/** @returns undefined when it was stopped before the last proof */
async function prove(run: Run, mesh: RunningMesh, { stop, broken }: EndSignals): Promise<DevReport | undefined> {
  const signal = AbortSignal.any([stop, broken]);
  let result: ProofResult;
  try {
    result = await orAborted(proveWithProgress(run, mesh, signal), signal);
  } catch (error) {
    if (stop.aborted) return undefined;
    if (!broken.aborted) throw error;
    result = { proof: nothingProved, failures: [{ proof: "ready", why: describeError(broken.reason) }] };
  }
  const workloads = await Promise.all(
    workloadNames.map((workload) => observeWorkload(workload, mesh.ports[workload], stop)),
  );
  run.timeline.end("total");
  return { workloads, proof: result.proof, phases: run.timeline.phases(), failures: result.failures };
}

async function proveWithProgress(run: Run, mesh: RunningMesh, signal: AbortSignal): Promise<ProofResult> {
  const { config, deps, timeline, progress } = run;
  let last = "ready";
  const observer: Parameters<typeof runProofs>[2] = {
    onPhase(workload, phase) {
      const ms = timeline.end(`${workload}${phase.charAt(0).toUpperCase()}${phase.slice(1)}`, "agents");
      progress.end(workload, phase, `${String(ms)} ms`);
    },
    onReady() {
      timeline.end(last);
      const names = proofNames.slice(1).filter((name) => name !== "capture" || config.capture !== undefined);
      progress.expect("proof", names);
    },
    onProof(name, failure) {
      const ms = timeline.end(name, last);
      last = name;
      progress.end("proof", name, `${String(ms)} ms`, failure === undefined ? "done" : "failed");
    },
  };
  return await runProofs(mesh, config, observer, deps.clock, signal);
}

/** Root of this machine can enter everything; in a user namespace root is the user. */
function enterWebCommand({ network }: RunningMesh, { capture }: DevConfig): string | undefined {
  if (network === undefined) return undefined;
  const user = capture?.userNamespace === true ? "--user " : "";
  return `nsenter --target ${String(network.pids.web)} ${user}--net --mount`;
}

/** Shows the report, and prints it as JSON if configured. */
function show({ config, deps, progress }: Run, mesh: RunningMesh, report: DevReport): void {
  const started = report.workloads.some(({ serial }) => serial !== null);
  const table = started ? ["", ...renderWorkloads(report, mesh.ports)] : [];
  for (const line of ["", ...renderProof(report), ...table]) progress.say(line);
  if (config.json) deps.print(renderJsonReport(report));
}

/** Shows the last lines of the agents' logs, and whether the logs are about to be removed. */
async function showLogs({ config, directory, progress }: Run, mesh: RunningMesh, isLast: boolean): Promise<void> {
  for (const workload of workloadNames) {
    const { logPath } = mesh.agents[workload];
    progress.say(`\nLast lines of ${logPath}:`);
    for (const line of await readLastLines(logPath, shownLogLines)) progress.say(`  ${line.slice(0, shownLogColumns)}`);
  }
  if (config.keepDirectory === undefined && isLast) {
    progress.say(`\n${directory.path} is removed; use --keep DIR to keep the logs.`);
  }
}

const shownLogLines = 8;
const shownLogColumns = 220;

/**
 * Applies edits and reports rotations until it is stopped.
 * @throws DevAgentEndedError, DevCaptureError
 */
async function stayUp(run: Run, mesh: RunningMesh, report: DevReport, { stop, broken }: EndSignals): Promise<void> {
  const { config, deps, directory, progress } = run;
  const signal = AbortSignal.any([stop, broken]);
  mesh.relaxRotation();
  const say = (text: string): void => {
    progress.say(`  ${text}`);
  };
  const from = config.resourcesDirectory;
  await using watches = new AsyncDisposableStack();
  watches.use(await mesh.followEdits(say, signal));
  watches.use(startRotationWatch({ ports: mesh.ports, workloads: report.workloads, say }, deps.clock));
  const hints = { resourcesDirectory: from, workDirectory: directory.path, enterWeb: enterWebCommand(mesh, config) };
  for (const line of ["", ...renderHints(mesh.ports, hints), ""]) progress.say(line);
  await untilAborted(signal);
  if (!stop.aborted) {
    await showLogs(run, mesh, true);
    broken.throwIfAborted();
  }
  progress.say("\nstopping the mesh");
}
