// SPDX-License-Identifier: Apache-2.0
import { availableParallelism, networkInterfaces } from "node:os";
import { ipFamily } from "../../lib/net/ip-address.ts";
import { istioVersion } from "../../model/version.ts";
import { systemCode } from "../../lib/errors.ts";
import { readTextFileSync, UnusableFileError } from "../../lib/fs/bounded-read.ts";
import { parseGoDuration } from "../../lib/go-duration.ts";
import { Findings } from "../config-error.ts";
import type { ConfigInput, FileContent, MeshFileCheck, NetworkInterface, SystemFacts } from "./config-input.ts";
import { type DocumentParser, loadYamlParser, needsYaml, parseJsonDocument, proxyConfigIn } from "./documents.ts";
import { parseDownwardApi } from "./downward-api.ts";
import { servedSockets, untilServed } from "./served-sockets.ts";
import type { JsonValue } from "../../lib/json.ts";
import { parseHostPort } from "../../lib/net/host-port.ts";
import { parseProxyFlags } from "./flags.ts";
import { configAnnotation, places } from "./sources.ts";

export interface CommandInput {
  readonly env: Readonly<Record<string, string>>;
  readonly args: readonly string[];
  /** Ends the wait for another process's socket and for host names. */
  readonly stop?: AbortSignal;
}

/**
 * Reads the inputs of the configuration from the machine. The YAML parser is loaded only for a text that is not JSON, and
 * the checks of the mesh file only where there is one. A host name is looked up only where the configuration needs its
 * address.
 * @throws the reason of `stop`
 */
export async function readConfigInput({ env, args, stop }: CommandInput): Promise<ConfigInput> {
  const files = new Map<string, FileContent>();
  const readFile = (path: string): FileContent => {
    const known = files.get(path) ?? readText(path);
    files.set(path, known);
    return known;
  };
  const { values: flags } = parseProxyFlags(args);
  const meshText = textOf(readFile(flags.meshConfig));
  const texts = [meshText, env["PROXY_CONFIG"] ?? "", annotationConfig(readFile)];
  const override = env["ISTIO_BOOTSTRAP_OVERRIDE"] ?? "";
  const all = override === "" ? texts : [...texts, textOf(readFile(override))];
  const readsCustom = texts.some((text) => /custom_?config_?file/i.test(text));
  const parseDocument = readsCustom || all.some(needsYaml) ? await loadYamlParser() : parseJsonDocument;
  const system = await readSystemFacts(env, hostsToResolve(texts, parseDocument), stop);
  const checkMeshFile = meshText.trim() === "" ? () => undefined : await loadMeshFileCheck();
  return { env, args, readFile, parseDocument, checkMeshFile, system };
}

/** Most pods have no mesh file, and the checks would delay Envoy's start. */
export async function loadMeshFileCheck(): Promise<MeshFileCheck> {
  return (await import("../proxy-config/mesh-file-checks.ts")).checkMeshFile;
}

function readText(path: string): FileContent {
  try {
    return { kind: "text", text: readTextFileSync(path) };
  } catch (error) {
    const code = systemCode(error);
    if (code === "ENOENT" || code === "ENOTDIR") return { kind: "absent" };
    if (error instanceof UnusableFileError) return { kind: "unreadable", problem: error.problem };
    return {
      kind: "unreadable",
      problem: `cannot be read (${code ?? "unknown reason"}); it must be a file that this user may read`,
    };
  }
}

function textOf(file: FileContent): string {
  return file.kind === "text" ? file.text : "";
}

function annotationConfig(readFile: (path: string) => FileContent): string {
  const text = textOf(readFile(places.annotations));
  return text === "" ? "" : (parseDownwardApi(text, places.annotations, new Findings()).get(configAnnotation) ?? "");
}

/** Only the statsd address must be resolved before Envoy starts. The source with the highest precedence counts. */
function hostsToResolve(texts: readonly string[], parse: DocumentParser): readonly string[] {
  for (const text of [...texts].reverse()) {
    if (!/statsd_?udp_?address/i.test(text)) continue;
    const config = proxyConfigIn(tryParse(text, parse));
    const address = config?.["statsdUdpAddress"] ?? config?.["statsd_udp_address"];
    const parsed = typeof address === "string" ? parseHostPort(address) : "";
    if (typeof parsed !== "string") return ipFamily(parsed.host) === 0 ? [parsed.host] : [];
  }
  return [];
}

