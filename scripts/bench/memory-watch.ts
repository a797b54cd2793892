// SPDX-License-Identifier: Apache-2.0
import { privateMegabytes } from "./processes.ts";

/** @returns what ends the watch and gives the peak above the first look, in MB */
export function watchMemory(pid: number): { stop(): number } {
  const rest = privateMegabytes(pid);
  let peak = rest;
  const timer = setInterval(() => {
    peak = Math.max(peak, privateMegabytes(pid));
  }, 5);
  return {
    stop() {
      clearInterval(timer);
      return peak - rest;
    },
  };
}
