// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { mkdir, readFile, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { renderTerminationMessage } from "../../../src/recorder/crash-report.ts";
import { createFlightRecorder, EventRing, renderEvent } from "../../../src/recorder/flight-recorder.ts";
import { testBudgets } from "../../support/budgets.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { testLog } from "../../support/test-log.ts";

const startMs = Date.parse("2026-01-01T00:00:00Z");
const killed = { code: 137, reason: "Envoy was killed by signal SIGKILL (9)" };

describe("event ring", () => {
  test("keeps the last events in order and counts the replaced ones", () => {
    const ring = new EventRing(3);
    for (const text of ["a", "b", "c", "d", "e"]) ring.add({ timeMs: 0, level: "info", text });
    expect(ring.events().map(({ text }) => text)).toEqual(["c", "d", "e"]);
    expect(ring.forgotten).toBe(2);
  });

  test("an event is one line of bounded length, whatever its facts are", () => {
    const circular: Record<string, unknown> = {};
    circular["self"] = circular;
    expect(renderEvent("sds", "secret sent", { name: "default", count: 2 }, 400)).toBe(
      "sds: secret sent name=default count=2",
    );
    expect(renderEvent("", "odd", { circular, none: undefined, text: "a\n  b" }, 400)).toBe("odd circular=? text=a b");
    for (const text of ["x", "ü", "\u001b", "\u{1f600}"]) {
      const event = renderEvent("", "long", { text: text.repeat(10_000) }, 400);
      expect(Buffer.byteLength(event)).toBeLessThanOrEqual(400);
      expect(event).toMatch(/^long text=[^\u001b]*…$/);
    }
  });
});

describe("termination message", () => {
  const events = Array.from({ length: 300 }, (_, index) => ({
    timeMs: startMs + index * 10,
    level: "info" as const,
    text: `event ${String(index)} ${"é".repeat(20)}`,
  }));

  test("begins with the cause and holds the newest events that fit into 4,096 bytes", () => {
    const message = renderTerminationMessage({ exit: killed, events, nowMs: startMs + 3_000 });
    const lines = message.trimEnd().split("\n");
    expect(Buffer.byteLength(message)).toBeLessThanOrEqual(4_096);
    expect(lines[0]).toBe("attache exited with code 137: Envoy was killed by signal SIGKILL (9)");
    expect(lines.at(-1)).toMatch(/^-0\.010s info event 299 /);
    expect(lines.length).toBeGreaterThan(20);
  });

  test("details stand between the reason and the events, and do not crowd them out", () => {
    const details = "identity: waiting for the CA\nenvoy: INITIALIZING";
    const lines = renderTerminationMessage({ exit: { ...killed, details }, events, nowMs: startMs + 3_000 }).split(
      "\n",
    );
    expect(lines.slice(1, 3)).toEqual(details.split("\n"));
    expect(lines[3]).toMatch(/^-\d+\.\d{3}s info event/);
    const long = renderTerminationMessage({
      exit: { ...killed, details: "x\n".repeat(5_000) },
      events,
      nowMs: startMs + 3_000,
    });
    expect(Buffer.byteLength(long)).toBeLessThanOrEqual(4_096);
    expect(long).toContain("event 299");
  });

  test("a reason that is too long by itself is cut between characters", () => {
    const message = renderTerminationMessage({
      exit: { code: 70, reason: "ü".repeat(5_000) },
      events,
      nowMs: startMs,
    });
    expect(Buffer.byteLength(message)).toBeLessThanOrEqual(4_096);
    expect(message).not.toContain("\uFFFD");
  });
});

