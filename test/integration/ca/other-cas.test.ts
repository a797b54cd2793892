// SPDX-License-Identifier: Apache-2.0
import { createPublicKey } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createServer as createTcpServer } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type CaClient, type CaConfig, CaError, createCaClient } from "../../../src/ca/index.ts";
import { checkResponse } from "../../../src/cert/response-check.ts";
import { createKeyAndRequest, renderPrivateKey } from "../../../src/cert/csr.ts";
import { describeError } from "../../../src/lib/errors.ts";
import { systemClock } from "../../../src/lib/async/clock.ts";
import type { SigningRequest } from "../../../src/model/signing.ts";
import { startFakeKubernetesCsr } from "../../fakes/fake-kubernetes-csr.ts";
import { startFakeStepCa } from "../../fakes/fake-step-ca.ts";
import { startFakeVault } from "../../fakes/fake-vault.ts";
import type { HttpsServer } from "../../fakes/https-server.ts";
import { listening } from "../../support/listening.ts";
import { signingRequest } from "../../support/signing.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { freePorts } from "../../support/free-ports.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { newKey, testAuthority, testSpiffeId } from "../../support/test-authority.ts";
import { testLog } from "../../support/test-log.ts";
import { testBudgets } from "../../support/budgets.ts";

const never = new AbortController().signal;

interface Files extends AsyncDisposable {
  put(name: string, text: string): Promise<string>;
}

async function files(): Promise<Files> {
  const directory = await temporaryDirectory();
  return {
    async put(name, text) {
      const path = join(directory.path, name);
      await writeFile(path, text);
      return path;
    },
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  };
}

function serverOf({ host, port }: Pick<HttpsServer, "host" | "port">, rootPath: string) {
  const roots = { kind: "file", path: rootPath } as const;
  return {
    host,
    port,
    security: { kind: "tls", serverName: host, roots, client: undefined, policy: "default" },
  } as const;
}

function client(config: CaConfig, clock = systemClock, budgets = testBudgets()): CaClient {
  return createCaClient(config, { log: testLog().log, clock, budgets });
}

/** Has a certificate signed, and checks the response as the store does. */
async function sign(ca: CaClient, more: Partial<SigningRequest> = {}) {
  const { csrPem, privateKey } = await createKeyAndRequest({ kind: "ec", curve: "P-256" }, testSpiffeId);
  const expected = {
    privateKey,
    spiffeId: testSpiffeId,
    strictTrustDomain: false,
    nowMs: Date.now(),
    maxSkewMs: 0,
    budgets: testBudgets(),
  };
  const request = signingRequest(csrPem, 3_600_000, more);
  const checked = await ca.sign(request, (response) => checkResponse(response, expected), never);
  const chainPem = checked.chain.map((one) => one.pem).join("");
  return { checked, current: { chainPem, keyPem: renderPrivateKey(privateKey, true) } };
}

async function failureOf(ca: CaClient): Promise<CaError> {
  const error: unknown = await sign(ca).catch((reason: unknown) => reason);
  if (!(error instanceof CaError)) throw new Error("expected a CaError", { cause: error });
  return error;
}

