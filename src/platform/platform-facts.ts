// SPDX-License-Identifier: Apache-2.0
import type { Locality } from "../model/node.ts";

/** What a cloud tells about the machine. */
export interface PlatformFacts {
  /** For the node's metadata, under Istio's names. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly locality: Locality;
}

/** Asks a metadata server; undefined for every answer that is not a good one, and for none. */
export type MetadataGet = (path: string, options?: MetadataRequest) => Promise<string | undefined>;

export interface MetadataRequest {
  readonly method?: "GET" | "PUT";
  readonly headers?: Readonly<Record<string, string>>;
}

/** Facts without those that hold nothing. */
export function knownFacts(facts: Readonly<Record<string, string | undefined>>): Readonly<Record<string, string>> {
  const known = Object.entries(facts).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== "",
  );
  return Object.fromEntries(known);
}
