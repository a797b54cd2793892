// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { createServer, type Server } from "node:net";

/**
 * Below what the system gives to connections and to listeners on port 0 (32768 on), so that none of them takes a port
 * between its finding and its use. Source: ip(7), ip_local_port_range
 */
const range = { first: 20_000, last: 32_767 } as const;
const portsOfRun = 1_000;
const mostWorkers = 4;
const variable = "ATTACHE_TEST_PORTS";

/** A part of the range that no other run on this machine uses. Disposing it gives it back. */
export async function claimPorts(): Promise<AsyncDisposable> {
  for (let first = range.first; first + portsOfRun - 1 <= range.last; first += portsOfRun) {
    const holder = await listen(first);
    if (holder === undefined) continue;
    process.env[variable] = String(first);
    return { [Symbol.asyncDispose]: () => close(holder) };
  }
  throw new Error("too many runs of the tests on this machine at the same time");
}

let next: number | undefined;

/** Ports that nobody listens on, for what must know its port before it listens; no other test file gets the same. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const { first, size } = ownPorts();
  next ??= Math.floor(Math.random() * size);
  const found: number[] = [];
  for (let tried = 0; found.length < count && tried < size; tried++) {
    const port = first + (next++ % size);
    const server = await listen(port);
    if (server === undefined) continue;
    await close(server);
    found.push(port);
  }
  if (found.length < count) throw new Error(`no port is free from ${String(first)} to ${String(first + size - 1)}`);
  return found;
}

/** Each worker of a run has its own; outside of one, as in measurements, all of the range may be used. */
function ownPorts(): { readonly first: number; readonly size: number } {
  const run = process.env[variable];
  if (run === undefined) return { first: range.first, size: range.last - range.first + 1 };
  const size = Math.floor((portsOfRun - 1) / mostWorkers);
  const worker = Number(process.env["VITEST_POOL_ID"] ?? 0) % mostWorkers;
  return { first: Number(run) + 1 + worker * size, size };
}

/** On all addresses of both families; undefined when the port is taken on one of them. */
async function listen(port: number): Promise<Server | undefined> {
  const server = createServer().listen(port);
  try {
    await once(server, "listening");
    return server;
  } catch {
    return undefined;
  }
}

async function close(server: Server): Promise<void> {
  await new Promise((resolve) => server.close(resolve));
}
