// SPDX-License-Identifier: Apache-2.0
import { lstatSync, unlinkSync } from "node:fs";
import { type Server, type Socket, connect, createServer } from "node:net";
import { dirname } from "node:path";
import { AgentError, systemCode } from "../errors.ts";
import { exitCode } from "../exit-code.ts";
import { adviceOnWriteError } from "../fs/write-advice.ts";
import { makeDirectorySync } from "../fs/make-directory.ts";

export interface UnixSocketOptions {
  readonly path: string;
  /** Mode of the socket file, in force before anyone can open it. */
  readonly mode: number;
}

/** A listening socket. Connections wait in order until `serve` is called. */
export interface UnixListener extends AsyncDisposable {
  readonly path: string;
  /** Hands over the connections made so far and every later one. To be called once. */
  serve(onConnection: (socket: Socket) => void): void;
}

/** The path cannot be listened on: another process serves it, or the file system forbids it. */
export class SocketUnavailableError extends AgentError {
  readonly code = "AGENT_SOCKET_UNAVAILABLE";
  override readonly exitCode = exitCode.unavailable;
  readonly path: string;
  readonly taken: boolean;
  constructor(path: string, taken: boolean, cause?: unknown) {
    const why = taken
      ? "a live process already serves there; end it, or give this agent another directory"
      : cause instanceof NoSocketError
        ? "something else than a socket is there; remove it"
        : `the socket cannot be made there; ${adviceOnWriteError(cause)}`;
    super(`listen on ${path}: ${why}`, { cause });
    this.path = path;
    this.taken = taken;
  }
}

class NoSocketError extends Error {}

/**
 * Listens on a Unix socket. A socket file without a live server is replaced; one that a live process serves,
 * or a file of another kind, is left alone and is an error.
 * @throws SocketUnavailableError
 */
export async function listenUnix(options: UnixSocketOptions): Promise<UnixListener> {
  try {
    // who may use the socket may get there
    makeDirectorySync(dirname(options.path), (options.mode & 0o066) === 0 ? 0o700 : 0o711);
    await clearStaleSocket(options.path);
  } catch (error) {
    throw error instanceof SocketUnavailableError ? error : new SocketUnavailableError(options.path, false, error);
  }
  const waiting: Socket[] = [];
  const open = new Set<Socket>();
  let receive = (socket: Socket): void => {
    waiting.push(socket);
  };
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    open.add(socket);
    socket.on("close", () => open.delete(socket));
    socket.on("error", () => undefined);
    receive(socket);
  });
  await bind(server, options);
  return {
    path: options.path,
    serve(onConnection) {
      receive = onConnection;
      for (const socket of waiting.splice(0)) onConnection(socket);
    },
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      if (server.listening) await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** `listen` binds before it returns, so the narrowed umask gives the file its mode from its first moment. */
function bind(server: Server, { path, mode }: UnixSocketOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error) => {
      reject(new SocketUnavailableError(path, systemCode(error) === "EADDRINUSE", error));
    });
    server.once("listening", () => {
      server.removeAllListeners("error");
      server.on("error", () => undefined);
      resolve();
    });
    const before = process.umask(0o777 & ~mode);
    try {
      server.listen(path);
    } finally {
      process.umask(before);
    }
  });
}

async function clearStaleSocket(path: string): Promise<void> {
  const status = lstatSync(path, { throwIfNoEntry: false });
  if (status === undefined) return;
  if (!status.isSocket()) throw new NoSocketError("not a socket");
  if (await isServed(path)) throw new SocketUnavailableError(path, true);
  unlinkSync(path);
}

/** Whether a process accepts connections at the path. */
export function isServed(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", (error) => {
      resolve(systemCode(error) === "EACCES" || systemCode(error) === "EAGAIN");
    });
  });
}
