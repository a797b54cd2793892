// SPDX-License-Identifier: Apache-2.0
import { writeFileSync } from "node:fs";
import { readdir, readFile, stat, utimes } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { basename } from "node:path";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import type { RemoteModule } from "../../../src/xds/wasm/extension.ts";
import { sha256Of, wasmModule } from "../../fakes/fake-module-server.ts";
import { fetcherTest } from "../../support/fetcher-under-test.ts";
import { createOpensslPki } from "../../support/openssl-pki.ts";
import { tarOf } from "../../support/tar.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const artifactType = "application/vnd.module.wasm.content.layer.v1+wasm";
const dockerType = "application/vnd.docker.image.rootfs.diff.tar.gzip";
const ociType = "application/vnd.oci.image.layer.v1.tar+gzip";

test("7.3.1, 7.3.2: a miss is fetched and named by its checksum; a hit sends no request and counts as use", async () => {
  await using all = await fetcherTest();
  all.server.files.set("/m", wasmModule);
  const sha256 = sha256Of(wasmModule);
  const path = await all.fetch(all.server.url("/m"), { sha256 });
  expect(basename(path)).toBe(`${sha256}.wasm`);
  expect(await readFile(path)).toEqual(wasmModule);
  await utimes(path, 1, 1);
  expect(await all.fetch(all.server.url("/m"), { sha256 })).toBe(path);
  expect(all.server.asked).toEqual(["/m"]);
  expect((await stat(path)).mtimeMs).toBeGreaterThan(Date.now() - 60_000);
  expect(all.metrics.wasmCacheLookups.samples()).toEqual([
    { labels: ["true"], value: 1 },
    { labels: ["false"], value: 1 },
  ]);
});

test("7.3.3: an unreachable host is retried as often as configured, and the cause is named", async () => {
  await using all = await fetcherTest({ maxAttempts: 2 });
  const startMs = performance.now();
  await expect(all.fetch("http://127.0.0.1:1/m")).rejects.toMatchObject({
    message: expect.stringContaining("ECONNREFUSED") as unknown,
    isPermanent: false,
  });
  expect(performance.now() - startMs).toBeGreaterThan(200);
});

test("7.3.3: a new URL with the checksum of an old one is fetched again, and verified", async () => {
  await using all = await fetcherTest();
  all.server.files.set("/old", wasmModule);
  all.server.files.set("/new", Buffer.concat([wasmModule, Buffer.from("2")]));
  const sha256 = sha256Of(wasmModule);
  await all.fetch(all.server.url("/old"), { sha256 });
  await expect(all.fetch(all.server.url("/new"), { sha256 })).rejects.toMatchObject({ result: "checksum_mismatched" });
});

test("7.3.4: a module that was not used for the configured time is deleted, file and entry", async () => {
  await using all = await fetcherTest({ expiryMs: 1 });
  all.server.files.set("/m", wasmModule);
  const path = await all.fetch(all.server.url("/m"));
  await utimes(path, 1, 1);
  await all.fetcher.cache.purge();
  expect((await readdir(all.cacheDirectory, { recursive: true })).filter((name) => name.includes(".wasm"))).toEqual([]);
  expect(all.metrics.wasmCacheEntries.value()).toBe(0);
  await all.fetch(all.server.url("/m"));
  expect(all.server.asked).toEqual(["/m", "/m"]);
});

test("7.3.5: an image is the same by tag, by digest and by default; a wrong digest and no response are errors", async () => {
  await using all = await fetcherTest({ requestTimeoutMs: 300, maxAttempts: 1 });
  const layers = [
    { mediaType: "application/vnd.module.wasm.config.v1+json", blob: Buffer.from("{}") },
    { mediaType: artifactType, blob: wasmModule },
  ];
  const digest = all.server.addImage("p", "latest", layers);
  all.server.addImage("p", "v1", layers);
  const base = `oci://127.0.0.1:${String(all.server.port)}/p`;
  const path = await all.fetch(base);
  expect(basename(path)).toBe(`${digest}.wasm`);
  for (const url of [`${base}:v1`, `${base}:latest`, `${base}@sha256:${digest}`])
    expect(await all.fetch(url)).toBe(path);
  expect(await all.fetch(`${base}:v1`, { sha256: digest })).toBe(path);
  expect(all.server.asked.filter((asked) => asked.includes("/blobs/"))).toHaveLength(1);
  await expect(all.fetch(`${base}:v1`, { sha256: "0".repeat(64) })).rejects.toThrow("checksum");
  await expect(all.fetch(`${base}@sha256:${"0".repeat(64)}`)).rejects.toThrow("404");
  await expect(all.fetch(`oci://127.0.0.1:${String(all.server.port)}`)).rejects.toThrow("not an image reference");
});

type Policy = Pick<RemoteModule, "pullPolicy">["pullPolicy"];