describe("flight recorder", () => {
  test("passes the log on and records level info and above, and debug of SDS, with the scope", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "termination-log");
    const recorder = createFlightRecorder({ terminationMessagePath: path, directory: undefined }, () => startMs);
    const { log, records } = testLog();
    const recording = recorder.logger(log);
    recording.scope("xds").warn("configuration refused", { type: "cluster" });
    recording.debug("noise");
    recording.scope("sds").debug("secret sent", { resource: "default" });
    recorder.record("signal", { name: "SIGTERM" });
    expect(records.map(({ scope, message }) => [scope, message])).toEqual([
      ["xds", "configuration refused"],
      ["", "noise"],
      ["sds", "secret sent"],
    ]);
    expect(await recorder.writeCrashReport(killed)).toEqual([]);
    expect(await readFile(path, "utf8")).toBe(
      "attache exited with code 137: Envoy was killed by signal SIGKILL (9)\n" +
        "-0.000s warn xds: configuration refused type=cluster\n" +
        "-0.000s debug sds: secret sent resource=default\n" +
        "-0.000s info signal name=SIGTERM\n",
    );
  });

  test("the last 20 warnings and errors are kept beside the other events, which do not replace them", () => {
    let nowMs = 0;
    const config = { terminationMessagePath: undefined, directory: undefined };
    const recorder = createFlightRecorder(config, () => nowMs++);
    const log = recorder.logger(testLog().log);
    log.scope("sds").error("first", { reason: "x" });
    for (let count = 0; count < 2_000; count++) log.info("other");
    log.warn("last");
    expect(recorder.problems()).toEqual([
      { atMs: 2_001, level: "warn", scope: "", text: "last" },
      { atMs: 0, level: "error", scope: "sds", text: "first reason=x" },
    ]);
    for (let count = 0; count < 100; count++) log.warn("more");
    expect(recorder.problems()).toHaveLength(20);
  });

  test("exit code 0 writes no report and leaves the file as it was", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "termination-log");
    await writeFile(path, "before");
    const recorder = createFlightRecorder({ terminationMessagePath: path, directory: directory.path }, () => startMs);
    expect(await recorder.writeCrashReport({ code: 0, reason: "asked" })).toEqual([]);
    expect(await readFile(path, "utf8")).toBe("before");
    expect(await readdir(directory.path)).toEqual(["termination-log"]);
  });

  test("a directory has the complete reports of the last ten failures", async () => {
    await using directory = await temporaryDirectory();
    const folder = join(directory.path, "flights");
    let nowMs = startMs;
    const recorder = createFlightRecorder({ terminationMessagePath: undefined, directory: folder }, () => nowMs);
    recorder.record("first");
    for (let exit = 0; exit < 12; exit++) {
      nowMs += 1_000;
      expect(await recorder.writeCrashReport(killed)).toEqual([]);
    }
    const files = (await readdir(folder)).sort();
    expect(files).toHaveLength(10);
    expect((await stat(join(folder, files[9] ?? ""))).mode & 0o777).toBe(0o600);
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
    const report: unknown = JSON.parse(await readFile(join(folder, files[9] ?? ""), "utf8"));
    expect(report).toMatchObject({ code: 137, forgottenEvents: 0, events: [{ level: "info", text: "first" }] });
  });

  test("what it keeps is counted, and as many events and reports are kept as the budgets say", async () => {
    await using directory = await temporaryDirectory();
    const folder = join(directory.path, "flights");
    let nowMs = startMs;
    const recorder = createFlightRecorder({ terminationMessagePath: undefined, directory: folder }, () => nowMs);
    recorder.record("first");
    const budgets = testBudgets({ "recorder-event-bytes": 20, "recorder-reports": 2 });
    recorder.useBudgets(budgets);
    for (let event = 0; event < 600; event++) recorder.record("an event with a long text");
    const facts = budgets.facts().find(({ name }) => name === "recorder-events");
    expect(facts).toMatchObject({ used: 500, spentTotal: 0 });
    for (let exit = 0; exit < 4; exit++) {
      nowMs += 1_000;
      expect(await recorder.writeCrashReport(killed)).toEqual([]);
    }
    const files = await readdir(folder);
    expect(files).toHaveLength(2);
    const report: unknown = JSON.parse(await readFile(join(folder, files[0] ?? ""), "utf8"));
    expect(report).toMatchObject({ forgottenEvents: 101, events: { 499: { text: "an event with a l…" } } });
  });

  test("a reason has no control characters in the message and in the report", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "termination-log");
    const recorder = createFlightRecorder({ terminationMessagePath: path, directory: directory.path }, () => startMs);
    expect(await recorder.writeCrashReport({ code: 1, reason: "peer\u001b[2J says\u202e" })).toEqual([]);
    for (const file of await readdir(directory.path)) {
      const text = await readFile(join(directory.path, file), "utf8");
      expect(text).toMatch(/peer\\+u001b\[2J says\\+u202e/);
    }
  });

  test("a failed write is returned and does not prevent the other one", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "a-directory");
    await mkdir(path);
    const folder = join(directory.path, "flights");
    const recorder = createFlightRecorder({ terminationMessagePath: path, directory: folder }, () => startMs);
    expect(await recorder.writeCrashReport(killed)).toEqual([expect.stringContaining(path)]);
    expect(await readdir(folder)).toHaveLength(1);
  });

  test("a pipe without a reader does not block the exit", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "pipe");
    execFileSync("mkfifo", [path]);
    const recorder = createFlightRecorder({ terminationMessagePath: path, directory: undefined }, () => startMs);
    expect(await recorder.writeCrashReport(killed)).toEqual([expect.stringContaining("ENXIO")]);
  });

  test("below /dev no file is created where Kubernetes has mounted none", async () => {
    const config = { terminationMessagePath: "/dev/no-termination-log-here", directory: undefined };
    expect(await createFlightRecorder(config, () => startMs).writeCrashReport(killed)).toEqual([]);
  });
});
