// SPDX-License-Identifier: Apache-2.0

/** How a probe of the application last went. */
export interface ProbeResult {
  readonly path: string;
  readonly kind: string;
  /** Milliseconds since the epoch. */
  readonly atMs: number;
  readonly durationMs: number;
  /** What the kubelet was told. */
  readonly status: number;
  readonly reason: string | undefined;
}

/** The last result of each probe; paths come from the configuration, so there are few. */
export class ProbeRecord {
  readonly #last = new Map<string, ProbeResult>();

  note(result: ProbeResult): void {
    this.#last.set(result.path, result);
  }

  results(): readonly ProbeResult[] {
    return [...this.#last.values()];
  }
}
