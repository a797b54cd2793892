// SPDX-License-Identifier: Apache-2.0
// Where each part of the bundle stands in the file, by who needs it.
import { basename } from "node:path";

/**
 * `start`: compiled at start, with all that it imports statically: the entry and the agent's command.
 * `early`: one script, compiled at the first import of any part of it: what every start of the agent imports until it
 * is ready.
 * `text`: plain text, compiled at the first import: what the agent imports lazily, for some pods or later.
 * `packed`: compressed: what only other commands load; unpacking costs 4 ms and 1 MB, so it is not for the agent.
 * @typedef {"start" | "early" | "text" | "packed"} Place
 */

/**
 * @typedef {object} Part
 * @property {string} name as other parts import it
 * @property {boolean} isEntry
 * @property {boolean} isPackage a package that is imported lazily, and gives its one object as default export
 * @property {Place} place
 * @property {boolean} isTransient not kept by the loader: imported again, it is compiled again
 * @property {string} code an ES module, with its source map inside
 */

/**
 * @param {import("esbuild").Metafile} metafile
 * @param {readonly import("esbuild").OutputFile[]} files
 * @param {Pick<import("./bundle.mjs").BundleOptions, "entry" | "agent" | "early" | "others" | "transient">} options
 * @returns {readonly Part[]}
 */
export function layOut({ outputs }, files, options) {
  const entry = Object.keys(outputs).find((path) => outputs[path]?.entryPoint === options.entry);
  const agent = Object.keys(outputs).find((path) => outputs[path]?.entryPoint === options.agent);
  if (entry === undefined) throw new Error(`esbuild made no part for ${options.entry}`);
  const roots = [entry, ...(agent === undefined ? [] : [agent])];
  const atStart = reach(outputs, roots, (_path, kind) => kind !== "dynamic-import");
  const ofStart = Object.keys(outputs).filter((path) => options.early.test(outputs[path]?.entryPoint ?? ""));
  const early = reach(outputs, ofStart, (_path, kind) => kind !== "dynamic-import");
  const ofAgent = reach(outputs, roots, (path, kind) => kind !== "dynamic-import" || !options.others.test(path));
  return Object.entries(outputs).map(([path, output]) => ({
    name: `./${basename(path)}`,
    isEntry: path === entry,
    isPackage: (output.entryPoint ?? "").includes("node_modules/") && output.exports.join() === "default",
    isTransient: options.transient.test(output.entryPoint ?? ""),
    place: atStart.has(path) ? "start" : early.has(path) ? "early" : ofAgent.has(path) ? "text" : "packed",
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
