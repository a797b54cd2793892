// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { mkdir, readdir, readFile, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { basename, dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { startTask } from "../../../src/lib/async/tasks.ts";
import { sha256Of, wasmModule } from "../../fakes/fake-module-server.ts";
import { fetcherTest } from "../../support/fetcher-under-test.ts";
import { listening } from "../../support/listening.ts";
import { createOpensslPki } from "../../support/openssl-pki.ts";
import { tarOf } from "../../support/tar.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const ociType = "application/vnd.oci.image.layer.v1.tar+gzip";
const artifactType = "application/vnd.module.wasm.content.layer.v1+wasm";
const mib = 1024 * 1024;

/** A module of zeros: gzip makes a thousandth of it. */
function bomb(bytes: number): Buffer {
  return gzipSync(Buffer.concat([wasmModule, Buffer.alloc(bytes)]));
}

async function filesIn(directory: string): Promise<readonly string[]> {
  const names = await readdir(directory, { recursive: true });
  return names
    .filter((name) => name.includes("."))
    .map((name) => basename(name))
    .toSorted();
}

/** Until it is disposed. */
function every(intervalMs: number, work: () => void): AsyncDisposable {
  return startTask(
    async (signal) => {
      for (;;) {
        await systemClock.delay(intervalMs, signal);
        work();
      }
    },
    () => undefined,
  );
}

async function httpServer(handle: RequestListener) {
  return await listening(createServer(handle));
}

test("modules that unpack to 60 MB each are never in memory, whole or several", async () => {
  await using all = await fetcherTest({ requestTimeoutMs: 20_000 }, { "wasm-module-bytes": 100 * mib });
  const packed = bomb(60 * mib);
  const names = ["1", "2", "3", "4", "5", "6", "7", "8"];
  for (const name of names) all.server.files.set(`/${name}`, packed);
  const heldBytes = (): number => process.memoryUsage().arrayBuffers;
  const before = heldBytes();
  let peak = 0;
  const sampling = every(5, () => {
    peak = Math.max(peak, heldBytes() - before);
  });
  try {
    const paths = await Promise.all(names.map((name) => all.fetch(all.server.url(`/${name}`), { timeoutMs: 60_000 })));
    expect(new Set(paths).size).toBe(8);
  } finally {
    await sampling[Symbol.asyncDispose]();
  }
  // Buffers that were written stay until the engine collects them.
  expect(peak).toBeLessThan(60 * mib);
  expect(all.budgets.of("wasm-memory-bytes").used).toBe(0);
  expect(all.budgets.facts().find(({ name }) => name === "wasm-memory-bytes")?.peak).toBeGreaterThan(0);
}, 90_000);

describe("what is over a limit is rejected with its name, and leaves no file:", () => {
  test.each<[string, string, Buffer]>([
    ["a download", "limit wasm-module-bytes of 100000 bytes", Buffer.concat([wasmModule, Buffer.alloc(200_000)])],
    ["a gzip bomb", "limit wasm-module-bytes of 100000 bytes", bomb(50 * mib)],
    ["a gzip bomb in an archive", "limit wasm-module-bytes", gzipSync(tarOf([["m.wasm", bomb(5 * mib)]]))],
    ["gzip in gzip in gzip", "limit wasm-module-bytes", gzipSync(gzipSync(bomb(5 * mib)))],
    ["gzip that is cut off", "not valid gzip", gzipSync(wasmModule).subarray(0, -9)],
    [
      "an archive that is cut off",
      "cut off",
      tarOf([["m.wasm", Buffer.concat([wasmModule, Buffer.alloc(2_000)])]]).subarray(0, 1_200),
    ],
  ])("%s", async (_what, said, file) => {
    await using all = await fetcherTest();
    all.server.files.set("/m", file);
    await expect(all.fetch(all.server.url("/m"))).rejects.toMatchObject({
      message: expect.stringContaining(said) as unknown,
      isPermanent: true,
    });
    expect(all.server.asked).toEqual(["/m"]);
    expect(await filesIn(all.cacheDirectory)).toEqual([]);
    expect(all.budgets.of("wasm-disk-bytes").used).toBe(0);
  });

  test("a manifest, and a token response", async () => {
    await using all = await fetcherTest({}, { "wasm-response-bytes": 2_000 });
    all.server.files.set("/v2/p/manifests/v1", Buffer.from(JSON.stringify({ layers: [], padding: "x".repeat(3_000) })));
    await expect(all.fetch(`oci://127.0.0.1:${String(all.server.port)}/p:v1`)).rejects.toThrow(
      "limit wasm-response-bytes of 2000 bytes",
    );
  });

  test("a URL", async () => {
    await using all = await fetcherTest();
    const failure = await all.fetch(all.server.url(`/${"x".repeat(10_000)}`)).catch((error: unknown) => error);
    expect(String(failure)).toContain("limit wasm-url-bytes of 8192 bytes");
    expect(String(failure).length).toBeLessThan(300);
    expect(all.server.asked).toEqual([]);
  });
});

