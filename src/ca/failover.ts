// SPDX-License-Identifier: Apache-2.0
import { describeError } from "../lib/errors.ts";
import { untilAborted } from "../lib/async/tasks.ts";
import type { CaAnswer, CaClient, CaDeps, CaRequest } from "./ca-client.ts";

export interface FailoverMember {
  /** For the log. */
  readonly name: string;
  readonly client: CaClient;
}

interface Member extends FailoverMember {
  /** Since when every try failed; undefined while it works, or before the first try. Monotonic clock. */
  failingSinceMs: number | undefined;
  /** The roots that came with its last answer. */
  rootsPem: string;
}

/**
 * Several CAs as one. Each try goes to the first that is healthy: one that has failed for longer than `switchAfterMs`
 * is passed over in favour of the next, and tried first again after a success elsewhere has used up its turn. The roots
 * of all that ever answered are handed out together, so that peers under either verify while the fleet switches.
 */
export function createFailoverClient(
  members: readonly FailoverMember[],
  switchAfterMs: number,
  deps: CaDeps,
): CaClient {
  return new Failover(members, switchAfterMs, deps);
}

class Failover implements CaClient {
  readonly mayBeAskedTwice = false;
  readonly #members: readonly Member[];
  readonly #switchAfterMs: number;
  readonly #deps: CaDeps;

  constructor(members: readonly FailoverMember[], switchAfterMs: number, deps: CaDeps) {
    this.#members = members.map((member) => ({ ...member, failingSinceMs: undefined, rootsPem: "" }));
    this.#switchAfterMs = switchAfterMs;
    this.#deps = deps;
  }

  /** Asks the preferred CA; where it has failed for too long already, the next ones within the same try. */
  async sign(request: CaRequest, signal: AbortSignal): Promise<CaAnswer> {
    let failure: unknown;
    for (const member of this.#members) {
      try {
        const answer = await member.client.sign(request, signal);
        request.check(answer);
        return this.#succeeded(member, answer);
      } catch (error) {
        signal.throwIfAborted();
        failure ??= error;
        if (!this.#failedTooLong(member, error)) break;
      }
    }
    throw failure;
  }

  async untilChanged(signal: AbortSignal): Promise<void> {
    const controller = new AbortController();
    const either = AbortSignal.any([signal, controller.signal]);
    const waits = this.#members.map((member) => member.client.untilChanged(either));
    await Promise.race([...waits, untilAborted(signal)]);
    controller.abort();
    await Promise.all(waits);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#members.map((member) => member.client[Symbol.asyncDispose]()));
  }

  #succeeded(member: Member, answer: CaAnswer): CaAnswer {
    if (member.failingSinceMs !== undefined) this.#deps.log.info("the CA signs again", { ca: member.name });
    else if (member !== this.#members[0]) this.#deps.log.warn("another CA than the first signed", { ca: member.name });
    member.failingSinceMs = undefined;
    member.rootsPem = answer.rootsPem;
    const others = this.#members.filter((other) => other !== member).map((other) => other.rootsPem);
    return { ...answer, rootsPem: [answer.rootsPem, ...others].join("\n") };
  }

  /** Whether the next one may be asked instead. */
  #failedTooLong(member: Member, error: unknown): boolean {
    const nowMs = this.#deps.clock.monotonicMs();
    member.failingSinceMs ??= nowMs;
    const failingMs = nowMs - member.failingSinceMs;
    if (failingMs < this.#switchAfterMs) return false;
    this.#deps.log.warn("the CA has failed for too long; asking the next", {
      ca: member.name,
      failingMs: Math.round(failingMs),
      error: describeError(error),
    });
    return true;
  }
}
