// SPDX-License-Identifier: Apache-2.0
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { probeCa, type SingleCaConfig } from "../../../src/ca/index.ts";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { startFakeCa } from "../../fakes/fake-ca.ts";
import { type FakeRequest, type FakeResponse, startHttpsServer } from "../../fakes/https-server.ts";
import { testBudgets } from "../../support/budgets.ts";
import { freePorts } from "../../support/free-ports.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { testAuthority, testSpiffeId } from "../../support/test-authority.ts";

const never = new AbortController().signal;

function probe(config: SingleCaConfig) {
  return probeCa(
    config,
    { timeoutMs: 1_000, spiffeId: testSpiffeId },
    { clock: systemClock, budgets: testBudgets() },
    never,
  );
}

/** An HTTP API with a token and its roots in files. */
async function startApi(answer: (request: FakeRequest) => FakeResponse) {
  await using stack = new AsyncDisposableStack();
  const { path } = stack.use(await temporaryDirectory());
  const authority = testAuthority("api", Date.now());
  const requests: FakeRequest[] = [];
  const api = stack.use(
    await startHttpsServer(authority, (request) => {
      requests.push(request);
      return answer(request);
    }),
  );
  const [tokenPath, rootsPath] = [join(path, "token"), join(path, "roots.pem")];
  writeFileSync(tokenPath, "a-token");
  writeFileSync(rootsPath, authority.rootPem);
  const roots = { kind: "file", path: rootsPath } as const;
  const tls = { kind: "tls", serverName: "localhost", roots, client: undefined, policy: "default" } as const;
  const server = { host: "localhost", port: api.port, security: tls };
  const owned = stack.move();
  return { server, tokenPath, rootsPath, requests, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

type Api = Awaited<ReturnType<typeof startApi>>;

function kubernetes({ server, tokenPath, rootsPath }: Api): SingleCaConfig {
  return {
    kind: "kubernetes-csr",
    server,
    tokenPath,
    rootsPath,
    signerName: "example.com/mesh",
    timeoutPerTryMs: 1_000,
  };
}

function review(allowed: boolean): FakeResponse {
  return { status: 201, body: { status: { allowed } } };
}

describe("Kubernetes' API is asked whether the account may create requests, and creates none", () => {
  test.each([
    ["allowed", review(true), "accepted"],
    ["not allowed", review(false), "rejected"],
    ["an unknown token", { status: 401, body: {} }, "rejected"],
    ["a failing API", { status: 500, body: {} }, "unavailable"],
  ] as const)("%s", async (_name, response, kind) => {
    await using api = await startApi(() => response);
    expect(await probe(kubernetes(api))).toMatchObject({ kind });
    expect(api.requests.map(({ method, path }) => `${method} ${path}`)).toEqual([
      "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
    ]);
    expect(api.requests[0]?.headers["authorization"]).toBe("Bearer a-token");
  });

  test("without a token nothing is sent", async () => {
    await using api = await startApi(() => review(true));
    writeFileSync(api.tokenPath, "");
    expect(await probe(kubernetes(api))).toMatchObject({ kind: "no-credential" });
    expect(api.requests).toEqual([]);
  });
});

describe("step-ca is asked for its health, and gets no token", () => {
  test.each([
    [200, "not-asked"],
    [500, "unavailable"],
  ])("status %i", async (status, kind) => {
    await using api = await startApi(() => ({ status, body: {} }));
    const auth = { kind: "kubernetes", tokenPath: api.tokenPath } as const;
    expect(await probe({ kind: "step", server: api.server, auth, timeoutPerTryMs: 1_000 })).toMatchObject({ kind });
    expect(JSON.stringify(api.requests)).not.toContain("a-token");
  });
});

describe("Vault is asked for its state; only a token of its own is looked up", () => {
  const vault = ({ server, tokenPath }: Api, auth: "token-file" | "kubernetes"): SingleCaConfig => ({
    kind: "vault",
    server,
    namespace: "team",
    signPath: "pki/sign/mesh",
    auth:
      auth === "token-file" ? { kind: auth, path: tokenPath } : { kind: auth, mount: auth, role: "mesh", tokenPath },
    timeoutPerTryMs: 1_000,
  });

  test("a token", async () => {
    await using api = await startApi(() => ({ status: 200, body: {} }));
    expect(await probe(vault(api, "token-file"))).toMatchObject({ kind: "accepted" });
    const [health, lookup] = api.requests;
    expect(health?.headers).not.toHaveProperty("x-vault-token");
    expect(lookup).toMatchObject({ path: "/v1/auth/token/lookup-self", headers: { "x-vault-namespace": "team" } });
  });

  test("a login", async () => {
    await using api = await startApi(() => ({ status: 200, body: {} }));
    expect(await probe(vault(api, "kubernetes"))).toMatchObject({ kind: "not-asked" });
    expect(JSON.stringify(api.requests)).not.toContain("a-token");
  });

  test.each([
    [503, "it is sealed"],
    [501, "it is not initialised"],
  ])("status %i", async (status, detail) => {
    await using api = await startApi(() => ({ status, body: {} }));
    expect(await probe(vault(api, "token-file"))).toEqual({ kind: "unavailable", detail });
  });
});

test("Istio's CA gets no CSR, and signs nothing", async () => {
  await using api = await startApi(() => ({ status: 200, body: {} }));
  await using ca = await startFakeCa({ token: "a-token" });
  writeFileSync(api.rootsPath, ca.serverRootPem);
  const { security } = api.server;
  const config = {
    kind: "istio",
    host: "localhost",
    port: ca.port,
    security,
    tokenPath: api.tokenPath,
    cloudToken: undefined,
    clusterId: "",
    certSigner: "",
    headers: {},
    timeoutPerTryMs: 60_000,
    keepalive: { intervalMs: 60_000, timeoutMs: 60_000 },
  } as const;
  expect(await probe(config)).toEqual({ kind: "accepted", detail: "with the token" });
  expect(ca.calls.map(({ csrPem }) => csrPem)).toEqual([""]);
  writeFileSync(api.tokenPath, "another");
  expect(await probe(config)).toMatchObject({ kind: "rejected" });
  const [port = 0] = await freePorts(1);
  expect(await probe({ ...config, port })).toMatchObject({ kind: "unavailable" });
  writeFileSync(api.tokenPath, "");
  expect(await probe(config)).toMatchObject({ kind: "no-credential" });
  expect(await probe({ kind: "embedded", directory: "/x" })).toMatchObject({ kind: "accepted" });
});
