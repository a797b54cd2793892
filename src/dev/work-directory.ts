// SPDX-License-Identifier: Apache-2.0
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { xdsCacheName } from "./agent-setup.ts";
import { DevDirectoryError } from "./errors.ts";
import { type WorkloadName, workloadNames } from "./mesh.ts";

/** Where one run keeps everything that is written. Disposing it removes a temporary one. */
export interface WorkDirectory extends AsyncDisposable {
  readonly path: string;
  readonly caPath: string;
  /** The second CA of a run in which one is foreign. */
  readonly foreignCaPath: string;
  /** The working directory of an agent. */
  agentPath(workload: WorkloadName): string;
  /** Where an agent's Envoy finds its resources, when it reads them itself. */
  resourcesPath(workload: WorkloadName): string;
}

/** Lies in every directory that this command made, so that it never writes into another. */
const markName = ".attache-dev";

/**
 * @param keep the directory to work in and to leave behind; undefined takes a temporary one
 * @throws DevDirectoryError when it cannot be made, or holds other files
 */
export async function createWorkDirectory(keep: string | undefined): Promise<WorkDirectory> {
  const path = keep === undefined ? await mkdtemp(join(tmpdir(), "attache-dev-")) : await openKept(resolve(keep));
  const directory: WorkDirectory = {
    path,
    caPath: join(path, "ca"),
    foreignCaPath: join(path, "foreign-ca"),
    agentPath: (workload) => join(path, workload),
    resourcesPath: (workload) => join(path, workload, "envoy"),
    async [Symbol.asyncDispose]() {
      if (keep === undefined) await rm(path, { recursive: true, force: true });
    },
  };
  for (const workload of workloadNames) {
    await mkdir(directory.agentPath(workload), { recursive: true, mode: 0o700 });
    // Of an earlier run, with other ports: an agent must not take it for this one's.
    await rm(join(directory.agentPath(workload), xdsCacheName), { recursive: true, force: true });
  }
  return directory;
}

async function openKept(path: string): Promise<string> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
    const names = await readdir(path);
    if (names.length > 0 && !names.includes(markName)) {
      throw new DevDirectoryError(path, "it holds other files; name a new or an empty directory");
    }
    await writeFile(join(path, markName), "made by attache dev\n", { mode: 0o600 });
    return path;
  } catch (error) {
    if (error instanceof DevDirectoryError) throw error;
    throw new DevDirectoryError(path, "it cannot be made or written to; name a directory of this user", error);
  }
}
