// SPDX-License-Identifier: Apache-2.0

/** Of one buffer, and so of one read. */
export const pooledBytes = 64 * 1024;
const maxKept = 16;
const kept: Buffer[] = [];

/** A buffer to read into or to collect in: one that was used before, where there is one. Its content is arbitrary. */
export function takeBuffer(): Buffer {
  return kept.pop() ?? Buffer.allocUnsafeSlow(pooledBytes);
}

/** Gives a buffer back; nobody may look into it from then on. */
export function returnBuffer(buffer: Buffer): void {
  if (kept.length < maxKept) kept.push(buffer);
}
