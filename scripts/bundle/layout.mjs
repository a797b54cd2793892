// SPDX-License-Identifier: Apache-2.0
// Where each part of the bundle stands in the file, by who needs it.
import { basename } from "node:path";

/**
 * Every part can be read on its own, as
 * `text`: plain text, compiled when it is imported: what commands import that run inside a pod's limits.
 * `packed`: compressed: what only other commands load; unpacking costs 6 ms and 1 MB.
 * @typedef {"text" | "packed"} Place
 */

/**
 * @typedef {object} Part
 * @property {string} name as other parts import it
 * @property {boolean} isEntry
 * @property {boolean} isPackage a package that is imported lazily, and gives its one object as default export
 * @property {Place} place
 * @property {readonly string[]} startOf the commands that begin with it, whose script it is in, compiled ahead
 * @property {boolean} isEarly whether the agent imports it at every start until it is ready: it is in a script with the others
 * of these, compiled ahead
 * @property {boolean} isTransient not kept by the loader: imported again, it is compiled again
 * @property {string} code an ES module, with its source map inside
 */

/**
 * @param {import("esbuild").Metafile} metafile
 * @param {readonly import("esbuild").OutputFile[]} files
 * @param {Pick<import("./bundle.mjs").BundleOptions, "entry" | "agent" | "commands" | "early" | "packed" | "transient">} options
 * @returns {readonly Part[]}
 */
export function layOut({ outputs }, files, options) {
  const partOf = (/** @type {string} */ module) => {
    const path = Object.keys(outputs).find((output) => outputs[output]?.entryPoint === module);
    if (path === undefined) throw new Error(`esbuild made no part for ${module}`);
    return path;
  };
  const isStatic = (/** @type {string} */ _path, /** @type {string} */ kind) => kind !== "dynamic-import";
  const entry = partOf(options.entry);
  const starts = Object.entries(options.commands).map(([command, modules]) => ({
    command,
    parts: reach(outputs, [entry, ...modules.map(partOf)], isStatic),
  }));
  const atStart = starts.find(({ command }) => command === options.agent)?.parts;
  const ofStart = Object.keys(outputs).filter((path) => options.early.test(outputs[path]?.entryPoint ?? ""));
  const early = reach(outputs, ofStart, isStatic);
  const plain = reach(outputs, [entry], (path, kind) => isStatic(path, kind) || !options.packed.test(path));
  return Object.entries(outputs).map(([path, output]) => ({
    name: `./${basename(path)}`,
    isEntry: path === entry,
    isPackage: (output.entryPoint ?? "").includes("node_modules/") && output.exports.join() === "default",
    place: plain.has(path) ? "text" : "packed",
    startOf: starts.filter(({ parts }) => parts.has(path)).map(({ command }) => command),
    isEarly: early.has(path) && atStart?.has(path) !== true,
    isTransient: options.transient.test(output.entryPoint ?? ""),
    code: textOf(files, basename(path)),
  }));
}

/**
 * The parts that are imported from some parts on.
 * @param {import("esbuild").Metafile["outputs"]} outputs
 * @param {readonly string[]} from
 * @param {(entryPoint: string, kind: string) => boolean} follow
 */
function reach(outputs, from, follow) {
  const reached = new Set(from);
  for (const path of reached) {
    for (const { path: target, kind } of outputs[path]?.imports ?? []) {
      if (target in outputs && follow(outputs[target]?.entryPoint ?? "", kind)) reached.add(target);
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
