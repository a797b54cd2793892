// SPDX-License-Identifier: Apache-2.0

/** Takes the content of a part in pieces, as it comes. It throws when no more is wanted. */
export type PartSink = (piece: Uint8Array | string) => void;

/** One file of the archive. */
export interface Part {
  /** Its path within the archive. */
  readonly file: string;
  readonly about: string;
  /** Where the content comes from: a URL, a path, a command. */
  readonly source: string;
  /** How it is redacted. `statistics`: text in which numbers are kept. */
  readonly form: "json" | "text" | "statistics";
  /** In JSON: the member that the document is the value of, such as `node`. */
  readonly member?: string;
  readonly timeoutMs: number;
  /** The most that it may take of the size limit, 0 to 1. */
  readonly share: number;
  /**
   * Passes the content on, before it is redacted.
   * @throws PartSkippedError where there is nothing to be had; anything else that went wrong
   */
  read(sink: PartSink, signal: AbortSignal): Promise<void>;
}

/** There is nothing to collect here: no such file, no Envoy, not this machine. Its message says why. */
export class PartSkippedError extends Error {}

/** Parts of one server, or of this machine; collected one after another. */
export interface PartGroup {
  readonly parts: readonly Part[];
  /** Why the others are skipped if the first one fails: its server does not respond. Undefined: they are not. */
  readonly skipsAfterFirst?: string;
}
