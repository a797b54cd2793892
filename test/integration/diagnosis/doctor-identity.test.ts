// SPDX-License-Identifier: Apache-2.0
import { status } from "@grpc/grpc-js";
import { chmodSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { issueRoot } from "../../../src/ca/embedded/certificates.ts";
import { renderPrivateKey } from "../../../src/cert/csr.ts";
import { type FakeCa, startFakeCa } from "../../fakes/fake-ca.ts";
import { startFakeWorkloadApi } from "../../fakes/fake-workload-api.ts";
import { freePorts } from "../../support/free-ports.ts";
import { runDoctorIn } from "../../support/doctor-run.ts";
import { eventually } from "../../support/eventually.ts";
import { expectFault, type PlantedFault, projectedToken } from "../../support/planted-fault.ts";
import { type PodOptions, startPod } from "../../support/pod.ts";
import { newKey, publicKeyOf, testAuthority, testSpiffeId } from "../../support/test-authority.ts";

const hourMs = 3_600_000;
const isRoot = process.getuid?.() === 0;

let ca: FakeCa;
beforeAll(async () => {
  ca = await startFakeCa();
});
afterAll(async () => {
  await ca[Symbol.asyncDispose]();
});

type Faults = readonly (Omit<PlantedFault, "pod"> & { readonly pod: () => PodOptions })[];

function podWith(more: Partial<PodOptions>): PodOptions {
  return { ca, token: projectedToken(), ...more };
}

const tokenPath = "var/run/secrets/tokens/istio-token";
const unasked = "warn ca.auth: the CA is not asked: the token";

const tokenFaults: Faults = [
  {
    name: "no token",
    pod: () => podWith({ token: "" }),
    expected: [`fail token: the token file ./${tokenPath} does not exist`, unasked],
  },
  {
    name: "an empty token",
    pod: () => podWith({ token: "\n" }),
    expected: ["fail token: the token file ./var/run/secrets/tokens/istio-token is empty", unasked],
  },
  {
    name: "a token that is none",
    pod: () => podWith({ token: "two words" }),
    expected: ["fail token: the token file ./var/run/secrets/tokens/istio-token does not contain a token", unasked],
  },
  {
    name: "a token that is a directory",
    pod: () =>
      podWith({
        prepare: ({ directory }) => {
          rmSync(join(directory, tokenPath));
          mkdirSync(join(directory, tokenPath));
        },
      }),
    expected: ["fail token: the token file ./var/run/secrets/tokens/istio-token cannot be read", unasked],
  },
  {
    name: "a token that this user may not read",
    pod: () =>
      podWith({
        // The directories above belong to the user of the tests.
        env: { ATTACHE_XDS_FILES: "resources" },
        prepare: ({ directory }) => {
          chmodSync(join(directory, tokenPath), isRoot ? 0o600 : 0);
          for (const path of [directory, join(directory, "resources")]) chmodSync(path, 0o755);
        },
      }),
    // The root of the tests' directory is not that user's.
    alsoFails: ["paths.bootstrap"],
    ...(isRoot ? { run: { launcher: ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] } } : {}),
    expected: [
      "fail token: the token file ./var/run/secrets/tokens/istio-token cannot be read: permission denied; it has mode",
      unasked,
    ],
  },
  {
    name: "an expired token",
    pod: () =>
      podWith({ token: projectedToken({ issuedMs: Date.now() - 2 * hourMs, expiresMs: Date.now() - hourMs }) }),
    expected: ["fail token: the token in ./var/run/secrets/tokens/istio-token expired 1 h", unasked],
  },
  {
    name: "a token that was not renewed in time",
    pod: () =>
      podWith({ token: projectedToken({ issuedMs: Date.now() - 3 * hourMs, expiresMs: Date.now() + 5 * 60_000 }) }),
    expected: ["warn token: the token in ./var/run/secrets/tokens/istio-token expires in "],
  },
  {
    name: "the token of another account",
    pod: () => podWith({ token: projectedToken({ account: "demo:other" }) }),
    expected: [
      "fail token.account: the token is of the account demo/other, but POD_NAMESPACE and SERVICE_ACCOUNT say demo/web",
    ],
  },
  {
    name: "neither namespace nor account",
    pod: () => podWith({ env: { POD_NAMESPACE: "", SERVICE_ACCOUNT: "" } }),
    expected: ["fail identity: POD_NAMESPACE and SERVICE_ACCOUNT have no value, so no certificate is requested"],
  },
  {
    name: "the token of another namespace",
    pod: () => podWith({ token: projectedToken({ account: "shop:web" }) }),
    expected: ["fail token.account: the token is of the account shop/web"],
  },
];

