// SPDX-License-Identifier: Apache-2.0
import { loadTakenPorts } from "../../../envoy/index.ts";
import { ipFamily } from "../../../lib/net/ip-address.ts";
import {
  type ListeningSocket,
  readListeningSockets,
  readPortHolder,
  readSocketInodes,
} from "../../../lib/net/socket-table.ts";
import { type Check, type DoctorContext, fail, type Finding, ok, warn } from "../check.ts";
import { accepts } from "../machine/local-connection.ts";
import { type Machine, machineOf } from "../machine/machine.ts";
import { type OwnPort, applicationPorts, ownPorts } from "../machine/own-ports.ts";

/** The ports of agent and Envoy: each is free while none runs, else held by the right one. */
export const portsCheck: Check = {
  name: "ports",
  needsEnvironment: true,
  async run(context) {
    const machine = await machineOf(context);
    const own = ownPorts(context.config, context.input.env);
    const clashes = [...sharedPorts(own), ...applicationClashes(own, context)];
    const sockets = await readListeningSockets();
    if (sockets === undefined) return [...clashes, ok("ports", "who listens cannot be seen on this system")];
    const holders = await readHolders(machine);
    const distinct = own.filter(({ port }, index) => own.findIndex((one) => one.port === port) === index);
    const isReady = context.agent?.ready === true;
    const found = await Promise.all(distinct.map((port) => examine(port, sockets, { ...holders, isReady }, machine)));
    const problems = [...clashes, ...found.flat(), ...(await reservedProblems(own, machine))];
    if (problems.length > 0) return problems;
    if (!machine.isRunning) return [ok("ports", `free: ${numbersOf(distinct)}`)];
    const listening = distinct.filter(({ port }) => sockets.some((socket) => socket.port === port));
    return [ok("ports", `held by agent and Envoy: ${numbersOf(listening)}`)];
  },
};

function numbersOf(own: readonly OwnPort[]): string {
  return own.map(({ port }) => port).join(", ");
}

/** The sockets of the agent and of its Envoys; undefined where this user may not see them. */
interface Holders {
  readonly agent: ReadonlySet<string> | undefined;
  readonly envoy: ReadonlySet<string> | undefined;
}

async function readHolders({ agent, envoys }: Machine): Promise<Holders> {
  const sets = await Promise.all(envoys.map(({ pid }) => readSocketInodes(pid)));
  const isKnown = sets.length > 0 && sets.every((set) => set !== undefined);
  return {
    agent: agent === undefined ? undefined : await readSocketInodes(agent.pid),
    envoy: isKnown ? new Set(sets.flatMap((set) => [...set])) : undefined,
  };
}

async function examine(
  own: OwnPort,
  sockets: readonly ListeningSocket[],
  holders: Holders & { readonly isReady: boolean },
  machine: Machine,
): Promise<readonly Finding[]> {
  const { collisions } = await loadTakenPorts();
  const listening = sockets.filter((socket) => collisions(own.addresses, [socket]).length > 0);
  const isDual = !machine.isRunning && listening.length === 0 && (await isTakenByDualStack(own, sockets));
  const inodes = own.owner === "agent" ? holders.agent : holders.envoy;
  const check = `ports.${String(own.port)}`;
  if (!machine.isRunning) {
    if (listening.length > 0 || isDual) return [await taken(check, own, "and no agent runs")];
    const udp = own.isUdpToo ? await readPortHolder(own.port, "udp") : undefined;
    return udp === undefined ? [] : [await taken(check, own, "over UDP, and no agent runs", udp)];
  }
  // the process of the agent is in another namespace, or another user's: what listens is taken for it
  if (inodes === undefined && (own.owner === "agent" || machine.envoys.length > 0 || machine.agent === undefined))
    return listening.length === 0 ? absent(check, own, holders.isReady) : [];
  const others = listening.filter(({ inode }) => inodes?.has(inode) !== true);
  if (others.length > 0) return [await taken(check, own, `not by ${ownerName(own)}`)];
  return listening.length === 0 ? absent(check, own, holders.isReady) : [];
}