test("an image with 10,000 layers is rejected in few words; a layer's digest must be a SHA-256", async () => {
  await using all = await fetcherTest({}, { "wasm-response-bytes": 2 * mib });
  const layers = Array.from({ length: 10_000 }, () => ({ mediaType: "x".repeat(120), digest: "d" }));
  all.server.files.set("/v2/p/manifests/many", Buffer.from(JSON.stringify({ layers })));
  const odd = [{ mediaType: ociType, digest: "sha256:../../../../secret" }];
  all.server.files.set("/v2/p/manifests/odd", Buffer.from(JSON.stringify({ layers: odd })));
  for (const text of ["no JSON", "null", '{"layers":[null,3]}']) {
    all.server.files.set(`/v2/p/manifests/bad${String(text.length)}`, Buffer.from(text));
    const bad = `oci://127.0.0.1:${String(all.server.port)}/p:bad${String(text.length)}`;
    await expect(all.fetch(bad)).rejects.toMatchObject({ isPermanent: true });
  }
  const many = await all.fetch(`oci://127.0.0.1:${String(all.server.port)}/p:many`).catch((error: unknown) => error);
  expect(String(many)).toContain("and 9997 more");
  expect(String(many).length).toBeLessThan(1_000);
  await expect(all.fetch(`oci://127.0.0.1:${String(all.server.port)}/p:odd`)).rejects.toThrow("not a SHA-256");
  expect(all.server.asked.filter((path) => path.includes("blobs"))).toEqual([]);
});

test("a download that drips ends at the deadline of the whole request, and delays no other module", async () => {
  await using drips = new AsyncDisposableStack();
  await using dripping = await httpServer((_request, response) => {
    drips.use(every(20, () => void response.write("x")));
  });
  await using all = await fetcherTest({ requestTimeoutMs: 400, maxAttempts: 1 });
  all.server.files.set("/m", wasmModule);
  const startMs = performance.now();
  const slow = all.fetch(`http://127.0.0.1:${String(dripping.port)}/m`).catch((error: unknown) => error);
  await all.fetch(all.server.url("/m"));
  expect(performance.now() - startMs).toBeLessThan(400);
  expect(String(await slow)).toContain("no response within 400 ms");
  expect(performance.now() - startMs).toBeLessThan(2_000);
  expect(await filesIn(all.cacheDirectory)).toEqual([`${sha256Of(wasmModule)}.wasm`]);
});

test("one URL in many extensions is fetched once, whatever else differs", async () => {
  await using all = await fetcherTest();
  all.server.files.set("/m", wasmModule);
  const url = all.server.url("/m");
  const sha256 = sha256Of(wasmModule);
  await Promise.all(
    Array.from({ length: 30 }, (_, number) =>
      all.fetch(url, {
        timeoutMs: 3_000 + number,
        resourceVersion: String(number),
        ...(number % 2 === 0 ? {} : { sha256 }),
      }),
    ),
  );
  expect(all.server.asked.length).toBeLessThanOrEqual(2);
  expect(all.budgets.of("wasm-fetches").used).toBe(0);
});

