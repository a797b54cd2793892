// SPDX-License-Identifier: Apache-2.0
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Registry } from "@bufbuild/protobuf";
import { describeError } from "../../lib/errors.ts";
import { type FileResource, parseResourceFile } from "./resource-file.ts";
import { ResourceProblem } from "./resource-problem.ts";

/** A resource, and the file that it is in. Its version is a checksum of it. */
interface FolderResource extends FileResource {
  readonly file: string;
}

/** All resources of a folder: by type, by name. */
export type ResourceSet = ReadonlyMap<string, ReadonlyMap<string, FolderResource>>;

/** A resource that is new, another than before, or gone. */
export interface ResourceChange {
  readonly file: string;
  readonly typeUrl: string;
  readonly name: string;
  /** Of the resource; undefined when it is gone. */
  readonly version: string | undefined;
  /** Of all resources of its type together. */
  readonly typeVersion: string;
}

/**
 * Reads every `.yaml`, `.yml` and `.json` file of a folder.
 * @param prepare turns a file's text into what is read, for example by filling in placeholders; keeps line numbers
 * @throws ResourceProblem
 */
export async function readResourceFolder(
  directory: string,
  api: Registry,
  prepare: (file: string, text: string) => string,
): Promise<ResourceSet> {
  const names = await readdir(directory).catch((error: unknown) => {
    throw new ResourceProblem(directory, 1, `the folder cannot be read: ${describeError(error)}`, error);
  });
  const set = new Map<string, Map<string, FolderResource>>();
  for (const name of names.filter((entry) => /^[^.].*\.(ya?ml|json)$/.test(entry)).sort()) {
    const file = join(directory, name);
    const text = prepare(file, await readFile(file, "utf8"));
    for (const resource of parseResourceFile(file, text, api)) {
      const ofType = set.get(resource.typeUrl) ?? new Map<string, FolderResource>();
      if (ofType.has(resource.name)) throw new ResourceProblem(file, 1, `${resource.name} is there twice`);
      const version = createHash("sha256").update(resource.any).digest("hex").slice(0, 12);
      set.set(resource.typeUrl, ofType.set(resource.name, { ...resource, version, file }));
    }
  }
  return set;
}

/** A version for a whole type. */
export function versionOf(set: ResourceSet, typeUrl: string): string {
  const versions = [...(set.get(typeUrl)?.values() ?? [])].map(({ name, version }) => `${name}@${version}`).sort();
  return createHash("sha256").update(versions.join()).digest("hex").slice(0, 12);
}

/** What became different from one state of a folder to the next. */
export function changesBetween(before: ResourceSet, after: ResourceSet): readonly ResourceChange[] {
  const typeUrls = [...new Set([...before.keys(), ...after.keys()])];
  return typeUrls.flatMap((typeUrl) => {
    const typeVersion = versionOf(after, typeUrl);
    const [old, now] = [before.get(typeUrl), after.get(typeUrl)];
    const changed = [...(now?.values() ?? [])].filter(({ name, version }) => old?.get(name)?.version !== version);
    const gone = [...(old?.values() ?? [])].filter(({ name }) => now?.has(name) !== true);
    return [
      ...changed.map(({ file, name, version }) => ({ file, typeUrl, name, version, typeVersion })),
      ...gone.map(({ file, name }) => ({ file, typeUrl, name, version: undefined, typeVersion })),
    ];
  });
}
