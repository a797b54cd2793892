// SPDX-License-Identifier: Apache-2.0
import type { IncomingMessage, RequestListener, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Clock } from "../lib/async/clock.ts";
import { loopbackPeer } from "../lib/async/fair-slots.ts";
import type { TurnQueue } from "../lib/async/turn-queue.ts";
import type { Budget } from "../lib/budget.ts";
import type { Budgets } from "../model/limits.ts";
import { sendReply, textReply } from "./call.ts";
import type { ResponseLimits } from "./response-limits.ts";
import { peerOf } from "./local-caller.ts";
import { stopParsing } from "./stop-parsing.ts";

interface Connection {
  readonly socket: Socket;
  readonly peer: string;
  /** Its place among all connections. */
  readonly place: Budget;
  /** For the requests that wait until the one before them has its response. */
  readonly places: Budget;
  readonly waiting: (readonly [IncomingMessage, ServerResponse])[];
  /** Of the request that is being handled; undefined while the connection is idle. */
  busySinceMs: number | undefined;
  /** Of its last change between idle and busy, among those of all connections. */
  change: number;
  /** Called when a response was sent, or cut off. */
  readonly responded: () => void;
}

/** From a request to the last byte of its response, however it is read. Above the time that a scrape may take. */
const longestRequestMs = 90_000;
/** A caller on loopback may wait for readiness for 300 s. */
const longestLocalRequestMs = 360_000;
const checkEveryMs = 1_000;
/** Each connection that comes while memory is short costs the others at most so many, in one turn of the event loop. */
const closedAtOnce = 8;
/** Of the connections, those on loopback may take this share. */
const loopbackShare = 3 / 4;

interface ConnectionsDeps {
  readonly budgets: Budgets;
  readonly limits: ResponseLimits;
  readonly clock: Clock;
  /** Whether a request is a probe: it is served while memory is short. */
  readonly isProbe: (request: IncomingMessage) => boolean;
  /** Work for callers, which waits while there are connections to be accepted. */
  readonly turns: Pick<TurnQueue, "delay">;
}

/**
 * The connections of the status port. When there are too many, the peer with the most gives way: its longest idle
 * connection is closed, or its oldest. Those on loopback give way to each other only. The requests of a connection are
 * handled one after another, and none is read while one waits.
 */
export class Connections implements Disposable {
  readonly #budgets: Budgets;
  readonly #limits: ResponseLimits;
  readonly #clock: Clock;
  readonly #isProbe: (request: IncomingMessage) => boolean;
  readonly #turns: Pick<TurnQueue, "delay">;
  readonly #peers = new Map<string, Set<Connection>>();
  readonly #connections = new Map<Socket, Connection>();
  readonly #stop = new AbortController();
  #isChecking = false;
  #changes = 0;
  #handle: RequestListener = () => undefined;

  constructor({ budgets, limits, clock, isProbe, turns }: ConnectionsDeps) {
    this.#turns = turns;
    this.#isProbe = isProbe;
    this.#limits = limits;
    this.#budgets = budgets;
    this.#clock = clock;
  }

