// SPDX-License-Identifier: Apache-2.0
// Part of `npm run lock`. A registry may lack a package's builds for platforms that this project does not run on; npm
// leaves them out of the lock file then, and `npm ci` refuses such a file. This names them in it, so that every
// platform passes them over as it does its strangers.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/**
 * @typedef {object} Entry
 * @property {string} [version]
 * @property {boolean} [optional]
 * @property {Record<string, string>} [optionalDependencies]
 * @property {string[]} [os]
 * @property {string[]} [cpu]
 * @property {string[]} [libc]
 */

const systems = ["android", "darwin", "freebsd", "linux", "openharmony", "win32"];
const processors = ["arm64", "arm", "ia32", "ppc64", "riscv64", "s390x", "x64"];

const path = fileURLToPath(new URL("../package-lock.json", import.meta.url));
const lock = /** @type {{ packages: Record<string, Entry> }} */ (JSON.parse(readFileSync(path, "utf8")));

for (const { optionalDependencies = {} } of Object.values(lock.packages)) {
  for (const [name, version] of Object.entries(optionalDependencies)) {
    const platform = /-(\w+)-(\w+?)(?:v7|-(.+))?$/.exec(name);
    if (`node_modules/${name}` in lock.packages || platform === null) continue;
    const [, system = "", processor = "", abi = ""] = platform;
    if (!systems.includes(system) || !processors.includes(processor)) throw new Error(`${name}: unknown platform`);
    lock.packages[`node_modules/${name}`] = {
      version,
      cpu: [processor],
      ...(system === "linux" && abi !== "" ? { libc: [abi.startsWith("musl") ? "musl" : "glibc"] } : {}),
      optional: true,
      os: [system],
    };
    process.stderr.write(`package-lock.json: ${name} ${version} is not in the registry; named as optional\n`);
  }
}

const [root, ...others] = Object.entries(lock.packages);
if (root === undefined) throw new Error("package-lock.json names no package");
lock.packages = Object.fromEntries([root, ...others.sort(([a], [b]) => (a < b ? -1 : 1))]);
writeFileSync(path, `${JSON.stringify(lock, undefined, 2)}\n`);