test.each<[string, boolean, { tag: string; policy: Policy; version: string; byChecksum?: boolean }]>([
  ["always, another version", true, { tag: "v1", policy: "always", version: "2" }],
  ["always, the same version", false, { tag: "v1", policy: "always", version: "1" }],
  ["always, with a checksum that is there", false, { tag: "v1", policy: "always", version: "2", byChecksum: true }],
  ["if not present", false, { tag: "v1", policy: "if-not-present", version: "2" }],
  ["latest, nothing said", true, { tag: "latest", policy: "unspecified", version: "2" }],
  ["latest, if not present", false, { tag: "latest", policy: "if-not-present", version: "2" }],
  ["latest, by checksum", false, { tag: "latest", policy: "unspecified", version: "2", byChecksum: true }],
])("7.3.6: pulled again: %s: %s", async (_when, isPulled, { tag, policy, version, byChecksum = false }) => {
  await using all = await fetcherTest();
  const blob = gzipSync(tarOf([["plugin.wasm", wasmModule]]));
  const digest = all.server.addImage("p", tag, [{ mediaType: ociType, blob }]);
  const url = `oci://127.0.0.1:${String(all.server.port)}/p:${tag}`;
  await all.fetch(url, { pullPolicy: policy });
  const before = all.server.asked.length;
  await all.fetch(url, {
    pullPolicy: policy,
    resourceVersion: version,
    ...(byChecksum ? { sha256: digest } : {}),
  });
  expect(all.server.asked.length > before).toBe(isPulled);
});

test("7.3.7: retries end with success, at the limit, or at the deadline", async () => {
  await using all = await fetcherTest({ maxAttempts: 3 });
  all.server.files.set("/m", wasmModule);
  all.server.statuses.push(500, 503);
  await all.fetch(all.server.url("/m"));
  expect(all.server.asked).toHaveLength(3);
  all.server.statuses.push(500, 500, 500, 500);
  await expect(all.fetch(all.server.url("/n"))).rejects.toThrow("500");
  expect(all.server.asked).toHaveLength(6);
  await expect(all.fetch(all.server.url("/n"), { timeoutMs: 1 })).rejects.toThrow();
  expect(all.server.asked.length).toBeLessThanOrEqual(7);
});

test("7.3.8, 7.3.11: a self-signed certificate is accepted only for a listed registry; the pull secret is its login", async () => {
  await using directory = await temporaryDirectory();
  const { chainPem, keyPem } = await (await createOpensslPki(directory.path)).issue("spiffe://a/b");
  const logins: (string | undefined)[] = [];
  const https = createServer({ cert: chainPem, key: keyPem }, (request, response) => {
    logins.push(request.headers.authorization);
    response.end(wasmModule);
  });
  await new Promise<void>((resolve) => https.listen(0, "127.0.0.1", resolve));
  await using _closing = {
    [Symbol.asyncDispose]: () =>
      new Promise<void>((done) =>
        https.close(() => {
          done();
        }),
      ),
  };
  const host = `127.0.0.1:${String((https.address() as AddressInfo).port)}`;
  for (const [listed, works] of [
    ["", false],
    [host, true],
    ["127.0.0.1", true],
    ["*", true],
  ] as const) {
    await using all = await fetcherTest({ insecureRegistries: new Set([listed]), maxAttempts: 1 });
    const fetched = await all.fetch(`https://${host}/m`).then(
      () => true,
      () => false,
    );
    expect([listed, fetched]).toEqual([listed, works]);
  }
  await using all = await fetcherTest();
  logins.length = 0;
  const auths = { [host]: { username: "u", password: "p" } };
  await all.fetch(`https://${host}/login`, { pullSecret: JSON.stringify({ auths }) });
  await all.fetch(`https://${host}/empty`, { pullSecret: "" });
  expect(logins).toEqual(["Basic dTpw", undefined]);
});

test.each<[string, string, readonly { readonly mediaType: string; readonly blob: Buffer }[]]>([
  ["no layers", "; layers: none", []],
  ["another type of layer", "text/plain", [{ mediaType: "text/plain", blob: wasmModule }]],
  ["no plugin.wasm", "no plugin.wasm", [{ mediaType: dockerType, blob: gzipSync(tarOf([["x", wasmModule]])) }]],
])("7.3.10: an image with %s is rejected with the reason", async (_what, said, layers) => {
  await using all = await fetcherTest();
  all.server.addImage("p", "v1", layers);
  const url = `oci://127.0.0.1:${String(all.server.port)}/p:v1`;
  await expect(all.fetch(url)).rejects.toThrow(said);
});

test("7.3.11: a pull secret is sent to its registry only", async () => {
  await using all = await fetcherTest();
  all.server.login = "dTpw";
  all.server.addImage("p", "v1", [{ mediaType: dockerType, blob: gzipSync(tarOf([["./plugin.wasm", wasmModule]])) }]);
  const host = `127.0.0.1:${String(all.server.port)}`;
  const secretOf = (registry: string): string =>
    JSON.stringify({ auths: { [registry]: { username: "u", password: "p" } } });
  await expect(all.fetch(`oci://${host}/p:v1`, { pullSecret: secretOf("r.example") })).rejects.toThrow();
  await all.fetch(`oci://${host}/p:v1`, { pullSecret: secretOf(host) });
});

