// SPDX-License-Identifier: Apache-2.0
// Parts -> the program's file, the file with all parts, and their source map.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { brotliCompressSync } from "node:zlib";
import { transform } from "esbuild";

/** @typedef {import("./layout.mjs").Part} Part */
/** @typedef {Part & { readonly script: string, readonly scriptMap: unknown }} Script a part as a CommonJS script */
/** @typedef {{ offset: number, length: number }} Place in attache.parts */
/** @typedef {{ readonly offset: { readonly line: number, readonly column: 0 }, readonly map: unknown }} Section */
/** @typedef {typeof indexMap & { readonly sections: readonly Section[] }} IndexMap */

/** The flat form's empty list of sources is for Node, which reads it before it looks for sections. */
const indexMap = /** @type {const} */ ({ version: 3, file: "attache.cjs", sources: [] });

const names = ["module", "exports", "require", "__filename", "__dirname"].join();

/**
 * @typedef {object} Rendered
 * @property {string} code attache.cjs
 * @property {Buffer} data attache.parts
 * @property {IndexMap} map
 * @property {readonly Script[]} scripts
 */

/**
 * @param {readonly Part[]} parts
 * @param {readonly string[]} flags of the engine that runs the bundle, for which it is compiled ahead
 * @returns {Promise<Rendered>}
 */
export async function renderBundle(parts, flags) {
  const scripts = await Promise.all(parts.map(toScript));
  const boot = await minified("boot.cjs");
  const loader = await minified("loader.cjs");
  // the tables say where text stands that comes after them; they have the same width whatever their numbers are
  const draft = assemble(loader, scripts, {}, Buffer.alloc(0));
  const early = makeCodeCache(draft.joined.early, flags);
  const placed = assemble(loader, scripts, draft.places, early);
  const result = assemble(loader, scripts, placed.places, early);
  if (result.joined.start.length !== draft.joined.start.length) {
    throw new Error("the tables of the bundle changed their width");
  }
  // the compiled form has the tables in it, so it is made last, and stands at the end
  const start = makeCodeCache(result.joined.start, flags);
  const places = {
    ...result.places,
    "start, compiled": { offset: idLength + result.data.length, length: start.length },
  };
  const data = Buffer.concat([result.data, start]);
  const build = createHash("sha256").update(data).digest("hex").slice(0, idLength);
  const tables = renderJoined("start", places).replace("{", `{build:${JSON.stringify(build)},`);
  return {
    code: `${boot.replace("BUNDLE_START", () => tables)}\n//# sourceMappingURL=attache.cjs.map\n`,
    data: Buffer.concat([Buffer.from(build), data]),
    map: { ...indexMap, sections: result.sections },
    scripts,
  };
}

/** The file with the parts begins with the build's id of so many characters, by which the other file knows it. */
const idLength = 16;

/** Positions in stack traces are in attache.cjs, as if all parts stood in it, after its own lines. */
const firstLine = 10;

/** @param {string} name a file of this folder */
async function minified(name) {
  const text = readFileSync(fileURLToPath(new URL(name, import.meta.url)), "utf8");
  return (await transform(text, { minify: true, legalComments: "none" })).code.trimEnd();
}

/** The scripts that are joined of several parts. */
const joinedScripts = /** @type {const} */ (["start", "early"]);

/**
 * @param {string} text
 * @param {readonly string[]} flags
 * @returns {Buffer}
 */
function makeCodeCache(text, flags) {
  const { NODE_OPTIONS: _options, ...env } = process.env;
  const program = fileURLToPath(new URL("code-cache.cjs", import.meta.url));
  return execFileSync(process.execPath, [...flags, program], { input: text, env, maxBuffer: 1e8 });
}

/**
 * @param {string} loader
 * @param {readonly Script[]} scripts
 * @param {Readonly<Record<string, Place & { readonly line: number }>>} known where texts stood in an earlier round
 * @param {Buffer} earlyCompiled
 */
function assemble(loader, scripts, known, earlyCompiled) {
  const later = scripts.filter(({ place }) => place === "text" || place === "packed");
  const table = later.map((part) => `${JSON.stringify(part.name)}:${renderStored(part, known[part.name])}`);
  /** @type {Section[]} */
  const sections = [];
  /** @type {Record<string, Place & { readonly line: number }>} */
  const places = {};
  /** @type {Buffer[]} */
  const data = [];
  let offset = idLength;
  let line = firstLine;
  /** @param {string} name @param {Buffer} bytes */
  const addBytes = (name, bytes) => {
    places[name] = { line, offset, length: bytes.length };
    data.push(bytes);
    offset += bytes.length;
  };
  /** @param {string} name @param {string} script @param {boolean} isPacked */
  const addScript = (name, script, isPacked) => {
    const text = Buffer.from(script, "ascii");
    if (text.toString("latin1") !== script) throw new Error(`${name} is not ASCII`);
    addBytes(name, isPacked ? brotliCompressSync(text) : text);
    line += lineCount(script) + 1;
  };

  const tables = loader
    .replace("BUNDLE_STORED", () => `{${table.join()}}`)
    .replace("BUNDLE_EARLY", () => renderJoined("early", known));
  const entry = scripts.find(({ isEntry }) => isEntry)?.name;
  const frames = {
    start: [`(function(__filename,__dirname,descriptor){${tables}\n`, `load(${JSON.stringify(entry)});})`],
    early: ["(function(factories){\n", "})"],
  };
  const joined = { start: "", early: "" };
  for (const place of joinedScripts) {
    const [before = "", after = ""] = frames[place];
    let script = before;
    for (const { name, script: text, scriptMap } of scripts.filter((part) => part.place === place)) {
      // the parentheses make the engine compile the function at once, instead of reading it over first
      script += `factories[${JSON.stringify(name)}]=(function(${names}){\n`;
      sections.push({ offset: { line: line + lineCount(script), column: 0 }, map: scriptMap });
      script += `${text}\n});\n`;
    }
    joined[place] = script + after;
    addScript(place, joined[place], false);
  }
  addBytes("early, compiled", earlyCompiled);
  for (const { name, script, scriptMap, place } of later) {
    sections.push({ offset: { line, column: 0 }, map: scriptMap });
    addScript(name, script, place === "packed");
  }
  return { data: Buffer.concat(data), places, sections, joined };
}

/**
 * @param {Part} part
 * @param {Place & { readonly line: number }} [at]
 */
function renderStored({ place, isTransient }, { line, offset, length } = { line: 0, offset: 0, length: 0 }) {
  const kind = `packed:${String(place === "packed")},transient:${String(isTransient)}`;
  return `{${numbers({ line, offset, length })},${kind}}`;
}

/**
 * Where a joined script and its compiled form stand.
 * @param {"start" | "early"} name
 * @param {Readonly<Record<string, Place & { readonly line?: number }>>} places
 */
function renderJoined(name, { [name]: text, [`${name}, compiled`]: cache }) {
  const place = (/** @type {Place | undefined} */ at) => `{${numbers({ offset: at?.offset, length: at?.length })}}`;
  return `{${numbers({ line: text?.line })},text:${place(text)},cache:${place(cache)}}`;
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
