// SPDX-License-Identifier: Apache-2.0
import { connect, createServer, type Server, type Socket } from "node:net";
import { type Clock, deadline } from "../../lib/async/clock.ts";
import { systemCode } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log/log.ts";
import { InterceptionError } from "../interception-error.ts";

/**
 * An abstract Unix socket. As the rules it belongs to the network namespace, whatever container or mount namespace a run
 * is in; it needs no file, and ends with the process that listens on it, however that ends.
 */
const lockName = "\0attache-istio-iptables";
const longestWaitMs = 60_000;
/** Between two attempts, against a holder that does not keep connections. */
const pauseMs = 20;

export interface LockDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly stop: AbortSignal;
}

export interface RulesLock extends AsyncDisposable {
  /** @throws InterceptionError if the other run does not end */
  readonly held: Promise<void>;
}

/**
 * From `held` on no other run changes the rules of this network namespace: what one run reads must still be there when
 * it writes, and what it takes back must be its own.
 * @param stop ends the wait for another run
 */
export function lockRules(deps: LockDeps): RulesLock {
  const released = new AbortController();
  const acquired = acquire(deps, released.signal);
  return {
    held: acquired.then(() => undefined),
    [Symbol.asyncDispose]: async () => {
      released.abort();
      const lock = await acquired.catch(() => undefined);
      await lock?.[Symbol.asyncDispose]();
    },
  };
}

async function acquire(deps: LockDeps, released: AbortSignal): Promise<AsyncDisposable> {
  const first = await listen();
  const server = first === "taken" ? await waitForOther(deps, released) : first;
  return server ?? withoutLock(deps.log);
}

async function waitForOther(
  { clock, log, stop }: LockDeps,
  released: AbortSignal,
): Promise<AsyncDisposable | undefined> {
  log.info("another run changes the rules of this network namespace: waiting for its end");
  using limit = deadline(clock, longestWaitMs, stop, released);
  for (;;) {
    await untilReleased(limit.signal);
    if (limit.signal.aborted) {
      throw new InterceptionError("wait for another run in this network namespace to end", {
        cause: limit.signal.reason,
      });
    }
    await clock.delay(pauseMs);
    const server = await listen();
    if (server !== "taken") return server;
  }
}

function withoutLock(log: Logger): AsyncDisposable {
  log.warn("another run at the same time is not noticed: there are no abstract sockets here");
  return { [Symbol.asyncDispose]: () => Promise.resolve() };
}

/** @returns undefined if the system has no such sockets, or does not allow them */
async function listen(): Promise<AsyncDisposable | "taken" | undefined> {
  const waiting = new Set<Socket>();
  const server: Server = createServer((socket) => {
    waiting.add(socket.on("error", () => undefined));
  });
  return await new Promise((resolve) => {
    server.once("error", (error) => {
      resolve(systemCode(error) === "EADDRINUSE" ? "taken" : undefined);
    });
    server.listen(lockName, () => {
      resolve({
        [Symbol.asyncDispose]: async () => {
          const closed = new Promise((done) => server.close(done));
          for (const socket of waiting) socket.destroy();
          await closed;
        },
      });
    });
  });
}

/** Ends when the holder has gone, or on abort. */
async function untilReleased(signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const socket = connect(lockName);
    const end = (): void => {
      socket.destroy();
    };
    signal.addEventListener("abort", end, { once: true });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      signal.removeEventListener("abort", end);
      resolve();
    });
    socket.resume();
  });
}
