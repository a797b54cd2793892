// SPDX-License-Identifier: Apache-2.0
import { constants } from "node:fs";
import { access, readdir } from "node:fs/promises";
import { delimiter, join, resolve } from "node:path";
import { AgentError } from "../lib/errors.ts";
import { exitCode } from "../lib/exit-code.ts";

/** No Envoy was found. */
export class DevEnvoyMissingError extends AgentError {
  readonly code = "AGENT_ENVOY_MISSING";
  override readonly exitCode = exitCode.unavailable;
  readonly tried: readonly string[];
  constructor(tried: readonly string[]) {
    super(
      `find Envoy: none at ${tried.join(", ")}; set ENVOY_PATH to an Envoy binary, or run \`npm start\` in a clone to install one`,
    );
    this.tried = tried;
  }
}

/**
 * The Envoy that the mesh runs: `ENVOY_PATH`, else `envoy` on PATH, else one that the development tooling installed in
 * its cache, else the image's. If `ENVOY_PATH` is set, no other place is tried.
 * @param root the directory that the program was installed in or cloned to
 * @throws DevEnvoyMissingError with every place that was tried
 */
export async function findEnvoy(env: Readonly<Record<string, string>>, root: string): Promise<string> {
  const named = env["ENVOY_PATH"] ?? "";
  const places = named === "" ? await placesOf(env, root) : [resolve(named)];
  for (const place of places) {
    if (await isProgram(place)) return place;
  }
  throw new DevEnvoyMissingError(named === "" ? ["ENVOY_PATH (not set)", "PATH", ...cachesOf(env, root)] : places);
}

/**
 * The newest Envoy that the development tooling (`npm start`) installed; undefined when there is none.
 * @param root as for `findEnvoy`
 */
export async function findInstalledEnvoy(
  env: Readonly<Record<string, string>>,
  root: string,
): Promise<string | undefined> {
  for (const cache of cachesOf(env, root)) {
    for (const place of await versionsIn(cache)) {
      if (await isProgram(place)) return place;
    }
  }
  return undefined;
}

async function placesOf(env: Readonly<Record<string, string>>, root: string): Promise<readonly string[]> {
  const onPath = (env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  const cached = await Promise.all(cachesOf(env, root).map(versionsIn));
  return [...onPath.map((folder) => join(folder, "envoy")), ...cached.flat(), "/usr/local/bin/envoy"];
}

/** The caches of the development tooling, with one directory for each version. */
function cachesOf(env: Readonly<Record<string, string>>, root: string): readonly string[] {
  const home = env["HOME"];
  const userCache = env["XDG_CACHE_HOME"] ?? (home === undefined ? undefined : join(home, ".cache"));
  return [join(root, ".cache/envoy"), ...(userCache === undefined ? [] : [join(userCache, "attache/envoy")])];
}

/** Newest version first. */
async function versionsIn(cache: string): Promise<readonly string[]> {
  const versions = await readdir(cache).catch(() => []);
  return versions
    .sort((a, b) => b.localeCompare(a, "en", { numeric: true }))
    .map((version) => join(cache, version, "envoy"));
}

/** Whether this user may execute the file. */
export async function isProgram(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