/** A socket on all IPv6 addresses has the port of IPv4 too, unless it was made without: a connection tells. */
async function isTakenByDualStack({ port, addresses }: OwnPort, sockets: readonly ListeningSocket[]): Promise<boolean> {
  const isOfIpv4 = addresses.some(({ host }) => ipFamily(host) === 4);
  const candidates = sockets.filter((socket) => socket.port === port && socket.ip.length === 16);
  return isOfIpv4 && candidates.length > 0 && (await accepts("127.0.0.1", port));
}

async function taken(check: string, own: OwnPort, how: string, known?: string): Promise<Finding> {
  const holder = known ?? (await readPortHolder(own.port));
  const who = holder ?? "a process that cannot be seen: another user's, or another container's of the pod";
  const move = own.setting === "" ? "give one of them another port" : `set ${own.setting} to a free port`;
  const fact = `port ${String(own.port)} (${own.what}) is held by ${who}, ${how}`;
  return fail(check, fact, `Stop that process, or ${move}.`);
}

/** Envoy opens its listeners when it has its configuration. Those of the control plane may never be there. */
function absent(check: string, own: OwnPort, isReady: boolean): readonly Finding[] {
  if (own.isDynamic || (own.owner === "envoy" && !isReady)) return [];
  const fact = `nothing listens on port ${String(own.port)} (${own.what}), although the agent runs`;
  const cure =
    own.owner === "agent"
      ? "Look in the agent's log for the reason; it listens when Envoy has been started."
      : "Restart the container: Envoy has lost this listener; Envoy's log may have the reason.";
  return [fail(check, fact, cure)];
}

function ownerName({ owner }: OwnPort): string {
  return owner === "agent" ? "the agent" : "Envoy";
}

/** Two of our own servers with one port. */
function sharedPorts(own: readonly OwnPort[]): readonly Finding[] {
  return own.flatMap((one, index) => {
    const first = own.slice(0, index).find(({ port }) => port === one.port);
    if (first === undefined) return [];
    const fact = `port ${String(one.port)} is configured twice: ${first.what}, ${one.what}`;
    const settings = [first.setting, one.setting].filter((setting) => setting !== "").join(" or ");
    return [fail(`ports.${String(one.port)}`, fact, `Set ${settings} to another port.`)];
  });
}

/** What the pod says of its containers' ports and probes. A gateway's pod declares Envoy's own ports there. */
function applicationClashes(own: readonly OwnPort[], { config, input }: DoctorContext): readonly Finding[] {
  if (config.role !== "sidecar") return [];
  return applicationPorts(input.env).flatMap(({ port, source }) => {
    const ours = own.find((one) => one.port === port);
    if (ours === undefined) return [];
    const fact = `the application uses port ${String(port)} (${source}), which is ${ours.what}`;
    const move = ours.setting === "" ? "" : `, or set ${ours.setting} to a free port`;
    return [warn(`ports.${String(port)}`, fact, `Let the application listen on another port${move}.`)];
  });
}

const firstUnprivileged = "/proc/sys/net/ipv4/ip_unprivileged_port_start";

/** Ports below the system's limit need a capability, which the container's processes do not have as another user. */
async function reservedProblems(own: readonly OwnPort[], { isRunning, user }: Machine): Promise<readonly Finding[]> {
  if (isRunning || user.uid === 0) return [];
  const { readFile } = await import("node:fs/promises");
  const first = Number(await readFile(firstUnprivileged, "utf8").catch(() => "0"));
  return own
    .filter(({ port }) => port < first)
    .map(({ port, what, setting }) =>
      warn(
        `ports.${String(port)}`,
        `port ${String(port)} (${what}) is below ${String(first)}, and uid ${String(user.uid)} needs CAP_NET_BIND_SERVICE for it`,
        `Set ${setting === "" ? "it" : setting} to a port from ${String(first)} on, or grant the capability.`,
      ),
    );
}
