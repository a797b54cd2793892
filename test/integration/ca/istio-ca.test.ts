// SPDX-License-Identifier: Apache-2.0
import { writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { createKeyAndRequest, renderPrivateKey } from "../../../src/cert/csr.ts";
import { describe, expect, test } from "vitest";
import { type CaClient, CaError, createCaClient, type IstioCaConfig } from "../../../src/ca/index.ts";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { type FakeCa, type FakeCaMode, startFakeCa } from "../../fakes/fake-ca.ts";
import { freePorts } from "../../support/free-ports.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { newKey, publicKeyOf, testAuthority, testSpiffeId } from "../../support/test-authority.ts";
import { eventually } from "../../support/eventually.ts";
import { signingRequest, unchecked } from "../../support/signing.ts";
import { testLog } from "../../support/test-log.ts";
import { testBudgets } from "../../support/budgets.ts";

const never = new AbortController().signal;

interface Setup extends AsyncDisposable {
  readonly directory: string;
  readonly ca: FakeCa;
  readonly records: ReturnType<typeof testLog>["records"];
  sign(config?: Partial<IstioCaConfig>, signal?: AbortSignal): Promise<{ chainPem: string; rootsPem: string }>;
  signError(config?: Partial<IstioCaConfig>): Promise<CaError>;
  untilChanged(config: Partial<IstioCaConfig>): Promise<void>;
  untilReachable(config: Partial<IstioCaConfig>): Promise<void>;
  tls(more?: object): IstioCaConfig["security"];
}

async function setUp(options: Parameters<typeof startFakeCa>[0] = {}, budgets = testBudgets()): Promise<Setup> {
  const directory = await temporaryDirectory();
  const ca = await startFakeCa(options);
  const rootPath = join(directory.path, "root.pem");
  await writeFile(rootPath, ca.serverRootPem);
  const { log, records } = testLog();
  const { csrPem } = await createKeyAndRequest({ kind: "ec", curve: "P-256" }, testSpiffeId);
  const tls: Setup["tls"] = (more = {}) => ({
    kind: "tls",
    serverName: "localhost",
    roots: { kind: "file", path: rootPath },
    client: undefined,
    policy: "default",
    ...more,
  });
  const clientFor = (config: Partial<IstioCaConfig>): CaClient =>
    createCaClient(
      {
        kind: "istio",
        host: ca.host,
        port: ca.port,
        security: tls(),
        tokenPath: undefined,
        cloudToken: undefined,
        clusterId: "Kubernetes",
        certSigner: "",
        headers: {},
        timeoutPerTryMs: 2_000,
        keepalive: { intervalMs: 30_000, timeoutMs: 10_000 },
        ...config,
      },
      { log, clock: systemClock, budgets },
    );
  const sign: Setup["sign"] = (config = {}, signal = never) =>
    clientFor(config).sign(signingRequest(csrPem), unchecked, signal);
  return {
    directory: directory.path,
    ca,
    records,
    tls,
    sign,
    untilChanged: (config) => clientFor(config).untilChanged(never),
    untilReachable: async (config) => clientFor(config).untilReachable?.(never),
    async signError(config) {
      const error: unknown = await sign(config).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      if (!(error instanceof CaError)) throw new Error("expected a CaError", { cause: error });
      return error;
    },
    async [Symbol.asyncDispose]() {
      await ca[Symbol.asyncDispose]();
      await directory[Symbol.asyncDispose]();
    },
  };
}

function jwt(expiresMs: number): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "none" })}.${part({ exp: expiresMs / 1_000 })}.c2ln`;
}

describe("the client of Istio's certificate service", () => {
  test("splits the response into chain and root bundle", async () => {
    await using it = await setUp({ intermediate: true });
    const { chainPem, rootsPem } = await it.sign();
    expect(chainPem.match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
    expect(rootsPem).toBe(it.ca.rootPem);
    expect(it.ca.calls[0]?.ttlMs).toBe(3_600_000);
  });

  test("a response above the limit is rejected", async () => {
    await using it = await setUp({}, testBudgets({ "ca-response-bytes": 100 }));
    expect((await it.signError()).message).toContain("at most 100 are accepted");
  });

  test("C8: sends cluster, token and its own headers, and nothing else of ours", async () => {
    await using it = await setUp();
    const tokenPath = join(it.directory, "token");
    await writeFile(tokenPath, "  some-token\n");
    await it.sign({ tokenPath, headers: { foo: "foo", baz: "=baz" } });
    expect(it.ca.calls[0]?.metadata).toEqual({
      authorization: "Bearer some-token",
      clusterid: "Kubernetes",
      foo: "foo",
      baz: "=baz",
      "user-agent": expect.any(String) as string,
    });
  });

  test("reads token and root for each attempt", async () => {
    await using it = await setUp({ token: "second" });
    const tokenPath = join(it.directory, "token");
    await writeFile(tokenPath, "first");
    expect(await it.signError({ tokenPath })).toMatchObject({ failure: "refused" });
    await writeFile(tokenPath, "second");
    await it.sign({ tokenPath });
  });

  test("C4: without a token none is sent; a wrong one is reported with the CA's message", async () => {
    await using it = await setUp({ token: "right" });
    const error = await it.signError();
    expect(it.ca.calls[0]?.metadata["authorization"]).toBeUndefined();
    expect(error).toMatchObject({ failure: "refused", code: "AGENT_CA" });
    expect(error.message).toContain("UNAUTHENTICATED: request authenticate failure");
  });

  test("says what is wrong with a token before the call", async () => {
    await using it = await setUp();
    const tokenPath = join(it.directory, "token");
    expect((await it.signError({ tokenPath })).message).toContain(`the token file ${tokenPath} does not exist`);
    await writeFile(tokenPath, " \n");
    expect((await it.signError({ tokenPath })).message).toContain("is empty");
    await writeFile(tokenPath, jwt(Date.parse("2026-01-01T00:00:00Z")));
    const error = await it.signError({ tokenPath });
    expect(error).toMatchObject({ failure: "misconfigured" });
    expect(error.message).toContain("expired at 2026-01-01T00:00:00.000Z");
    await writeFile(tokenPath, jwt(Date.now() + 60_000));
    await it.sign({ tokenPath });
    expect(it.ca.calls).toHaveLength(1);
  });

  test("C5: with a client certificate it calls also when the token is gone", async () => {
    const authority = testAuthority("client root", Date.now());
    await using it = await setUp({ token: "right", clientRootPem: authority.rootPem });
    const key = newKey();
    const chainPath = join(it.directory, "cert-chain.pem");
    const keyPath = join(it.directory, "key.pem");
    await writeFile(chainPath, authority.issue({ publicKey: publicKeyOf(key) }, Date.now()));
    await writeFile(keyPath, renderPrivateKey(key, true));
    const config = { tokenPath: join(it.directory, "none"), security: it.tls({ client: { chainPath, keyPath } }) };
    await it.sign(config);
    expect(it.ca.calls[0]).toMatchObject({ clientCertificate: true });
    expect(it.records.map((record) => record.message)).toContain(
      "no usable token; calling the CA with the client certificate alone",
    );
  });

  test("C6, C7: client files that are missing do not matter until they appear", async () => {
    const authority = testAuthority("client root", Date.now());
    await using it = await setUp({ token: "right", clientRootPem: authority.rootPem });
    const chainPath = join(it.directory, "cert-chain.pem");
    const keyPath = join(it.directory, "key.pem");
    const security = it.tls({ client: { chainPath, keyPath } });
    expect(await it.signError({ security })).toMatchObject({ failure: "refused" });
    const key = newKey();
    await writeFile(chainPath, authority.issue({ publicKey: publicKeyOf(key) }, Date.now()));
    await writeFile(keyPath, renderPrivateKey(key, false));
    await it.sign({ security });
  });

  test.each<[string, FakeCaMode, Partial<CaError>]>([
    [
      "C1: an unknown error",
      { kind: "refuse", status: "UNKNOWN" },
      { failure: "refused", retryAfterMs: 0, statusCode: "UNKNOWN" },
    ],
    [
      "C2: unavailable",
      { kind: "refuse", status: "UNAVAILABLE" },
      { failure: "unreachable", statusCode: "UNAVAILABLE" },
    ],
    [
      "a requested delay",
      { kind: "refuse", status: "UNAVAILABLE", retryAfterMs: 7_000 },
      { failure: "unreachable", retryAfterMs: 7_000 },
    ],
    ["C3: an empty chain", { kind: "empty-chain" }, { failure: "malformed-response" }],
    ["garbage", { kind: "garbage" }, { failure: "malformed-response" }],
    ["no answer", { kind: "hang" }, { failure: "unreachable" }],
  ])("%s is reported by its kind", async (_name, mode, facts) => {
    await using it = await setUp();
    it.ca.set(mode);
    const error = await it.signError({ timeoutPerTryMs: 300 });
    expect(error).toMatchObject(facts);
    if (mode.kind === "empty-chain") expect(error.message).toContain("invalid empty CertChain");
    it.ca.recover();
    await it.sign();
  });

  test("a CA that is not running is unreachable; one under another root or name is not, and says so", async () => {
    await using it = await setUp();
    expect(await it.signError({ port: 1 })).toMatchObject({ failure: "unreachable" });
    const path = join(it.directory, "other.pem");
    await writeFile(path, testAuthority("other", Date.now()).rootPem);
    const error = await it.signError({ security: it.tls({ roots: { kind: "file", path } }) });
    expect(error).toMatchObject({ failure: "tls-untrusted-root" });
    expect(error.message).toMatch(/certificate/);
    expect(await it.signError({ security: it.tls({ serverName: "elsewhere" }) })).toMatchObject({
      failure: "tls-wrong-name",
    });
    expect(it.ca.calls).toHaveLength(0);
  });

  test("a missing root is said so", async () => {
    await using it = await setUp();
    const path = join(it.directory, "none.pem");
    const error = await it.signError({ security: it.tls({ roots: { kind: "file", path } }) });
    expect(error).toMatchObject({ failure: "misconfigured" });
    expect(error.cause).toMatchObject({ message: `the root certificate ${path} cannot be read` });
  });

  test.each(["fips-140-2", "fips-140-3", "pqc"] as const)("it connects under the limits of %s", async (policy) => {
    await using it = await setUp();
    await it.sign({ security: it.tls({ policy }) });
  });

  test("reports that its token file, root or certificate may have changed", async () => {
    await using it = await setUp();
    const tokenPath = join(it.directory, "token");
    let hasChanged = false;
    const changed = it.untilChanged({ tokenPath }).then(() => {
      hasChanged = true;
    });
    await eventually(
      async () => {
        // Again and again, until the directory is being watched.
        await writeFile(tokenPath, String(performance.now()));
        expect(hasChanged).toBe(true);
      },
      { withinMs: 3_000, everyMs: 100 },
    );
    await changed;
  });

  test("reports that there was no connection, and when there can be one again, without a call", async () => {
    await using it = await setUp();
    const [port = 0] = await freePorts(1);
    expect(await it.signError({ port })).toMatchObject({ failure: "unreachable", isUnconnected: true });
    expect(await it.signError({ host: "no-such-name.invalid" })).toMatchObject({ isUnconnected: true });
    let isBack = false;
    const back = it.untilReachable({ port }).then(() => {
      isBack = true;
    });
    let connections = 0;
    const server = createServer((socket) => {
      connections++;
      socket.resume();
    });
    await systemClock.delay(1_500);
    expect(isBack).toBe(false);
    await new Promise<void>((resolve) => server.listen(port, it.ca.host, resolve));
    const startMs = performance.now();
    await back;
    expect(performance.now() - startMs).toBeLessThan(2_000);
    expect(connections).toBe(1);
    expect(it.ca.calls).toHaveLength(0);
    await new Promise((resolve) => server.close(resolve));
    it.ca.set({ kind: "refuse", status: "UNAVAILABLE" });
    expect(await it.signError()).toMatchObject({ failure: "unreachable", isUnconnected: false });
  });

  test("ends at once on abort", async () => {
    await using it = await setUp();
    it.ca.set({ kind: "hang" });
    const stop = new AbortController();
    const signing = it.sign({}, stop.signal);
    stop.abort(new Error("stopping"));
    await expect(signing).rejects.toThrow("stopping");
  });
});
