// SPDX-License-Identifier: Apache-2.0
import { cp, mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { stop } from "esbuild";
import { afterAll, expect, test } from "vitest";
import { makeBundle } from "../../../scripts/bundle/bundle.mjs";
import { projectRoot, runProgram } from "../../support/run-program.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

afterAll(stop);

const sources: Readonly<Record<string, string>> = {
  "main.ts": `
    const commands = { agent: () => import("./agent.ts"), tool: () => import("./tool.ts") };
    const run = commands[process.argv[2] as "agent" | "tool"];
    run().then(({ run }) => run(process.argv[3]));`,
  "agent.ts": `
    import { name } from "./shared.ts";
    export async function run(word: string): Promise<void> {
      const { joined, default: whole } = await import("words");
      if (joined("a", "b") !== "ab" || whole.joined !== joined) throw new Error("names of a CommonJS package");
      const { sum } = await import("./early.ts");
      if (sum(1, 2) !== 3) throw new Error("an early part");
      const { last } = await import("./later.ts");
      console.log(name(word), last("a*/b".match(/[^a]*/g) ?? []));
    }`,
  "early.ts": `export function sum(a: number, b: number): number { return a + b; }`,
  "later.ts": `export { default as last } from "last-of";`,
  "node_modules/last-of/index.js": `
    // in a comment: */
    module.exports = (items) => (items.length > 2 && require("node:path").sep === "/" && /^[éß]*/.test("é") ? "last" : "first");`,
  "node_modules/words/index.js": `exports.joined = (...words) => words.join("");`,
  "node_modules/words/package.json": `{ "name": "words", "version": "1.0.0", "license": "(MIT OR GPL-2.0)" }`,
  "node_modules/last-of/package.json": `{ "name": "last-of", "version": "1.2.3", "license": "MIT" }`,
  "node_modules/last-of/LICENSE": "Permission is granted by the author of last-of.",
  "tool.ts": `
    import { name } from "./shared.ts";
    export function run(word: string): void {
      if (word === "fail") {
        throw new Error("on line five");
      }
      console.log("tool", name(word), import.meta.dirname);
    }`,
  "shared.ts": `export const name = (word: string): string => word.toUpperCase();`,
  LICENSE: "The licence of the program.",
};

/** Bundles the sources and takes them away: what runs then is only the bundle. */
async function bundle(root: string, files = sources): Promise<Awaited<ReturnType<typeof makeBundle>>> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(join(root, path, ".."), { recursive: true });
    await writeFile(join(root, path), text);
  }
  const made = await makeBundle({
    root,
    entry: "main.ts",
    agent: "agent",
    commands: { agent: ["agent.ts"] },
    early: /^early\.ts$/,
    packed: /^tool\.ts$/,
    transient: /^once\.ts$/,
    flags: [],
    warmUps: {},
    define: {},
  });
  await rm(join(root, "node_modules"), { recursive: true });
  await mkdir(join(root, "dist"));
  await writeFile(join(root, "dist", "attache.cjs"), made.code);
  await writeFile(join(root, "dist", "attache.cjs.map"), JSON.stringify(made.map));
  return made;
}

test("each part stands where the one who needs it finds it cheaply, and all of them run", async () => {
  await using root = await temporaryDirectory();
  const { scripts, licences } = await bundle(root.path);
  const places = scripts.map(({ name, place, startOf, isEarly }) => [
    name.replace(/-\w+\.js$|\.js$/, ""),
    [place, ...startOf, ...(isEarly ? ["early"] : [])].join(" "),
  ]);
  expect(Object.fromEntries(places)).toMatchObject({
    "./main": "text agent",
    "./agent": "text agent",
    "./early": "text early",
    "./later": "text",
    "./tool": "packed",
  });
  const file = join(root.path, "dist", "attache.cjs");
  expect(await runProgram("node", [file, "agent", "word"])).toMatchObject({ stdout: "WORD last\n", stderr: "" });
  expect(await runProgram("node", [file, "tool", "word"])).toMatchObject({
    stdout: `tool WORD ${join(root.path, "dist")}\n`,
    stderr: "",
  });
  expect(licences).toMatch(/The licence of the program\.[^]*last-of 1\.2\.3\nMIT\n\nPermission is granted/);
});

