// SPDX-License-Identifier: Apache-2.0
import { type ChildProcessByStdio, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import type { Arrival, Command, Connect, Listen } from "../../fixtures/network/peer.ts";

/** Addresses on the links between the pod and the other machine; the last one is behind the pod. */
export const addresses = {
  pod: { ipv4: "10.7.0.5", ipv6: "fd00:7::5" },
  outside: { ipv4: "10.7.0.1", ipv6: "fd00:7::1" },
  elsewhere: { ipv4: "10.7.0.9", ipv6: "fd00:7::9" },
  nameServer: { ipv4: "10.7.0.53", ipv6: "fd00:7::53" },
  podOnNet1: { ipv4: "10.8.0.5", ipv6: "fd00:8::5" },
  outsideOnNet1: { ipv4: "10.8.0.1", ipv6: "fd00:8::1" },
  podOnMachine: { ipv4: "10.9.0.5", ipv6: "fd00:9::5" },
  machine: { ipv4: "10.9.0.1", ipv6: "fd00:9::1" },
  service: { ipv4: "10.66.0.1", ipv6: "fd00:66::1" },
} as const;
export type AddressName = keyof typeof addresses;

/** Interfaces, with the addresses of the pod and of the other machine. `vm0` stands for that of a virtual machine. */
const links: readonly (readonly [name: string, pod: AddressName, others: readonly AddressName[]])[] = [
  ["eth0", "pod", ["outside", "elsewhere", "nameServer"]],
  ["net1", "podOnNet1", ["outsideOnNet1"]],
  ["vm0", "podOnMachine", ["machine"]],
];

/** Who sends: processes of the pod by user and group, or the other machine. */
export type Sender = keyof typeof users | "outside";

/** A pod and another machine, each a network namespace, with a link between them. */
export interface PacketNetwork extends AsyncDisposable {
  /** Runs a program in the pod's namespaces. @throws with its output if it fails */
  runInPod(program: string, args: readonly string[], input?: string): string;
  listen(owner: Sender, listeners: readonly Listen[]): Promise<void>;
  send(from: Sender, to: Connect): Promise<Arrival>;
}

const peer = fileURLToPath(new URL("../../fixtures/network/peer.ts", import.meta.url));
/** Privileged ports, transparent sockets, and the source code wherever it is. */
const capabilities = "+net_admin,+net_raw,+net_bind_service,+dac_read_search";
const path = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;
const users = {
  application: [1_000, 1_000],
  /** An application whose group is no other's. */
  batch: [1_000, 3_000],
  envoy: [1_337, 1_337],
  /** Envoy's group only, as root has it in the pods that Istio makes for TPROXY. */
  agent: [2_000, 1_337],
} as const satisfies Readonly<Record<string, readonly [uid: number, gid: number]>>;

export function mayMakeNetworks(): boolean {
  return spawnSync("unshare", ["-n", "true"]).status === 0 && process.getuid?.() === 0;
}

export async function startPacketNetwork(): Promise<PacketNetwork> {
  await using stack = new AsyncDisposableStack();
  const outside = stack.use(await Peer.start("unshare", ["-n", "-m", "node", peer]));
  const envoy = stack.use(await Peer.start("unshare", ["-n", "-m", ...asUser("envoy")]));
  const enter = ["-t", String(envoy.pid), "-n", "-m"];
  const startInPod = async (user: keyof typeof users): Promise<Peer> =>
    stack.use(await Peer.start("nsenter", [...enter, ...asUser(user)]));
  const [application, batch, agent] = [
    await startInPod("application"),
    await startInPod("batch"),
    await startInPod("agent"),
  ];
  for (const link of links) connect(link, envoy.pid, outside.pid);
  const peers: Readonly<Record<Sender, Peer>> = { application, batch, envoy, agent, outside };
  const owned = stack.move();
  return {
    runInPod: (program, args, input) => run("nsenter", [...enter, program, ...args], input),
    async listen(owner, listen) {
      await peers[owner].command({ listen });
    },
    send: (from, connect) => peers[from].command({ connect }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function asUser(sender: keyof typeof users): readonly string[] {
  const [uid, gid] = users[sender].map(String);
  const identity = [`--reuid=${uid ?? ""}`, `--regid=${gid ?? ""}`, "--clear-groups"];
  return ["setpriv", ...identity, `--inh-caps=${capabilities}`, `--ambient-caps=${capabilities}`, "node", peer];
}

function connect([name, own, others]: (typeof links)[number], pod: number, outside: number): void {
  const [one, other] = [String(pod), String(outside)];
  run("ip", ["link", "add", name, "netns", one, "type", "veth", "peer", "name", name, "netns", other]);
  configure(one, name, [own]);
  configure(other, name, others);
  if (name !== "vm0") return;
  for (const family of ["ipv4", "ipv6"] as const)
    inNetwork(other, [`route add ${addresses.service[family]} via ${addresses.podOnMachine[family]}`]);
}

function configure(pid: string, name: string, names: readonly AddressName[]): void {
  const all = names.map((one) => addresses[one]);
  inNetwork(pid, [
    "link set lo up",
    `link set ${name} up`,
    ...all.flatMap(({ ipv4, ipv6 }) => [`addr add ${ipv4}/24 dev ${name}`, `addr add ${ipv6}/64 dev ${name} nodad`]),
  ]);
}

function inNetwork(pid: string, commands: readonly string[]): void {
  run("nsenter", ["-t", pid, "-n", "ip", "-batch", "-"], commands.map((command) => `${command}\n`).join(""));
}

function run(program: string, args: readonly string[], input = ""): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    input,
    encoding: "utf8",
    env: { ...process.env, PATH: path },
  });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${program} ${args.join(" ")}: exit code ${String(status)}\n${stdout}${stderr}`);
  return stdout;
}

/** One process with sockets. Disposing it ends it; its namespace goes with the last process in it. */
class Peer implements AsyncDisposable {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #replies: AsyncIterator<string>;

  private constructor(child: ChildProcessByStdio<Writable, Readable, null>) {
    this.#child = child;
    this.#replies = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  /** @param args all of these programs replace themselves by the next, so that the process id stays */
  static async start(program: string, args: readonly string[]): Promise<Peer> {
    const env = { ...process.env, PATH: path, NODE_NO_WARNINGS: "1" };
    const started = new Peer(spawn(program, args, { stdio: ["pipe", "pipe", "inherit"], env }));
    await started.command({});
    return started;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  async command(command: Command): Promise<Arrival> {
    this.#child.stdin.write(`${JSON.stringify(command)}\n`);
    const reply = await this.#replies.next();
    if (reply.done === true) throw new Error(`a peer has ended at ${JSON.stringify(command)}`);
    return JSON.parse(reply.value) as Arrival;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { exitCode, signalCode } = this.#child;
    if (exitCode !== null || signalCode !== null) return;
    this.#child.stdin.end();
    await once(this.#child, "close");
  }
}
