// SPDX-License-Identifier: Apache-2.0
import type { JsonObject } from "../../lib/json.ts";
import type { JudgedAgent } from "../doctor/index.ts";
import type { PartStatus } from "./collect.ts";
import type { Manifest } from "./manifest.ts";

export interface BundleOptions {
  readonly env: Readonly<Record<string, string>>;
  /** The arguments of `proxy`, where no agent says which it has. */
  readonly args: readonly string[];
  /** Whose environment it is. */
  readonly judged: JudgedAgent | undefined;
  /** The agent's status port. */
  readonly url: URL;
  /** Whether the agent may be on another machine: then nothing of this one is collected. */
  readonly isRemote: boolean;
  /** Path of the archive; `-` for standard output, empty for a name of its own in that directory. */
  readonly file: string;
  /** The directory that the path of the archive is relative to. */
  readonly folder: string;
  /** Of all files together, before they are compressed. */
  readonly maxBytes: number;
  /** Explains the configuration with these arguments of `proxy`. */
  readonly explain: (args: readonly string[], signal: AbortSignal) => Promise<JsonObject>;
  readonly print: (bytes: Uint8Array) => void;
  readonly onPart: (part: ProgressPart) => void;
}

/** A part that has been collected, for the progress. */
export interface ProgressPart {
  readonly file: string;
  readonly status: PartStatus;
  readonly reason: string;
  readonly bytes: number;
  readonly seconds: number;
}

export interface Bundle {
  /** Path of the archive, or `-`. */
  readonly file: string;
  /** Of the archive. */
  readonly bytes: number;
  readonly manifest: Manifest;
}
