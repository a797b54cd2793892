// SPDX-License-Identifier: Apache-2.0
// What runs first in the bundle, called by boot.cjs: a table of modules. Those that the command begins with stand behind this
// text as functions; in the agent, those that it needs until it is ready are in a second script, which is run when the first
// of them is asked for. The others are read and compiled one by one when they are first asked for.
"use strict";
const { readSync } = process.getBuiltinModule("node:fs");
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

/** @param {Place} at */
const read = ({ offset, length }) => {
  const bytes = Buffer.allocUnsafeSlow(length);
  // @ts-expect-error: the open file is given by boot.cjs
  readSync(descriptor, bytes, 0, length, offset);
  return bytes.toString("latin1");
};

/**
 * As in boot.cjs.
 * @param {Place} at
 */
const decode = ({ offset, length }) => {
  const bytes = Buffer.allocUnsafeSlow((length / 4) * 3);
  const piece = Buffer.allocUnsafeSlow(65_536);
  let written = 0;
  for (let at = 0; at < length; at += piece.length) {
    // @ts-expect-error: the open file is given by boot.cjs
    const count = readSync(descriptor, piece, 0, Math.min(piece.length, length - at), offset + at);
    written += bytes.write(piece.toString("latin1", 0, count), written, "base64");
  }
  return bytes.subarray(0, written);
};

/**
 * The end of a comment is written otherwise in the file. A pattern, not a string: the string would be replaced itself
 * when this text is read.
 * @param {string} text
 */
const plain = (text) => text.replaceAll(/\*\x01\//g, "*/");

const addEarly = () => {
  const place = { filename: __filename, lineOffset: early.line, cachedData: decode(early.cache) };
  new Script(plain(read(early.text)), place).runInThisContext()(factories);
};

/**
 * @param {Stored} at
 * @returns {Factory}
 */
const compile = ({ packed, line, ...at }) => {
  const text = read(at);
  const code = packed
    ? process.getBuiltinModule("node:zlib").brotliDecompressSync(Buffer.from(text, "base64")).toString("latin1")
    : plain(text);
  const parameters = ["module", "exports", "require", "__filename", "__dirname"];
  // @ts-expect-error: it is a function of just these parameters
  return compileFunction(code, parameters, { filename: __filename, lineOffset: line });
};