describe("the token", () => {
  test.each(tokenFaults)("$name", async ({ pod, ...fault }) => {
    await expectFault({ pod: pod(), ...fault });
  });

  test("an audience that the CA rejects is named with what is expected, by the CA's response", async () => {
    await using strict = await startFakeCa({ token: "another" });
    const token = projectedToken({ audiences: ["vault"] });
    await expectFault({
      pod: { ca: strict, token },
      expected: ["fail ca.auth: the CA rejects this workload: UNAUTHENTICATED: request authenticate failure"],
      cures: [`for the audience "vault", istiod expects "istio-ca": mount a token for that audience.`],
    });
  });

  test("while no CA can be asked, another audience is a warning", async () => {
    const [port = 0] = await freePorts(1);
    await expectFault({
      pod: { ca: { port, serverRootPem: ca.serverRootPem }, token: projectedToken({ audiences: ["vault"] }) },
      expected: ["warn token.audience: the token in", "fail ca.connect: CA"],
    });
  });

  test("an audience that the CA accepts is in order", async () => {
    await expectFault({ pod: podWith({ token: projectedToken({ audiences: ["mesh-ca"] }) }), expected: [] });
  });

  test("nothing is in the output that could be sent in place of the token", async () => {
    const token = projectedToken({ account: "demo:other" });
    await using pod = await startPod(podWith({ token }));
    const { findings } = await runDoctorIn(pod);
    for (const part of token.split(".")) expect(JSON.stringify(findings)).not.toContain(part);
  });
});

const rootsPath = "./var/run/secrets/istio/root-cert.pem";

function rootFrom(root: string | undefined): PodOptions {
  return { ca: { port: ca.port, serverRootPem: root }, token: projectedToken() };
}

