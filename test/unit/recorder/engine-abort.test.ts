// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parseAbort, watchForAbort } from "../../../src/recorder/engine-abort.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

/** Runs a program that watches for an abort, with the flags of the launcher. */
async function run(directory: string, then: string, flags = ["--report-exclude-env", "--report-exclude-network"]) {
  const source = join(import.meta.dirname, "../../../src/recorder/engine-abort.ts");
  const program = `
    const { watchForAbort } = await import(${JSON.stringify(source)});
    const watch = watchForAbort(${JSON.stringify(directory)});
    console.log(JSON.stringify(watch ?? null));
    ${then}`;
  const child = spawn(process.execPath, [...flags, "--input-type=module", "-e", program], {
    stdio: ["ignore", "pipe", "ignore"],
    env: { SECRET: "do-not-show" },
  });
  const exit = once(child, "exit");
  let output = "";
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) output += chunk.toString();
  const [code, signal] = (await exit) as [number | null, string | null];
  return { code, signal, watch: JSON.parse(output.split("\n")[0] ?? "") as unknown };
}

test("an abort of the engine leaves a report without values, and the next start finds it once", async () => {
  await using directory = await temporaryDirectory();
  const { signal } = await run(directory.path, "process.abort();");
  expect(signal).toBe("SIGABRT");
  const path = join(directory.path, "attache-abort.json");
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  await writeFile(path, JSON.stringify({ header: { event: "out of memory", dumpEventTime: "2026-01-01T00:00:00Z" } }));
  const last = join(directory.path, "attache-abort.last.json");
  expect((await run(directory.path, "")).watch).toEqual({
    path,
    previous: { reason: "out of memory", time: "2026-01-01T00:00:00Z", path: last },
  });
  expect((await run(directory.path, "watch[Symbol.dispose]();")).watch).toEqual({ path });
  expect(await readdir(directory.path)).toEqual(["attache-abort.last.json"]);
});

test("a heap that is full is the reason in the report, which has no environment", async () => {
  await using directory = await temporaryDirectory();
  const flags = ["--report-exclude-env", "--report-exclude-network", "--max-old-space-size=16"];
  await run(directory.path, "const all = []; for (;;) all.push(new Array(1000).fill(all.length).map(String));", flags);
  const text = await readFile(join(directory.path, "attache-abort.json"), "utf8");
  expect(parseAbort(text).reason).toContain("heap out of memory");
  expect(parseAbort(text).heapBytes).toBeGreaterThan(10_000_000);
  expect(text.length).toBeLessThan(32 * 1024);
  expect(text).not.toContain("do-not-show");
});

test("without the launcher's flags nothing is written: the report would have the environment", async () => {
  await using directory = await temporaryDirectory();
  expect((await run(directory.path, "", [])).watch).toBeNull();
  expect(watchForAbort(directory.path)).toBeUndefined();
  expect(await readdir(directory.path)).toEqual([]);
});

test("an incomplete report is a report", () => {
  expect(parseAbort('{"header":{"event":"Alloc')).toEqual({
    reason: "unknown; the report is incomplete",
    time: "",
    heapBytes: undefined,
  });
});
