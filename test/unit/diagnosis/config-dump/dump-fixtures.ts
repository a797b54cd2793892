// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { DumpSource } from "../../../../src/diagnosis/config-dump/dump-source.ts";
import { FileSource } from "../../../../src/diagnosis/config-dump/file-source.ts";
import { type ListingOptions, noFilters } from "../../../../src/diagnosis/config-dump/listing.ts";
import type { JsonValue } from "../../../../src/lib/json.ts";

const directory = join(import.meta.dirname, "../../../fixtures/config-dump");

/** What istioctl printed of one configuration. */
export interface Recorded {
  readonly recordedMs: number;
  /** Lines, by istioctl's name of the section and its flags. */
  readonly tables: Readonly<Record<string, readonly string[]>>;
  readonly documents: Readonly<Record<string, JsonValue>>;
  /** Tables with filters. */
  readonly filtered: readonly {
    readonly section: string;
    readonly flags: readonly string[];
    readonly lines: readonly string[];
  }[];
}

export const recordedNames = ["sidecar-a", "sidecar-b", "dev-web", "crafted"] as const;

export function readRecorded(name: string): Recorded {
  return JSON.parse(readFileSync(join(directory, `${name}.istioctl.json`), "utf8")) as Recorded;
}

/** @param kind of the document: `clusters` for endpoints */
export function recordedSource(name: string, kind: "dump" | "clusters" = "dump"): DumpSource {
  return sourceOf(readFileSync(join(directory, `${name}.${kind}.json`)));
}

/** A document as a file, in pieces of odd sizes. */
export function sourceOf(document: Buffer | JsonValue): DumpSource {
  const bytes = Buffer.isBuffer(document) ? document : Buffer.from(JSON.stringify(document));
  return new FileSource("a file", () => pieces(bytes, 1_021));
}

export async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield await Promise.resolve(bytes.subarray(at, at + size));
}

export function listingOptions(options: Partial<ListingOptions> = {}): ListingOptions {
  return { filters: noFilters, verbose: true, keep: true, nowMs: 0, ...options };
}

const heads = [
  ...["SERVICE FQDN", "PORT", "SUBSET", "DIRECTION", "TYPE", "DESTINATION RULE", "ADDRESSES", "MATCH", "DESTINATION"],
  ...["VHOST NAME", "NAME", "DOMAINS", "VIRTUAL SERVICE", "VIRTUAL HOSTS", "ENDPOINT", "STATUS", "OUTLIER CHECK"],
  ...["CLUSTER", "LOCALITY", "RESOURCE NAME", "VALID CERT", "SERIAL NUMBER", "NOT AFTER", "NOT BEFORE", "TRUST DOMAIN"],
  "ECDS NAME",
].sort((a, b) => b.length - a.length);

/** The fields of istioctl's table, by the columns of its heads. */
export function parseTable([head = "", ...lines]: readonly string[]): {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
} {
  const starts: number[] = [];
  for (let at = 0; at < head.length; ) {
    const found = heads.find((name) => head.startsWith(name, at));
    if (found !== undefined) starts.push(at);
    else if (head[at] !== " ") throw new Error(`unknown head at ${head.slice(at)}`);
    at += found?.length ?? 1;
  }
  const split = (line: string): readonly string[] =>
    starts.map((start, column) => line.slice(start, starts[column + 1]).trim());
  return { head: split(head), rows: lines.map(split) };
}

const protos = join(import.meta.dirname, "../../../../node_modules/@grpc/grpc-js-xds/deps");

/** The protos of version 3 below directories of Envoy's API, without comments. */
export function readProtos(directories: readonly string[]): readonly string[] {
  return directories.flatMap((directory) =>
    readdirSync(join(protos, directory), { recursive: true, encoding: "utf8" })
      .filter((file) => /v3\/.*\.proto$/.test(file))
      .map((file) => readFileSync(join(protos, directory, file), "utf8").replaceAll(/\/\/.*/g, "")),
  );
}