test("a cache that cannot be written fails the module for now, and nothing else", async () => {
  await using directory = await temporaryDirectory();
  await writeFile(join(directory.path, "file"), "");
  await using all = await fetcherTest({ cacheDirectory: join(directory.path, "file", "cache"), maxAttempts: 5 });
  all.server.files.set("/m", wasmModule);
  const failed = all.fetch(all.server.url("/m"));
  await expect(failed).rejects.toMatchObject({
    message: expect.stringContaining("cannot write to") as unknown,
    isPermanent: false,
  });
  expect(all.server.asked.length).toBeLessThanOrEqual(1);
});

describe("the space on disk", () => {
  /** Four files, as each counts as 256 KiB. */
  const sizes = { "wasm-disk-bytes": 4 * 256 * 1024 };

  async function fourModules() {
    const all = await fetcherTest({}, sizes);
    const paths: string[] = [];
    for (const name of ["1", "2", "3", "4", "5"]) {
      all.server.files.set(`/${name}`, Buffer.concat([wasmModule, Buffer.from(name)]));
      if (name !== "5") paths.push(await all.fetch(all.server.url(`/${name}`)));
    }
    return { ...all, paths, fifth: () => all.fetch(all.server.url("/5")) };
  }

  test("is taken from the modules that were not used for longest", async () => {
    await using all = await fourModules();
    const [first = "", second = ""] = all.paths;
    await all.fetch(all.server.url("/1"));
    const fifth = await all.fifth();
    const files = await filesIn(all.cacheDirectory);
    expect(files).toContain(basename(first));
    expect(files).toContain(basename(fifth));
    expect(files).not.toContain(basename(second));
    expect(all.metrics.wasmCacheEntries.value()).toBe(4);
    await all.fetch(all.server.url("/2"));
    expect(all.server.asked.filter((path) => path === "/2")).toHaveLength(2);
  });

  test("is not taken from modules in use; without any other, the new one is rejected", async () => {
    await using all = await fourModules();
    for (const [index, path] of all.paths.entries()) all.fetcher.cache.use(`extension-${String(index)}`, path);
    await expect(all.fifth()).rejects.toMatchObject({
      message: expect.stringContaining("limit wasm-disk-bytes of 1048576 bytes") as unknown,
      isPermanent: true,
    });
    expect((await filesIn(all.cacheDirectory)).length).toBe(4);
    all.fetcher.cache.useOnly(new Set(["extension-0", "extension-2"]));
    await all.fifth();
    const files = await filesIn(all.cacheDirectory);
    expect(files).toContain(basename(all.paths[0] ?? ""));
    expect(files).not.toContain(basename(all.paths[1] ?? ""));
  });

  test("counts what an earlier process has left, and unfinished files are removed", async () => {
    await using earlier = await fourModules();
    await using all = await fetcherTest(
      { cacheDirectory: earlier.cacheDirectory },
      { "wasm-disk-bytes": 2 * 256 * 1024 },
    );
    const [first = "", second = "", third = "", fourth = ""] = earlier.paths;
    for (const [path, time] of [
      [first, 40],
      [second, 10],
      [third, 30],
      [fourth, 20],
    ] as const) {
      const usedAt = new Date(Date.now() - 10_000 + time);
      await utimes(path, usedAt, usedAt);
    }
    const unfinished = join(dirname(first), "abcdefghijkl.tmp");
    const young = join(dirname(first), "mnopqrstuvwx.tmp");
    for (const path of [unfinished, young]) await writeFile(path, "part");
    await utimes(unfinished, 1, 1);
    const empty = "0".repeat(64);
    await mkdir(join(all.cacheDirectory, empty));
    await all.fetcher.cache.purge();
    expect(await filesIn(all.cacheDirectory)).toEqual([basename(first), basename(third), basename(young)].toSorted());
    expect(all.budgets.of("wasm-disk-bytes").used).toBe(2 * 256 * 1024);
    expect(await readdir(all.cacheDirectory)).not.toContain(empty);
  });
});