describe("Vault", () => {
  const common = { kind: "vault", namespace: "team", signPath: "pki/sign/mesh", timeoutPerTryMs: 2_000 } as const;

  test("signs after a Kubernetes login, which is used again and renewed when half of it is over", async () => {
    await using it = await files();
    await using vault = await startFakeVault();
    const clock = new FakeClock(Date.now());
    const auth = {
      kind: "kubernetes",
      mount: "kubernetes",
      role: "mesh",
      tokenPath: await it.put("token", "sa-token\n"),
    } as const;
    const server = serverOf(vault.server, await it.put("root.pem", vault.rootPem));
    await using ca = client({ ...common, server, auth }, clock);
    const { checked } = await sign(ca);
    expect(checked.anchor.pem).toBe(vault.rootPem);
    await sign(ca);
    await clock.advance(31 * 60_000);
    await sign(ca);
    expect(vault.requests.map((request) => request.path)).toEqual([
      "/v1/auth/kubernetes/login",
      "/v1/pki/sign/mesh",
      "/v1/pki/sign/mesh",
      "/v1/auth/token/renew-self",
      "/v1/pki/sign/mesh",
    ]);
    expect(vault.requests[1]?.body).toMatchObject({ ttl: "3600s", uri_sans: testSpiffeId, format: "pem" });
    expect(vault.requests[1]?.headers["x-vault-namespace"]).toBe("team");
  });

  test("sends neither its token nor a login to where a response redirects it", async () => {
    await using it = await files();
    await using vault = await startFakeVault();
    const received: unknown[] = [];
    await using other = await listening(
      createServer((request, response) => {
        received.push(request.headers);
        response.end();
      }),
    );
    const location = `http://127.0.0.1:${String(other.port)}/`;
    const auth = {
      kind: "approle",
      mount: "approle",
      roleIdPath: await it.put("role", "id"),
      secretIdPath: await it.put("secret", "secret"),
    } as const;
    await using ca = client({
      ...common,
      auth,
      server: serverOf(vault.server, await it.put("root.pem", vault.rootPem)),
    });
    for (const status of [301, 302, 303, 307, 308]) {
      vault.answerNext({ status, body: {}, headers: { location } });
      expect((await failureOf(ca)).message).toContain(`status ${String(status)}`);
    }
    await sign(ca);
    vault.answerNext({ status: 307, body: {}, headers: { location } });
    expect((await failureOf(ca)).message).toContain("status 307");
    expect(received).toEqual([]);
  });

  test("logs in again when its token is no longer accepted, once for each attempt", async () => {
    await using it = await files();
    await using vault = await startFakeVault();
    const auth = {
      kind: "approle",
      mount: "approle",
      roleIdPath: await it.put("role", "id"),
      secretIdPath: await it.put("secret", "secret"),
    } as const;
    await using ca = client({
      ...common,
      auth,
      server: serverOf(vault.server, await it.put("root.pem", vault.rootPem)),
    });
    await sign(ca);
    vault.revokeTokens();
    await sign(ca);
    expect(vault.requests.filter((request) => request.path.endsWith("login"))).toHaveLength(2);
    vault.answerNext(
      { status: 403, body: { errors: ["permission denied"] } },
      { status: 403, body: { errors: ["1 error occurred:\n\t* permission denied\n\n"] } },
    );
    const error = await failureOf(ca);
    expect(error).toMatchObject({ failure: "refused", isPermanent: true });
    expect(error.message).toMatch(/status 403: 1 error occurred: \* permission denied; check the credential/);
  });

  test("a rejected login is reported with the server's explanation", async () => {
    await using it = await files();
    await using vault = await startFakeVault();
    const [roleIdPath, secretIdPath] = [await it.put("role", "id"), await it.put("secret", "other")];
    const auth = { kind: "approle", mount: "approle", roleIdPath, secretIdPath } as const;
    const server = serverOf(vault.server, await it.put("root.pem", vault.rootPem));
    await using ca = client({ ...common, auth, server });
    const error = await failureOf(ca);
    expect(error).toMatchObject({ failure: "refused", isPermanent: false, statusCode: "400" });
    expect(error.message).toContain("status 400: invalid role or secret ID");
  });

  test("a rejected secret ID is not sent again until it changes, because Vault would lock the role ID for all", async () => {
    await using it = await files();
    await using vault = await startFakeVault();
    const [roleIdPath, secretIdPath] = [await it.put("role", "id"), await it.put("secret", "other")];
    const auth = { kind: "approle", mount: "approle", roleIdPath, secretIdPath } as const;
    const server = serverOf(vault.server, await it.put("root.pem", vault.rootPem));
    const clock = new FakeClock(Date.now());
    await using ca = client({ ...common, auth, server }, clock);
    await failureOf(ca);
    for (let attempts = 0; attempts < 6; attempts++) {
      const error = await failureOf(ca);
      expect(error).toMatchObject({ failure: "misconfigured" });
      expect(error.message).toContain(`the secret ID in ${secretIdPath} was rejected; replace it`);
      expect(error.message).toContain("it is sent again in 16 min");
    }
    expect(vault.requests).toHaveLength(1);
    await clock.advance(16 * 60_000);
    expect((await failureOf(ca)).message).toContain("status 400: invalid role or secret ID");
    await it.put("secret", "secret");
    await sign(ca);
  });

  test("a response above the limit is malformed, and names the limit", async () => {
    await using it = await files();
    await using vault = await startFakeVault();
    const auth = { kind: "token-file", path: await it.put("token", "static") } as const;
    const server = serverOf(vault.server, await it.put("root.pem", vault.rootPem));
    await using ca = client({ ...common, server, auth }, systemClock, testBudgets({ "ca-response-bytes": 100 }));
    const error = await failureOf(ca);
    expect(error).toMatchObject({ failure: "malformed-response" });
    expect(error.message).toContain("limit ca-response-bytes of 100 bytes is reached");
  });

  test("B11: reads its roots from the mount when the response has none; a token from a file is sent unchanged", async () => {
    await using it = await files();
    await using vault = await startFakeVault();
    vault.withoutRoot = true;
    const auth = { kind: "token-file", path: await it.put("token", "static") } as const;
    await using ca = client({
      ...common,
      auth,
      server: serverOf(vault.server, await it.put("root.pem", vault.rootPem)),
    });
    const { checked } = await sign(ca);
    expect(checked.roots.map((root) => root.pem)).toEqual([vault.rootPem]);
  });

  test.each([
    [
      { status: 503, body: { errors: ["Vault is sealed"] }, headers: { "retry-after": "3" } },
      { failure: "unreachable", retryAfterMs: 3_000 },
    ],
    [{ status: 429, body: {} }, { failure: "unreachable" }],
    [
      { status: 400, body: { errors: ["uri not allowed by this role"] } },
      { failure: "refused", isPermanent: false },
    ],
    [
      { status: 400, body: { errors: ["why ".repeat(10_000)] } },
      { failure: "refused", message: expect.stringMatching(/^.{500,600}…$/) as string },
    ],
    [{ status: 200, body: "rubbish" }, { failure: "malformed-response" }],
    [{ status: 200, body: { data: {} } }, { failure: "malformed-response" }],
  ])("reports the kind of failure of %j", async (response, facts) => {
    await using it = await files();
    await using vault = await startFakeVault();
    const auth = { kind: "token-file", path: await it.put("token", "static") } as const;
    await using ca = client({
      ...common,
      auth,
      server: serverOf(vault.server, await it.put("root.pem", vault.rootPem)),
    });
    vault.answerNext(response);
    expect(await failureOf(ca)).toMatchObject(facts);
  });
});

