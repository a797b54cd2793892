// SPDX-License-Identifier: Apache-2.0
import { readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { TypedExtensionConfig } from "../../../src/gen/envoy/config/core/v3/base.ts";
import { Wasm } from "../../../src/gen/envoy/extensions/filters/http/wasm/v3/wasm.ts";
import type { WasmConfig } from "../../../src/xds/index.ts";
import { contentOf, type XdsResource } from "../../../src/xds/protocol/response.ts";
import { typeUrls } from "../../../src/xds/protocol/type-url.ts";
import { textField } from "../../../src/xds/protocol/wire.ts";
import { type FakeResource, startFakeControlPlane } from "../../fakes/fake-control-plane.ts";
import { type FakeModuleServer, sha256Of, startFakeModuleServer, wasmModule } from "../../fakes/fake-module-server.ts";
import { eventually } from "../../support/eventually.ts";
import { testBudgets } from "../../support/budgets.ts";
import { tarOf } from "../../support/tar.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { envoyNode, type ProxyUnderTest, startProxy, type XdsClient } from "../../support/xds-proxy-pair.ts";

const { extension } = typeUrls;
const wasmType = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";

interface Source {
  readonly uri: string;
  readonly sha256?: string;
  readonly failOpen?: boolean;
  readonly variables?: Readonly<Record<string, string>>;
}

/** An extension with a remote module, as a control plane sends it. */
function remote(name: string, { uri, sha256 = "", failOpen = false, variables = {} }: Source): FakeResource {
  const wasm = Wasm.fromPartial({
    config: {
      failOpen,
      vm: {
        $case: "vmConfig",
        value: {
          code: {
            specifier: { $case: "remote", value: { httpUri: { uri, timeout: { seconds: 3, nanos: 0 } }, sha256 } },
          },
          environmentVariables: {
            hostEnvKeys: [],
            keyValues: { ISTIO_META_WASM_PLUGIN_RESOURCE_VERSION: "1", ...variables },
          },
        },
      },
    },
  });
  return config(name, wasmType, Buffer.from(Wasm.encode(wasm).finish()));
}

function config(name: string, typeUrl: string, value: Buffer): FakeResource {
  const bytes = TypedExtensionConfig.encode(
    TypedExtensionConfig.fromPartial({ name, typedConfig: { typeUrl, value } }),
  ).finish();
  return { name, version: "1", value: bytes };
}

/** What Envoy got: the local file, or the type that took the module's place. */
function outcome({ any }: XdsResource): { readonly file?: string; readonly type?: string; readonly value?: string } {
  const { typedConfig } = TypedExtensionConfig.decode(contentOf(any));
  const type = typedConfig?.typeUrl.replace(/^.*\./, "") ?? "";
  if (typedConfig?.typeUrl !== wasmType) return { type, value: typedConfig?.value.toString("latin1") ?? "" };
  const vm = Wasm.decode(typedConfig.value).config?.vm?.value;
  const source = vm?.code?.specifier;
  if (vm?.environmentVariables !== undefined) return { type: "the agent's variables are still there" };
  return source?.$case === "local" && source.value.specifier?.$case === "filename"
    ? { file: source.value.specifier.value }
    : { type };
}

async function startAll(
  cacheDirectory: string,
  protocol: "sotw" | "delta",
  proxies: WasmConfig["proxies"] = {},
  sizes: Parameters<typeof testBudgets>[0] = {},
) {
  const stack = new AsyncDisposableStack();
  const server = stack.use(await startFakeModuleServer());
  const controlPlane = stack.use(await startFakeControlPlane());
  const under = stack.use(
    await startProxy([controlPlane.port], {
      budgets: testBudgets({ "wasm-module-bytes": 100_000, ...sizes }),
      wasm: {
        cacheDirectory,
        requestTimeoutMs: 1_000,
        maxAttempts: 3,
        maxModuleBytes: 100_000,
        insecureRegistries: new Set(["*"]),
        blockedCidrs: ["127.0.0.99/32"],
        proxies,
        expiryMs: 86_400_000,
        purgeEveryMs: 3_600_000,
      },
    }),
  );
  const client = stack.use(await under.open(protocol));
  const names = ["a", "b", "c", "d"];
  const subscribe = async (): Promise<void> => {
    await client.send({ typeUrl: extension, node: envoyNode, subscribe: names });
  };
  return { server, controlPlane, under, client, subscribe, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** Fetches one module through everything. */
async function fetched(
  cacheDirectory: string,
  prepare: (server: FakeModuleServer) => Source,
): Promise<ReturnType<typeof outcome> & { readonly asked: readonly string[]; readonly log: string }> {
  await using all = await startAll(cacheDirectory, "delta");
  all.controlPlane.set(extension, [remote("a", prepare(all.server))]);
  await all.subscribe();
  const [resource] = (await all.client.next()).resources;
  if (resource === undefined) throw new Error("no resource");
  return { ...outcome(resource), asked: all.server.asked, log: reasons(all.under) };
}

function reasons({ records }: ProxyUnderTest): string {
  return records.map(({ fields }) => JSON.stringify(fields["reason"])).join("\n");
}

async function acceptNext(client: XdsClient): Promise<void> {
  await client.ack(await client.next());
}

describe.each(["sotw", "delta"] as const)("%s", (protocol) => {
  test("7.1.7, 7.1.8, 7.1.9, 7.3.14: remote modules become local files, other extensions are unchanged, a failed one becomes a filter that denies or allows all", async () => {
    await using directory = await temporaryDirectory();
    await using all = await startAll(join(directory.path, "made", "when", "missing"), protocol);
    all.server.files.set("/good.wasm", wasmModule);
    const router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
    all.controlPlane.set(extension, [
      remote("a", { uri: all.server.url("/good.wasm"), sha256: sha256Of(wasmModule) }),
      config("b", router, Buffer.alloc(0)),
      remote("c", { uri: all.server.url("/none.wasm") }),
      remote("d", { uri: all.server.url("/none.wasm"), failOpen: true }),
    ]);
    await all.subscribe();
    const [a, b, c, d] = (await all.client.next()).resources.map(outcome);
    expect(a?.file).toMatch(new RegExp(`/${sha256Of(wasmModule)}\\.wasm$`));
    expect(await readFile(a?.file ?? "")).toEqual(wasmModule);
    expect(b).toEqual({ type: "Router", value: "" });
    expect(c).toMatchObject({ type: "RBAC", value: expect.stringContaining("wasm-default-deny") as unknown });
    expect(d).toMatchObject({ type: "RBAC", value: expect.stringContaining("wasm-default-allow") as unknown });
    expect(all.under.metrics.wasmConversions.value("success")).toBe(1);
    expect(all.under.metrics.wasmConversions.value("fetch_failure")).toBe(2);
    expect(all.under.metrics.wasmConversionMs.snapshot().count).toBe(1);
    expect(all.under.metrics.wasmFetches.value("success")).toBe(1);
    // Both extensions share the fetch.
    expect(all.under.metrics.wasmFetches.value("download_failure")).toBe(1);
    expect(all.under.metrics.wasmCacheEntries.value()).toBe(1);
    expect(all.under.metrics.wasmCacheLookups.value("false")).toBe(3);
  });

  test("7.3.14: a remote module without an address is replaced like a missing one, and counted separately", async () => {
    await using directory = await temporaryDirectory();
    await using all = await startAll(directory.path, protocol);
    const code = { specifier: { $case: "remote" as const, value: { sha256: "" } } };
    const wasm = Wasm.fromPartial({ config: { failOpen: true, vm: { $case: "vmConfig", value: { code } } } });
    all.controlPlane.set(extension, [config("a", wasmType, Buffer.from(Wasm.encode(wasm).finish()))]);
    await all.subscribe();
    const [a] = (await all.client.next()).resources.map(outcome);
    expect(a).toMatchObject({ type: "RBAC", value: expect.stringContaining("wasm-default-allow") as unknown });
    expect(all.under.metrics.wasmConversions.value("miss_remote_fetch_hint")).toBe(1);
    expect(all.under.metrics.wasmFetches.samples().every(({ value }) => value === 0)).toBe(true);
  });

  test("7.3.14: a resource that is not an extension is rejected, and does not reach Envoy", async () => {
    await using directory = await temporaryDirectory();
    await using all = await startAll(directory.path, protocol);
    all.controlPlane.set(extension, [config("a", wasmType, Buffer.alloc(0))]);
    await all.subscribe();
    await eventually(
      () => {
        expect(all.controlPlane.requests.at(-1)?.request.errorDetail?.message).toContain("names no Wasm module");
      },
      { withinMs: 2_000 },
    );
  });

  test("a response over its limit, or with too many extensions, is rejected with the limit's name", async () => {
    await using directory = await temporaryDirectory();
    const sizes = { "ecds-response-bytes": 5_000, "ecds-resources": 3 };
    await using all = await startAll(directory.path, protocol, {}, sizes);
    const rejection = (): string => all.controlPlane.requests.at(-1)?.request.errorDetail?.message ?? "";
    const any = "type.googleapis.com/x.Y";
    all.controlPlane.set(extension, [config("a", any, Buffer.alloc(6_000))]);
    await all.subscribe();
    await eventually(
      () => {
        expect(rejection()).toBe("limit ecds-response-bytes of 5000 bytes is reached");
      },
      { withinMs: 2_000 },
    );
    all.controlPlane.set(
      extension,
      ["a", "b", "c", "d"].map((name) => ({ ...config(name, any, Buffer.alloc(0)), version: "2" })),
    );
    await eventually(
      () => {
        expect(rejection()).toBe("limit ecds-resources of 3 items is reached");
      },
      { withinMs: 2_000 },
    );
    all.controlPlane.set(extension, [{ ...config("a", any, Buffer.alloc(0)), version: "3" }]);
    await expect(all.client.next()).resolves.toMatchObject({ resources: [expect.anything()] });
    expect(all.under.budgets.of("ecds-conversions").used).toBe(0);
  });

  test("an extension whose sha256 is not 64 hex digits is rejected, and no path is made of it", async () => {
    await using directory = await temporaryDirectory();
    await using all = await startAll(directory.path, protocol);
    all.server.files.set("/m", wasmModule);
    const wrong = ["../../../../etc/passwd", "a".repeat(63), `${"a".repeat(64)}/x`, "z".repeat(64)];
    for (const [index, sha256] of wrong.entries()) {
      const resource = { ...remote("a", { uri: all.server.url("/m"), sha256 }), version: String(index) };
      all.controlPlane.set(extension, [resource]);
      if (index === 0) await all.subscribe();
      await eventually(
        () => {
          expect(all.controlPlane.requests.filter(({ request }) => request.errorDetail !== undefined)).toHaveLength(
            index + 1,
          );
        },
        { withinMs: 2_000 },
      );
      expect(all.controlPlane.requests.at(-1)?.request.errorDetail?.message).toContain("is not 64 hex digits");
    }
    expect(all.server.asked).toEqual([]);
  });

  test("a later response does not overtake an earlier one that takes longer", async () => {
    await using directory = await temporaryDirectory();
    await using all = await startAll(directory.path, protocol);
    all.server.files.set("/slow.wasm", wasmModule);
    all.server.statuses.push(503);
    all.controlPlane.set(extension, [remote("a", { uri: all.server.url("/slow.wasm") })]);
    await all.subscribe();
    await eventually(
      () => {
        expect(all.server.asked).toHaveLength(1);
      },
      { withinMs: 1_000 },
    );
    all.controlPlane.set(extension, [{ ...config("a", "type.googleapis.com/x.Y", Buffer.alloc(0)), version: "2" }]);
    await expect(all.client.next()).resolves.toMatchObject({ resources: [expect.anything()] });
    const [second] = (await all.client.next()).resources.map(outcome);
    expect(second?.type).toBe("Y");
  });

  test("other types pass while a module is fetched", async () => {
    await using directory = await temporaryDirectory();
    await using all = await startAll(directory.path, protocol);
    all.server.statuses.push(503, 503);
    all.controlPlane.set(extension, [remote("a", { uri: all.server.url("/x.wasm") })]);
    all.controlPlane.set(typeUrls.cluster, [{ name: "a", version: "1", value: textField(1, "a") }]);
    await all.subscribe();
    await eventually(
      () => {
        expect(all.server.asked).toHaveLength(1);
      },
      { withinMs: 1_000 },
    );
    await all.client.send({ typeUrl: typeUrls.cluster });
    await expect(all.client.next()).resolves.toMatchObject({ typeUrl: typeUrls.cluster });
    await acceptNext(all.client);
  });
});

describe("a module is fetched", () => {
  test.each<[string, (server: FakeModuleServer) => Source]>([
    [
      "after two failures of the server",
      (server) => {
        server.files.set("/m", wasmModule);
        server.statuses.push(503, 500);
        return { uri: server.url("/m") };
      },
    ],
    [
      "through a redirect",
      (server) => {
        server.files.set("/m", wasmModule);
        server.redirects.set("/old", "/m");
        return { uri: server.url("/old") };
      },
    ],
    [
      "by the checksum of the downloaded file",
      (server) => {
        const packed = gzipSync(wasmModule);
        server.files.set("/m.gz", packed);
        return { uri: server.url("/m.gz"), sha256: sha256Of(packed) };
      },
    ],
    [
      "7.3.10: from an image in docker's form",
      (server) => {
        const blob = gzipSync(tarOf([["./plugin.wasm", wasmModule]]));
        server.addImage("org/plugin", "v1", [{ mediaType: "application/vnd.docker.image.rootfs.diff.tar.gzip", blob }]);
        return { uri: `oci://127.0.0.1:${String(server.port)}/org/plugin:v1` };
      },
    ],
    [
      "7.3.10, 7.3.11: from an artifact, with a login",
      (server) => {
        server.login = "dTpw";
        const digest = server.addImage("plugin", "latest", [
          { mediaType: "application/vnd.module.wasm.config.v1+json", blob: Buffer.from("{}") },
          { mediaType: "application/vnd.module.wasm.content.layer.v1+wasm", blob: wasmModule },
        ]);
        const host = `127.0.0.1:${String(server.port)}`;
        const secret = JSON.stringify({ auths: { [host]: { auth: "dTpw" } } });
        return {
          uri: `oci://${host}/plugin@sha256:${digest}`,
          variables: { ISTIO_META_WASM_IMAGE_PULL_SECRET: secret },
        };
      },
    ],
  ])("%s", async (_how, prepare) => {
    await using directory = await temporaryDirectory();
    const { file } = await fetched(directory.path, prepare);
    expect(await readFile(file ?? "")).toEqual(wasmModule);
  });
});

describe("a module is not fetched, without retries,", () => {
  test.each<[string, string, (server: FakeModuleServer) => Source]>([
    [
      "7.3.3: with another checksum",
      "checksum",
      (server) => {
        server.files.set("/m", wasmModule);
        return { uri: server.url("/m"), sha256: "0".repeat(64) };
      },
    ],
    [
      "7.3.3: when it is none",
      "not a Wasm module",
      (server) => {
        server.files.set("/m", Buffer.from("no module"));
        return { uri: server.url("/m") };
      },
    ],
    [
      "when it is too large",
      "limit wasm-module-bytes of 100000 bytes",
      (server) => {
        server.files.set("/m", Buffer.alloc(200_000));
        return { uri: server.url("/m") };
      },
    ],
    ["that is not there", "404", (server) => ({ uri: server.url("/m") })],
    ["7.3.3: by another scheme", "scheme", () => ({ uri: "ftp://127.0.0.1/m" })],
    ["from a blocked address", "blocked", () => ({ uri: "http://169.254.169.254/m" })],
    [
      "7.3.13: from a blocked address that it is redirected to",
      "blocked",
      (server) => {
        server.redirects.set("/m", "http://127.0.0.99/m");
        return { uri: server.url("/m") };
      },
    ],
    [
      "with an empty pull secret",
      "pull secret",
      (server) => ({
        uri: `oci://127.0.0.1:${String(server.port)}/p`,
        variables: { ISTIO_META_WASM_IMAGE_PULL_SECRET: "" },
      }),
    ],
  ])("%s", async (_how, reason, prepare) => {
    await using directory = await temporaryDirectory();
    const result = await fetched(directory.path, prepare);
    expect(result.type).toBe("RBAC");
    expect(result.log).toContain(reason);
    expect(result.asked.length).toBeLessThanOrEqual(1);
  });
});

test("a missing module is applied when it becomes available, without the control plane", async () => {
  await using directory = await temporaryDirectory();
  await using all = await startAll(directory.path, "delta");
  all.server.files.set("/m", wasmModule);
  all.server.statuses.push(503, 503, 503);
  all.controlPlane.set(extension, [remote("a", { uri: all.server.url("/m") })]);
  await all.subscribe();
  const first = await all.client.next();
  expect(first.resources.map(outcome)).toMatchObject([{ type: "RBAC" }]);
  await all.client.ack(first);
  const second = await all.client.next();
  const [resource] = second.resources.map(outcome);
  expect(await readFile(resource?.file ?? "")).toEqual(wasmModule);
  await all.client.ack(second);
  await eventually(
    () => {
      expect(all.controlPlane.seen(extension)).toHaveLength(2);
    },
    { withinMs: 1_000 },
  );
});

test("the module cache serves another process, unless a file was changed", async () => {
  await using directory = await temporaryDirectory();
  const sha256 = sha256Of(wasmModule);
  await using server = await startFakeModuleServer();
  server.files.set("/m", wasmModule);
  const source = { uri: server.url("/m"), sha256 };
  const first = await fetched(directory.path, () => source);
  await fetched(directory.path, () => source);
  expect(server.asked).toEqual(["/m"]);
  await writeFile(join(dirname(first.file ?? ""), `${sha256}.wasm`), "changed");
  const third = await fetched(directory.path, () => source);
  expect(server.asked).toEqual(["/m", "/m"]);
  expect(await readFile(third.file ?? "")).toEqual(wasmModule);
});

test("modules are fetched through the environment's proxy, except for the hosts in NO_PROXY", async () => {
  await using directory = await temporaryDirectory();
  await using proxy = await startFakeModuleServer();
  proxy.files.set("http://modules.test/m", wasmModule);
  const proxies = { HTTP_PROXY: `http://u:p@127.0.0.1:${String(proxy.port)}`, NO_PROXY: "excepted.test" };
  await using all = await startAll(directory.path, "delta", proxies);
  all.controlPlane.set(extension, [
    remote("a", { uri: "http://modules.test/m" }),
    remote("b", { uri: "http://excepted.test/m" }),
  ]);
  await all.subscribe();
  const [a, b] = (await all.client.next()).resources.map(outcome);
  expect(await readFile(a?.file ?? "")).toEqual(wasmModule);
  expect(b?.type).toBe("RBAC");
  expect(proxy.asked).toEqual(["http://modules.test/m"]);
  expect(proxy.proxyLogins).toEqual(["Basic dTpw"]);
});
