// SPDX-License-Identifier: Apache-2.0
// What runs first in the bundle, called by boot.cjs: a table of modules. Those that every start of the agent needs stand
// behind this text as functions; the others are read from the file and compiled when they are first asked for.
"use strict";
const { readSync } = process.getBuiltinModule("node:fs");

/** @typedef {{ exports: unknown }} Module */
/** @typedef {(module: Module, exports: unknown, load: (name: string) => unknown, file: string, directory: string) => void} Factory */
/** @typedef {{ readonly line: number, readonly offset: number, readonly length: number, readonly packed: boolean, readonly transient: boolean }} Stored */

/** @type {Record<string, Factory | undefined>} */
const factories = {};
/** @type {Record<string, Stored | undefined>} */
// @ts-expect-error: the table is put in its place when the bundle is made
const stored = BUNDLE_STORED;
/** @type {Record<string, Module | undefined>} */
const modules = {};

/** @param {string} name */
const load = (name) => {
  const known = modules[name];
  if (known !== undefined) return known.exports;
  const at = stored[name];
  const factory = factories[name] ?? (at === undefined ? undefined : compile(at));
  if (factory === undefined) return builtIn(name);
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

/**
 * @param {Stored} at
 * @returns {Factory}
 */
const compile = ({ line, offset, length, packed }) => {
  const bytes = Buffer.allocUnsafeSlow(length);
  // @ts-expect-error: the open file is given by boot.cjs
  readSync(descriptor, bytes, 0, length, offset);
  const text = bytes.toString("latin1");
  // a pattern, not a string: the string would be replaced itself when this text is read
  const code = packed
    ? process.getBuiltinModule("node:zlib").brotliDecompressSync(Buffer.from(text, "base64")).toString("latin1")
    : text.replaceAll(/\*\x01\//g, "*/");
  const parameters = ["module", "exports", "require", "__filename", "__dirname"];
  const { compileFunction } = process.getBuiltinModule("node:vm");
  // @ts-expect-error: it is a function of just these parameters
  return compileFunction(code, parameters, { filename: __filename, lineOffset: line });
};
