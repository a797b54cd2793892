// SPDX-License-Identifier: Apache-2.0
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { expect, test } from "vitest";
import { listening } from "../../support/listening.ts";
import { startProgram } from "../../support/program.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

/** Prints the built-in modules that are loaded when the process ends. */
const lister = `process.on("exit", () => {
  require("node:fs").writeSync(2, JSON.stringify(process.moduleLoadList));
});`;

test.each(["version", "request", "wait"])(
  "%s runs beside a pod without Node's HTTP, TLS and name lookup",
  async (name) => {
    await using directory = await temporaryDirectory();
    await using server = await listening(createServer((_request, response) => response.end("ok")));
    const hook = join(directory.path, "lister.cjs");
    writeFileSync(hook, lister);
    const url = `http://localhost:${String(server.port)}/healthz/ready`;
    const args = { version: [], request: ["GET", "ready"], wait: ["--url", url] }[name] ?? [];
    await using program = startProgram([name, ...args], {
      NODE_OPTIONS: `--require ${hook}`,
      PROXY_CONFIG: JSON.stringify({ statusPort: server.port }),
    });
    const { stderr } = await program.exited;
    const loaded = JSON.parse(stderr.slice(stderr.indexOf("["))) as readonly string[];
    const heavy = ["http", "_http_client", "https", "http2", "tls", "dns", "zlib", "child_process", "fs/promises"];
    expect(loaded.filter((module) => heavy.includes(module.replace("NativeModule ", "")))).toEqual([]);
  },
);
