// SPDX-License-Identifier: Apache-2.0
import { basename, join } from "node:path";
import { build } from "esbuild";

/**
 * Bundles a program, as the agent is: run as TypeScript, its heap has the engine's translator in it, which is as large as
 * the agent.
 * @param directory for the result
 * @returns its path
 */
export async function bundleProgram(path: string, directory: string): Promise<string> {
  await build({
    entryPoints: [path],
    outdir: directory,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    splitting: true,
    platform: "node",
    format: "esm",
    // packages in the old form ask for the engine's modules
    banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
    logLevel: "error",
  });
  return join(directory, basename(path).replace(/\.ts$/, ".mjs"));
}