describe("step-ca", () => {
  const common = { kind: "step", timeoutPerTryMs: 2_000 } as const;

  test("signs with a new one-time token each time, and rekeys with the certificate in use", async () => {
    await using it = await files();
    const key = newKey();
    await using step = await startFakeStepCa(createPublicKey(key));
    const keyPath = await it.put("key.pem", renderPrivateKey(key, true));
    const auth = { kind: "jwk", provisioner: "mesh", keyId: "kid", keyPath } as const;
    await using ca = client({ ...common, auth, server: serverOf(step.server, await it.put("root.pem", step.rootPem)) });
    await sign(ca);
    const { current } = await sign(ca);
    await sign(ca, { current });
    const paths = step.requests.map((request) => request.path).filter((path) => path !== "/1.0/roots");
    expect(paths).toEqual(["/1.0/sign", "/1.0/sign", "/1.0/rekey"]);
  });

  test("falls back to a token when it does not rekey", async () => {
    await using it = await files();
    await using step = await startFakeStepCa(createPublicKey(newKey()));
    const auth = { kind: "kubernetes", tokenPath: await it.put("token", "sa-token") } as const;
    await using ca = client({ ...common, auth, server: serverOf(step.server, await it.put("root.pem", step.rootPem)) });
    const { current } = await sign(ca);
    step.answerNext({ status: 403, body: { status: 403, message: "renewal is off" } });
    await sign(ca, { current });
    const paths = step.requests.map((request) => request.path).filter((path) => path !== "/1.0/roots");
    expect(paths).toEqual(["/1.0/sign", "/1.0/rekey", "/1.0/sign"]);
  });

  test("falls back to a token when it rejects the certificate in use in the TLS handshake", async () => {
    await using it = await files();
    await using step = await startFakeStepCa(createPublicKey(newKey()));
    const auth = { kind: "kubernetes", tokenPath: await it.put("token", "sa-token") } as const;
    await using ca = client({ ...common, auth, server: serverOf(step.server, await it.put("root.pem", step.rootPem)) });
    const { current } = await sign(ca);
    step.server.rejectsClientCertificates = true;
    const { checked } = await sign(ca, { current });
    expect(checked.anchor.pem).toBe(step.rootPem);
    const paths = step.requests.map((request) => request.path).filter((path) => path !== "/1.0/roots");
    expect(paths).toEqual(["/1.0/sign", "/1.0/sign"]);
  });

  test("after a rotation of its root, renews by the certificate under the old one and gets both roots", async () => {
    await using it = await files();
    await using step = await startFakeStepCa(createPublicKey(newKey()));
    const auth = { kind: "kubernetes", tokenPath: await it.put("token", "sa-token") } as const;
    await using ca = client({ ...common, auth, server: serverOf(step.server, await it.put("root.pem", step.rootPem)) });
    const oldRootPem = step.rootPem;
    const first = await sign(ca);
    expect(first.checked.chain).toHaveLength(2);
    step.rotateRoot();
    const second = await sign(ca, { current: first.current });
    expect(second.checked.anchor.pem).toBe(step.rootPem);
    expect(second.checked.roots.map((root) => root.pem)).toEqual([step.rootPem, oldRootPem]);
    await sign(ca, { current: second.current });
    const paths = step.requests.map((request) => request.path).filter((path) => path !== "/1.0/roots");
    expect(paths).toEqual(["/1.0/sign", "/1.0/rekey", "/1.0/rekey"]);
  });

  test("rejects a lifetime below the provisioner's least one for good, and says which it is", async () => {
    await using it = await files();
    await using step = await startFakeStepCa(createPublicKey(newKey()));
    const auth = { kind: "kubernetes", tokenPath: await it.put("token", "sa-token") } as const;
    await using ca = client({ ...common, auth, server: serverOf(step.server, await it.put("root.pem", step.rootPem)) });
    const error: unknown = await sign(ca, { ttlMs: 60_000 }).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ failure: "refused", isPermanent: true });
    expect(String(error)).toContain("requested duration of 2m0s is less than the authorized minimum");
  });

  test("reports a rejection with the CA's message, and a missing key before the call", async () => {
    await using it = await files();
    await using step = await startFakeStepCa(createPublicKey(newKey()));
    const server = serverOf(step.server, await it.put("root.pem", step.rootPem));
    const keyPath = await it.put("key.pem", renderPrivateKey(newKey(), true));
    const auth = { kind: "jwk", provisioner: "mesh", keyId: "kid" } as const;
    await using stranger = client({ ...common, server, auth: { ...auth, keyPath } });
    expect((await failureOf(stranger)).message).toContain("status 401: The request lacked necessary authorization");
    await using keyless = client({ ...common, server, auth: { ...auth, keyPath: "/none" } });
    expect(await failureOf(keyless)).toMatchObject({ failure: "misconfigured" });
  });
});

