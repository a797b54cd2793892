// SPDX-License-Identifier: Apache-2.0
import { statSync } from "node:fs";
import { connect } from "node:net";
import { systemClock } from "../../lib/async/clock.ts";

const answerTimeoutMs = 1_000;
const retryMs = 100;

/** HTTP/2's connection preface and an empty SETTINGS frame (RFC 9113 section 3.4). */
const preface = Buffer.from("505249202a20485454502f322e300d0a0d0a534d0d0a0d0a000000040000000000", "hex");

/**
 * Waits until a gRPC server listens at the path, at most `waitMs`.
 * @throws the signal's reason
 */
export async function untilServed(path: string, waitMs: number, signal?: AbortSignal): Promise<boolean> {
  const endMs = systemClock.monotonicMs() + waitMs;
  for (;;) {
    if ((await servedSockets([path])).has(path)) return true;
    if (systemClock.monotonicMs() >= endMs) return false;
    await systemClock.delay(retryMs, signal);
  }
}

/** The paths at which a gRPC server listens. Costs nothing where there is no socket. */
export async function servedSockets(paths: readonly string[]): Promise<ReadonlySet<string>> {
  const present = paths.filter(mayBeSocket);
  const answers = await Promise.all(present.map(async (path) => ((await answersHttp2(path)) ? [path] : [])));
  return new Set(answers.flat());
}

/** Follows links. A path that cannot be examined counts as absent. */
function mayBeSocket(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isFile() === false;
  } catch {
    return false;
  }
}

function answersHttp2(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const end = (served: boolean) => () => {
      socket.destroy();
      resolve(served);
    };
    socket.setTimeout(answerTimeoutMs, end(false));
    socket.once("data", end(true));
    socket.once("error", end(false));
    socket.once("close", end(false));
    socket.write(preface);
  });
}
