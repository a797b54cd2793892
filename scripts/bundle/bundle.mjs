// SPDX-License-Identifier: Apache-2.0
import { build } from "esbuild";
import { layOut } from "./layout.mjs";
import { renderLicences } from "./licences.mjs";
import { renderBundle } from "./render.mjs";

/**
 * @typedef {object} BundleOptions
 * @property {string} root
 * @property {string} entry relative to the root
 * @property {string} agent the one of the commands that stays
 * @property {Readonly<Record<string, readonly string[]>>} commands whose start must be quick: the modules that each imports at once
 * @property {RegExp} early modules that the agent imports lazily at every start, until it is ready
 * @property {RegExp} packed modules that none of these commands imports, or hardly ever
 * @property {RegExp} transient modules without a state, that are imported once; they are freed after their use
 * @property {readonly string[]} flags of the engine, that the agent is run with
 * @property {Readonly<Record<string, readonly string[]>>} warmUps arguments with which commands are run once
 * @property {Readonly<Record<string, string>>} define
 */

/**
 * Makes one file of a program with lazily imported parts.
 * @param {BundleOptions} options
 */
export async function makeBundle({ root, entry, agent, commands, early, packed, transient, flags, warmUps, define }) {
  const { outputFiles, metafile } = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    outdir: "dist",
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node24",
    minifySyntax: true,
    legalComments: "none",
    sourcemap: "inline",
    metafile: true,
    write: false,
    logLevel: "warning",
    define: { ...define, "import.meta.dirname": "__dirname", "import.meta.filename": "__filename" },
  });
  const parts = layOut(metafile, outputFiles, { entry, agent, commands, early, packed, transient });
  return {
    ...(await renderBundle(parts, { agent, commands: Object.keys(commands), flags, warmUps })),
    licences: renderLicences(root, metafile),
  };
}
