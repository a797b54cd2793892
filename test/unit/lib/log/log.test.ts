// SPDX-License-Identifier: Apache-2.0
import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { renderRecord } from "../../../../src/lib/log/log-format.ts";
import { defaultLineLimit } from "../../../../src/lib/log/log-limits.ts";
import { createLogger, type Logger, LogLevelSwitch, type LogRecord } from "../../../../src/lib/log/log.ts";
import { createLogWriter } from "../../../../src/lib/log/log-writer.ts";
import { createPinoSink } from "../../../../src/lib/log/pino-log.ts";
import { testBudgets } from "../../../support/budgets.ts";
import { temporaryDirectory } from "../../../support/temporary-directory.ts";

const at = Date.parse("2026-11-21T01:46:27.218Z");

async function logged(format: "text" | "json", write: (log: Logger) => void): Promise<string> {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "log");
  const writer = createLogWriter({ format, targets: [path] });
  write(
    createLogger(
      writer.sink,
      () => at,
      () => new Map([["sds", "warn"]]),
    ),
  );
  return await readFile(path, "utf8");
}

test("the text form has time, level, scope, message and pairs, and a record stays one line", async () => {
  const text = await logged("text", (log) => {
    log.info("ready", { durationMs: 12 });
    log.scope("cache").warn("refused", { cause: "two\nlines" });
  });
  expect(text).toBe(
    "2026-11-21T01:46:27.218000Z\tinfo\tready\tdurationMs=12\n" +
      '2026-11-21T01:46:27.218000Z\twarning\tcache\trefused\tcause="two\\nlines"\n',
  );
});

test("the JSON form is one object a line", async () => {
  const text = await logged("json", (log) => {
    log.info("ready", { ports: [1, 2] });
  });
  const line = { level: "info", time: "2026-11-21T01:46:27.218000Z", msg: "ready", ports: [1, 2] };
  expect(text).toBe(`${JSON.stringify(line)}\n`);
});

test("a scope's own level wins over the default one", async () => {
  const text = await logged("text", (log) => {
    log.scope("sds").info("left out");
    log.debug("left out");
    log.scope("sds").warn("kept");
  });
  expect(text.split("\n").filter(Boolean)).toHaveLength(1);
});

describe.each(["json", "text"] as const)("the %s form", (format) => {
  test("has no secrets", async () => {
    const text = await logged(format, (log) => {
      log.info("asked", { token: "canary", ca: { authorization: "canary", host: "ca", deep: { keyPem: "canary" } } });
    });
    expect(text).not.toContain("canary");
    expect(text).toContain("[redacted]");
    expect(text).toContain("ca");
  });

  test("takes fields that JSON cannot hold", async () => {
    const circular: Record<string, unknown> = {};
    circular["self"] = circular;
    const text = await logged(format, (log) => {
      log.info("odd", { circular, big: 2n ** 64n, at: new Date(at), work: () => 1 });
    });
    expect(text).toContain("odd");
    expect(text.split("\n")).toHaveLength(2);
    if (format === "text") expect(text).toContain("big=18446744073709551616 at=2026-11-21T01:46:27.218Z");
  });
});

test.each(["text", "json"] as const)("a line with very many texts is cut to its budget; form %s", (format) => {
  const budgets = testBudgets({ "log-line-bytes": 2_000 });
  const list = Array.from({ length: 1_000 }, (_, index) => `\u001b${String(index)}`);
  const fields = { list, name: "kept", token: "canary".repeat(1_000), text: "ü".repeat(4_000) };
  const record = { timeMs: at, level: "warn", scope: "sds", message: "\u0007".repeat(9_000), fields } as const;
  const line = renderRecord(record, format, budgets.of("log-line-bytes"));
  expect(Buffer.byteLength(line)).toBeLessThanOrEqual(2_000);
  expect(line).toContain("characters)");
  expect(line).toContain("kept");
  expect(line).not.toContain("canary");
  if (format === "json") expect(JSON.parse(line)).toMatchObject({ level: "warning", scope: "sds", name: "kept" });
  expect(budgets.facts().find(({ name }) => name === "log-line-bytes")?.spentTotal).toBe(1);
});

test("the log that pino writes has the agent's form and no secrets", async () => {
  await using directory = await temporaryDirectory();
  await using file = await open(join(directory.path, "log"), "w");
  const sink = await createPinoSink("text", file.fd);
  sink({ timeMs: at, level: "warn", scope: "ca", message: "refused", fields: { name: "a b", token: "canary" } });
  expect(await readFile(join(directory.path, "log"), "utf8")).toBe(
    '2026-11-21T01:46:27.218000Z\twarning\tca\trefused\tname="a b" token=[redacted]\n',
  );
});

test("a record has its text form", () => {
  const fields = { big: "x".repeat(3), nested: { a: 1 } };
  const record = { timeMs: at, level: "info", scope: "sds", message: "m", fields } as const;
  expect(renderRecord(record, "text", defaultLineLimit)).toBe(
    '2026-11-21T01:46:27.218000Z\tinfo\tsds\tm\tbig=xxx nested={"a":1}\n',
  );
});

test("a level that is changed counts at once, and the configured one counts again afterwards", () => {
  const records: LogRecord[] = [];
  const levels = new LogLevelSwitch(new Map([["default", "info"]]));
  const log = createLogger(
    (record) => records.push(record),
    () => 0,
    () => levels.read(),
  ).scope("sds");
  log.debug("left out");
  levels.override("sds", "debug");
  log.debug("kept");
  levels.override("sds", undefined);
  log.debug("left out again");
  expect(records.map(({ message }) => message)).toEqual(["kept"]);
});

test("a word that is no level changes nothing", () => {
  const levels = new LogLevelSwitch(new Map([["default", "info"]]));
  levels.override("default", "loud");
  expect([...levels.read()]).toEqual([["default", "info"]]);
});
