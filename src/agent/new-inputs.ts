// SPDX-License-Identifier: Apache-2.0
import { readFile } from "node:fs/promises";
import { renderBootstrap, writeStartFiles } from "../bootstrap/index.ts";
import type { AgentConfig } from "../config/agent-config.ts";
import type { SupervisedEnvoy } from "../envoy/index.ts";
import { describeError } from "../lib/errors.ts";
import { startTask } from "../lib/async/tasks.ts";
import type { AgentDeps, AgentSignals } from "./agent.ts";

/** Mounted files of a pod change within a minute of their source. */
const lookEveryMs = 10_000;

export interface NewInputs {
  readonly config: AgentConfig;
  readonly envoy: Pick<SupervisedEnvoy, "swap">;
  readonly onHangup: AgentSignals["onHangup"];
}

type NewInputsDeps = Pick<AgentDeps, "log" | "clock" | "readConfig">;

/**
 * Has a new Envoy take over on a hang-up, and when what its bootstrap is made of has changed. Inputs that cannot be
 * read, and a bootstrap that is refused, leave the running Envoy and its bootstrap as they are. Without hot restart a hang-up is only answered in the log.
 */
export function startTakingUpInputs(inputs: NewInputs, deps: NewInputsDeps): AsyncDisposable {
  const { config, envoy, onHangup } = inputs;
  if (config.envoy.hotRestart === undefined) {
    onHangup(() => {
      void envoy.swap();
    });
    return new AsyncDisposableStack();
  }
  return startTask(
    (stop) => takeUpInputs(inputs, deps, stop),
    (error) => {
      deps.log.error("new inputs of the bootstrap are no longer taken up", { error: describeError(error) });
    },
  );
}

async function takeUpInputs(
  { config, envoy, onHangup }: NewInputs,
  deps: NewInputsDeps,
  stop: AbortSignal,
): Promise<never> {
  let nudge = new AbortController();
  onHangup(() => {
    nudge.abort();
  });
  let current = config;
  let seen = await inputText(config);
  for (;;) {
    const asked = await untilDue(deps, nudge.signal, stop);
    nudge = new AbortController();
    if (asked) deps.log.info("a hang-up asks for a hot restart");
    const fresh = await readInputs(deps, asked);
    const text = fresh === undefined ? seen : await inputText(fresh);
    if (fresh === undefined || (!asked && text === seen)) continue;
    if (text !== seen) deps.log.info("what Envoy's bootstrap is made of has changed");
    seen = text;
    const fixed = fixedChanges(config, fresh);
    if (fixed.length > 0) {
      deps.log.error("no hot restart: what the agent itself goes by has changed; restart the agent", { fixed });
      continue;
    }
    writeStartFiles(fresh);
    if ((await envoy.swap(fresh.envoy)).kind === "swapped") current = fresh;
    else writeStartFiles(current);
  }
}

/** @returns whether somebody asked; else it is time for a look. @throws when stopped */
async function untilDue({ clock }: NewInputsDeps, asked: AbortSignal, stop: AbortSignal): Promise<boolean> {
  await clock.delay(lookEveryMs, AbortSignal.any([stop, asked])).catch(() => undefined);
  stop.throwIfAborted();
  return asked.aborted;
}

async function readInputs({ readConfig, log }: NewInputsDeps, asked: boolean): Promise<AgentConfig | undefined> {
  try {
    return await readConfig();
  } catch (error) {
    // files that are being replaced may be half there; the next look tells
    const say = asked ? log.error.bind(log) : log.debug.bind(log);
    say("the configuration cannot be read anew; the running Envoy goes on", { error: describeError(error) });
    return undefined;
  }
}

/** What a bootstrap and the arguments say. */
async function inputText({ bootstrap, envoy }: AgentConfig): Promise<string> {
  const text =
    bootstrap.kind === "generated"
      ? JSON.stringify(renderBootstrap(bootstrap.config))
      : await readFile(bootstrap.path, "utf8");
  return JSON.stringify([envoy.binaryPath, envoy.args, text]);
}

/** Names of what agent and Envoy must agree on, and the agent has from its start, where it is another now. */
function fixedChanges(before: AgentConfig, now: AgentConfig): readonly string[] {
  const agreed = ({ envoy, status, sds, xds, bootstrap }: AgentConfig): Readonly<Record<string, unknown>> => ({
    proxyAdminPort: envoy.admin,
    statusPort: status.port,
    configPath: bootstrap.path,
    sdsSocket: sds.socketPath,
    xds: xds.kind === "files" ? xds.directory : xds.proxy.socketPath,
  });
  const [old, fresh] = [agreed(before), agreed(now)];
  return Object.keys(old).filter((name) => JSON.stringify(old[name]) !== JSON.stringify(fresh[name]));
}
