// SPDX-License-Identifier: Apache-2.0
// Parts -> the text of the bundle and its source map.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync } from "node:zlib";
import { transform } from "esbuild";

/** @typedef {import("./layout.mjs").Part} Part */
/**
 * A part as a CommonJS script.
 * @typedef {Part & { readonly script: string, readonly stored: string, readonly scriptMap: unknown }} Script `stored`: as text
 * in the file
 */
/** @typedef {{ offset: number, length: number }} Place in the file */
/** @typedef {Place & { readonly line: number }} Stored */
/** @typedef {{ readonly offset: { readonly line: number, readonly column: 0 }, readonly map: unknown }} Section */
/** @typedef {typeof indexMap & { readonly sections: readonly Section[] }} IndexMap */

/** The flat form's empty list of sources is for Node, which reads it before it looks for sections. */
const indexMap = /** @type {const} */ ({ version: 3, file: "attache.cjs", sources: [] });

const names = ["module", "exports", "require", "__filename", "__dirname"].join();

/**
 * @typedef {object} Rendered
 * @property {string} code attache.cjs
 * @property {IndexMap} map
 * @property {readonly Script[]} scripts
 */

/**
 * @typedef {object} RenderOptions
 * @property {string} agent the command that has the early parts
 * @property {readonly string[]} commands those with a script of their own
 * @property {readonly string[]} flags of the engine that runs the bundle, for which it is compiled ahead
 * @property {Readonly<Record<string, readonly string[]>>} warmUps of commands that end soon: arguments with which they are run
 * once, so that the functions that they run are compiled ahead, and no others
 */

/**
 * @param {readonly Part[]} parts
 * @param {RenderOptions} options
 * @returns {Promise<Rendered>}
 */
export async function renderBundle(parts, options) {
  const scripts = await Promise.all(parts.map(toScript));
  const boot = await minified("boot.cjs");
  const loader = await minified("loader.cjs");
  const begins = [...options.commands, otherCommands];
  const headOf = (/** @type {Readonly<Record<string, Stored>>} */ places) => {
    const starts = begins.map((name) => `${JSON.stringify(name)}:${renderJoined(name, places)}`);
    return `${boot.replace("BUNDLE_STARTS", () => `{${starts.join()}}`)}\n/*\n`;
  };
  // the tables say where text stands that comes after them; they have the same width whatever their numbers are
  const begin = headOf({}).length;
  if (begin > longestFirstLine) throw new Error("the first line of the bundle is longer than what bin/attache reads");
  const draft = assemble(loader, scripts, options, { begin, known: {}, earlyCompiled: "" });
  const earlyCompiled = makeCodeCache(draft.joined[earlyName] ?? "", options.flags);
  const placed = assemble(loader, scripts, options, { begin, known: draft.places, earlyCompiled });
  const result = assemble(loader, scripts, options, { begin, known: placed.places, earlyCompiled });
  const { joined, places, sections } = result;
  if (result.text.length !== placed.text.length) throw new Error("the tables of the bundle changed their width");

  // the compiled forms have the tables in them, so they are made last, and stand at the end
  let text = result.text;
  for (const name of begins) {
    const cache = makeCodeCache(joined[name] ?? "", options.flags, options.warmUps[name]);
    places[compiled(name)] = { line: 0, offset: begin + text.length, length: cache.length };
    text += `${cache}\n`;
  }
  const code = `${headOf(places)}${text}*/\n//# sourceMappingURL=attache.cjs.map\n`;
  if (headOf(places).length !== begin) throw new Error("the first line of the bundle changed its width");
  if (Buffer.byteLength(code) !== code.length) throw new Error("the bundle must be ASCII");
  return { code, map: { ...indexMap, sections }, scripts };
}

/** Scripts that are joined of parts have these names or a command's; boot.cjs knows the second. */
const earlyName = "(early)";
const otherCommands = "";
/** The name of a script's compiled form. */
const compiled = (/** @type {string} */ name) => `${name}, compiled`;

/** bin/attache has the same number. */
const longestFirstLine = 8192;

/** Positions in stack traces are as if each part stood in the file as one text, after the first lines. */
const firstLine = 10;

/** @param {string} name a file of this folder */
async function minified(name) {
  const text = readFileSync(fileURLToPath(new URL(name, import.meta.url)), "utf8");
  return (await transform(text, { minify: true, legalComments: "none" })).code.trimEnd();
}

/**
 * @param {string} text
 * @param {readonly string[]} flags
 * @param {readonly string[]} command what is run first: then the functions that ran are compiled, else all
 * @returns {string} in base64
 */