  watch(server: Server, handle: RequestListener): void {
    this.#handle = handle;
    server.on("connection", (socket) => {
      this.#open(socket);
    });
    server.on("request", (request, response) => {
      this.#requested(request, response);
    });
    server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
      const connection = [...this.#connections.values()].find((one) => one.socket === socket);
      const response = connection?.busySinceMs === undefined ? this.#rejection(error) : "";
      if (socket.writable && error.code !== "ECONNRESET") socket.end(response, () => socket.destroy());
      else socket.destroy();
    });
  }

  [Symbol.dispose](): void {
    this.#stop.abort(new Error("stopped"));
  }

  #open(socket: Socket): void {
    // one is accepted in each turn of the event loop, and the kubelet's may be the next
    this.#turns.delay();
    const peer = peerOf(socket);
    const ofPeer = this.#peers.get(peer) ?? new Set();
    const budget = this.#budgets.of("status-connections");
    if (peer !== loopbackPeer && this.#budgets.memory.isShort()) this.#closeOthers();
    if (peer === loopbackPeer && ofPeer.size >= budget.size * loopbackShare) {
      budget.admits(budget.size + 1);
      this.#closeOne(ofPeer, true);
    }
    const place = budget.take() ?? this.#makePlace(budget, ofPeer);
    if (place === undefined) {
      socket.destroy();
      return;
    }
    const places = this.#budgets.of("status-requests-waiting-of-connection").child();
    const connection: Connection = {
      socket,
      peer,
      place,
      places,
      waiting: [],
      busySinceMs: undefined,
      change: ++this.#changes,
      responded: () => {
        this.#responded(connection);
      },
    };
    this.#connections.set(socket, connection);
    this.#peers.set(peer, ofPeer.add(connection));
    stopParsing(socket, () => !this.#connections.has(socket));
    socket.once("close", () => {
      this.#forget(connection);
    });
  }

  /** For what Node.js cannot parse, and what does not come in time: as Node.js itself responds, but with the limit. */
  #rejection({ code }: NodeJS.ErrnoException): string {
    const headers = this.#budgets.of("status-header-bytes");
    const isTooLong = code === "HPE_HEADER_OVERFLOW" && !headers.admits(headers.size + 1);
    const other = code === "ERR_HTTP_REQUEST_TIMEOUT" ? "408 Request Timeout" : "400 Bad Request";
    const [status, text] = isTooLong ? ["431 Request Header Fields Too Large", `${headers.text}\n`] : [other, ""];
    const length = String(Buffer.byteLength(text));
    return `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: ${length}\r\n\r\n${text}`;
  }

  /** While memory is short: few connections of other machines are left, so that a probe has its place. */
  #closeOthers(): void {
    const budget = this.#budgets.of("status-probe-connections");
    for (let closed = 0; closed < closedAtOnce; closed++) {
      const others = this.#connections.size - (this.#peers.get(loopbackPeer)?.size ?? 0);
      if (budget.admits(others + 1)) return;
      this.#closeOne(this.#heaviest(), false);
    }
  }

  /** The connections of the peer with the most; those on loopback do not count. */
  #heaviest(): ReadonlySet<Connection> {
    let heaviest: ReadonlySet<Connection> = new Set();
    for (const [peer, all] of this.#peers) if (peer !== loopbackPeer && all.size > heaviest.size) heaviest = all;
    return heaviest;
  }

  #makePlace(budget: Budget, ofPeer: ReadonlySet<Connection>): Budget | undefined {
    const heaviest = this.#heaviest();
    if (heaviest.size > 0) this.#closeOne(heaviest, false);
    else if ([...ofPeer][0]?.peer === loopbackPeer) this.#closeOne(ofPeer, true);
    return budget.take();
  }

  /** @param onlyIdle whether a connection with a request is left alone */
  #closeOne(connections: ReadonlySet<Connection>, onlyIdle: boolean): void {
    let idle: Connection | undefined;
    let busy: Connection | undefined;
    for (const connection of connections) {
      if (connection.busySinceMs === undefined) idle = earlier(connection, idle);
      else busy = earlier(connection, busy);
    }
    const victim = idle ?? (onlyIdle ? undefined : busy);
    if (victim !== undefined) this.#close(victim);
  }

  #close(connection: Connection): void {
    this.#forget(connection);
    connection.socket.destroy();
  }

  #forget(connection: Connection): void {
    const { socket, peer, place, places, waiting } = connection;
    if (!this.#connections.delete(socket)) return;
    const ofPeer = this.#peers.get(peer);
    ofPeer?.delete(connection);
    if (ofPeer?.size === 0) this.#peers.delete(peer);
    waiting.length = 0;
    place[Symbol.dispose]();
    places[Symbol.dispose]();
  }

  #requested(request: IncomingMessage, response: ServerResponse): void {
    const connection = this.#connections.get(request.socket);
    if (connection === undefined) return;
    if (connection.busySinceMs === undefined) {
      this.#serve(connection, request, response);
      return;
    }
    if (!connection.places.tryTake()) {
      this.#close(this.#mostWaiting(connection));
      if (!this.#connections.has(connection.socket) || !connection.places.tryTake()) return;
    }
    connection.waiting.push([request, response]);
    // Node.js resumes the socket once more when the request is complete
    process.nextTick(() => {
      if (connection.waiting.length > 0) connection.socket.pause();
    });
  }

  #mostWaiting(given: Connection): Connection {
    if (given.waiting.length >= this.#budgets.of("status-requests-waiting-of-connection").size) return given;
    let most = given;
    for (const connection of this.#connections.values()) {
      if (connection.waiting.length > most.waiting.length) most = connection;
    }
    return most;
  }

  #serve(connection: Connection, request: IncomingMessage, response: ServerResponse): void {
    this.#setBusy(connection, this.#clock.monotonicMs());
    if (connection.peer === loopbackPeer) this.#turns.delay();
    response.on("close", connection.responded);
    const isRejectable = connection.peer !== loopbackPeer && !this.#isProbe(request);
    if (isRejectable && this.#budgets.memory.isShort()) this.#rejectShort(request, response);
    else if (this.#admits(connection, request, response)) this.#handle(request, response);
  }

  #responded(connection: Connection): void {
    if (!this.#connections.has(connection.socket)) return;
    const next = connection.waiting.shift();
    if (next === undefined) {
      this.#setBusy(connection, undefined);
      return;
    }
    connection.places.release();
    if (connection.waiting.length > 0) connection.socket.pause();
    else connection.socket.resume();
    this.#serve(connection, ...next);
  }

  /** Responds with the limit that memory has reached, and closes the connection. */
  #rejectShort(request: IncomingMessage, response: ServerResponse): void {
    response.shouldKeepAlive = false;
    sendReply({ request, response, limits: this.#limits }, textReply(503, this.#budgets.memory.text));
  }

  #setBusy(connection: Connection, sinceMs: number | undefined): void {
    connection.busySinceMs = sinceMs;
    connection.change = ++this.#changes;
    if (sinceMs !== undefined && !this.#isChecking) void this.#checkTimes();
  }

  /** No route reads a body; one that is sent anyway is read up to a limit, so that the connection can be kept. */
  #admits(connection: Connection, request: IncomingMessage, response: ServerResponse): boolean {
    const headers = this.#budgets.of("status-headers");
    if (!headers.admits(request.rawHeaders.length / 2)) {
      response.shouldKeepAlive = false;
      sendReply({ request, response, limits: this.#limits }, textReply(431, headers.text));
      return false;
    }
    if (request.headers["content-length"] === undefined && request.headers["transfer-encoding"] === undefined)
      return true;
    const body = this.#budgets.of("status-body-bytes");
    let bytes = 0;
    request.on("data", (part: Buffer) => {
      bytes += part.byteLength;
      if (!body.admits(bytes)) this.#close(connection);
    });
    return true;
  }

  /** Closes connections whose request takes too long; runs while there are requests. */
  async #checkTimes(): Promise<void> {
    this.#isChecking = true;
    while (!this.#stop.signal.aborted && [...this.#connections.values()].some(isBusy)) {
      await this.#clock.delay(checkEveryMs, this.#stop.signal).catch(() => undefined);
      const nowMs = this.#clock.monotonicMs();
      for (const connection of [...this.#connections.values()]) {
        const longestMs = connection.peer === loopbackPeer ? longestLocalRequestMs : longestRequestMs;
        if (nowMs - (connection.busySinceMs ?? nowMs) > longestMs) this.#close(connection);
      }
    }
    this.#isChecking = false;
  }
}

function earlier(connection: Connection, other: Connection | undefined): Connection {
  return other === undefined || connection.change < other.change ? connection : other;
}

function isBusy({ busySinceMs }: Connection): boolean {
  return busySinceMs !== undefined;
}
