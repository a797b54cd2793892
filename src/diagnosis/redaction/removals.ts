// SPDX-License-Identifier: Apache-2.0

/** Why something was removed. The manifest counts each. */
export type RemovalKind =
  /** Its member, variable, header or parameter has the name of a secret. */
  | "secret-name"
  /** A variable, metadata key or annotation that is not known to be harmless. */
  | "unknown-variable"
  /** A header that is not known to be harmless. */
  | "header"
  /** Text or bytes within the configuration that are no certificate: bodies, scripts, key sets. */
  | "inline-data"
  | "private-key"
  | "token"
  /** `Bearer`, `Basic` and other credentials of an `Authorization` header. */
  | "authorization"
  | "url-credentials"
  /** The value of a secret that is known: of the token's file, of a variable, of a place where it was found by name. */
  | "known-secret"
  /** A value or a line that is too long to be looked through. */
  | "too-long";

/** What stands in place of what was removed. */
export const removedMark = "[redacted]";

/** Counts what is removed from one file, and collects the secrets that are found. */
export class Removals {
  readonly #counts = new Map<RemovalKind, number>();
  readonly #learn: (secret: string) => void;

  /** @param learn called with each secret that is found by its name: it may stand elsewhere without one */
  constructor(learn: (secret: string) => void = () => undefined) {
    this.#learn = learn;
  }

  /** @returns the mark */
  count(kind: RemovalKind, secret?: string): string {
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
    if (secret !== undefined) this.#learn(secret);
    return removedMark;
  }

  get total(): number {
    return [...this.#counts.values()].reduce((sum, count) => sum + count, 0);
  }

  /** By kind, without kinds that did not occur. */
  counts(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1)));
  }
}
