// SPDX-License-Identifier: Apache-2.0
import { connect, createServer, type Server, type Socket } from "node:net";
import { describeError } from "../../lib/errors.ts";
import { originalDestination } from "../../lib/net/original-destination.ts";
import type { IpFamily } from "../options.ts";
import type { Caller, Probe } from "./probes.ts";

const loopback: Readonly<Record<IpFamily, string>> = { ipv4: "127.0.0.1", ipv6: "::1" };

/** A listener on one of Envoy's ports, where redirected connections arrive. */
export interface Arrivals extends AsyncDisposable {
  /** Waits for the connection from a port; aborts with the signal. */
  readonly untilFrom: (port: number, signal: AbortSignal) => Promise<Socket>;
}

/**
 * Listens where a redirected connection arrives, on loopback. The port is not shared with an Envoy of the same user: its
 * connections would come here.
 * @throws the system's error: something else has the port
 */
export async function listenArrivals(family: IpFamily, port: number): Promise<Arrivals> {
  const arrived = new Map<number, Socket>();
  const waiting = new Map<number, (socket: Socket) => void>();
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    const from = socket.remotePort ?? 0;
    arrived.set(from, socket);
    waiting.get(from)?.(socket);
  });
  await listen(server, family, port);
  return {
    untilFrom: (from, signal) =>
      new Promise((resolve, reject) => {
        const socket = arrived.get(from);
        if (socket !== undefined) resolve(socket);
        waiting.set(from, resolve);
        signal.addEventListener("abort", () => reject(new Error("it did not arrive")), { once: true });
      }),
    [Symbol.asyncDispose]: async () => {
      for (const socket of arrived.values()) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function listen(server: Server, family: IpFamily, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: loopback[family], port }, resolve);
  });
}

/** A test connection on its way. */
export interface Attempt {
  /** Undefined if it was captured, with the destination that Envoy needs; else what happened instead. */
  readonly outcome: Promise<string | undefined>;
}

/**
 * Makes one test connection. Make the next one when this promise has resolved: the process acts as the probe's user till
 * then, because the system looks at the user when it makes the socket.
 * @param signal aborts when the attempt has taken too long
 */
export async function startAttempt(probe: Probe, arrivals: Arrivals, signal: AbortSignal): Promise<Attempt> {
  const { packet, kind } = probe;
  const back = become(packet);
  const client = connect({
    host: packet.destination,
    port: packet.port,
    ...(kind === "inbound" ? { localAddress: packet.source } : {}),
  });
  const connected = new Promise<string | undefined>((resolve) => {
    signal.addEventListener("abort", () => resolve("there is no answer"), { once: true });
    client.once("connect", () => resolve(undefined));
    client.on("error", (error) => resolve(describeError(error)));
  });
  // the socket exists from the next tick on
  await new Promise((resolve) => setImmediate(resolve));
  back();
  const outcome = connected
    .then((problem) => problem ?? arrivalOf(probe, arrivals, client.localPort ?? 0, signal))
    .finally(() => client.destroy());
  return { outcome };
}

async function arrivalOf(
  { packet }: Probe,
  arrivals: Arrivals,
  from: number,
  signal: AbortSignal,
): Promise<string | undefined> {
  const socket = await arrivals.untilFrom(from, signal).catch(() => undefined);
  if (socket === undefined) return "another process accepted the connection";
  const found = originalDestination(socket);
  if (found === undefined || (found.port === packet.port && found.address === packet.destination)) return undefined;
  return `its original destination is ${found.address} port ${String(found.port)}`;
}

/** @returns what becomes the process' own user and group again */
function become({ uid, gid }: Caller): () => void {
  const own = { uid: process.geteuid?.() ?? uid, gid: process.getegid?.() ?? gid };
  if (own.uid === uid && own.gid === gid) return () => undefined;
  const back = (): void => {
    process.seteuid?.(own.uid);
    process.setegid?.(own.gid);
  };
  try {
    process.setegid?.(gid);
    process.seteuid?.(uid);
    return back;
  } catch (error) {
    back();
    throw error;
  }
}

/** Whether this process may make connections as a user and group. */
export function mayBecome(caller: Caller): boolean {
  try {
    become(caller)();
    return true;
  } catch {
    return false;
  }
}
