// SPDX-License-Identifier: Apache-2.0
// Every source file names its licence in its first lines. `--fix` adds the line where it is missing.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";

const line = "SPDX-License-Identifier: Apache-2.0";

/** @type {Readonly<Record<string, string>>} the comment sign by the end of the name */
const comment = { ts: "//", mts: "//", mjs: "//", cjs: "//", proto: "//", sh: "#", py: "#", Dockerfile: "#" };

const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], { encoding: "utf8" })
  .split("\n")
  .filter((path) => path !== "" && !path.startsWith("src/gen/"));

for (const path of files) {
  const sign = path.startsWith("bin/")
    ? "#"
    : comment[path.slice(Math.max(path.lastIndexOf("."), path.lastIndexOf("/")) + 1)];
  if (sign === undefined) continue;
  const text = readText(path);
  if (text === undefined || text.split("\n", 3).some((first) => first === `${sign} ${line}`)) continue;
  if (process.argv.includes("--fix")) {
    const [shebang, rest] = /^#!.*\n/.test(text) ? text.split(/(?<=\n)(.*)/s) : ["", text];
    writeFileSync(path, `${shebang ?? ""}${sign} ${line}\n${rest ?? ""}`);
  } else {
    process.stderr.write(`${path}: no line "${sign} ${line}"\n`);
    process.exitCode = 1;
  }
}

/**
 * @param {string} path
 * @returns {string | undefined} undefined for a file that git knows and that is gone
 */
function readText(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
