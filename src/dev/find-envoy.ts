// SPDX-License-Identifier: Apache-2.0
import { constants } from "node:fs";
import { access, readdir } from "node:fs/promises";
import { delimiter, join, resolve } from "node:path";
import { DevEnvoyMissingError } from "./errors.ts";

/**
 * The Envoy that the demo runs: `ENVOY_PATH`, else `envoy` on PATH, else one that the development tooling installed
 * in its cache, else the image's. What ENVOY_PATH names is not replaced by something else.
 * @param root the folder that the program was installed in or cloned to
 * @throws DevEnvoyMissingError naming every place
 */
export async function findEnvoy(env: Readonly<Record<string, string>>, root: string): Promise<string> {
  const named = env["ENVOY_PATH"] ?? "";
  const places = named === "" ? await placesOf(env, root) : [resolve(named)];
  for (const place of places) {
    if (await isProgram(place)) return place;
  }
  throw new DevEnvoyMissingError(named === "" ? ["ENVOY_PATH (not set)", "PATH", ...cachesOf(env, root)] : places);
}

async function placesOf(env: Readonly<Record<string, string>>, root: string): Promise<readonly string[]> {
  const onPath = (env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  const cached = await Promise.all(cachesOf(env, root).map(versionsIn));
  return [...onPath.map((folder) => join(folder, "envoy")), ...cached.flat(), "/usr/local/bin/envoy"];
}

/** Where the development tooling keeps the Envoys it installed, one folder for each version. */
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

/** Whether a path names something that this user may execute. */
export async function isProgram(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
