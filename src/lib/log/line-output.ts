// SPDX-License-Identifier: Apache-2.0
import { constants, fstatSync, openSync, writeSync } from "node:fs";
import { systemClock } from "../async/clock.ts";
import type { Budget } from "../budget.ts";
import { systemCode } from "../errors.ts";
import { logSizes } from "./log-limits.ts";

const retryEveryMs = 10;
/** A reader that reads nothing for this long is treated as absent. */
const patienceMs = 1_000;

/**
 * Writes whole lines to a descriptor, in order. A full pipe does not block, because probes must be served meanwhile.
 * Lines are buffered up to a limit. Above it the writer waits for the reader once; after that, lines are dropped and
 * counted.
 */
export class LineOutput {
  #descriptor: number;
  readonly #onLost: (lines: number) => void;
  readonly #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  /** For the bytes that wait, here and in other outputs. */
  #budget: Budget | undefined;
  #isStuck = false;
  #lost = 0;
  #retrying: Promise<void> | undefined;
  readonly #ended = new AbortController();

  /** @param onLost called when the reader takes lines again, after some were lost */
  constructor(descriptor: number, onLost: (lines: number) => void) {
    this.#descriptor = descriptor;
    this.#onLost = onLost;
  }

  /** From now on, the bytes that wait are counted there. */
  useBudget(budget: Budget): void {
    this.#budget = budget;
    budget.charge(this.#waitingBytes);
  }

  /** Writes to another descriptor from now on. @returns the previous one, for the caller to close */
  replaceDescriptor(descriptor: number): number {
    const previous = this.#descriptor;
    this.#descriptor = descriptor;
    return previous;
  }

  write(line: string): void {
    const bytes = Buffer.from(line);
    const rest = this.#waiting.length === 0 ? bytes.subarray(writeSome(this.#descriptor, bytes)) : bytes;
    if (rest.length === 0) return;
    const isBegun = rest.length < bytes.length;
    if (!isBegun && !this.#fits(rest.length) && !this.#makeRoom(rest.length)) {
      this.#lost++;
      // counts the rejection
      this.#budget?.admits(Number.POSITIVE_INFINITY);
      return;
    }
    this.#waiting.push(rest);
    this.#waitingBytes += rest.length;
    this.#budget?.charge(rest.length);
    this.#retrying ??= this.#retry().finally(() => {
      this.#retrying = undefined;
    });
  }

  /** Waits until everything is read, or the reader has read nothing for a second. */
  async end(): Promise<void> {
    let idleMs = 0;
    while (this.#waiting.length > 0 && idleMs < patienceMs) {
      idleMs = this.#flush() ? 0 : idleMs + retryEveryMs;
      await systemClock.delay(retryEveryMs);
    }
    this.#ended.abort();
  }

  async #retry(): Promise<void> {
    while (this.#waiting.length > 0 && !this.#ended.signal.aborted) {
      await systemClock.delay(retryEveryMs, this.#ended.signal).catch(() => undefined);
      if (this.#flush()) this.#isStuck = false;
    }
    const lost = this.#lost;
    this.#lost = 0;
    if (lost > 0 && !this.#ended.signal.aborted) this.#onLost(lost);
  }

  /**
   * The only blocking wait. After a reader has let it expire, the writer does not wait again until the reader has read.
   */
  #makeRoom(bytes: number): boolean {
    for (let waitedMs = 0; !this.#isStuck; waitedMs += retryEveryMs) {
      if (this.#flush()) waitedMs = 0;
      if (this.#fits(bytes)) return true;
      if (waitedMs >= patienceMs) this.#isStuck = true;
      else holdUp(retryEveryMs);
    }
    return false;
  }

  #fits(bytes: number): boolean {
    const budget = this.#budget;
    if (budget === undefined) return this.#waitingBytes + bytes <= logSizes.waitingBytes;
    return budget.used + bytes <= budget.size;
  }

  /** @returns whether the reader has read anything */
  #flush(): boolean {
    const before = this.#waitingBytes;
    for (let [first] = this.#waiting; first !== undefined; [first] = this.#waiting) {
      const written = writeSome(this.#descriptor, first);
      this.#waitingBytes -= written;
      this.#budget?.release(written);
      if (written < first.length) {
        this.#waiting[0] = first.subarray(written);
        break;
      }
      this.#waiting.shift();
    }
    return this.#waitingBytes < before;
  }
}

/**
 * @param onLost called for a failure that is not the reader's wish: it closed its end
 * @returns how many bytes need no further write: all of them when there is no reader any more
 */
function writeSome(
  descriptor: number,
  bytes: Uint8Array,
  onLost: (cause: unknown) => void = () => undefined,
  onClosed: () => void = () => undefined,
): number {
  let written = 0;
  try {
    while (written < bytes.length) written += writeSync(descriptor, bytes, written);
  } catch (error) {
    if (systemCode(error) === "EAGAIN") return written;
    if (systemCode(error) === "EPIPE") onClosed();
    else onLost(error);
    return bytes.length;
  }
  return written;
}

/**
 * Writes all of the text before it returns, for a command that has nothing else to do. If there is no reader any more,
 * or a full pipe is not read for a second, the rest is lost: the command must still finish with its exit code.
 * @param onLost called if something is lost although the reader did not close its end, as on a full disk
 * @param onClosed called if the reader has closed its end
 */
export function writeAllSync(
  descriptor: number,
  text: string | Uint8Array,
  onLost?: (cause: unknown) => void,
  onClosed?: () => void,
): void {
  let rest = typeof text === "string" ? Buffer.from(text) : text;
  for (let idleMs = 0; rest.length > 0 && idleMs < patienceMs; idleMs += retryEveryMs) {
    const written = writeSome(descriptor, rest, onLost, onClosed);
    if (written > 0) idleMs = 0;
    rest = rest.subarray(written);
    if (rest.length > 0) holdUp(retryEveryMs);
  }
  if (rest.length > 0) onLost?.(new Error("it is not read"));
}

function holdUp(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/**
 * A descriptor for standard output or error on which a write never waits. A pipe is opened again: to make
 * the inherited one non-blocking would do so for Envoy too, which shares it.
 */
export function openWithoutWait(standard: 1 | 2): number {
  try {
    if (!fstatSync(standard).isFIFO()) return standard;
    return openSync(`/proc/self/fd/${String(standard)}`, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    // another user's pipe, or a system without /proc
    return standard;
  }
}