describe("Kubernetes' signing requests", () => {
  async function setUp(it: Files, kubernetes: Awaited<ReturnType<typeof startFakeKubernetesCsr>>, more: object = {}) {
    const rootsPath = await it.put("root.pem", kubernetes.rootPem);
    return client({
      kind: "kubernetes-csr",
      server: serverOf(kubernetes.server, rootsPath),
      tokenPath: await it.put("token", "sa-token"),
      signerName: "example.com/mesh",
      rootsPath,
      timeoutPerTryMs: 5_000,
      ...more,
    });
  }

  test("are made, waited for, and deleted", async () => {
    await using it = await files();
    await using kubernetes = await startFakeKubernetesCsr();
    await using ca = await setUp(it, kubernetes);
    const { checked } = await sign(ca);
    expect(checked.anchor.pem).toBe(kubernetes.rootPem);
    expect(kubernetes.objects.size).toBe(0);
    expect(kubernetes.requests[0]?.body?.["spec"]).toMatchObject({
      signerName: "example.com/mesh",
      usages: ["digital signature", "key encipherment", "server auth", "client auth"],
      expirationSeconds: 3_600,
    });
  });

  test.each([
    ["deny", "denied: not for you"],
    ["fail", "not signed: not for you"],
  ] as const)("that end with %s are reported as such", async (decide, text) => {
    await using it = await files();
    await using kubernetes = await startFakeKubernetesCsr();
    kubernetes.decide = decide;
    await using ca = await setUp(it, kubernetes);
    const error = await failureOf(ca);
    expect(error.message).toContain(text);
    expect(error.failure).toBe("refused");
    expect(kubernetes.objects.size).toBe(0);
  });

  test("that are never decided time out and are deleted", async () => {
    await using it = await files();
    await using kubernetes = await startFakeKubernetesCsr();
    kubernetes.decide = "nothing";
    await using ca = await setUp(it, kubernetes, { timeoutPerTryMs: 600 });
    const error = await failureOf(ca);
    expect(error.message).toContain("the request attache-1 for example.com/mesh was not approved and signed in time");
    expect(kubernetes.objects.size).toBe(0);
  });

  test("report an unknown signer, a bad token and missing roots", async () => {
    await using it = await files();
    await using kubernetes = await startFakeKubernetesCsr();
    await using unknown = await setUp(it, kubernetes, { signerName: "example.com/other" });
    expect((await failureOf(unknown)).message).toContain("status 403: unknown signer");
    await using rootless = await setUp(it, kubernetes, { rootsPath: "/none" });
    expect(await failureOf(rootless)).toMatchObject({ failure: "misconfigured" });
    await using stranger = await setUp(it, kubernetes, { tokenPath: await it.put("bad", "other") });
    expect(await failureOf(stranger)).toMatchObject({ failure: "refused" });
  });
});

