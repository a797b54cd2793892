// SPDX-License-Identifier: Apache-2.0
// Makes what is missing: packages, the bundle, Envoy. Runs on any Node from 20 on, without dependencies; quick when
// there is nothing to do. What it says goes to stderr, so that a command after it has stdout for itself.
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { provideEnvoy } from "./envoy.mjs";
import { provideTestTools } from "./test-tools.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));

/** What the bundle is made of; a later change of one of these makes it stale. */
const bundleSources = ["src", "bootstrap", "examples", "scripts/build.mjs", "scripts/bundle", "package.json"];

/** @typedef {{ packages: Record<string, { version?: string, link?: boolean, optional?: boolean } | undefined> }} Lock */

/** Whether node_modules holds the versions of the lock file. Packages for other platforms may be absent. */
function packagesAreInstalled() {
  const installedPath = join(root, "node_modules", ".package-lock.json");
  if (!existsSync(installedPath)) return false;
  const wanted = /** @type {Lock} */ (JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")));
  const installed = /** @type {Lock} */ (JSON.parse(readFileSync(installedPath, "utf8")));
  return Object.entries(wanted.packages).every(([path, entry]) => {
    if (!path.startsWith("node_modules/") || entry === undefined || entry.link === true) return true;
    const present = installed.packages[path];
    return present === undefined ? entry.optional === true : present.version === entry.version;
  });
}

function bundleIsFresh() {
  const bundle = statSync(join(root, "dist", "attache.cjs"), { throwIfNoEntry: false });
  return bundle !== undefined && bundleSources.every((path) => newestMs(join(root, path)) <= bundle.mtimeMs);
}

/**
 * The last change in a file or tree; of a directory too, which tells of removed files.
 * @param {string} path
 * @returns {number} milliseconds since the epoch; 0 for what does not exist
 */
function newestMs(path) {
  const status = statSync(path, { throwIfNoEntry: false });
  if (status === undefined) return 0;
  if (!status.isDirectory()) return status.mtimeMs;
  return Math.max(status.mtimeMs, ...readdirSync(path).map((name) => newestMs(join(path, name))));
}

/**
 * @param {string} what
 * @param {string} program
 * @param {readonly string[]} args
 * @returns {Promise<void>}
 */
function run(what, program, args) {
  process.stderr.write(`setup: ${what}\n`);
  const env = { ...process.env, PATH: [join(root, "node_modules", ".bin"), process.env["PATH"]].join(delimiter) };
  return new Promise((done, fail) => {
    const child = spawn(program, args, { cwd: root, stdio: ["ignore", 2, 2], env });
    child.once("error", fail);
    child.once("exit", (code) => {
      if (code === 0) done();
      else fail(new Error(`${what}: ${program} ${args.join(" ")} exited with ${String(code)}`));
    });
  });
}

/** @param {readonly string[]} wanted of `packages`, `bundle`, `envoy` and `test-tools`, made in this order */
async function setup(wanted) {
  if (!packagesAreInstalled()) await run("installing packages", "npm", ["ci", "--no-audit", "--no-fund"]);
  if (wanted.includes("bundle") && !bundleIsFresh())
    await run("building dist/attache.cjs", "node", ["scripts/build.mjs"]);
  if (wanted.includes("envoy")) await provideEnvoy();
  if (wanted.includes("test-tools")) await provideTestTools(root);
}

try {
  await setup(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`setup: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