const rootFaults: Faults = [
  {
    name: "no file of roots",
    pod: () => rootFrom(undefined),
    expected: [
      "fail config: CA_ROOT_CA: root CA file for CA does not exist",
      "warn ca.tls: CA: its certificate cannot be",
    ],
  },
  {
    name: "a file without a certificate",
    pod: () => rootFrom("nonsense"),
    expected: [
      `fail roots: the file of roots ${rootsPath} has no certificate: there is no PEM block`,
      "warn ca.tls: CA: its",
    ],
  },
  {
    name: "a certificate that cannot be parsed",
    pod: () => rootFrom("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
    expected: [
      `fail roots: the file of roots ${rootsPath} has no certificate: PEM block 1 is not a cert`,
      "warn ca.tls",
    ],
  },
  {
    name: "the root of another CA",
    pod: () => rootFrom(testAuthority("somebody else", Date.now()).rootPem),
    expected: [
      'fail ca.tls: CA localhost:…leads to no root in ./var/run/secrets/istio/root-cert.pem, which has "O=somebody else"',
    ],
  },
  {
    name: "a root of the same name with another key",
    pod: () => rootFrom(testAuthority("fake CA 1", Date.now()).rootPem),
    expected: [
      "fail ca.tls: CA localhost:…is not signed by the root of that name in ./var/run/secrets/istio/root-cert.pem",
    ],
  },
  {
    name: "a root that has expired beside one that is valid",
    pod: () =>
      rootFrom(`${issueRoot({ name: "old", privateKey: newKey() }, 0, Date.now() - hourMs)}${ca.serverRootPem}`),
    expected: [`warn roots: a root in ${rootsPath} has expired: "O=old" (expired 1 h`],
  },
  {
    name: "a root that expires soon",
    pod: () => rootFrom(issueRoot({ name: "s", privateKey: newKey() }, 0, Date.now() + 48 * hourMs)),
    expected: [`warn roots: the roots in ${rootsPath} expire soon`, "fail ca.tls"],
  },
];

describe("the roots", () => {
  test.each(rootFaults)("$name", async ({ pod, ...fault }) => {
    await expectFault({ pod: pod(), ...fault });
  });
});

interface IdentityFiles {
  readonly chain: string;
  readonly key: string;
  readonly roots: string;
}

/** Certificate, key and roots where Istio's agent looks for them, and no CA. */
function mounted(change: (files: IdentityFiles) => Partial<IdentityFiles>, keyMode = 0o600): PodOptions {
  const authority = testAuthority("files", Date.now());
  const key = newKey();
  const chain = authority.issue({ publicKey: publicKeyOf(key) }, Date.now());
  const files = { chain, key: renderPrivateKey(key, true), roots: authority.rootPem };
  const written = { ...files, ...change(files) };
  const prepare: PodOptions["prepare"] = ({ directory }) => {
    const folder = join(directory, "etc/certs");
    mkdirSync(folder, { recursive: true });
    if (written.chain !== "") writeFileSync(join(folder, "cert-chain.pem"), written.chain);
    writeFileSync(join(folder, "key.pem"), written.key, { mode: keyMode });
    writeFileSync(join(folder, "root-cert.pem"), written.roots);
  };
  return podWith({ env: { ATTACHE_IDENTITY: "files" }, prepare });
}

function expiredFiles(): Partial<IdentityFiles> {
  const authority = testAuthority("files", Date.now());
  const key = newKey();
  const chain = authority.issue(
    { publicKey: publicKeyOf(key), notAfterMs: Date.now() - hourMs },
    Date.now() - 4 * hourMs,
  );
  return { chain, key: renderPrivateKey(key, true), roots: authority.rootPem };
}

const fileFaults: Faults = [
  { name: "a complete set is in order", pod: () => mounted(() => ({})), expected: [] },
  {
    name: "a missing certificate",
    pod: () => mounted(() => ({ chain: "" })),
    expected: ["fail identity-files: ./etc/certs/cert-chain.pem does not exist"],
  },
  {
    name: "the key of another certificate",
    pod: () => mounted(() => ({ key: renderPrivateKey(newKey(), true) })),
    expected: ["fail identity-files: the key in ./etc/certs/key.pem does not belong to the certificate"],
  },
  {
    name: "an expired certificate",
    pod: () => mounted(expiredFiles),
    expected: ["fail identity-files: the certificate in ./etc/certs/cert-chain.pem expired 1 h"],
  },
  {
    name: "the roots of another CA",
    pod: () => mounted(() => ({ roots: testAuthority("other", Date.now()).rootPem })),
    expected: [
      'fail identity-files: the certificate in ./etc/certs/cert-chain.pem, issued by "O=files", leads to no root',
    ],
  },
  {
    name: "a key that every user can read",
    pod: () => mounted(() => ({}), 0o644),
    expected: ["warn identity-files: every user can read the key ./etc/certs/key.pem: mode 0644"],
  },
];

describe("mounted files", () => {
  test.each(fileFaults)("$name", async ({ pod, ...fault }) => {
    await expectFault({ pod: pod(), ...fault });
  });
});

describe("a SPIFFE agent", () => {
  const spiffePod = (prepare?: PodOptions["prepare"]): PodOptions => {
    const env = { ATTACHE_IDENTITY: "spiffe", SPIFFE_ENDPOINT_SOCKET: "unix:///run/no/agent.sock" };
    return podWith({ env, ...(prepare === undefined ? {} : { prepare }) });
  };

  test("its socket is missing", async () => {
    await expectFault({
      pod: spiffePod(),
      expected: ["fail workload-api: the socket of the SPIFFE agent /run/no/agent.sock does not exist"],
    });
  });

  test("it issues an identity, or says that this workload has none", async () => {
    await using stack = new AsyncDisposableStack();
    const authority = testAuthority("spire", Date.now());
    const key = newKey();
    const chainPem = authority.issue({ publicKey: publicKeyOf(key) }, Date.now());
    const path = `/tmp/at-spiffe-${String(process.pid)}.sock`;
    const agent = stack.use(await startFakeWorkloadApi(path));
    const pod = podWith({ env: { ATTACHE_IDENTITY: "spiffe", SPIFFE_ENDPOINT_SOCKET: `unix://${path}` } });
    agent.give([
      { spiffeId: testSpiffeId, chainPem, keyPem: renderPrivateKey(key, true), bundlePem: authority.rootPem },
    ]);
    await expectFault({ pod, expected: [] });
    agent.refuse(status.PERMISSION_DENIED);
    const denied = `fail workload-api: the SPIFFE agent at ${path} gives no identity`;
    await expectFault({ pod, expected: [denied] });
  });
});

describe("a running agent", () => {
  test("a healthy pod has no problem", async () => {
    await using pod = await startPod(podWith({}));
    await pod.untilReady();
    const { findings, code, durationSeconds } = await runDoctorIn(pod);
    const problems = findings.filter(({ outcome, check }) => outcome !== "ok" && check !== "dns");
    expect([problems, code]).toEqual([[], 0]);
    const facts = findings.map(({ check, fact }) => `${check}: ${fact}`);
    expect(
      facts.filter((text) => text.startsWith("certificate: the running agent's certificate of spiffe:")),
    ).toHaveLength(1);
    expect(durationSeconds).toBeLessThan(2);
  });

  test("one of several is examined by its process, as a user beside it would", async () => {
    await using pod = await startPod(podWith({}));
    await pod.untilReady();
    const elsewhere = { directory: "/", env: { PATH: process.env["PATH"] ?? "" } };
    const { findings } = await runDoctorIn(elsewhere);
    const environment = findings.find(({ check }) => check === "environment");
    expect(environment?.fact).toMatch(/agents run with an environment of their own: .*; examine one with --pid \d+$/);
    expect(findings.filter(({ outcome }) => outcome === "fail")).toEqual([]);
    const examined = await runDoctorIn(elsewhere, { args: ["--pid", String(pod.pid)] });
    const own = await runDoctorIn(pod);
    const checksOf = (run: typeof own): readonly string[] =>
      run.findings.map(({ check, outcome }) => `${outcome} ${check}`);
    expect(checksOf(examined)).toEqual(checksOf(own));
    await expect(runDoctorIn(elsewhere, { args: ["--pid", String(process.pid)] })).rejects.toThrow(
      "no agent runs with",
    );
  });

  test("without arguments, those of the agent in the same directory count", async () => {
    await using pod = await startPod(podWith({ args: ["--domain", "shop.svc.mesh.example"] }));
    await pod.untilReady();
    const config = (await runDoctorIn(pod)).findings.find(({ check }) => check === "config");
    expect(config?.fact).toMatch(/^valid for the role sidecar, node sidecar~.*~shop\.svc\.mesh\.example$/);
    const other = (await runDoctorIn(pod, { args: ["router"] })).findings.find(({ check }) => check === "config");
    expect(other?.fact).toMatch(/^valid for the role router, node router~.*~demo\.svc\.cluster\.local$/);
  });

  test.runIf(isRoot)(
    "nothing is written, and nothing needed, where everything is read-only and no capability is left",
    async () => {
      await using pod = await startPod(podWith({}));
      await pod.untilReady();
      const script = "mount -o remount,ro,bind / 2>/dev/null || mount --bind / / && mount -o remount,ro,bind /";
      const bare = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--reuid=0"];
      const launcher = ["unshare", "-m", "sh", "-ec", `${script}; exec "$@"`, "sh", ...bare];
      const { findings } = await runDoctorIn(pod, { launcher });
      const failed = findings.filter(({ outcome, check }) => outcome === "fail" && !check.startsWith("paths"));
      expect(failed).toEqual([]);
      expect(findings.length).toBeGreaterThan(20);
    },
  );

  test("why it is not ready is named: the condition, and its cause", async () => {
    await using refusing = await startFakeCa();
    refusing.set({ kind: "refuse", status: "PERMISSION_DENIED" });
    await using pod = await startPod({ ca: refusing, token: projectedToken() });
    const isRejected = async (): Promise<void> => {
      expect((await pod.readiness()).body).toContain("PERMISSION_DENIED");
    };
    await eventually(isRejected, { withinMs: 10_000 });
    const { findings, code } = await runDoctorIn(pod);
    const failed = findings.filter(({ outcome }) => outcome === "fail").map(({ check, fact }) => `${check}: ${fact}`);
    expect(failed).toEqual([expect.stringMatching(/^ca\.auth: the CA rejects this workload: PERMISSION_DENIED/)]);
    const condition = findings.find(({ fact }) => fact.startsWith("identity: no certificate yet"));
    expect(condition).toMatchObject({ check: "readiness", outcome: "warn" });
    expect(condition?.cure).toContain("ca.auth");
    expect(code).toBe(1);
  });
});