function tryParse(text: string, parse: DocumentParser): JsonValue | undefined {
  try {
    return parse(text);
  } catch {
    return undefined;
  }
}

async function readSystemFacts(
  env: Readonly<Record<string, string>>,
  hosts: readonly string[],
  stop: AbortSignal | undefined,
): Promise<SystemFacts> {
  const workloadSocket = `${places.workloadSockets}/${env["WORKLOAD_IDENTITY_SOCKET_FILE"] ?? "socket"}`;
  return {
    directory: process.cwd(),
    interfaces: readInterfaces(),
    cpuCount: availableParallelism(),
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    istioVersion,
    servedSockets: await readServedSockets(env, workloadSocket, stop),
    resolvedHosts: await resolveHosts(hosts, stop),
    searchDomains: env["GCP_METADATA"] === undefined ? [] : readSearchDomains(),
  };
}

/** Waits for a socket that another process must serve; checks other sockets once. */
async function readServedSockets(
  env: Readonly<Record<string, string>>,
  path: string,
  stop: AbortSignal | undefined,
): Promise<ReadonlySet<string>> {
  const required = env["ATTACHE_SDS_SOURCE"] === "foreign";
  const given = parseGoDuration(env["ATTACHE_FOREIGN_SDS_WAIT"] ?? "");
  const waitMs = given ?? (required ? requiredSocketWaitMs : 0);
  if (waitMs > 0 && (required || given !== undefined)) await untilServed(path, waitMs, stop);
  const isOwn = env["ATTACHE_SDS_SOURCE"] === "own";
  return await servedSockets(isOwn ? [places.credentialSocket] : [path, places.credentialSocket]);
}

/** The interfaces that are up, in the order of their index. */
function readInterfaces(): readonly NetworkInterface[] {
  const interfaces = Object.entries(networkInterfaces()).map(([name, entries = []]) => ({
    name,
    loopback: entries.every(({ internal }) => internal),
    addresses: entries.map(({ address }) => address),
  }));
  const indexes = interfaces.length > 2 ? readInterfaceIndexes() : new Map<string, number>();
  return interfaces.toSorted((a, b) => (indexes.get(a.name) ?? 0) - (indexes.get(b.name) ?? 0));
}

/** From the kernel's tables of this process's network namespace. Those below /sys may belong to another one. */
function readInterfaceIndexes(): ReadonlyMap<string, number> {
  const indexes = new Map<string, number>();
  for (const line of textOf(readText("/proc/net/if_inet6")).split("\n")) {
    const [, index, , , , name] = line.split(/ +/);
    if (name !== undefined && index !== undefined) indexes.set(name, Number.parseInt(index, 16));
  }
  for (const [, index, name] of textOf(readText("/proc/net/igmp")).matchAll(/^(\d+)\s+(\S+?)\s*:/gm)) {
    if (name !== undefined) indexes.set(name, Number(index));
  }
  return indexes;
}

function readSearchDomains(): readonly string[] {
  const lines = textOf(readText("/etc/resolv.conf")).split("\n");
  return lines.flatMap((line) => {
    const [keyword, ...domains] = line.trim().split(/\s+/);
    return keyword === "search" ? domains : [];
  });
}

const resolveTimeoutMs = 15_000;
const requiredSocketWaitMs = 60_000;

/** IPv4 first. A name that is not resolved in time has no address. */
async function resolveHosts(
  hosts: readonly string[],
  stop: AbortSignal | undefined,
): Promise<ReadonlyMap<string, string | undefined>> {
  if (hosts.length === 0) return new Map();
  const { lookup } = await import("node:dns/promises");
  const { deadline, systemClock } = await import("../../lib/async/clock.ts");
  const { orAborted } = await import("../../lib/async/tasks.ts");
  const entries = hosts.map(async (host): Promise<[string, string | undefined]> => {
    using limit = deadline(systemClock, resolveTimeoutMs, stop);
    const found = lookup(host, { order: "ipv4first" });
    return [
      host,
      await orAborted(found, limit.signal).then(
        ({ address }) => address,
        () => undefined,
      ),
    ];
  });
  return new Map(await Promise.all(entries));
}
