// SPDX-License-Identifier: Apache-2.0
// What the agent has loaded when it executes Envoy, and when the pod is ready. Each module of Node.js costs up to 10 ms of
// the start and 1 MB, and each part that is not compiled ahead a millisecond or more. Who makes a list longer gives the
// reason in the commit, and shows what it costs: docs/adr/0003-bundling.md.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { typeUrls } from "../../../src/xds/protocol/type-url.ts";
import { startFakeCa } from "../../fakes/fake-ca.ts";
import { startFakeControlPlane } from "../../fakes/fake-control-plane.ts";
import { eventually } from "../../support/eventually.ts";
import { startPod } from "../../support/pod.ts";
import { projectRoot } from "../../support/run-program.ts";
import { clusterResource } from "../../support/xds-resources.ts";

interface Loaded {
  /** Node's own modules, without those inside of it. */
  readonly modules: readonly string[];
  /** Texts that were compiled: the line at which each stands in the bundle, and whether it was compiled ahead. */
  readonly texts: readonly { readonly line: number; readonly bytes: number; readonly isAhead: boolean }[];
}

/** Runs before the program, in its process: writes what is loaded when the first child is started, and on a signal. */
const observer = `
  const vm = require("node:vm");
  const children = require("node:child_process");
  const { writeFileSync, renameSync } = require("node:fs");
  const texts = [];
  const note = (code, { lineOffset: line, cachedData } = {}, isAhead) => {
    if (line !== undefined) texts.push({ line, bytes: code.length, isAhead });
  };
  const write = (name) => {
    const modules = process.moduleLoadList.flatMap((entry) => /^NativeModule (?!internal)(.*)$/.exec(entry)?.[1] ?? []);
    writeFileSync(name + ".tmp", JSON.stringify({ modules, texts }));
    renameSync(name + ".tmp", name);
  };
  const { Script, compileFunction } = vm;
  vm.Script = class extends Script {
    constructor(code, options) {
      super(code, options);
      note(code, options, this.cachedDataRejected === false);
    }
  };
  vm.compileFunction = (code, parameters, options) => {
    note(code, options, false);
    return compileFunction(code, parameters, options);
  };
  const { spawn } = children;
  children.spawn = (...options) => {
    write("loaded-exec.json");
    children.spawn = spawn;
    return spawn(...options);
  };
  process.on("SIGWINCH", () => write("loaded-ready.json"));`;

async function loadedInStart(): Promise<{ readonly exec: Loaded; readonly ready: Loaded }> {
  await using ca = await startFakeCa();
  await using controlPlane = await startFakeControlPlane();
  controlPlane.set(typeUrls.cluster, [clusterResource("first", "1")]);
  controlPlane.set(typeUrls.listener, []);
  await using pod = await startPod({
    ca,
    proxyConfig: { discoveryAddress: `127.0.0.1:${String(controlPlane.port)}`, controlPlaneAuthPolicy: "NONE" },
    env: { ATTACHE_XDS_FILES: "", NODE_OPTIONS: "--require=./observer.cjs" },
    prepare: ({ directory }) => {
      writeFileSync(join(directory, "observer.cjs"), observer);
    },
  });
  await pod.untilReady();
  pod.kill("SIGWINCH");
  const read = (name: string): Loaded => JSON.parse(readFileSync(join(pod.directory, name), "utf8")) as Loaded;
  const ready = await eventually(() => read("loaded-ready.json"), { withinMs: 5_000 });
  return { exec: read("loaded-exec.json"), ready };
}

/** The source with which a part begins, for who reads a failure. */
function sourceAt(line: number): string {
  const map = JSON.parse(readFileSync(join(projectRoot, "dist/attache.cjs.map"), "utf8")) as {
    readonly sections: readonly {
      readonly offset: { readonly line: number };
      readonly map: { readonly sources: string[] };
    }[];
  };
  const [first = "a part without a source"] =
    map.sections.find(({ offset }) => offset.line === line)?.map.sources ?? [];
  return first;
}

/** What Node.js itself has loaded before the program, and the observer. */
const ofEveryProgram = [
  ...["async_hooks", "buffer", "child_process", "cluster", "dgram", "diagnostics_channel", "events", "fs", "module"],
  ...["net", "os", "path", "perf_hooks", "querystring", "stream", "stream/promises", "string_decoder", "timers", "url"],
  ...["util", "util/types", "vm"],
];

/** Only Envoy's exec waits for this: what stands here delays it. */
const untilExec: readonly string[] = [];

const untilReady = [
  ...["_http_agent", "_http_client", "_http_common", "_http_incoming", "_http_outgoing", "_http_server", "assert"],
  ...["crypto", "dns", "ffi", "fs/promises", "http", "http2", "tls", "v8"],
];

/** Reading and deserializing a script costs some 3 ms for 100 kB of text. */
const mostTextBytes = { exec: 255_000, ready: 740_000 };

test("what is loaded at Envoy's exec and at ready is what the lists have, all of it compiled ahead", async () => {
  const { exec, ready } = await loadedInStart();
  const beyond = (loaded: Loaded, known: readonly string[]): readonly string[] =>
    loaded.modules.filter((name) => !known.includes(name));
  expect(beyond(exec, [...ofEveryProgram, ...untilExec])).toEqual([]);
  expect(beyond(ready, [...ofEveryProgram, ...untilExec, ...untilReady])).toEqual([]);
  const late = ready.texts.filter(({ isAhead }) => !isAhead).map(({ line }) => sourceAt(line));
  expect(late, "parts for `early` in scripts/build.mjs").toEqual([]);
  const bytes = ({ texts }: Loaded): number => texts.reduce((sum, text) => sum + text.bytes, 0);
  expect(bytes(exec)).toBeLessThan(mostTextBytes.exec);
  expect(bytes(ready)).toBeLessThan(mostTextBytes.ready);
});
