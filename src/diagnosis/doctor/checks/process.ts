// SPDX-License-Identifier: Apache-2.0
import { readFile } from "node:fs/promises";
import { type Check, type DoctorContext, fail, type Finding, ok, warn } from "../check.ts";
import { hasCapability, netAdmin } from "../machine/capabilities.ts";
import { type Machine, machineOf } from "../machine/machine.ts";

/** The user and the rights of the agent's process, as far as an operator acts on them. */
export const processCheck: Check = {
  name: "process",
  needsEnvironment: true,
  async run(context) {
    const machine = await machineOf(context);
    const found = [
      ...stateFindings(machine),
      ...userFindings(machine, context),
      ...(await tproxyFindings(machine, context)),
    ];
    return found.length > 0 ? found : [ok("process", await describe(machine))];
  },
};

function stateFindings({ agent }: Machine): readonly Finding[] {
  if (agent?.state !== "T" && agent?.state !== "t") return [];
  const pid = String(agent.pid);
  const how = agent.state === "T" ? "stopped by a signal" : "held by a debugger";
  return [fail("process.state", `the agent (process ${pid}) is ${how}`, `Let it go on: kill -CONT ${pid}.`)];
}

function isTproxy({ input }: DoctorContext): boolean {
  return input.env["ISTIO_META_INTERCEPTION_MODE"] === "TPROXY";
}

/** In a pod. Only TPROXY needs root. */
function userFindings({ user, isUserKnown }: Machine, context: DoctorContext): readonly Finding[] {
  const isPod = (context.input.env["KUBERNETES_SERVICE_HOST"] ?? "") !== "";
  if (!isPod || !isUserKnown || user.uid !== 0 || isTproxy(context)) return [];
  const cure = "Run the container as another user: runAsUser: 1337, runAsNonRoot: true; only TPROXY needs root.";
  return [warn("process.user", "the agent runs as root", cure)];
}

/** Source: ip(7), IP_TRANSPARENT */
async function tproxyFindings({ envoys }: Machine, context: DoctorContext): Promise<readonly Finding[]> {
  const [envoy] = envoys;
  if (!isTproxy(context) || context.config.role !== "sidecar" || envoy === undefined) return [];
  if ((await hasCapability(envoy.pid, netAdmin)) !== false) return [];
  const fact = `Envoy (process ${String(envoy.pid)}) has no CAP_NET_ADMIN, which its listeners need for TPROXY`;
  return [fail("process.capabilities", fact, "Grant the container CAP_NET_ADMIN, or use the mode REDIRECT.")];
}

async function describe({ agent, user, isUserKnown }: Machine): Promise<string> {
  if (!isUserKnown) return "the agent's process cannot be seen by this user";
  const status = await readFile(`/proc/${agent === undefined ? "self" : String(agent.pid)}/status`, "utf8").catch(
    () => "",
  );
  const has = (name: string, value: string): boolean => new RegExp(`^${name}:\\s+${value}$`, "m").test(status);
  const facts = [
    `uid ${String(user.uid)}, gid ${String(user.gids[0] ?? 0)}`,
    has("CapEff", "0+") ? "no capabilities" : "with capabilities",
    ...(has("NoNewPrivs", "1") ? ["no_new_privs"] : []),
    ...(has("Seccomp", "2") ? ["seccomp"] : []),
  ];
  return `${agent === undefined ? "this command" : `agent (process ${String(agent.pid)})`}: ${facts.join(", ")}`;
}
