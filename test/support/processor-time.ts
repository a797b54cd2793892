// SPDX-License-Identifier: Apache-2.0

/** Of this thread. Source: Linux, time.h */
const threadClock = 3;
let readClock: (() => number) | undefined;

/**
 * Starts to count the processor time of this thread, which other work on the machine does not lengthen.
 * @returns milliseconds so far
 */
export function processorTime(): () => number {
  const read = (readClock ??= openThreadClock());
  const startMs = read();
  return () => read() - startMs;
}

/**
 * Watches the turns of the event loop from now on, and keeps it alive.
 * @returns the processor time of the longest one since the call before, in ms
 */
export function watchTurns(isOver: () => boolean = () => false): () => number {
  const read = (readClock ??= openThreadClock());
  let [longestMs, startMs] = [0, read()];
  // what this allocates in each turn would be collected in the turns that it measures
  const turn = (): void => {
    const nowMs = read();
    longestMs = Math.max(longestMs, nowMs - startMs);
    startMs = nowMs;
    if (!isOver()) setImmediate(turn);
  };
  setImmediate(turn);
  return () => {
    const ms = longestMs;
    [longestMs, startMs] = [0, read()];
    return ms;
  };
}

/** Node's own `threadCpuUsage` is counted by ticks of the kernel, of 4 ms; this clock is exact. Source: clock_gettime(2) */
function openThreadClock(): () => number {
  const ffi = process.platform === "linux" ? process.getBuiltinModule("node:ffi") : undefined;
  if (ffi === undefined) {
    return () => {
      const { user, system } = process.threadCpuUsage();
      return (user + system) / 1_000;
    };
  }
  const { functions } = ffi.dlopen(null, { clock_gettime: { return: "i32", arguments: ["i32", "pointer"] } });
  /** A `timespec` on a 64-bit system: seconds and nanoseconds, eight bytes each. */
  const time = new Uint32Array(4);
  const pointer = ffi.getRawPointer(time);
  return () => {
    functions.clock_gettime(threadClock, pointer);
    return (time[0] ?? 0) * 1_000 + (time[2] ?? 0) / 1e6;
  };
}
