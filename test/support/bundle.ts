// SPDX-License-Identifier: Apache-2.0
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Manifest } from "../../src/diagnosis/bundle/manifest.ts";
import { projectRoot } from "./run-program.ts";

export interface BundleRun {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
  readonly durationMs: number;
}

export interface BundlePlace {
  /** The working directory. */
  readonly directory: string;
  /** The whole environment, PATH aside. */
  readonly env?: Readonly<Record<string, string>>;
  /** Words before the program, which run it. */
  readonly launcher?: readonly string[];
}

/** Runs `attache bundle` as in a pod. */
export function runBundleCommand(
  { directory, env = {}, launcher = [] }: BundlePlace,
  ...args: readonly string[]
): Promise<BundleRun> {
  const startMs = performance.now();
  const [program = "", ...words] = [...launcher, join(projectRoot, "bin/attache"), "bundle", ...args];
  const child = spawn(program, words, {
    cwd: directory,
    env: { PATH: process.env["PATH"], ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const stdout: Buffer[] = [];
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => {
      resolve({ code, stdout: Buffer.concat(stdout), stderr, durationMs: performance.now() - startMs });
    });
  });
}

export interface Unpacked {
  /** By path below the archive's own directory. */
  readonly files: ReadonlyMap<string, Buffer>;
  readonly manifest: Manifest;
  /** What `tar` says about the files. */
  readonly listing: string;
  readonly json: (file: string) => unknown;
  readonly text: (file: string) => string;
}

/** Unpacks with the system's tar. */
export function unpackBundle(archive: Buffer, directory: string): Unpacked {
  const path = join(directory, "archive.tar.gz");
  const target = join(directory, "unpacked");
  mkdirSync(target, { recursive: true });
  writeFileSync(path, archive);
  execFileSync("tar", ["-xzf", path, "-C", target]);
  const listing = execFileSync("tar", ["-tvzf", path], { encoding: "utf8" });
  const files = new Map<string, Buffer>();
  for (const entry of readdirSync(target, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const full = join(entry.parentPath, entry.name);
    files.set(full.slice(target.length + 1).replace(/^[^/]+\//, ""), readFileSync(full));
  }
  const text = (file: string): string => {
    const bytes = files.get(file);
    if (bytes === undefined) throw new Error(`${file} is not in the archive: ${[...files.keys()].join(", ")}`);
    return bytes.toString("utf8");
  };
  const json = (file: string): unknown => JSON.parse(text(file));
  return { files, listing, text, json, manifest: json("MANIFEST.json") as Manifest };
}
