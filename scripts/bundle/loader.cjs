// SPDX-License-Identifier: Apache-2.0
// What runs first in the bundle, called by boot.cjs: a table of modules. Those that the command begins with stand behind this
// text as functions; in the agent, those that it needs until it is ready are in a second script, which is run when the first
// of them is asked for. The others are read and compiled one by one when they are first asked for.
"use strict";
const { compileFunction, Script } = process.getBuiltinModule("node:vm");

/** @typedef {{ exports: unknown }} Module */
/** @typedef {(module: Module, exports: unknown, load: (name: string) => unknown, file: string, directory: string) => void} Factory */
/** @typedef {{ readonly offset: number, readonly length: number }} Place */
/** @typedef {Place & { readonly line: number, readonly packed: boolean, readonly transient: boolean }} Stored */

/** @type {Record<string, Factory | undefined>} */
const factories = {};
/** @type {{ readonly line: number, readonly text: Place, readonly cache: Place }} */
// @ts-expect-error: put in when the bundle is made, like the table
const early = BUNDLE_EARLY;
/** @type {Record<string, Stored | undefined>} */
// @ts-expect-error: as above
const stored = BUNDLE_STORED;
/** @type {Record<string, Module | undefined>} */
const modules = {};

/** @param {string} name */
const load = (name) => {
  const known = modules[name];
  if (known !== undefined) return known.exports;
  if (!name.startsWith("./")) return builtIn(name);
  const at = stored[name];
  if (at === undefined && factories[name] === undefined) addEarly();
  const factory = factories[name] ?? (at === undefined ? undefined : compile(at));
  if (factory === undefined) throw new Error(`there is no part ${name} in the bundle`);
  /** @type {Module} */
  const module = { exports: {} };
  if (at?.transient !== true) modules[name] = module;
  factory(module, module.exports, load, __filename, __dirname);
  return module.exports;
};

/**
 * A module of Node.js; there is nothing else that could be asked for.
 * @param {string} name
 */
const builtIn = (name) => {
  const module = process.getBuiltinModule(name);
  if (module === undefined) throw new Error(`there is no module ${name} in the bundle or in Node.js`);
  return module;
};

const addEarly = () => {
  // @ts-expect-error: given by boot.cjs, as readText
  const options = { filename: __filename, lineOffset: early.line, cachedData: readCompiled(early.cache) };
  // @ts-expect-error: as above
  new Script(readText(early.text), options).runInThisContext()(factories);
};

/**
 * @param {Stored} at
 * @returns {Factory}
 */
const compile = ({ packed, line, ...at }) => {
  // @ts-expect-error: given by boot.cjs
  const text = readText(at);
  const code = packed
    ? process.getBuiltinModule("node:zlib").brotliDecompressSync(Buffer.from(text, "base64")).toString("latin1")
    : text;
  const parameters = ["module", "exports", "require", "__filename", "__dirname"];
  // @ts-expect-error: it is a function of just these parameters
  return compileFunction(code, parameters, { filename: __filename, lineOffset: line });
};