test("a part that is needed once is not kept", async () => {
  await using root = await temporaryDirectory();
  const agent = `
    export async function run(): Promise<void> {
      const once = [(await import("./once.ts")).value, (await import("./once.ts")).value];
      const kept = [(await import("./kept.ts")).value, (await import("./kept.ts")).value];
      console.log(once[0] === once[1], kept[0] === kept[1]);
    }`;
  const value = "export const value = {};";
  await bundle(root.path, { ...sources, "agent.ts": agent, "once.ts": value, "kept.ts": value });
  const run = await runProgram("node", [join(root.path, "dist", "attache.cjs"), "agent"]);
  expect(run).toMatchObject({ stdout: "false true\n", stderr: "" });
});

test("the source map leads from a part that is unpacked late to its line in the source", async () => {
  await using root = await temporaryDirectory();
  await bundle(root.path);
  const file = join(root.path, "dist", "attache.cjs");
  const { stderr } = await runProgram("node", ["--enable-source-maps", file, "tool", "fail"]);
  expect(stderr).toMatch(/at (?:Module\.)?run \(\S*tool\.ts:5:15\)/);
});

test("a running program is not disturbed when the file is replaced", async () => {
  await using root = await temporaryDirectory();
  const replaced = sources["agent.ts"]?.replace(
    "const { last }",
    `const { renameSync, writeFileSync } = await import("node:fs");
     writeFileSync(__filename + ".new", "another build");
     renameSync(__filename + ".new", __filename);
     const { last }`,
  );
  await bundle(root.path, { ...sources, "agent.ts": replaced ?? "" });
  const run = await runProgram("node", [join(root.path, "dist", "attache.cjs"), "agent", "word"]);
  expect(run).toMatchObject({ stdout: "WORD last\n", stderr: "" });
});

test("a package with a licence that is not on the list stops the build", async () => {
  await using root = await temporaryDirectory();
  const files = {
    ...sources,
    "node_modules/last-of/package.json": `{ "name": "last-of", "version": "1.2.3", "license": "SSPL-1.0" }`,
  };
  await expect(bundle(root.path, files)).rejects.toThrow(/last-of 1\.2\.3 has the licence SSPL-1\.0/);
});

test("the launcher's Node takes the compiled forms, of inner functions too", async () => {
  await using root = await temporaryDirectory();
  // the place of the agent's script stands in the first line, that of the early script in the agent's
  const check = String.raw`
    const { readFileSync } = require("node:fs");
    const { Script } = require("node:vm");
    const file = readFileSync(${JSON.stringify(join(projectRoot, "dist", "attache.cjs"))}, "latin1");
    let text = file.slice(0, file.indexOf("\n"));
    for (const before of ['"proxy":', "="]) {
      const place = /{line: *\d+,text:{offset: *(\d+),length: *(\d+)},cache:{offset: *(\d+),length: *(\d+)}/;
      const [, offset, length, cacheOffset, cacheLength] = new RegExp(before + place.source).exec(text).map(Number);
      text = file.slice(offset, offset + length).replaceAll("*\x01/", "*/");
      const cachedData = Buffer.from(file.slice(cacheOffset, cacheOffset + cacheLength), "base64");
      const { cachedDataRejected } = new Script(text, { cachedData });
      console.log(cachedDataRejected ? "refused" : "taken", cacheLength > 3 * length ? "whole" : "outer functions only");
    }`.replaceAll(/\n */g, " ");
  await mkdir(join(root.path, "dist"));
  await cp(join(projectRoot, "bin"), join(root.path, "bin"), { recursive: true });
  await symlink(join(projectRoot, "node_modules"), join(root.path, "node_modules"));
  await writeFile(join(root.path, "dist", "attache.cjs"), check);
  expect(await runProgram(join(root.path, "bin", "attache"), ["proxy"])).toMatchObject({
    stdout: "taken whole\ntaken whole\n",
    stderr: "",
  });
});
