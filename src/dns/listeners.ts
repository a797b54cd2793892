// SPDX-License-Identifier: Apache-2.0
import { createSocket } from "node:dgram";
import { createServer, type Socket } from "node:net";
import type { Budget } from "../lib/budget.ts";
import type { Clock } from "../lib/async/clock.ts";
import { AgentError, systemCode } from "../lib/errors.ts";
import { exitCode } from "../lib/exit-code.ts";
import { formatHostPort } from "../lib/net/host-port.ts";
import { ipFamily } from "../lib/net/ip-address.ts";
import { readPortHolder } from "../lib/net/socket-table.ts";
import type { Budgets } from "../model/limits.ts";
import { type DnsConnection, DnsConnections } from "./connections.ts";
import type { DnsAddress } from "./dns-config.ts";
import type { Transport } from "./exchange.ts";
import { frame, unframe } from "./message.ts";
import type { HandleQuery } from "./query-handler.ts";

/** The DNS proxy cannot listen, so captured names would not resolve. Fatal. */
export class DnsPortError extends AgentError {
  readonly code = "AGENT_DNS_PORT";
  override readonly exitCode = exitCode.unavailable;
  readonly address: DnsAddress;
  /** The process that has the port, as far as this user may see it. */
  readonly holder: string | undefined;
  constructor(transport: Transport, address: DnsAddress, holder: string | undefined, cause: unknown) {
    const where = `${formatHostPort(address)} (${transport})`;
    const why =
      systemCode(cause) === "EADDRINUSE"
        ? `${holder ?? "another process"} already listens there; stop it, or set DNS_PROXY_ADDR`
        : "the port cannot be opened; set DNS_PROXY_ADDR to an address and port that this user may open";
    super(`listen for DNS on ${where}: ${why}`, { cause });
    this.address = address;
    this.holder = holder;
  }
}

async function portError(transport: Transport, address: DnsAddress, cause: unknown): Promise<DnsPortError> {
  const isTaken = systemCode(cause) === "EADDRINUSE";
  return new DnsPortError(
    transport,
    address,
    isTaken ? await readPortHolder(address.port, transport) : undefined,
    cause,
  );
}

export interface ListenDeps {
  readonly budgets: Budgets;
  readonly clock: Pick<Clock, "monotonicMs">;
  /** Takes the error of a socket that fails later. */
  readonly fail: (error: unknown) => void;
}

interface TcpDeps extends ListenDeps {
  readonly connections: DnsConnections;
}

/**
 * Listens over UDP and TCP on each host.
 * @throws DnsPortError
 */
export async function listenDns(
  hosts: readonly string[],
  port: number,
  handle: HandleQuery,
  deps: ListenDeps,
): Promise<AsyncDisposable> {
  const connections = new DnsConnections(deps.budgets);
  await using stack = new AsyncDisposableStack();
  for (const host of hosts) {
    stack.use(await listenUdp({ host, port }, handle, deps));
    stack.use(await listenTcp({ host, port }, handle, { ...deps, connections }));
  }
  return stack.move();
}

async function listenUdp(address: DnsAddress, handle: HandleQuery, { fail }: ListenDeps): Promise<AsyncDisposable> {
  const isV6 = ipFamily(address.host) === 6;
  const socket = createSocket({ type: isV6 ? "udp6" : "udp4", ipv6Only: isV6 && address.host !== "::" });
  let isOpen = true;
  socket.on("message", (message, { address: host, port }) => {
    void handle(message, { transport: "udp", port }).then((response) => {
      // A client that is gone gets no response; port 0 cannot be sent to.
      if (response !== undefined && isOpen && port !== 0) socket.send(response, port, host, () => undefined);
    });
  });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.bind(address.port, address.host, () => {
        socket.removeListener("error", reject);
        resolve();
      });
    });
  } catch (error) {
    socket.close();
    throw await portError("udp", address, error);
  }
  socket.on("error", fail);
  return {
    [Symbol.asyncDispose]: async () => {
      if (!isOpen) return;
      isOpen = false;
      await new Promise<void>((resolve) => socket.close(resolve));
    },
  };
}

async function listenTcp(
  address: DnsAddress,
  handle: HandleQuery,
  { budgets, clock, connections, fail }: TcpDeps,
): Promise<AsyncDisposable> {
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => undefined);
    const connection = connections.add(socket);
    if (connection === undefined) return;
    open.add(socket);
    socket.on("close", () => open.delete(socket));
    serveConnection(connection, handle, { budgets, clock });
  });
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host: address.host, port: address.port, ipv6Only: address.host !== "::" }, () => {
        server.removeListener("error", reject);
        resolve();
      });
    });
  } catch (error) {
    throw await portError("tcp", address, error);
  }
  server.on("error", fail);
  return {
    [Symbol.asyncDispose]: async () => {
      for (const socket of open) socket.destroy();
      if (server.listening) await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Source: Istio's agent, observed */
const firstQueryMs = 2_000;
const idleMs = 8_000;
const queriesPerConnection = 128;

/**
 * Responds to the queries of one TCP connection, to each as soon as its response is there. A query must be complete
 * within the time for it: single bytes do not extend it.
 */
function serveConnection(
  { socket, queries, touch }: DnsConnection,
  handle: HandleQuery,
  { budgets, clock }: Pick<ListenDeps, "budgets" | "clock">,
): void {
  let waitingSinceMs = clock.monotonicMs();
  closeWhenIdle(socket, queries);
  const unreadFits = countUnread(socket, budgets.of("dns-unread-bytes-of-connection").child());
  let received: Buffer = Buffer.alloc(0);
  let taken = 0;
  let isEnding = false;
  const takeNext = (): void => {
    let isFull = false;
    while (taken < queriesPerConnection) {
      const framed = unframe(received);
      if (framed === undefined) break;
      isFull = !queries.tryTake();
      if (isFull) break;
      received = framed.rest;
      taken++;
      touch();
      waitingSinceMs = clock.monotonicMs();
      void respond(framed.message);
    }
    if (taken >= queriesPerConnection) isEnding = true;
    if (isEnding && queries.used === 0) socket.end();
    else if (isFull) socket.pause();
    else socket.resume();
  };
  const respond = async (message: Buffer): Promise<void> => {
    const response = await handle(message, { transport: "tcp", port: socket.remotePort ?? 0 });
    queries.release();
    if (socket.destroyed) return;
    if (response !== undefined) socket.write(frame(response));
    if (unreadFits()) takeNext();
    else socket.destroy();
  };
  socket.on("data", (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    socket.setTimeout(idleMs);
    takeNext();
    const limitMs = taken === 0 ? firstQueryMs : idleMs;
    if (queries.used === 0 && clock.monotonicMs() - waitingSinceMs > limitMs) socket.destroy();
  });
  socket.on("end", () => {
    isEnding = true;
    takeNext();
  });
}

/** Counts what the client has not read. @returns a function that says whether it fits, for after each write */
function countUnread(socket: Socket, budget: Budget): () => boolean {
  const count = (): boolean => {
    budget.release(budget.used);
    return budget.charge(socket.writableLength);
  };
  socket.on("drain", count);
  socket.on("close", () => {
    budget[Symbol.dispose]();
  });
  return count;
}

/** Closes a connection without queries. */
function closeWhenIdle(socket: Socket, queries: Budget): void {
  socket.setTimeout(firstQueryMs);
  socket.on("timeout", () => {
    if (queries.used === 0 || socket.writableLength > 0) socket.destroy();
  });
}
