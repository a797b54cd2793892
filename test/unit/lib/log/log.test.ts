// SPDX-License-Identifier: Apache-2.0
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createLogger } from "../../../../src/lib/log/log.ts";
import { createLogWriter } from "../../../../src/lib/log/log-writer.ts";
import { temporaryDirectory } from "../../../support/temporary-directory.ts";

const at = Date.parse("2026-11-21T01:46:27.218Z");

async function logged(format: "text" | "json", write: (log: ReturnType<typeof createLogger>) => void): Promise<string> {
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
  await writer.load();
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

test.each(["json", "text"] as const)("secrets are cut from the %s form", async (format) => {
  const text = await logged(format, (log) => {
    log.info("asked", { token: "canary", ca: { authorization: "canary", host: "ca" } });
  });
  expect(text).not.toContain("canary");
  expect(text).toContain("ca");
});
