// SPDX-License-Identifier: Apache-2.0
import { execFile } from "node:child_process";
import { readdir, readlink } from "node:fs/promises";
import { networkInterfaces, release, version as kernelVersion } from "node:os";
import { readTextStart } from "../../../lib/fs/bounded-read.ts";
import { formatHostPort } from "../../../lib/net/host-port.ts";
import {
  parseListeningSockets,
  parseSocketRows,
  programName,
  readSocketInodes,
} from "../../../lib/net/socket-table.ts";
import { readVersions } from "../../versions.ts";
import { type Part, PartSkippedError } from "./part.ts";

type Env = Readonly<Record<string, string>>;

const mostBytes = 1024 * 1024;
const mostProcesses = 300;

function part(file: string, about: string, source: string, read: (signal: AbortSignal) => Promise<unknown>): Part {
  const isJson = file.endsWith(".json");
  return {
    file,
    about,
    source,
    form: isJson ? "json" : "statistics",
    timeoutMs: 5_000,
    share: 0.1,
    async read(sink, signal) {
      const content = await read(signal);
      sink(isJson ? JSON.stringify(content) : String(content));
    },
  };
}

/** Versions, limits, processes and network of this machine, as far as this process can see them. */
export function machineParts(env: Env, envoyPath: string): readonly Part[] {
  return [
    part("machine/versions.json", "attache, Envoy, Node.js, kernel", "this machine", (signal) =>
      versions(envoyPath, signal),
    ),
    part("machine/limits.txt", "limits and use of the container and of this process", "/proc, /sys/fs/cgroup", limits),
    part("machine/processes.json", "processes, without their arguments", "/proc/PID/status", processes),
    part("machine/network.json", "interfaces, listening ports, connections, resolvers", "/proc/net", network),
    part("machine/interception.txt", "rules that send traffic to Envoy", "iptables-save, nft, ip", (signal) =>
      rules(env, signal),
    ),
  ];
}

async function versions(envoyPath: string, signal: AbortSignal): Promise<unknown> {
  const kernel = { release: release(), version: kernelVersion(), architecture: process.arch };
  return { ...(await readVersions(envoyPath, signal)), kernel };
}

const limitFiles = [
  "/proc/self/limits",
  "/proc/self/cgroup",
  ...["memory.max", "memory.high", "memory.current", "memory.peak", "memory.events", "memory.stat", "memory.pressure"],
  ...["cpu.max", "cpu.stat", "cpu.pressure", "pids.max", "pids.current", "io.pressure"],
  ...["memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.max_usage_in_bytes"],
  ...["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us", "cpu/cpu.stat"],
  ...[
    "/proc/meminfo",
    "/proc/loadavg",
    "/proc/sys/fs/file-nr",
    "/proc/sys/net/ipv4/ip_local_port_range",
    "/proc/mounts",
  ],
].map((path) => (path.startsWith("/") ? path : `/sys/fs/cgroup/${path}`));

async function limits(): Promise<string> {
  const texts = limitFiles.map(async (path) => {
    const text = await readTextStart(path, mostBytes).catch(() => undefined);
    return text === undefined ? "" : `== ${path}\n${text.trimEnd()}\n\n`;
  });
  return (await Promise.all(texts)).join("");
}

const statusFields =
  /^(?:Name|State|PPid|Uid|Gid|Threads|VmRSS|VmHWM|VmSwap|FDSize|CapEff|NoNewPrivs|Seccomp):[ \t]?(.*)$/;

async function processes(): Promise<unknown> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).slice(0, mostProcesses);
  const found = pids.map(async (pid) => {
    const text = await readTextStart(`/proc/${pid}/status`, mostBytes).catch(() => undefined);
    if (text === undefined) return undefined;
    const fields = text.split("\n").flatMap((line): [string, string][] => {
      const [, value] = statusFields.exec(line) ?? [];
      return value === undefined ? [] : [[line.slice(0, line.indexOf(":")), value.trim()]];
    });
    const openFiles = (await readdir(`/proc/${pid}/fd`).catch(() => undefined))?.length;
    const executable = await readlink(`/proc/${pid}/exe`).catch(() => undefined);
    return { pid: Number(pid), ...Object.fromEntries(fields), openFiles, executable };
  });
  return (await Promise.all(found)).filter((one) => one !== undefined);
}

