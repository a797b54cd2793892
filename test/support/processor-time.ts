// SPDX-License-Identifier: Apache-2.0

/**
 * Starts to count the processor time of this thread, which other work on the machine does not lengthen.
 * @returns milliseconds so far
 */
export function processorTime(): () => number {
  const start = process.threadCpuUsage();
  return () => {
    const { user, system } = process.threadCpuUsage(start);
    return (user + system) / 1_000;
  };
}
