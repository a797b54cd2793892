// SPDX-License-Identifier: Apache-2.0
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { AgentError } from "../lib/errors.ts";
import { exitCode } from "../lib/exit-code.ts";
import { xdsCacheName } from "./agent-setup.ts";
import { type WorkloadName, workloadNames } from "./mesh.ts";

/** The working directory cannot be created, or has files of something else. */
export class DevDirectoryError extends AgentError {
  readonly code = "AGENT_DEV_DIRECTORY";
  override readonly exitCode = exitCode.unavailable;
  readonly path: string;
  constructor(path: string, problem: string, cause?: unknown) {
    super(`work in ${path}: ${problem}`, { cause });
    this.path = path;
  }
}

/** Contains everything that one run writes. Disposing it removes a temporary one. */
export interface WorkDirectory extends AsyncDisposable {
  readonly path: string;
  readonly caPath: string;
  /** The second CA of a run with the fault `foreign-ca`. */
  readonly foreignCaPath: string;
  /** The working directory of an agent. */
  agentPath(workload: WorkloadName): string;
  /** The resources of an agent's Envoy, if it reads them itself. */
  resourcesPath(workload: WorkloadName): string;
}

/** Marks the directories of this command, so that it never writes into another one. */
const markName = ".attache-dev";

/**
 * @param keep the directory to use and to keep; undefined creates a temporary one
 * @throws DevDirectoryError
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
    // From an earlier run with other ports: the agent must not use it.
    await rm(join(directory.agentPath(workload), xdsCacheName), { recursive: true, force: true });
  }
  return directory;
}

async function openKept(path: string): Promise<string> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
    const names = await readdir(path);
    if (names.length > 0 && !names.includes(markName)) {
      throw new DevDirectoryError(path, "it has other files; choose a new or an empty directory");
    }
    await writeFile(join(path, markName), "created by attache dev\n", { mode: 0o600 });
    return path;
  } catch (error) {
    if (error instanceof DevDirectoryError) throw error;
    throw new DevDirectoryError(path, "it cannot be created or written to; choose a directory of this user", error);
  }
}