test("a pull secret is never sent over plain http", async () => {
  await using all = await fetcherTest({ maxAttempts: 1 });
  all.server.login = "dTpw";
  all.server.files.set("/m", wasmModule);
  const auths = { [`127.0.0.1:${String(all.server.port)}`]: { username: "u", password: "p" } };
  await expect(all.fetch(all.server.url("/m"), { pullSecret: JSON.stringify({ auths }) })).rejects.toThrow("401");
});

test("fetches are counted by the step that failed; cache hits, and failures without a request, are not counted", async () => {
  await using all = await fetcherTest({ maxAttempts: 1 });
  const { server } = all;
  const noModule = Buffer.from("no module");
  server.files.set("/good", wasmModule);
  server.files.set("/text", noModule);
  server.addImage("text", "v1", [{ mediaType: ociType, blob: gzipSync(tarOf([["plugin.wasm", noModule]])) }]);
  server.addImage("plain", "v1", [{ mediaType: "text/plain", blob: wasmModule }]);
  const oci = (path: string): string => `oci://127.0.0.1:${String(server.port)}/${path}`;
  await all.fetch(server.url("/good"));
  await all.fetch(server.url("/good"));
  for (const [url, more] of [
    [server.url("/missing"), {}],
    ["http://127.0.0.1:1/m", {}],
    ["http://169.254.0.1/m", {}],
    [server.url("/text"), {}],
    [server.url("/text"), { sha256: sha256Of(noModule) }],
    [server.url("/text"), { sha256: sha256Of(wasmModule) }],
    [server.url("/good"), { sha256: "0".repeat(64) }],
    [oci("missing:v1"), {}],
    [oci("plain:v1"), { pullSecret: "" }],
    [oci("plain:v1"), {}],
    [oci("text:v1"), {}],
    [oci("text:v1"), { sha256: "0".repeat(64) }],
    ["ftp://127.0.0.1/m", {}],
  ] as const) {
    await expect(all.fetch(url, more), url).rejects.toThrow("fetch Wasm module");
  }
  expect(Object.fromEntries(all.metrics.wasmFetches.samples().map(({ labels, value }) => [labels[0], value]))).toEqual({
    success: 1,
    download_failure: 4,
    manifest_failure: 2,
    checksum_mismatched: 3,
    fetch_failure: 3,
  });
});

test("equal modules that are wanted at the same time are fetched once", async () => {
  await using all = await fetcherTest();
  all.server.files.set("/m", wasmModule);
  const paths = await Promise.all([1, 2, 3, 4].map(() => all.fetch(all.server.url("/m"))));
  expect(new Set(paths).size).toBe(1);
  expect(all.server.asked).toEqual(["/m"]);
});

test("a file that another program has put into the cache under a pinned checksum is not used", async () => {
  await using first = await fetcherTest();
  const sha256 = sha256Of(wasmModule);
  first.server.files.set("/m", wasmModule);
  const path = await first.fetch(first.server.url("/m"), { sha256 });
  const evil = Buffer.concat([wasmModule, Buffer.from("evil")]);
  writeFileSync(path, evil);
  writeFileSync(`${path}.sha256`, sha256Of(evil));
  expect(await first.fetch(first.server.url("/m"), { sha256 })).toBe(path);
  expect(await readFile(path)).toEqual(wasmModule);
  expect(first.server.asked).toEqual(["/m", "/m"]);
});

test("a pull secret is not sent to a realm without TLS", async () => {
  await using all = await fetcherTest({ maxAttempts: 1 });
  await using directory = await temporaryDirectory();
  const { chainPem, keyPem } = await (await createOpensslPki(directory.path)).issue("spiffe://a/b");
  const seen: string[] = [];
  const realm = createHttpServer((request, response) => {
    seen.push(request.headers.authorization ?? "none");
    response.end('{"token":"t"}');
  });
  await new Promise<void>((resolve) => realm.listen(0, "127.0.0.1", resolve));
  const realmUrl = `http://localhost.example:${String((realm.address() as AddressInfo).port)}/token`;
  const registry = createServer({ cert: chainPem, key: keyPem }, (_request, response) => {
    response.writeHead(401, { "www-authenticate": `Bearer realm="${realmUrl}",service="s"` }).end();
  });
  await new Promise<void>((resolve) => registry.listen(0, "127.0.0.1", resolve));
  const host = `127.0.0.1:${String((registry.address() as AddressInfo).port)}`;
  const pullSecret = JSON.stringify({ auths: { [host]: { username: "u", password: "p" } } });
  await expect(all.fetch(`oci://${host}/p:v1`, { pullSecret })).rejects.toThrow("realm is not https");
  expect(seen).toEqual([]);
  await Promise.all([realm, registry].map((server) => new Promise((resolve) => server.close(resolve))));
});