async function network(): Promise<unknown> {
  const read = (path: string): Promise<string> => readTextStart(path, 16 * mostBytes).catch(() => "");
  const [tcp = "", tcp6 = "", udp = "", udp6 = "", unix = "", resolvers = "", route = "", hosts = ""] =
    await Promise.all(
      [
        "/proc/net/tcp",
        "/proc/net/tcp6",
        "/proc/net/udp",
        "/proc/net/udp6",
        "/proc/net/unix",
        "/etc/resolv.conf",
        "/proc/net/route",
        "/etc/hosts",
      ].map(read),
    );
  const holders = await socketHolders();
  const listening = [tcp, tcp6].flatMap(parseListeningSockets).map(({ ip, port, inode }) => {
    return { address: formatHostPort({ host: renderIp(ip), port }), process: holders.get(inode) };
  });
  const rows = [tcp, tcp6].flatMap(parseSocketRows);
  const connections: Record<string, number> = {};
  for (const { state } of rows) connections[state] = (connections[state] ?? 0) + 1;
  return {
    interfaces: networkInterfaces(),
    listening,
    udpPorts: [udp, udp6]
      .flatMap(parseSocketRows)
      .map(({ localPort, inode }) => ({ port: localPort, process: holders.get(inode) })),
    connectionsByState: connections,
    unixSockets: unix
      .split("\n")
      .flatMap((line) => /\s([/@]\S+)$/.exec(line)?.[1] ?? [])
      .slice(0, 200),
    resolvConf: resolvers,
    routes: route,
    hosts,
  };
}

/** The program behind each socket, where this user may see it. */
async function socketHolders(): Promise<ReadonlyMap<string, string>> {
  const holders = new Map<string, string>();
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).slice(0, mostProcesses);
  const found = pids.map(async (pid) => {
    const [comm = "", line = ""] = await Promise.all(
      ["comm", "cmdline"].map((file) => readTextStart(`/proc/${pid}/${file}`, 4_096).catch(() => "")),
    );
    const inodes = (await readSocketInodes(Number(pid))) ?? [];
    for (const inode of inodes) holders.set(inode, `${programName(comm, line)} (process ${pid})`);
  });
  await Promise.all(found);
  return holders;
}

function renderIp(ip: Uint8Array): string {
  if (ip.length === 4) return ip.join(".");
  const groups = Buffer.from(ip).toString("hex").match(/.{4}/g) ?? [];
  return groups.map((group) => group.replace(/^0{1,3}/, "")).join(":");
}

const ruleCommands = [
  ["iptables-save"],
  ["ip6tables-save"],
  ["nft", "list", "ruleset"],
  ["ip", "rule", "list"],
  ["ip", "route", "show", "table", "all"],
] as const;

/** What each program prints. Most need the right to administer the network, which a sidecar does not have. */
async function rules(env: Env, signal: AbortSignal): Promise<string> {
  const outputs = ruleCommands.map(([program, ...args]) => runProgram(program, args, env, signal));
  const found = await Promise.all(outputs);
  if (found.every(({ isMissing }) => isMissing)) {
    throw new PartSkippedError("iptables-save, nft and ip are not installed here");
  }
  return found.map(({ title, text }) => `== ${title}\n${text.trimEnd()}\n\n`).join("");
}

interface ProgramOutput {
  readonly title: string;
  readonly text: string;
  readonly isMissing: boolean;
}

function runProgram(program: string, args: readonly string[], env: Env, signal: AbortSignal): Promise<ProgramOutput> {
  const path = env["PATH"] ?? "";
  const options = {
    env: { PATH: `${path}:/usr/sbin:/sbin:/usr/local/sbin` },
    timeout: 3_000,
    killSignal: "SIGKILL",
    maxBuffer: 4 * mostBytes,
    signal,
  } as const;
  return new Promise((resolve) => {
    execFile(program, args, options, (error, output, errors) => {
      const title = [program, ...args].join(" ");
      const isMissing = error?.code === "ENOENT";
      const problem = isMissing ? "not installed" : `failed: ${errors.trim() || (error?.message ?? "")}`;
      resolve({ title, text: error === null ? output : problem, isMissing });
    });
  });
}
