// SPDX-License-Identifier: Apache-2.0
import { untilAborted } from "../lib/async/tasks.ts";
import { describeError } from "../lib/errors.ts";
import { OutageLog } from "../lib/log/outage-log.ts";
import type { ResponseCheck, SignedChain, SigningRequest } from "../model/signing.ts";
import type { CaClient, CaDeps } from "./types.ts";

export interface FailoverMember {
  /** For the log. */
  readonly name: string;
  readonly client: CaClient;
}

interface Member extends FailoverMember {
  /** Since when every call has failed; undefined after a success and before the first call. Monotonic clock. */
  failingSinceMs: number | undefined;
  /** The roots of its last good response. */
  rootsPem: string;
  readonly outage: OutageLog;
}

/**
 * Several CAs as one, in order of preference. Every attempt calls the preferred CA first, also after it has failed, so
 * the workload returns to it as soon as it recovers. A CA whose calls have all failed for `switchAfterMs` is followed by
 * the next one within the same attempt. The roots of every CA that has signed are trusted together, so that peers verify
 * each other while a fleet switches.
 */
export function createFailoverClient(
  members: readonly FailoverMember[],
  switchAfterMs: number,
  deps: CaDeps,
): CaClient {
  return new Failover(members, switchAfterMs, deps);
}

class Failover implements CaClient {
  readonly supportsHedging = false;
  readonly #members: readonly Member[];
  readonly #switchAfterMs: number;
  #called: Member | undefined;
  readonly #deps: CaDeps;

  constructor(members: readonly FailoverMember[], switchAfterMs: number, deps: CaDeps) {
    this.#members = members.map((member) => {
      const outage = new OutageLog(deps.log, deps.clock, { recovered: "CA recovered" });
      return { ...member, failingSinceMs: undefined, rootsPem: "", outage };
    });
    this.#switchAfterMs = switchAfterMs;
    this.#deps = deps;
  }

  /** @throws the preferred CA's failure, when all that were called have failed */
  async sign<T>(request: SigningRequest, check: ResponseCheck<T>, signal: AbortSignal): Promise<T> {
    let failure: unknown;
    for (const member of this.#members) {
      this.#called = member;
      try {
        const signed = await member.client.sign(request, (response) => this.#check(member, response, check), signal);
        this.#succeeded(member);
        return signed;
      } catch (error) {
        signal.throwIfAborted();
        failure ??= error;
        if (!this.#failedTooLong(member, error)) break;
      }
    }
    throw failure;
  }

  describeWait(): string | undefined {
    return this.#called?.client.describeWait?.();
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

  /** Checks the response against its own CA's roots, and adds those of the other CAs. */
  #check<T>(member: Member, response: SignedChain, check: ResponseCheck<T>): T {
    const others = this.#members.filter((other) => other !== member).map((other) => other.rootsPem);
    const checked = check({ ...response, otherRootsPem: others.join("\n") });
    member.rootsPem = response.rootsPem;
    return checked;
  }

  #succeeded(member: Member): void {
    const { log } = this.#deps;
    member.outage.works({ ca: member.name });
    if (member !== this.#members[0]) log.warn("fallback CA signed the certificate", { ca: member.name });
    member.failingSinceMs = undefined;
  }

  /** Whether the next CA may be called within this attempt. */
  #failedTooLong(member: Member, error: unknown): boolean {
    const nowMs = this.#deps.clock.monotonicMs();
    member.failingSinceMs ??= nowMs;
    const failingMs = nowMs - member.failingSinceMs;
    if (failingMs < this.#switchAfterMs) return false;
    const fields = { ca: member.name, failingMs: Math.round(failingMs), error: describeError(error) };
    member.outage.failed({ level: "warn", message: "CA keeps failing; calling the next CA", fields });
    return true;
  }
}
