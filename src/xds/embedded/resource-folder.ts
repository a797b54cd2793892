// SPDX-License-Identifier: Apache-2.0
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { shortHash } from "../../lib/content-hash.ts";
import type { Registry } from "@bufbuild/protobuf";
import { describeError } from "../../lib/errors.ts";
import { readTextFile, UnusableFileError } from "../../lib/fs/bounded-read.ts";
import { type FileResource, parseResourceFile, ResourceFileError } from "./resource-file.ts";

/** A resource and its file. The version is a hash of the content. */
interface FolderResource extends FileResource {
  readonly file: string;
}

/** Resources of a whole mesh fit into one file. */
const mostResourceBytes = 64 * 1024 * 1024;

/** All resources of a directory, by type and name. */
export type ResourceSet = ReadonlyMap<string, ReadonlyMap<string, FolderResource>>;

/** A resource that was added, changed or removed. */
export interface ResourceChange {
  readonly file: string;
  readonly typeUrl: string;
  readonly name: string;
  /** Of the resource; undefined when it was removed. */
  readonly version: string | undefined;
  /** Of all resources of its type together. */
  readonly typeVersion: string;
}

/** Changes a file's text before it is parsed, such as placeholders; keeps line numbers. An object says what is wrong. */
export type PrepareFile = (file: string, text: string) => string | { readonly line: number; readonly problem: string };

/**
 * Reads every `.yaml`, `.yml` and `.json` file of a folder.
 * @throws ResourceFileError
 */
export async function readResourceFolder(
  directory: string,
  api: Registry,
  prepare: PrepareFile = (_file, text) => text,
): Promise<ResourceSet> {
  const names = await readdir(directory).catch((error: unknown) => {
    throw new ResourceFileError(directory, 1, `the directory cannot be read: ${describeError(error)}`, error);
  });
  const set = new Map<string, Map<string, FolderResource>>();
  for (const name of names.filter((entry) => /^[^.].*\.(ya?ml|json)$/.test(entry)).sort()) {
    const file = join(directory, name);
    const text = prepare(file, await readResourceText(file));
    if (typeof text !== "string") throw new ResourceFileError(file, text.line, text.problem);
    for (const resource of parseResourceFile(file, text, api)) {
      const ofType = set.get(resource.typeUrl) ?? new Map<string, FolderResource>();
      if (ofType.has(resource.name)) throw new ResourceFileError(file, 1, `${resource.name} is defined twice`);
      const version = shortHash(resource.any, 12);
      set.set(resource.typeUrl, ofType.set(resource.name, { ...resource, version, file }));
    }
  }
  return set;
}

/** A version for a whole type. */
export function versionOf(set: ResourceSet, typeUrl: string): string {
  const versions = [...(set.get(typeUrl)?.values() ?? [])].map(({ name, version }) => `${name}@${version}`).sort();
  return shortHash(versions.join(), 12);
}

/** The differences between two states of a directory. */
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

async function readResourceText(file: string): Promise<string> {
  try {
    return await readTextFile(file, mostResourceBytes);
  } catch (error) {
    if (error instanceof UnusableFileError) throw new ResourceFileError(file, 1, error.problem, error);
    throw error;
  }
}
