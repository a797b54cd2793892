// SPDX-License-Identifier: Apache-2.0
import { readFile } from "node:fs/promises";
import { renderMergedBootstrap, writeStartFiles } from "../bootstrap/index.ts";
import type { AgentConfig } from "../config/agent-config.ts";
import type { SupervisedEnvoy } from "../envoy/index.ts";
import { startTask } from "../lib/async/tasks.ts";
import { describeError } from "../lib/errors.ts";
import type { AgentDeps, AgentSignals } from "./types.ts";

/** The kubelet updates mounted files within a minute of their source. */
const checkEveryMs = 10_000;

export interface HotRestartOptions {
  readonly config: AgentConfig;
  readonly envoy: Pick<SupervisedEnvoy, "hotRestart">;
  readonly onHangup: AgentSignals["onHangup"];
}

type HotRestartDeps = Pick<AgentDeps, "log" | "clock" | "readConfig">;

/**
 * Hot-restarts Envoy on SIGHUP, and when the inputs of its bootstrap have changed. A configuration that cannot be read,
 * files that cannot be written and a bootstrap that Envoy rejects leave the running Envoy and its files as they are.
 * Where hot restart is off, SIGHUP only logs that.
 */
export function startHotRestarts(options: HotRestartOptions, deps: HotRestartDeps): AsyncDisposable {
  const { config, envoy, onHangup } = options;
  if (config.envoy.hotRestart === undefined) {
    onHangup(() => {
      void envoy.hotRestart();
    });
    return new AsyncDisposableStack();
  }
  return startTask(
    (stop) => runHotRestarts(options, deps, stop),
    (error) => {
      deps.log.error("hot restart is no longer available", { error: describeError(error) });
    },
  );
}

async function runHotRestarts({ config, envoy, onHangup }: HotRestartOptions, deps: HotRestartDeps, stop: AbortSignal) {
  let hangup = new AbortController();
  onHangup(() => {
    hangup.abort();
  });
  const inputs = new BootstrapInputs(config, envoy, deps);
  await inputs.check(false);
  for (;;) {
    await deps.clock.delay(checkEveryMs, AbortSignal.any([stop, hangup.signal])).catch(() => undefined);
    stop.throwIfAborted();
    const requested = hangup.signal.aborted;
    if (requested) {
      hangup = new AbortController();
      deps.log.info("SIGHUP: hot restart requested");
    }
    await inputs.check(requested);
  }
}

/** The inputs of the bootstrap and of Envoy's arguments, and those of the running Envoy. */
class BootstrapInputs {
  readonly #initial: AgentConfig;
  readonly #envoy: Pick<SupervisedEnvoy, "hotRestart">;
  readonly #deps: HotRestartDeps;
  /** The configuration of the running Envoy. */
  #current: AgentConfig;
  /** The inputs that were handled last; undefined before the first that could be read. */
  #handled: string | undefined;
  /** Whether the files may not be those of the running Envoy. */
  #isDirty = false;
  /** Whether the last attempt to restore them failed. */
  #isRestoring = false;
  #failuresInARow = 0;

  constructor(config: AgentConfig, envoy: Pick<SupervisedEnvoy, "hotRestart">, deps: HotRestartDeps) {
    this.#initial = config;
    this.#current = config;
    this.#envoy = envoy;
    this.#deps = deps;
  }

  /**
   * Reads the inputs and hot-restarts Envoy if they have changed. Never throws.
   * @param requested restarts it in any case
   */
  async check(requested: boolean): Promise<void> {
    try {
      await this.#restartIfDue(requested);
      this.#failuresInARow = 0;
    } catch (error) {
      this.#report(error, requested);
    }
    if (this.#isDirty) this.#restoreFiles();
  }

  async #restartIfDue(requested: boolean): Promise<void> {
    const { log, readConfig } = this.#deps;
    const isFirst = this.#handled === undefined && !requested;
    const fresh = isFirst ? this.#initial : await readConfig();
    const inputs = await readInputs(fresh);
    if (isFirst) this.#handled = inputs;
    const changed = inputs !== this.#handled;
    if (!requested && !changed) return;
    if (changed) log.info("bootstrap inputs changed: hot restart requested");
    const fixed = fixedChanges(this.#initial, fresh);
    if (fixed.length > 0) {
      this.#handled = inputs;
      log.error("hot restart not possible: settings that need a restart of the agent have changed", { fixed });
      return;
    }
    this.#isDirty = true;
    writeStartFiles(fresh);
    const { kind } = await this.#envoy.hotRestart(fresh.envoy);
    this.#handled = inputs;
    if (kind !== "completed") return;
    this.#current = fresh;
    this.#isDirty = false;
  }

  /**
   * A file that is being replaced can be missing for a moment: without a request, the first failure to read is logged
   * at debug level. The same failure is logged only once at error level.
   */
  #report(error: unknown, requested: boolean): void {
    this.#failuresInARow++;
    const isError = requested || this.#failuresInARow === (this.#isDirty ? 1 : 2);
    this.#deps.log[isError ? "error" : "debug"]("hot restart failed; keeping the running Envoy", {
      error: describeError(error),
    });
  }

  /** Writes the files of the running Envoy again. Where that fails, the next check retries. */
  #restoreFiles(): void {
    try {
      writeStartFiles(this.#current);
      this.#isDirty = false;
      this.#isRestoring = false;
    } catch (error) {
      const level = this.#isRestoring ? "debug" : "error";
      this.#isRestoring = true;
      this.#deps.log[level]("cannot restore the files of the running Envoy; retrying", { error: describeError(error) });
    }
  }
}

/** The bootstrap and Envoy's arguments as one text, to compare. */
async function readInputs({ bootstrap, envoy }: AgentConfig): Promise<string> {
  const document = renderMergedBootstrap(bootstrap);
  const text = document === undefined ? await readFile(bootstrap.path, "utf8") : JSON.stringify(document);
  return JSON.stringify([envoy.binaryPath, envoy.args, text]);
}

/** Names of the changed settings that agent and Envoy must agree on. The agent keeps those of its start. */
function fixedChanges(before: AgentConfig, now: AgentConfig): readonly string[] {
  const agreed = ({ status, sds, xds, bootstrap }: AgentConfig): Readonly<Record<string, unknown>> => ({
    statusPort: status.port,
    configPath: bootstrap.path,
    sdsSocket: sds.socketPath,
    xds: xds.kind === "files" ? xds.directory : xds.proxy.socketPath,
  });
  const [old, fresh] = [agreed(before), agreed(now)];
  return Object.keys(old).filter((name) => JSON.stringify(old[name]) !== JSON.stringify(fresh[name]));
}
