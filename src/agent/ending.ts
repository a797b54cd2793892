// SPDX-License-Identifier: Apache-2.0
import { untilAborted } from "../lib/async/tasks.ts";

/** Why and how the agent ends, put together from its signals, its control endpoints and its modules. */
export class Ending implements Disposable {
  readonly #own = new AbortController();
  readonly #hurry = new AbortController();
  #wantsDrain = true;
  #failure: Error | undefined;
  /** Aborts with the reason of the end, whoever asked for it. */
  readonly signal: AbortSignal;

  constructor(outer: AbortSignal) {
    this.signal = AbortSignal.any([outer, this.#own.signal]);
  }

  /** The reason in words, once there is one. */
  reason(): string | undefined {
    if (!this.signal.aborted) return undefined;
    return this.signal.reason instanceof Error ? this.signal.reason.message : "asked to stop";
  }

  /** Ends the agent in order, with this error: a module's server died in mid-run. */
  fail(error: unknown): void {
    this.#failure ??= error instanceof Error ? error : new Error("a module failed", { cause: error });
    this.#own.abort(this.#failure);
  }

  /** Ends the agent without a drain, or without more of one: somebody on loopback asked for it. */
  quit(): void {
    this.#wantsDrain = false;
    this.#hurry.abort(new Error("/quitquitquit called"));
    this.#own.abort(new Error("/quitquitquit called"));
  }

  /** Envoy drains already, by request; the end then comes without a second drain. */
  drained(): void {
    this.#wantsDrain = false;
  }

  /** Aborts when a drain that is under way is to end. */
  get hurry(): AbortSignal {
    return this.#hurry.signal;
  }

  /** Whether the end is to begin with a drain. */
  get wantsDrain(): boolean {
    return this.#wantsDrain;
  }

  /** The error that the agent must end with, or undefined. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** Resolves when Envoy is gone or somebody asks for the end, whichever comes first. */
  async until(envoyExited: Promise<unknown>): Promise<void> {
    await Promise.race([envoyExited, untilAborted(this.signal)]);
  }

  [Symbol.dispose](): void {
    this.#own.abort(new Error("ended"));
  }
}