describe("a CA that accepts no connections", () => {
  const configs: readonly ((server: ReturnType<typeof serverOf>, path: string) => CaConfig)[] = [
    (server, path) => ({
      ...{ kind: "vault", server, namespace: "", signPath: "pki/sign/mesh", timeoutPerTryMs: 2_000 },
      auth: { kind: "token-file", path },
    }),
    (server, tokenPath) => ({ kind: "step", server, auth: { kind: "kubernetes", tokenPath }, timeoutPerTryMs: 2_000 }),
    (server, tokenPath) => ({
      ...{ kind: "kubernetes-csr", server, tokenPath, signerName: "example.com/mesh", timeoutPerTryMs: 2_000 },
      rootsPath: tokenPath,
    }),
  ];

  test.each(configs.map((configOf, at) => [["Vault", "step-ca", "Kubernetes"][at], configOf] as const))(
    "is reported as such, and when it accepts them again: %s",
    async (_name, configOf) => {
      await using it = await files();
      const [port = 0] = await freePorts(1);
      const { rootPem } = testAuthority("server", Date.now());
      const server = serverOf({ host: "localhost", port }, await it.put("root.pem", rootPem));
      await using ca = client(configOf(server, await it.put("token", "a-token")));
      const error = await failureOf(ca);
      expect(error).toMatchObject({ failure: "unreachable", isUnconnected: true });
      expect(describeError(error).match(/ECONNREFUSED/g)).toHaveLength(1);
      let isBack = false;
      const back = ca.untilReachable?.(never).then(() => {
        isBack = true;
      });
      await systemClock.delay(1_500);
      expect(isBack).toBe(false);
      const listener = createTcpServer((socket) => socket.resume());
      await new Promise<void>((resolve) => listener.listen(port, "127.0.0.1", resolve));
      await back;
      expect(isBack).toBe(true);
      await new Promise((resolve) => listener.close(resolve));
    },
  );
});

test("the in-process CA gives agents that share its folder one root", async () => {
  await using directory = await temporaryDirectory();
  const config = { kind: "embedded", directory: join(directory.path, "ca") } as const;
  await using one = client(config);
  await using two = client(config);
  const [first, second] = [await sign(one), await sign(two)];
  expect(second.checked.anchor.pem).toBe(first.checked.anchor.pem);
});
