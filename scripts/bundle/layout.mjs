// SPDX-License-Identifier: Apache-2.0
// Where each part of the bundle stands in the file, by who needs it.
import { basename } from "node:path";

/**
 * `function`: as code, parsed at start: what every `attache proxy` runs before and right after Envoy's exec.
 * `text`: as plain text: packages that `attache proxy` loads later or never.
 * `packed`: compressed: what only other commands load; unpacking costs 4 ms and 1 MB, so it is not for the agent.
 * @typedef {"function" | "text" | "packed"} Place
 */

/**
 * @typedef {object} Part
 * @property {string} name as other parts import it
 * @property {boolean} isEntry
 * @property {boolean} isPackage a package that is imported lazily, and gives its one object as default export
 * @property {Place} place
 * @property {string} code an ES module, with its source map inside
 */

/**
 * @param {import("esbuild").Metafile} metafile
 * @param {readonly import("esbuild").OutputFile[]} files
 * @param {Pick<import("./bundle.mjs").BundleOptions, "entry" | "agent" | "others">} options
 * @returns {readonly Part[]}
 */
export function layOut({ outputs }, files, options) {
  const entry = Object.keys(outputs).find((path) => outputs[path]?.entryPoint === options.entry);
  const agent = Object.keys(outputs).find((path) => outputs[path]?.entryPoint === options.agent);
  if (entry === undefined) throw new Error(`esbuild made no part for ${options.entry}`);
  const ofAgent = reach(outputs, [entry, ...(agent === undefined ? [] : [agent])], options.others);
  return Object.entries(outputs).map(([path, output]) => {
    const hasPackages = Object.keys(output.inputs).some((input) => input.includes("node_modules/"));
    const isEager = ofAgent.has(path);
    return {
      name: `./${basename(path)}`,
      isEntry: path === entry,
      isPackage: (output.entryPoint ?? "").includes("node_modules/") && output.exports.join() === "default",
      place: isEager && !hasPackages ? "function" : isEager ? "text" : "packed",
      code: textOf(files, basename(path)),
    };
  });
}

/**
 * What is imported, now or later, from some parts on, leaving out what only other commands ask for.
 * @param {Readonly<Record<string, import("esbuild").Metafile["outputs"][string]>>} outputs
 * @param {readonly string[]} from
 * @param {RegExp} others
 */
function reach(outputs, from, others) {
  const reached = new Set(from);
  for (const path of reached) {
    for (const { path: target, kind } of outputs[path]?.imports ?? []) {
      const isOther = kind === "dynamic-import" && others.test(outputs[target]?.entryPoint ?? "");
      if (target in outputs && !isOther) reached.add(target);
    }
  }
  return reached;
}

/**
 * @param {readonly import("esbuild").OutputFile[]} files
 * @param {string} name
 */
function textOf(files, name) {
  const file = files.find(({ path }) => basename(path) === name);
  if (file === undefined) throw new Error(`esbuild made no ${name}`);
  return file.text;
}