test("of more URLs than the budget allows, the oldest is not known any more", async () => {
  await using all = await fetcherTest({}, { "wasm-urls": 2 });
  for (const name of ["1", "2", "3"]) {
    all.server.files.set(`/${name}`, Buffer.concat([wasmModule, Buffer.from(name)]));
    await all.fetch(all.server.url(`/${name}`));
  }
  for (const name of ["3", "2", "1"]) await all.fetch(all.server.url(`/${name}`));
  expect(all.server.asked).toEqual(["/1", "/2", "/3", "/1"]);
});

describe("after a restart", () => {
  const packed = gzipSync(tarOf([["plugin.wasm", wasmModule]]));

  /** What a first process fetches, and a second one with the same cache. */
  async function restarted(change: (directory: string) => Promise<void> = () => Promise.resolve()) {
    await using first = await fetcherTest();
    const { server } = first;
    server.files.set("/archive", packed);
    const layer = server.addImage("layer", "v1", [{ mediaType: ociType, blob: packed }]);
    const artifact = server.addImage("artifact", "v1", [
      { mediaType: "application/vnd.module.wasm.config.v1+json", blob: Buffer.from("{}") },
      { mediaType: artifactType, blob: wasmModule },
    ]);
    const registry = `oci://127.0.0.1:${String(server.port)}`;
    const modules = [
      [server.url("/archive"), sha256Of(packed)],
      [`${registry}/layer@sha256:${layer}`, undefined],
      [`${registry}/layer:v1`, layer],
      [`${registry}/artifact@sha256:${artifact}`, undefined],
    ] as const;
    for (const [url, sha256] of modules) await first.fetch(url, { sha256 });
    await change(first.cacheDirectory);
    server.asked.length = 0;
    await using second = await fetcherTest({ cacheDirectory: first.cacheDirectory });
    for (const [url, sha256] of modules) {
      expect(await readFile(await second.fetch(url, { sha256 }))).toEqual(wasmModule);
    }
    const hits = second.metrics.wasmCacheLookups.value("true");
    return { asked: [...server.asked], hits, files: await filesIn(first.cacheDirectory) };
  }

  async function replaceAll(directory: string, extension: string, content: Uint8Array): Promise<void> {
    for (const name of await readdir(directory, { recursive: true })) {
      if (name.endsWith(extension)) await writeFile(join(directory, name), content);
    }
  }

  test("archives and images that are pinned come from the cache, without a request", async () => {
    const { asked, hits } = await restarted();
    expect(asked).toEqual([]);
    expect(hits).toBe(4);
  });

  test("a module that was replaced is unpacked again, or fetched again", async () => {
    const evil = Buffer.concat([wasmModule, Buffer.from("evil")]);
    const { asked } = await restarted((directory) => replaceAll(directory, ".wasm", evil));
    expect(asked.filter((path) => path.includes("layer") || path === "/archive")).toEqual([]);
    expect(asked.filter((path) => path.includes("artifact"))).toHaveLength(2);
  });

  test.each([".download", ".manifest"])("a replaced %s is not used", async (extension) => {
    const evil = gzipSync(tarOf([["plugin.wasm", Buffer.concat([wasmModule, Buffer.from("evil")])]]));
    const { asked } = await restarted(async (directory) => {
      await replaceAll(directory, ".wasm", Buffer.concat([wasmModule, Buffer.from("evil")]));
      await replaceAll(directory, extension, evil);
    });
    expect(asked.some((path) => path.includes("layer"))).toBe(true);
  });
});

test("a link, a directory or a pipe in a module's place is not used", async () => {
  await using all = await fetcherTest();
  all.server.files.set("/m", wasmModule);
  const sha256 = sha256Of(wasmModule);
  const path = await all.fetch(all.server.url("/m"), { sha256 });
  const elsewhere = join(all.cacheDirectory, "elsewhere");
  await writeFile(elsewhere, wasmModule);
  await rm(path);
  await symlink(elsewhere, path);
  expect(await all.fetch(all.server.url("/m"), { sha256 })).toBe(path);
  await rm(path);
  execFileSync("mkfifo", [path]);
  expect(await all.fetch(all.server.url("/m"), { sha256 })).toBe(path);
  expect(all.server.asked).toHaveLength(3);
  await rm(path);
  await mkdir(path);
  await expect(all.fetch(all.server.url("/m"), { sha256 })).rejects.toThrow("cannot write");
  expect(await readFile(elsewhere)).toEqual(wasmModule);
});

