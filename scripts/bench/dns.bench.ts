// SPDX-License-Identifier: Apache-2.0
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import { typeUrls } from "../../src/xds/protocol/type-url.ts";
import { dnsEnvironment } from "../../test/support/dns-environment.ts";
import { kubernetes, nameTableResource } from "../../test/support/name-tables.ts";
import { startBackends, startBenchPod } from "./bench-pod.ts";
import { asAgent, startProgram } from "./child-program.ts";
import type { Comparison } from "./comparison.ts";
import { addressOf, resolver as resolverAddress, services } from "./dns-names.ts";
import { assertLoad } from "./load-assertion.ts";
import { findPeer, type Peer } from "./peer.ts";
import { processorMs } from "./processes.ts";
import { type Readings, type RowSpec, runInRounds } from "./rounds.ts";

export const name = "dns";

const rounds = 3;
const seconds = 1;
/** Queries that wait for their responses at a time. Agents limit those that wait for a resolver. */
const counts = [1, 32] as const;
const kinds = ["names", "forwarded"] as const;
const labels = { names: "name of the mesh", forwarded: "forwarded name" } as const;
/** After the start's clean-up. */
const settleMs = 5_000;
/** Of one query at a time. */
const leastPerSecond = 300;
const execute = promisify(execFile);

type Kind = (typeof kinds)[number];

/** Where each kind of query goes. */
interface Server {
  readonly pid: number;
  readonly ports: Readonly<Record<Kind, number>>;
}

/**
 * Queries over UDP to a pod's DNS proxy for 1,000 services of the control plane's name table, and for names that it forwards
 * to a resolver, each another one; beside two servers of `node:dgram`, and the peer. Asserts that no query is lost, that
 * each response has its question and address, and that the resolver has seen what was forwarded. Forwarding needs root:
 * agents send to port 53, and the peer reads no other file than /etc/resolv.conf.
 */
export async function run(): Promise<readonly Comparison[]> {
  await using stack = new AsyncDisposableStack();
  const isRoot = process.getuid?.() === 0;
  if (!isRoot) process.stdout.write("dns: forwarded names SKIPPED, they need root\n");
  const resolver = isRoot ? stack.use(await startServer("resolver")) : undefined;
  const reference = stack.use(await startServer());
  const [names = 0, forwarded = 0] = reference.sent;
  const attache = await startAgent(stack, undefined);
  const peer = findPeer();
  const other = peer === undefined ? undefined : await startAgent(stack, peer);
  await pause(settleMs);
  const subject = (server: Server) => () => measure(server, resolver);
  return await runInRounds({
    rounds,
    subjects: {
      attache: subject(attache),
      reference: subject({ pid: reference.pid, ports: { names, forwarded } }),
      peer: other && subject(other),
    },
    rows: rows(resolver === undefined ? ["names"] : kinds),
  });
}

function rows(measured: readonly Kind[]): Readonly<Record<string, RowSpec>> {
  const specs: Record<string, RowSpec> = {};
  for (const kind of measured) {
    for (const count of counts) {
      const of = `${labels[kind]}, ${String(count)} at a time`;
      specs[`qps ${kind} ${String(count)}`] = { name: `${of}: queries a second`, unit: "1/s" };
      specs[`cpu ${kind} ${String(count)}`] = { name: `${of}: processor time per query`, unit: "us" };
    }
  }
  return specs;
}

async function startAgent(stack: AsyncDisposableStack, peer: Peer | undefined): Promise<Server> {
  const backends = stack.use(await startBackends());
  const table = Array.from({ length: services }, (_, index) =>
    kubernetes(`s${String(index)}`, "ns", [addressOf(index)]),
  );
  backends.controlPlane.set(typeUrls.nameTable, [nameTableResource(table)]);
  const env = await dnsEnvironment();
  const pod = stack.use(
    await startBenchPod({
      backends,
      peer,
      env: { ...env, ATTACHE_RESOLV_CONF: "resolv.conf" },
      launcher: peer === undefined || process.getuid?.() !== 0 ? [] : withOwnResolvConf,
      prepare: ({ directory }) => {
        writeFileSync(join(directory, "resolv.conf"), `nameserver ${resolverAddress.host}\n`);
      },
    }),
  );
  await pod.untilReady();
  const port = Number(env.DNS_PROXY_ADDR.split(":")[1]);
  return { pid: pod.pid, ports: { names: port, forwarded: port } };
}

/** In the pod's directory. */
const withOwnResolvConf = [
  ...["unshare", "--mount", "sh", "-c"],
  ...['mount --bind resolv.conf /etc/resolv.conf && exec "$@"', "sh"],
];

async function measure({ pid, ports }: Server, resolver: Program | undefined): Promise<Readings> {
  const readings: Record<string, number> = {};
  for (const kind of resolver === undefined ? (["names"] as const) : kinds) {
    for (const count of counts) {
      const seenBefore = (await resolver?.seen()) ?? 0;
      const beforeMs = processorMs(pid);
      const args = [String(ports[kind]), kind, String(count), String(seconds)];
      const { stdout } = await execute(process.execPath, [join(import.meta.dirname, "dns-load-program.ts"), ...args]);
      const cpuMs = processorMs(pid) - beforeMs;
      const { right, wrong, lost, perSecond } = JSON.parse(stdout) as Readonly<
        Record<"right" | "wrong" | "lost" | "perSecond", number>
      >;
      const of = `${labels[kind]}, ${String(count)} at a time`;
      assertLoad(`right responses, ${of}`, right, right + wrong + lost, 1);
      assertLoad(`right responses a second, ${of}`, right / seconds, leastPerSecond);
      if (kind === "forwarded") {
        assertLoad("queries that the resolver has seen", ((await resolver?.seen()) ?? 0) - seenBefore, right, 1);
      }
      readings[`qps ${kind} ${String(count)}`] = perSecond;
      readings[`cpu ${kind} ${String(count)}`] = (cpuMs * 1_000) / right;
    }
  }
  return readings;
}

interface Program extends AsyncDisposable {
  readonly pid: number;
  readonly sent: readonly number[];
  /** Queries so far. */
  seen(): Promise<number>;
}

async function startServer(...args: readonly string[]): Promise<Program> {
  const server = await startProgram(join(import.meta.dirname, "dns-reference-program.ts"), args, asAgent);
  return {
    pid: server.pid,
    sent: server.first as readonly number[],
    seen: async () => (await server.ask("seen")) as number,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
