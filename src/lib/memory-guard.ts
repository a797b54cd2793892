// SPDX-License-Identifier: Apache-2.0
// Budgets limit what peers can make grow one thing at a time. The guard looks at what all of it takes together: it reads
// the memory of the container and of the engine's heap, and says whether there is any left for work that can be rejected.
import { getHeapStatistics } from "node:v8";
import type { Clock } from "./async/clock.ts";
import { startTask } from "./async/tasks.ts";
import type { Budget } from "./budget.ts";
import { AgentError } from "./errors.ts";
import { createUsageReader } from "./memory-usage.ts";

/** What peers' work asks before it takes more memory. */
export interface MemoryGuard {
  /** Whether only work that cannot be rejected may take more memory: that of Envoy and of callers on loopback. */
  isShort(): boolean;
  /** What a rejection says: names the limit. */
  readonly text: string;
}

/** Memory in use; undefined where it cannot be read. */
export interface MemoryReading {
  readonly containerBytes: number | undefined;
  readonly heapBytes: number;
}

export interface MemoryGuardOptions {
  /** Of agent and Envoy together. */
  readonly container: Budget;
  /** Of the engine's heap. */
  readonly heap: Budget;
  readonly clock: Pick<Clock, "monotonicMs">;
  /** Default: the control group and the engine of this process. */
  readonly read?: () => MemoryReading;
  /** Called with each reading that finds memory short. */
  readonly onShort?: () => void;
}

/** There is no memory for this now; a later attempt may succeed. */
export class MemoryShortError extends AgentError {
  readonly code = "AGENT_MEMORY_SHORT";
}

/** A reading takes some 50 microseconds. Near the limit, a busy agent may need several megabytes in 100 ms. */
const readEveryMs = 100;
const readOftenEveryMs = 10;
const nearShare = 3 / 4;
/** Short memory stays short until so much of it is free again. */
const endShare = 15 / 16;

/** For commands and tests without a limit. */
export const unlimitedMemory: MemoryGuard = { isShort: () => false, text: "" };

/** Reads on demand: without work that could be rejected, nothing is read. */
export class HostMemoryGuard implements MemoryGuard {
  readonly #options: MemoryGuardOptions;
  #read: (() => MemoryReading) | undefined;
  #readAtMs = Number.NEGATIVE_INFINITY;
  #isShort = false;
  #isNear = false;
  #text = "";

  constructor(options: MemoryGuardOptions) {
    this.#options = options;
    this.#read = options.read;
  }

  get text(): string {
    return this.#text;
  }

  isShort(): boolean {
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs - this.#readAtMs < (this.#isNear ? readOftenEveryMs : readEveryMs)) return this.#isShort;
    this.#readAtMs = nowMs;
    this.#isShort = this.#check((this.#read ??= createHostReader())());
    if (this.#isShort) this.#options.onShort?.();
    return this.#isShort;
  }

  #check({ containerBytes = 0, heapBytes }: MemoryReading): boolean {
    const { container, heap } = this.#options;
    const share = this.#isShort ? endShare : 1;
    const isContainerShort = !holds(container, containerBytes, share);
    const isHeapShort = !holds(heap, heapBytes, share);
    this.#isNear = containerBytes > container.size * nearShare || heapBytes > heap.size * nearShare;
    if (isContainerShort) this.#text = container.text;
    else if (isHeapShort) this.#text = heap.text;
    return isContainerShort || isHeapShort;
  }
}

/** Shows the reading as what is taken. @returns whether it is within this share of the budget */
function holds(budget: Budget, bytes: number, share: number): boolean {
  budget.release(budget.used);
  return budget.charge(bytes) && bytes <= budget.size * share;
}

function createHostReader(): () => MemoryReading {
  const readContainer = createUsageReader();
  return () => ({ containerBytes: readContainer(), heapBytes: getHeapStatistics().used_heap_size });
}

/** After a collection, the next one is worth its work. */
const collectEveryMs = 2_000;

/** Collects the heap in short steps while memory is short. Disposing ends a collection that is under way. */
export class HeapCollector implements AsyncDisposable {
  readonly #clock: Clock;
  #running: AsyncDisposable | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Starts a collection, unless one has just been made. */
  readonly collectSoon = (): void => {
    this.#running ??= startTask(
      (stop) => this.#collect(stop),
      () => undefined,
    );
  };

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running?.[Symbol.asyncDispose]();
  }

  async #collect(stop: AbortSignal): Promise<void> {
    try {
      const { releaseUnused } = await import("./start-memory.ts");
      await releaseUnused(this.#clock, stop);
      await this.#clock.delay(collectEveryMs, stop);
    } finally {
      this.#running = undefined;
    }
  }
}
