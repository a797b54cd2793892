// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { expect, test } from "vitest";
import { listening } from "../../support/listening.ts";
import { startProgram } from "../../support/program.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

test("request prints the bytes of a body as they are, and one newline", async () => {
  const body = Buffer.from([0xff, 0xfe, 0, 0x0d, 0x0a, 0xc3]);
  await using server = await listening(
    createServer((request, response) => {
      const { port } = request.socket.address() as { readonly port: number };
      response.end(request.url === "/heap_dump" ? body : JSON.stringify({ host: "127.0.0.1", port }));
    }),
  );
  const child = spawn(join(import.meta.dirname, "../../../bin/attache"), ["request", "GET", "heap_dump"], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { PATH: process.env["PATH"], PROXY_CONFIG: JSON.stringify({ statusPort: server.port }) },
  });
  const chunks: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
  expect(await once(child, "close")).toEqual([0, null]);
  expect(Buffer.concat(chunks)).toEqual(Buffer.concat([body, Buffer.from("\n")]));
});

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
    const args = { version: ["--short"], request: ["GET", "ready"], wait: ["--url", url] }[name] ?? [];
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
