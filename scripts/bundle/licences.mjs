// SPDX-License-Identifier: Apache-2.0
// The licences of what the bundle contains.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const allowed = new Set(["MIT", "ISC", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "0BSD", "BlueOak-1.0.0"]);

/**
 * @param {string} root
 * @param {import("esbuild").Metafile} metafile
 * @returns {string}
 * @throws when a package has no licence of the list
 */
export function renderLicences(root, { inputs }) {
  const directories = Object.keys(inputs).flatMap(
    (path) => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path) ?? [],
  );
  const sections = [...new Set(directories)].sort().map((directory) => renderPackage(join(root, directory)));
  return [`attache\nApache-2.0\n\n${readFileSync(join(root, "LICENSE"), "utf8").trim()}\n`, ...sections].join(
    `\n${"-".repeat(80)}\n\n`,
  );
}

/** @param {string} directory */
function renderPackage(directory) {
  /** @type {{ name: string, version: string, license?: string }} */
  const { name, version, license = "none" } = JSON.parse(readFileSync(join(directory, "package.json"), "utf8"));
  const choices = license.replaceAll(/[()]/g, "").split(" OR ");
  if (!choices.some((choice) => choice.split(" AND ").every((part) => allowed.has(part)))) {
    throw new Error(
      `${name} ${version} has the licence ${license}, which is not on the list in scripts/bundle/licences.mjs`,
    );
  }
  const file = readdirSync(directory).find((entry) => /^(licen[cs]e|copying)/i.test(entry));
  const text = file === undefined ? "(the package brings no text of it)" : readFileSync(join(directory, file), "utf8");
  return `${name} ${version}\n${license}\n\n${text.trim()}\n`;
}
