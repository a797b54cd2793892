// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  readTextFile,
  readTextFileSync,
  readTextStart,
  UnusableFileError,
} from "../../../../src/lib/fs/bounded-read.ts";
import { temporaryDirectory } from "../../../support/temporary-directory.ts";

describe("a text file of limited size", () => {
  test("is read whole up to the limit, and not at all beyond it", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "file");
    writeFileSync(path, "é".repeat(50));
    expect(await readTextFile(path, 100)).toBe("é".repeat(50));
    expect(readTextFileSync(path, 100)).toBe("é".repeat(50));
    await expect(readTextFile(path, 99)).rejects.toThrow("it is larger than 99 bytes");
    expect(() => readTextFileSync(path, 99)).toThrow(UnusableFileError);
    expect(await readTextStart(path, 10)).toBe("é".repeat(5));
  });

  test("of the kernel, which says that it is empty, is read whole", async () => {
    const whole = readFileSync("/proc/self/maps", "utf8").length;
    expect(whole).toBeGreaterThan(1_000);
    expect((await readTextFile("/proc/self/maps")).length).toBeGreaterThan(whole / 2);
    expect(readTextFileSync("/proc/self/maps").length).toBeGreaterThan(whole / 2);
  });

  test("that is a device without an end costs no more than the limit; /dev/null is empty", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "token");
    symlinkSync("/dev/zero", path);
    await expect(readTextFile(path)).rejects.toThrow("it is larger than 1048576 bytes");
    expect(() => readTextFileSync(path)).toThrow("it is larger than 1048576 bytes");
    expect(await readTextFile("/dev/null")).toBe("");
    expect(readTextFileSync("/dev/null")).toBe("");
  });

  test("that is a pipe is an error at once, with or without a writer", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "token");
    execFileSync("mkfifo", [path]);
    await expect(readTextFile(path)).rejects.toThrow("it is a pipe");
    expect(() => readTextFileSync(path)).toThrow("it is a pipe");
  });

  test("is missing, or a directory: the system's error", async () => {
    await expect(readTextFile("/no/such/file")).rejects.toMatchObject({ code: "ENOENT" });
    await expect(readTextFile("/tmp")).rejects.toMatchObject({ code: "EISDIR" });
    expect(() => readTextFileSync("/tmp")).toThrow("EISDIR");
  });
});

/** Files that read without a limit, and why they may. */
const unlimited: Readonly<Record<string, string>> = {
  "agent/hot-restart.ts": "the bootstrap that the agent itself wrote, or that Envoy was started with",
  "cli/explain/other-input.ts": "a file on the command line of a command that only prints",
  "config/interception/machine.ts": "files of the system, read by a command that ends with its rules",
  "diagnosis/doctor/agent-processes.ts": "a table of the kernel",
  "diagnosis/doctor/checks/limits.ts": "a table of the kernel",
  "diagnosis/doctor/checks/ports.ts": "a table of the kernel",
  "diagnosis/doctor/checks/process.ts": "a table of the kernel",
  "diagnosis/doctor/environment.ts": "reads as the configuration does, which has the limit",
  "diagnosis/doctor/machine/capabilities.ts": "a table of the kernel",
  "diagnosis/doctor/machine/control-group-files.ts": "a table of the kernel",
  "diagnosis/doctor/machine/processes.ts": "a table of the kernel",
  "diagnosis/doctor/machine/resource-limits.ts": "a table of the kernel",
  "diagnosis/doctor/machine/unix-sockets.ts": "a table of the kernel",
  "envoy/exit-diagnosis.ts": "a table of the kernel",
  "envoy/log-reopening.ts": "a table of the kernel",
  "envoy/parent-death-watchdog.ts": "a program of the system",
  "host/host.ts": "a table of the kernel",
  "host/memory-events.ts": "a table of the kernel",
  "interception/kernel/kernel-state.ts": "tables of the kernel",
  "lib/fs/private-file.ts": "checks the size of the open file",
  "lib/host-limits.ts": "a table of the kernel",
  "lib/memory-usage.ts": "a table of the kernel",
  "lib/net/socket-table.ts": "a table of the kernel",
  "metrics/process-metrics.ts": "a table of the kernel",
  "platform/platform.ts": "a table of the kernel",
  "xds/cache/cache-record.ts": "records of the agent's own private directory",
};

test("every file of the program that reads a whole file has a limit, or a reason", () => {
  const root = join(import.meta.dirname, "../../../../src");
  const readers = readdirSync(root, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts") && !/^(?:gen|dev)\//.test(name))
    .filter((name) =>
      /\breadFile(?:Sync)?\((?!path: string)/.test(withoutInput(readFileSync(join(root, name), "utf8"))),
    );
  expect(readers.sort()).toEqual(Object.keys(unlimited));
});

/** `input.readFile` of the configuration has the limit. */
function withoutInput(text: string): string {
  return text.replaceAll(/input\.readFile\(/g, "").replaceAll(/\breadFile\((?:flags|override|places)/g, "");
}
