// SPDX-License-Identifier: Apache-2.0
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { startWebApp } from "../../../src/dev/apps.ts";
import { readPending, startRotationWatch } from "../../../src/dev/workload-state.ts";
import { proveMtls } from "../../../src/dev/prove-mtls.ts";
import { proveRotation, type RotationProofOptions } from "../../../src/dev/prove-rotation.ts";
import { installResources } from "../../../src/dev/resources.ts";
import { loopback } from "../../../src/lib/net/http-client.ts";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { answer, startFakeApp } from "../../fakes/fake-app.ts";
import { eventually } from "../../support/eventually.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const never = new AbortController().signal;
const noPorts = { app: 1, envoy: 1, admin: 1, status: 1, readiness: 1, metrics: 1 };

/** The response of api to a request with a certificate of this hash. */
function apiAnswer(uri: string, hash: string): string {
  return JSON.stringify({ app: "api", forwardedClientCert: `Hash=${hash};URI=${uri}` });
}

describe("mTLS is not proved by", () => {
  test.each([
    { title: "another caller", body: apiAnswer("spiffe://cluster.local/ns/demo/sa/eve", "1"), why: /sa\/eve/ },
    { title: "a response that is not api's", body: "hello", why: /saw the caller "" instead of .*: hello/ },
    { title: "JSON that is not api's", body: '{"forwardedClientCert":7}', why: /saw the caller ""/ },
  ])("$title", async ({ body, why }) => {
    await using web = await startFakeApp(answer(200, body));
    const outcome = await proveMtls(web.port, never);
    expect(outcome.failure).toMatchObject({ proof: "mtls", why: expect.stringMatching(why) as string });
  });

  test("a web that does not respond, or whose Envoy does not", async () => {
    await using web = await startWebApp((path) => loopback(1, path), systemClock);
    const refused = await proveMtls(web.port, never);
    expect(refused.facts.mtlsStatus).toBe(502);
    expect(refused.failure?.why).toContain("call api through Envoy");
    const silent = await proveMtls(1, never);
    expect(silent.facts).toEqual({ mtlsStatus: 0, peerSeenByApi: null });
  });
});

describe("a rotation is not proved", () => {
  const prove = async (body: () => string, options: Partial<RotationProofOptions>): Promise<string | undefined> => {
    await using web = await startFakeApp((request, response) => {
      answer(200, body())(request, response);
    });
    const all = { webAppPort: web.port, serialOf: () => Promise.resolve("1"), withinMs: 500, ...options };
    return (await proveRotation(all, systemClock, never)).failure?.why;
  };
  const sameCaller = (): string => apiAnswer("spiffe://cluster.local/ns/demo/sa/web", "1");

  test("when no serial changes", async () => {
    const why = await prove(sameCaller, {});
    expect(why).toBe("the certificate of web and api was not replaced within 500 ms");
  });

  test("when api receives the same certificate as before", async () => {
    let looks = 0;
    const why = await prove(sameCaller, { serialOf: () => Promise.resolve(String(looks++)), withinMs: 1_500 });
    expect(why).toBe("api never received web's new certificate");
  });

  test("when a request fails", async () => {
    const why = await prove(sameCaller, { webAppPort: 1 });
    expect(why).toMatch(/^1 of 1 requests failed during the rotation: status 0 .*ECONNREFUSED/);
  });

  test("when too few requests passed", async () => {
    let [looks, answers] = [0, 0];
    const why = await prove(() => apiAnswer("spiffe://cluster.local/ns/demo/sa/web", String(answers++)), {
      serialOf: () => Promise.resolve(String(looks++)),
      withinMs: 150,
    });
    expect(why).toMatch(/^only \d+ requests passed during the rotation$/);
  });

  test("when Envoy's admin port does not respond", async () => {
    const failing = prove(sameCaller, { serialOf: () => Promise.reject(new Error("no admin")) });
    await expect(failing).rejects.toThrow("no admin");
  });
});

test("a certificate that Envoy replaces later is reported once", async () => {
  let serial = "0a";
  const uri = "spiffe://cluster.local/ns/demo/sa/web";
  await using admin = await startFakeApp((request, response) => {
    const leaf = { serial_number: serial, subject_alt_names: [{ uri }], expiration_time: "2026-01-01T00:00:00Z" };
    answer(200, JSON.stringify({ certificates: [{ cert_chain: [leaf] }] }))(request, response);
  });
  const ports = { web: { ...noPorts, admin: admin.port }, api: noPorts };
  const workloads = [{ name: "web", spiffeId: uri, serial, notAfter: null, ready: true }] as const;
  const said: string[] = [];
  const fast = { ...systemClock, delay: (_ms: number, signal?: AbortSignal) => systemClock.delay(10, signal) };
  await using watch = new AsyncDisposableStack();
  watch.use(startRotationWatch({ ports, workloads, say: (text) => said.push(text) }, fast));
  serial = "0b";
  await eventually(
    () => {
      expect(said).toEqual(["web: new certificate 0b, valid until 2026-01-01T00:00:00Z"]);
    },
    { withinMs: 2_000 },
  );
});

test("what a workload waits for is reported also when its agent does not respond or is ready", async () => {
  expect(await readPending(noPorts, never)).toEqual([
    expect.stringMatching(/^the agent does not respond: .*ECONNREFUSED/),
  ]);
  await using agent = await startFakeApp(answer(200));
  expect(await readPending({ ...noPorts, status: agent.port }, never)).toEqual([
    "the agent is ready, but its readiness port on Envoy does not respond",
  ]);
});

describe("resource files are rejected", () => {
  const install = async (files: Readonly<Record<string, string>>): Promise<void> => {
    await using directory = await temporaryDirectory();
    const [from, to] = [join(directory.path, "from"), join(directory.path, "to")];
    await mkdir(join(from, "web"), { recursive: true });
    for (const [name, text] of Object.entries(files)) await writeFile(join(from, "web", name), text);
    try {
      await installResources(from, to, "web", {});
    } finally {
      const there = await readdir(to).catch(() => []);
      expect(there.filter((name) => name === "bad.yaml")).toEqual([]);
    }
  };

  test("when one that Envoy starts from is not there", async () => {
    await expect(install({ "lds.yaml": "resources: []" })).rejects.toThrow(/web: cds\.yaml is missing/);
  });

  test("when one is not YAML, or not readable", async () => {
    const good = { "lds.yaml": "resources: []", "cds.yaml": "resources: []" };
    await expect(install({ ...good, "bad.yaml": "a: [" })).rejects.toThrow(/bad\.yaml: it is not YAML/);
    await using directory = await temporaryDirectory();
    await mkdir(join(directory.path, "web/lds.yaml"), { recursive: true });
    await mkdir(join(directory.path, "web/cds.yaml"), { recursive: true });
    const unreadable = installResources(directory.path, directory.path, "web", {});
    await expect(unreadable).rejects.toThrow(/it cannot be read/);
  });
});
