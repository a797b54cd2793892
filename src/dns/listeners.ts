// SPDX-License-Identifier: Apache-2.0
import { createSocket } from "node:dgram";
import { createServer, type Socket } from "node:net";
import type { Budget } from "../lib/budget.ts";
import type { Clock } from "../lib/async/clock.ts";
import { TurnQueue } from "../lib/async/turn-queue.ts";
import { AgentError, systemCode } from "../lib/errors.ts";
import { exitCode } from "../lib/exit-code.ts";
import { formatHostPort } from "../lib/net/host-port.ts";
import { ipFamily, isLoopbackAddress } from "../lib/net/ip-address.ts";
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
  /** In each turn of the event loop, the queries that one connection has received are handled. */
  readonly turns: TurnQueue;
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
  const turns = new TurnQueue();
  await using stack = new AsyncDisposableStack();
  for (const host of hosts) {
    stack.use(await listenUdp({ host, port }, handle, deps));
    stack.use(await listenTcp({ host, port }, handle, { ...deps, connections, turns }));
  }
  return stack.move();
}

async function listenUdp(address: DnsAddress, handle: HandleQuery, { fail }: ListenDeps): Promise<AsyncDisposable> {
  const isV6 = ipFamily(address.host) === 6;
  const socket = createSocket({ type: isV6 ? "udp6" : "udp4", ipv6Only: isV6 && address.host !== "::" });
  let isOpen = true;
  socket.on("message", (message, { address: host, port }) => {
    void handle(message, { transport: "udp", port, isLoopback: isLoopbackAddress(host) }).then((response) => {
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
  { budgets, clock, connections, turns, fail }: TcpDeps,
): Promise<AsyncDisposable> {
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => undefined);
    const connection = connections.add(socket);
    if (connection === undefined) return;
    open.add(socket);
    socket.on("close", () => open.delete(socket));
    const { isLoopback } = connection;
    const client = { transport: "tcp", port: socket.remotePort ?? 0, isLoopback } as const;
    serveConnection(connection, (message) => handle(message, client), { budgets, clock, turns });
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
  connection: DnsConnection,
  handle: (message: Buffer) => ReturnType<HandleQuery>,
  { budgets, clock, turns }: Pick<TcpDeps, "budgets" | "clock" | "turns">,
): void {
  const { socket, queries } = connection;
  closeWhenIdle(socket, queries);
  let waitingSinceMs = clock.monotonicMs();
  const unreadFits = countUnread(socket, budgets.of("dns-unread-bytes-of-connection").child());
  let received: Buffer = Buffer.alloc(0);
  let [taken, isEnding] = [0, false];
  const takeNext = (): void => {
    const { messages, rest, isFull } = takeMessages(received, queries, queriesPerConnection - taken);
    taken += messages.length;
    // nothing of what follows the last one is read
    isEnding ||= taken >= queriesPerConnection;
    received = taken < queriesPerConnection ? rest : Buffer.alloc(0);
    for (const message of messages) {
      connection.touch();
      waitingSinceMs = clock.monotonicMs();
      void respond(message);
    }
    if (isEnding && queries.used === 0) endConnection(socket);
    else if (isFull || isEnding) socket.pause();
    else socket.resume();
  };
  const takeNextInTurn = inTurn(turns, () => {
    if (!socket.destroyed) takeNext();
  });
  const respond = async (message: Buffer): Promise<void> => {
    const response = await handle(message);
    queries.release();
    if (socket.destroyed) return;
    if (response !== undefined) socket.write(frame(response));
    if (unreadFits()) await takeNextInTurn();
    else socket.destroy();
  };
  socket.on("data", (chunk: Buffer) => {
    if (isEnding) return;
    if (received.length === 0) received = chunk;
    else received = Buffer.concat([received, chunk]);
    socket.setTimeout(idleMs);
    takeNext();
    const waitedMs = queries.used > 0 ? 0 : clock.monotonicMs() - waitingSinceMs;
    if (waitedMs > (taken === 0 ? firstQueryMs : idleMs)) socket.destroy();
  });
  socket.on("end", () => {
    isEnding = true;
    takeNext();
  });
}

/** The complete messages in received bytes, as many as may be handled at once, at most `most`. */
function takeMessages(received: Buffer, queries: Budget, most: number) {
  const messages: Buffer[] = [];
  let rest = received;
  let isFull = false;
  while (messages.length < most) {
    const framed = unframe(rest);
    if (framed === undefined) break;
    isFull = !queries.tryTake();
    if (isFull) break;
    rest = framed.rest;
    messages.push(framed.message);
  }
  return { messages, rest, isFull };
}

/** Many queries of one read must not block the event loop: `run` is called in its turn, for all calls until then. */
function inTurn(turns: Pick<TurnQueue, "turn">, run: () => void): () => Promise<void> {
  let isScheduled = false;
  return async () => {
    if (isScheduled) return;
    isScheduled = true;
    await turns.turn("");
    isScheduled = false;
    run();
  };
}

function endConnection(socket: Socket): void {
  socket.end();
  // for a client that does not close its side
  socket.setTimeout(firstQueryMs);
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