describe("a pull secret", () => {
  const secretFor = (...hosts: readonly string[]): string =>
    JSON.stringify({ auths: Object.fromEntries(hosts.map((host) => [host, { auth: "dTpw" }])) });

  async function httpsServer(handle: RequestListener) {
    await using directory = await temporaryDirectory();
    const { chainPem, keyPem } = await (await createOpensslPki(directory.path)).issue("spiffe://a/b");
    return await listening(createHttpsServer({ cert: chainPem, key: keyPem }, handle), "0.0.0.0");
  }

  test("is not sent over TLS that is not verified, nor over plain HTTP, to a host that is not literally loopback", async () => {
    const seen: (string | undefined)[] = [];
    const handle: RequestListener = (request, response) => {
      seen.push(request.headers.authorization);
      response.writeHead(401, { "www-authenticate": 'Basic realm="https://r.example"' }).end();
    };
    await using secure = await httpsServer(handle);
    await using plain = await listening(createServer(handle), "0.0.0.0");
    await using all = await fetcherTest({ maxAttempts: 1 });
    for (const port of [secure.port, plain.port]) {
      // An address of this machine that is not one of loopback.
      const host = `0.0.0.0:${String(port)}`;
      const scheme = port === secure.port ? "https" : "http";
      const pullSecret = secretFor(host);
      await expect(all.fetch(`oci://${host}/p:v1`, { pullSecret })).rejects.toThrow("without verified TLS");
      await expect(all.fetch(`${scheme}://${host}/m`, { pullSecret })).rejects.toThrow("without verified TLS");
    }
    expect(seen).toEqual([undefined, undefined, undefined, undefined]);
  });

  test("does not follow a redirect, of a module or of a layer", async () => {
    const seen: (string | undefined)[] = [];
    await using other = await httpServer((request, response) => {
      seen.push(request.headers.authorization);
      response.end(wasmModule);
    });
    const away = `http://localhost:${String(other.port)}/`;
    await using secure = await httpsServer((request, response) => {
      expect(request.headers.authorization).toBe("Basic dTpw");
      response.writeHead(302, { location: away }).end();
    });
    await using all = await fetcherTest();
    const host = `127.0.0.1:${String(secure.port)}`;
    await all.fetch(`https://${host}/m`, { pullSecret: secretFor(host, `localhost:${String(other.port)}`) });
    all.server.login = "dTpw";
    const digest = all.server.addImage("p", "v1", [
      { mediaType: ociType, blob: gzipSync(tarOf([["plugin.wasm", wasmModule]])) },
    ]);
    const [blob = ""] = [...all.server.files.keys()].filter((path) => path.includes("/blobs/"));
    all.server.redirects.set(blob, away);
    const registry = `127.0.0.1:${String(all.server.port)}`;
    await all.fetch(`oci://${registry}/p@sha256:${digest}`, { pullSecret: secretFor(registry) }).catch(() => undefined);
    expect(seen).toEqual([undefined, undefined]);
  });
});

test("a redirect from elsewhere does not lead to this machine, by address or by name", async () => {
  await using all = await fetcherTest({ maxAttempts: 1 });
  all.server.files.set("/m", wasmModule);
  const port = String(all.server.port);
  let location = "";
  const server = createServer((_request, response) => response.writeHead(302, { location }).end());
  await using redirecting = await listening(server, "0.0.0.0");
  for (const host of [
    "127.0.0.1",
    "localhost",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:a9fe:a9fe]",
    "[64:ff9b::a9fe:a9fe]",
  ]) {
    location = `http://${host}:${port}/m`;
    // An address of this machine that is not one of loopback.
    await expect(all.fetch(`http://0.0.0.0:${String(redirecting.port)}/`), host).rejects.toThrow("blocked");
  }
  location = "file:///etc/passwd";
  await expect(all.fetch(`http://0.0.0.0:${String(redirecting.port)}/`)).rejects.toThrow("scheme");
  expect(all.server.asked).toEqual([]);
});