function makeCodeCache(text, flags, command = []) {
  const program = fileURLToPath(new URL("code-cache.cjs", import.meta.url));
  const { status, output } = spawnSync(process.execPath, [...flags, program, ...command], {
    input: text,
    // what a command finds on the machine that makes the bundle is not for it
    cwd: dirname(program),
    env: {},
    maxBuffer: 1e8,
    stdio: ["pipe", "ignore", "inherit", "pipe"],
  });
  const bytes = output[3];
  if (status !== 0 || !bytes?.length) {
    throw new Error(`no code cache for ${command.join(" ") || "a script"}: exit code ${String(status)}`);
  }
  return bytes.toString("base64");
}

/**
 * @param {string} loader
 * @param {readonly Script[]} scripts
 * @param {RenderOptions} options
 * @param {object} round
 * @param {number} round.begin where the first text stands
 * @param {Readonly<Record<string, Stored>>} round.known where texts stood in an earlier round
 * @param {string} round.earlyCompiled
 */
function assemble(loader, scripts, { agent, commands }, { begin, known, earlyCompiled }) {
  /** @type {Section[]} */
  const sections = [];
  /** @type {Record<string, Stored>} */
  const places = {};
  let text = "";
  let line = firstLine;
  /** @param {string} name @param {string} stored */
  const addText = (name, stored) => {
    places[name] = { line, offset: begin + text.length, length: stored.length };
    text += `${stored}\n`;
  };
  /** @param {string} name @param {string} script @param {string} stored */
  const addScript = (name, script, stored) => {
    addText(name, stored);
    line += lineCount(script) + 1;
  };
  /** @type {Record<string, string>} */
  const joined = {};
  /** @param {string} name @param {string} before @param {readonly Script[]} members @param {string} after */
  const addJoined = (name, before, members, after) => {
    let script = before;
    for (const part of members) {
      script += `factories[${JSON.stringify(part.name)}]=function(${names}){\n`;
      sections.push({ offset: { line: line + lineCount(script), column: 0 }, map: part.scriptMap });
      script += `${part.script}\n};\n`;
    }
    joined[name] = script + after;
    addScript(name, joined[name], inComment(joined[name]));
  };

  const entry = scripts.find(({ isEntry }) => isEntry)?.name;
  for (const name of [...commands, otherCommands]) {
    const members = scripts.filter(({ startOf }) => startOf.includes(name));
    const others = scripts.filter((part) => !members.includes(part) && !(name === agent && part.isEarly));
    const table = others.map((part) => `${JSON.stringify(part.name)}:${renderStored(part, known[part.name])}`);
    const tables = loader
      .replace("BUNDLE_STORED", () => `{${table.join()}}`)
      .replace("BUNDLE_EARLY", () => renderJoined(earlyName, known));
    const before = `(function(__filename,__dirname,readText,readCompiled){${tables}\n`;
    addJoined(name, before, members, `load(${JSON.stringify(entry)});})`);
  }
  const early = scripts.filter(({ isEarly }) => isEarly);
  addJoined(earlyName, "(function(factories){\n", early, "})");
  addText(compiled(earlyName), earlyCompiled);
  for (const { name, script, stored, scriptMap } of scripts) {
    sections.push({ offset: { line, column: 0 }, map: scriptMap });
    addScript(name, script, stored);
  }
  return { text, places, sections, joined };
}

/**
 * @param {Part} part
 * @param {Stored} [at]
 */
function renderStored({ place, isTransient }, { line, offset, length } = { line: 0, offset: 0, length: 0 }) {
  const kind = `packed:${String(place === "packed")},transient:${String(isTransient)}`;
  return `{${numbers({ line, offset, length })},${kind}}`;
}

/**
 * Where a joined script and its compiled form stand.
 * @param {string} name
 * @param {Readonly<Record<string, Stored>>} places
 */
function renderJoined(name, { [name]: text, [compiled(name)]: cache }) {
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
  const script = code.trimEnd() + (part.isPackage ? named : "");
  const stored = part.place === "packed" ? brotliCompressSync(script).toString("base64") : inComment(script);
  return { ...part, script, stored, scriptMap: JSON.parse(map) };
}

/** What `import()` gives for a CommonJS package: its properties by name too, as Node does. */
const named = ";module.exports={__esModule:true,...module.exports.default,default:module.exports.default};";

/**
 * Without the end of a comment; the loader puts it back.
 * @param {string} text
 */
function inComment(text) {
  return text.replaceAll("*/", "*\x01/");
}

/** @param {string} text */
function lineCount(text) {
  return text.split("\n").length - 1;
}
