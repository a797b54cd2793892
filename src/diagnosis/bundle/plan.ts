// SPDX-License-Identifier: Apache-2.0
import { dirname } from "node:path";
import type { AgentConfig } from "../../config/index.ts";
import type { Clock } from "../../lib/async/clock.ts";
import { parseJsonObject } from "../../lib/json.ts";
import type { EnvoyAdminAddress } from "../../model/bootstrap-facts.ts";
import { type AgentClient, hostPortOf } from "../agent-client.ts";
import { readConfigOf } from "../read-config.ts";
import { diagnosisJson, runDoctor } from "../doctor/index.ts";
import { agentParts } from "./parts/agent-parts.ts";
import { type EnvoyAccess, envoyParts } from "./parts/envoy-parts.ts";
import { filePart, logPart, reportParts } from "./parts/local-files.ts";
import { machineParts } from "./parts/machine-parts.ts";
import type { Part, PartGroup } from "./parts/part.ts";
import type { BundleOptions } from "./bundle-options.ts";

interface Plan extends Pick<BundleOptions, "env" | "args" | "judged" | "isRemote" | "explain"> {
  readonly config: AgentConfig;
  readonly client: AgentClient;
  readonly clock: Clock;
}

/** What is collected, and from where. */
export function planGroups(plan: Plan, signal: AbortSignal): readonly Promise<PartGroup>[] {
  const agent = { parts: agentParts(plan.client), skipsAfterFirst: "the agent did not respond" };
  return [Promise.resolve(agent), envoyGroup(plan, signal), ...(plan.isRemote ? [] : localGroups(plan, signal))];
}

async function envoyGroup({ config, client, clock, isRemote }: Plan, signal: AbortSignal): Promise<PartGroup> {
  const access = isRemote ? ({ kind: "agent", client } as const) : await findAccess(config, client, signal);
  return { parts: envoyParts(access, clock), skipsAfterFirst: "Envoy did not respond" };
}

/** The agent knows where Envoy's admin interface is. Without one, it is where the configuration puts it. */
async function findAccess(config: AgentConfig, client: AgentClient, signal: AbortSignal): Promise<EnvoyAccess> {
  if (config.disableEnvoy) return { kind: "none", reason: "the agent runs without Envoy (DISABLE_ENVOY)" };
  const response = await client.request({ path: "/debug/envoy-admin" }, signal).catch(() => undefined);
  const found = response?.status === 200 ? parseAddress(response.text()) : undefined;
  return { kind: "direct", address: found ?? config.envoy.admin };
}

function parseAddress(text: string): EnvoyAdminAddress | undefined {
  const { host, port, socketPath } = parseJsonObject(text) ?? {};
  if (typeof socketPath === "string") return { socketPath };
  return typeof host === "string" && typeof port === "number" ? { host, port } : undefined;
}

function localGroups(plan: Plan, signal: AbortSignal): readonly Promise<PartGroup>[] {
  const { env } = plan;
  const configuration = async (): Promise<PartGroup> => {
    const args = (await readAgentArgs(plan.client, signal)) ?? plan.args;
    return { parts: [...configurationParts(plan, args), ...(await fileParts(plan, args, signal))] };
  };
  return [
    configuration(),
    Promise.resolve({ parts: machineParts(env, plan.config.envoy.binaryPath) }),
    Promise.resolve({ parts: [doctorPart(plan)] }),
  ];
}

function configurationParts({ env, judged, explain }: Plan, args: readonly string[]): readonly Part[] {
  const usual = { form: "json", timeoutMs: 5_000, share: 0.1 } as const;
  return [
    {
      ...usual,
      file: "configuration.json",
      about: "every setting with its value and source, and the bootstrap, as attache explain prints it",
      source: `attache explain ${args.join(" ")}`.trim(),
      read: async (sink, signal) => {
        sink(JSON.stringify(await explain(args, signal)));
      },
    },
    {
      ...usual,
      file: "environment.json",
      about: "names of all variables; values of those that the agent reads",
      source:
        judged?.pid === undefined
          ? "the environment of this command"
          : `the environment of process ${String(judged.pid)}`,
      member: "environment",
      read: (sink) => {
        sink(JSON.stringify(env));
        return Promise.resolve();
      },
    },
  ];
}

async function fileParts({ env }: Plan, args: readonly string[], signal: AbortSignal): Promise<readonly Part[]> {
  const { config } = await readConfigOf(env, args, signal);
  const { bootstrap, sds, recorder, log } = config;
  const message = recorder.terminationMessagePath ?? "";
  const directories = [recorder.directory ?? "", dirname(bootstrap.path), dirname(sds.socketPath)];
  const logs = log.targets.filter((target) => target !== "stdout" && target !== "stderr");
  return [
    filePart({
      file: "envoy/bootstrap.json",
      about: "the bootstrap that Envoy reads",
      form: "json",
      path: bootstrap.path,
    }),
    ...(message === ""
      ? []
      : [
          filePart({
            file: "crash/termination-message.txt",
            about: "the last end of the agent",
            form: "text",
            path: message,
          }),
        ]),
    ...(await reportParts(directories.filter((directory) => directory !== ""))),
    ...logs.map(logPart),
  ];
}

function doctorPart({ env, args, judged, config, client, clock }: Plan): Part {
  const address = hostPortOf(client.url);
  return {
    file: "doctor.json",
    about: "what attache doctor found",
    source: "attache doctor",
    form: "json",
    timeoutMs: 8_000,
    share: 0.1,
    read: async (sink, signal) => {
      const options = { env, args, judged, address: config.status.port === address.port ? undefined : address };
      sink(JSON.stringify(diagnosisJson(await runDoctor(options, clock, signal))));
    },
  };
}

/** The arguments that the running agent was started with; undefined without an agent. */
async function readAgentArgs(client: AgentClient, signal: AbortSignal): Promise<readonly string[] | undefined> {
  const response = await client.request({ path: "/debug/pprof/cmdline" }, signal).catch(() => undefined);
  if (response?.status !== 200) return undefined;
  const words = response.text().split("\0");
  const proxy = words.indexOf("proxy");
  return proxy < 0 ? undefined : words.slice(proxy + 1);
}
