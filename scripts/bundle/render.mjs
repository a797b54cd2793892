// SPDX-License-Identifier: Apache-2.0
// Parts -> the text of the bundle and its source map.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { brotliCompressSync } from "node:zlib";
import { transform } from "esbuild";

/** @typedef {import("./layout.mjs").Part} Part */
/** @typedef {Part & { readonly script: string, readonly scriptMap: unknown }} Script a part as a CommonJS script */
/** @typedef {{ line: number, offset: number, length: number, packed: boolean }} Stored where the loader finds a part */
/** @typedef {{ readonly offset: { readonly line: number, readonly column: 0 }, readonly map: unknown }} Section */
/** @typedef {typeof indexMap & { readonly sections: readonly Section[] }} IndexMap */

/** The flat form's empty list of sources is for Node, which reads it before it looks for sections. */
const indexMap = /** @type {const} */ ({ version: 3, file: "attache.cjs", sources: [] });

const names = ["module", "exports", "require", "__filename", "__dirname"].join();

/**
 * @param {readonly Part[]} parts
 * @param {readonly string[]} flags of the engine that runs the bundle, for which it is compiled ahead
 * @returns {Promise<{ readonly code: string, readonly map: IndexMap, readonly scripts: readonly Script[] }>}
 */
export async function renderBundle(parts, flags) {
  const scripts = await Promise.all(parts.map(toScript));
  const boot = await minified("boot.cjs");
  const loader = await minified("loader.cjs");
  // the tables say where text stands that comes after them; they have the same width whatever their numbers are
  const draft = assemble(boot, loader, scripts, {}, "");
  const placed = assemble(boot, loader, scripts, draft.stored, "");
  const cache = makeCodeCache(placed.first, flags);
  const withCache = assemble(boot, loader, scripts, placed.stored, cache);
  const result = assemble(boot, loader, scripts, withCache.stored, cache);
  if (result.code.length !== draft.code.length + cache.length)
    throw new Error("the tables of the bundle changed their width");
  if (Buffer.byteLength(result.code) !== result.code.length) throw new Error("the bundle must be ASCII");
  return { code: result.code, map: { ...indexMap, sections: result.sections }, scripts };
}

/** @param {string} name a file of this folder */
async function minified(name) {
  const text = readFileSync(fileURLToPath(new URL(name, import.meta.url)), "utf8");
  return (await transform(text, { minify: true, legalComments: "none" })).code.trimEnd();
}

/** Where the part that starts the program, and its compiled form, are found in `Stored` tables. */
const start = "start";
const compiled = "start, compiled";

/**
 * @param {string} text
 * @param {readonly string[]} flags
 */
function makeCodeCache(text, flags) {
  const { NODE_OPTIONS: _options, ...env } = process.env;
  const program = fileURLToPath(new URL("code-cache.cjs", import.meta.url));
  return execFileSync(process.execPath, [...flags, program], { input: text, env, encoding: "utf8", maxBuffer: 1e8 });
}

/**
 * @param {string} boot
 * @param {string} loader
 * @param {readonly Script[]} scripts
 * @param {Readonly<Record<string, Stored>>} known where the parts stood in an earlier round
 * @param {string} cache
 */
function assemble(boot, loader, scripts, known, cache) {
  const later = scripts.filter(({ place }) => place !== "start");
  const table = later.map((part) => `${JSON.stringify(part.name)}:${renderStored(part, known[part.name])}`);
  /** @type {Section[]} */
  const sections = [];
  /** @type {Record<string, Stored>} */
  const stored = {};
  let code = `${boot.replace("BUNDLE_START", () => renderStart(known))}\n/*\n`;

  let first = `${loader.replace("BUNDLE_STORED", () => `{${table.join()}}`)}\n`;
  for (const { name, script, scriptMap } of scripts.filter(({ place }) => place === "start")) {
    // the parentheses make the engine compile the function at once, instead of reading it over first
    first += `factories[${JSON.stringify(name)}]=(function(${names}){\n`;
    sections.push({ offset: { line: lineCount(code) + lineCount(first), column: 0 }, map: scriptMap });
    first += `${script}\n});\n`;
  }
  first += `load(${JSON.stringify(scripts.find(({ isEntry }) => isEntry)?.name)});`;
  for (const { name, script, scriptMap } of [
    { name: start, script: first, scriptMap: undefined },
    ...later.filter(({ place }) => place === "text"),
  ]) {
    const text = script.replaceAll("*/", "*\x01/");
    const line = lineCount(code);
    stored[name] = { line, offset: code.length, length: text.length, packed: false };
    if (scriptMap !== undefined) sections.push({ offset: { line, column: 0 }, map: scriptMap });
    code += `${text}\n`;
  }

  const packed = later.filter(({ place }) => place === "packed");
  // compressed text has no lines of its own: its positions come after the last line of the file
  let line = lineCount(code) + packed.length + 2;
  for (const { name, script, scriptMap } of packed) {
    const text = brotliCompressSync(script).toString("base64");
    stored[name] = { line, offset: code.length, length: text.length, packed: true };
    sections.push({ offset: { line, column: 0 }, map: scriptMap });
    code += `${text}\n`;
    line += lineCount(script) + 1;
  }
  stored[compiled] = { line: 0, offset: code.length, length: cache.length, packed: false };
  return { code: `${code}${cache}\n*/\n//# sourceMappingURL=attache.cjs.map\n`, stored, sections, first };
}

/**
 * @param {Part} part
 * @param {Stored} [at]
 */
function renderStored(
  { place, isTransient },
  { line, offset, length } = { line: 0, offset: 0, length: 0, packed: false },
) {
  const kind = `packed:${String(place === "packed")},transient:${String(isTransient)}`;
  return `{${numbers({ line, offset, length })},${kind}}`;
}

/** @param {Readonly<Record<string, Stored>>} known */
function renderStart({ [start]: first, [compiled]: cache }) {
  const place = (/** @type {Stored | undefined} */ at) => `{${numbers({ offset: at?.offset, length: at?.length })}}`;
  return `{${numbers({ line: first?.line })},start:${place(first)},cache:${place(cache)}}`;
}

/**
 * Members of an object literal, of the same width whatever the numbers are.
 * @param {Readonly<Record<string, number | undefined>>} members
 */
function numbers(members) {
  return Object.entries(members)
    .map(([key, value]) => `${key}:${String(value ?? 0).padStart(8)}`)
    .join();
}

/**
 * @param {Part} part
 * @returns {Promise<Script>}
 */
async function toScript(part) {
  // esbuild escapes what is not ASCII everywhere but in regular expressions
  const ascii = part.code.replaceAll(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
  const { code, map } = await transform(ascii, {
    format: "cjs",
    platform: "node",
    target: "node24",
    // import() becomes a call of the loader
    supported: { "dynamic-import": false },
    minify: true,
    legalComments: "none",
    sourcemap: "external",
    sourcefile: part.name,
  });
  return { ...part, script: code.trimEnd() + (part.isPackage ? named : ""), scriptMap: JSON.parse(map) };
}

/** What `import()` gives for a CommonJS package: its properties by name too, as Node does. */
const named = ";module.exports={__esModule:true,...module.exports.default,default:module.exports.default};";

/** @param {string} text */
function lineCount(text) {
  return text.split("\n").length - 1;
}
