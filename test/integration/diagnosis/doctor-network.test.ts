// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { type ServerDuplexStream, status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { issueCertificate, issueRoot } from "../../../src/ca/embedded/certificates.ts";
import { type FakeCa, startFakeCa } from "../../fakes/fake-ca.ts";
import { FakeControlPlane } from "../../fakes/fake-control-plane.ts";
import { answering, silent, startFakeResolver } from "../../fakes/fake-resolver.ts";
import { type FakeResponse, startHttpsServer } from "../../fakes/https-server.ts";
import { dnsEnvironment } from "../../support/dns-environment.ts";
import { runDoctorIn } from "../../support/doctor-run.ts";
import { freePorts } from "../../support/free-ports.ts";
import { startGrpcJsServer } from "../../support/grpc-js-peer.ts";
import { listening } from "../../support/listening.ts";
import { expectFault, projectedToken } from "../../support/planted-fault.ts";
import { type PodOptions, startPod } from "../../support/pod.ts";
import { mayMakeNetworks } from "../../support/run-kernel-tasks.ts";
import { newKey, publicKeyOf, testAuthority } from "../../support/test-authority.ts";

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;

let ca: FakeCa;
beforeAll(async () => {
  ca = await startFakeCa();
});
afterAll(async () => {
  await ca[Symbol.asyncDispose]();
});

function podAt(address: string, more: Partial<PodOptions> = {}): PodOptions {
  const { env, ...rest } = more;
  return { ca, token: projectedToken(), env: { CA_ADDR: address, ...env }, ...rest };
}

interface Validity {
  readonly notBeforeMs?: number;
  readonly notAfterMs?: number;
  readonly rootNotAfterMs?: number;
}

/** A TLS server that ends with the handshake, with a certificate and a root of the given validity. */
async function startTls({
  notBeforeMs = Date.now() - hourMs,
  notAfterMs = Date.now() + hourMs,
  rootNotAfterMs = Date.now() + 1_000 * hourMs,
}: Validity) {
  const issuer = { name: "shifted CA", privateKey: newKey() };
  const key = newKey();
  const validity = { notBeforeMs, notAfterMs };
  const cert = issueCertificate(issuer, {
    subject: "server",
    publicKey: publicKeyOf(key),
    use: "server",
    dnsNames: ["istiod.istio-system.svc"],
    ...validity,
  });
  const pem = key.export({ type: "pkcs8", format: "pem" });
  const server = await listening(createTlsServer({ key: pem, cert, ALPNProtocols: ["h2"] }));
  return Object.assign(server, { serverRootPem: issueRoot(issuer, Date.now() - 9_000 * hourMs, rootNotAfterMs) });
}

describe("the way to the CA", () => {
  test("nothing listens on the port", async () => {
    const [port = 0] = await freePorts(1);
    await expectFault({
      pod: podAt(`localhost:${String(port)}`),
      expected: [`fail ca.connect: CA localhost:${String(port)} refuses connections`],
    });
  });

  test.runIf(mayMakeNetworks)("packets to it are dropped", async () => {
    const network =
      "ip link set lo up; ip link add v0 type veth peer name v1; ip addr add 10.9.9.1/24 dev v0; ip link set v0 up; ip link set v1 up";
    await expectFault({
      pod: podAt("10.9.9.2:15012"),
      run: { launcher: ["unshare", "-n", "sh", "-ec", `${network}; exec "$@"`, "sh"] },
      expected: ["fail ca.connect: CA 10.9.9.2:15012 does not respond to connections: packets are dropped on the way"],
    });
  });

  test("the server accepts connections and never does the handshake", async () => {
    await using server = await listening(createServer());
    const address = `localhost:${String(server.port)}`;
    await expectFault({
      pod: podAt(address),
      expected: [`fail ca.tls: CA ${address}: the server accepts connections, but did not finish the TLS handshake`],
    });
  });

  test("the server speaks plaintext", async () => {
    await using server = await listening(createServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n")));
    const address = `localhost:${String(server.port)}`;
    await expectFault({
      pod: podAt(address),
      expected: [`fail ca.tls: CA ${address}: the peer does not speak TLS`],
    });
  });

  test("the server ends the handshake", async () => {
    await using server = await listening(createServer((socket) => socket.once("data", () => socket.destroy())));
    await expectFault({ pod: podAt(`localhost:${String(server.port)}`), expected: ["fail ca.tls: CA localhost:"] });
  });

  test("the certificate is for another name", async () => {
    await expectFault({
      pod: podAt(`localhost:${String(ca.port)}`, { env: { ATTACHE_CA_SERVER_NAME: "ca.example" } }),
      expected: [
        'fail ca.tls: CA localhost:…(subject "O=fake CA server", issuer "O=fake CA 1") is for DNS:localhost, DNS:istiod.istio-system.svc, IP Address:127.0.0.1, not for ca.example',
      ],
    });
  });

  test("name and chain are wrong, and both are named", async () => {
    await using server = await startTls({});
    await expectFault({
      pod: podAt(`localhost:${String(server.port)}`, { env: { ATTACHE_CA_SERVER_NAME: "ca.example" } }),
      expected: [
        "fail ca.tls: CA localhost:…leads to no root in ./var/run/secrets/istio/root-cert.pem",
        "fail ca.tls: CA localhost:…not for ca.example",
      ],
    });
  });

  test("the server's certificate has expired, or the clock is ahead", async () => {
    await using server = await startTls({ notAfterMs: Date.now() - 10.5 * minuteMs });
    await expectFault({
      pod: podAt(`localhost:${String(server.port)}`, { ca: server }),
      expected: [
        'fail ca.tls: CA localhost:…(subject "O=server", issuer "O=shifted CA") expired at',
        "warn clock: this machine's clock may be ahead by 10 min",
      ],
    });
  });

  test("a certificate that expired long ago says nothing about the clock", async () => {
    await using server = await startTls({
      notBeforeMs: Date.now() - 900 * hourMs,
      notAfterMs: Date.now() - 90 * hourMs,
    });
    await expectFault({
      pod: podAt(`localhost:${String(server.port)}`, { ca: server }),
      expected: ["fail ca.tls: CA"],
    });
  });

  test("the clock is behind that of the server's issuer", async () => {
    await using server = await startTls({ notBeforeMs: Date.now() + 10.5 * minuteMs });
    await expectFault({
      pod: podAt(`localhost:${String(server.port)}`, { ca: server }),
      expected: ["warn ca.tls: CA", "fail clock: this machine's clock is behind by 10 min"],
    });
  });

  test("the clock is behind that of the token's issuer", async () => {
    const token = projectedToken({ issuedMs: Date.now() + 5.5 * minuteMs, expiresMs: Date.now() + hourMs });
    await expectFault({
      pod: podAt(`localhost:${String(ca.port)}`, { token }),
      expected: ["fail clock: this machine's clock is behind by 5 min"],
    });
  });

  test("the root has expired", async () => {
    await using server = await startTls({ rootNotAfterMs: Date.now() - hourMs });
    await expectFault({
      pod: podAt(`localhost:${String(server.port)}`, { ca: server }),
      expected: [
        'fail roots: no root in ./var/run/secrets/istio/root-cert.pem is valid: "O=shifted CA" (expired 1 h',
        "warn ca.tls: CA",
      ],
    });
  });

  test("the CA rejects the token", async () => {
    await using strict = await startFakeCa({ token: "another" });
    await expectFault({
      pod: { ca: strict, token: "opaque" },
      expected: ["fail ca.auth: the CA rejects this workload: UNAUTHENTICATED: request authenticate failure"],
      cures: ["which is not a JWT."],
    });
  });

  test("the CA does not respond to the call", async () => {
    await using hanging = await startFakeCa();
    hanging.set({ kind: "hang" });
    await expectFault({
      pod: { ca: hanging, token: projectedToken() },
      // either side may be the first to give up
      expected: [`fail ca.auth: CA localhost:${String(hanging.port)} does not sign: `],
    });
    hanging.recover();
  });

  test("the CA is no CA", async () => {
    await using other = await startFakeCa();
    other.set({ kind: "refuse", status: "UNIMPLEMENTED" });
    await expectFault({
      pod: { ca: other, token: projectedToken() },
      expected: [`fail ca.auth: CA localhost:${String(other.port)} does not sign: it has no certificate service`],
    });
  });

  test("of two CAs one works: the other is a warning", async () => {
    const [port = 0] = await freePorts(1);
    const env = {
      ATTACHE_IDENTITY: "step,istio",
      ATTACHE_STEP_URL: `https://localhost:${String(port)}`,
      ATTACHE_STEP_TOKEN_FILE: "./var/run/secrets/tokens/istio-token",
    };
    await expectFault({
      pod: podAt(`localhost:${String(ca.port)}`, { env }),
      expected: [`warn ca.connect: step-ca localhost:${String(port)} refuses connections`],
    });
  });
});

/** Vault with a token file. */
async function startVault(answer: (path: string) => FakeResponse) {
  const authority = testAuthority("vault", Date.now());
  const server = await startHttpsServer(authority, ({ path }) => answer(path));
  const pod = (): PodOptions =>
    podAt("", {
      env: {
        ATTACHE_IDENTITY: "vault",
        VAULT_ADDR: `https://localhost:${String(server.port)}`,
        VAULT_CACERT: "./vault.pem",
        ATTACHE_VAULT_SIGN_PATH: "pki/sign/mesh",
        ATTACHE_VAULT_AUTH: "token",
        ATTACHE_VAULT_TOKEN_FILE: "./var/run/secrets/tokens/istio-token",
      },
      token: "s.token",
      prepare: ({ directory }) => {
        writeFileSync(join(directory, "vault.pem"), authority.rootPem);
      },
    });
  return { pod, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

const healthy: FakeResponse = { status: 200, body: {} };

describe("Vault", () => {
  test("it accepts the token", async () => {
    await using vault = await startVault(() => healthy);
    await expectFault({ pod: vault.pod(), expected: [] });
  });

  test("it is sealed", async () => {
    await using vault = await startVault(() => ({ status: 503, body: { sealed: true } }));
    await expectFault({ pod: vault.pod(), expected: ["fail ca.auth: Vault localhost:"] });
  });

  test("it rejects the token", async () => {
    await using vault = await startVault((path) =>
      path.includes("lookup-self") ? { status: 403, body: { errors: ["permission denied"] } } : healthy,
    );
    await expectFault({
      pod: vault.pod(),
      expected: ["fail ca.auth: the CA rejects this workload: it rejects the token: status 403"],
    });
  });

  test.each([
    ["ahead of", -10.5, "fail"],
    ["behind", 10.5, "fail"],
    ["behind", 0.5, "warn"],
  ])("this machine's clock is %s Vault's", async (side, minutes, outcome) => {
    const date = (): string => new Date(Date.now() + minutes * minuteMs).toUTCString();
    await using vault = await startVault(() => ({ ...healthy, headers: { date: date() } }));
    const by = minutes === 0.5 ? "" : "10 min";
    await expectFault({ pod: vault.pod(), expected: [`${outcome} clock: this machine's clock is ${by}`] });
    expect(side).not.toBe("");
  });
});

const plaintext = { controlPlaneAuthPolicy: "NONE" };

function podOf(discoveryAddress: string, proxyConfig: Readonly<Record<string, unknown>> = plaintext): PodOptions {
  const env = { ATTACHE_XDS_FILES: "", CA_ADDR: `localhost:${String(ca.port)}` };
  return podAt(`localhost:${String(ca.port)}`, { env, proxyConfig: { discoveryAddress, ...proxyConfig } });
}

const adsPath = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";

function reject(call: ServerDuplexStream<Buffer, Buffer>): void {
  call.on("error", () => undefined);
  call.emit("error", { code: status.UNAUTHENTICATED, details: "authentication failure" });
}

describe("the way to the control plane", () => {
  test("it is reachable and accepts the stream", async () => {
    await using controlPlane = new FakeControlPlane();
    await controlPlane.listen();
    await expectFault({ pod: podOf(`127.0.0.1:${String(controlPlane.port)}`), expected: [] });
    expect(controlPlane.requests.map(({ bytes }) => bytes.length)).toEqual([0]);
  });

  test("nothing listens on the port", async () => {
    const [port = 0] = await freePorts(1);
    await expectFault({
      pod: podOf(`127.0.0.1:${String(port)}`),
      expected: [`fail control-plane.connect: control plane 127.0.0.1:${String(port)} refuses connections`],
    });
  });

  test("it rejects the stream", async () => {
    await using server = await startGrpcJsServer({ [adsPath]: reject }, "127.0.0.1:0");
    await expectFault({
      pod: podOf(`127.0.0.1:${String(server.port)}`),
      expected: [
        "fail control-plane.auth: the control plane rejects this workload: UNAUTHENTICATED: authentication failure",
      ],
    });
  });

  test("it serves something else", async () => {
    await using server = await startGrpcJsServer({ "/some.Other/Service": reject }, "127.0.0.1:0");
    await expectFault({
      pod: podOf(`127.0.0.1:${String(server.port)}`),
      expected: ["fail control-plane.auth: the control plane does not serve configuration: it has no ADS service"],
    });
  });

  test("what it has in common with the CA is reported once", async () => {
    const [port = 0] = await freePorts(1);
    const address = `localhost:${String(port)}`;
    const env = { ATTACHE_XDS_FILES: "", CA_ADDR: address };
    await expectFault({
      pod: podAt(address, { env, proxyConfig: { discoveryAddress: address } }),
      expected: [`fail ca.connect: CA and control plane ${address} refuses connections`],
    });
  });

  test("the HTTP proxy before it refuses connections", async () => {
    const [port = 0] = await freePorts(1);
    const { env, ...pod } = podOf("istiod.mesh.test:15012");
    await expectFault({
      pod: { ...pod, env: { ...env, HTTPS_PROXY: `http://127.0.0.1:${String(port)}` } },
      expected: [`fail control-plane.connect: HTTP proxy 127.0.0.1:${String(port)} refuses connections`],
    });
  });

  test("its folder of files is missing", async () => {
    await expectFault({
      pod: podAt(`localhost:${String(ca.port)}`, { env: { ATTACHE_XDS_FILES: "/no/such/folder" } }),
      expected: ["fail config: ATTACHE_XDS_FILES: there is no /no/such/folder/lds.yaml"],
    });
  });
});

describe("the DNS proxy", () => {
  const dead = ({ directory }: { readonly directory: string }): void => {
    writeFileSync(join(directory, "forward.conf"), "nameserver 127.0.0.153\n");
  };

  test("the resolvers that it forwards to do not respond", async () => {
    const env = { ...(await dnsEnvironment()), ATTACHE_RESOLV_CONF: "./forward.conf" };
    await expectFault({
      pod: podAt(`localhost:${String(ca.port)}`, { env, prepare: dead }),
      expected: ["fail dns.forward: no resolver of ./forward.conf responds: 127.0.0.153: nothing listens there"],
    });
  });

  test("its file of resolvers is missing", async () => {
    const env = { ...(await dnsEnvironment()), ATTACHE_RESOLV_CONF: "./forward.conf" };
    await expectFault({
      pod: podAt(`localhost:${String(ca.port)}`, { env }),
      expected: ["fail dns.forward: ./forward.conf cannot be read: ENOENT"],
    });
  });

  test("that of the running agent responds", async () => {
    const pod = podAt(`localhost:${String(ca.port)}`, { env: await dnsEnvironment() });
    await using running = await startPod(pod);
    await running.untilReady();
    const { findings } = await runDoctorIn(running);
    const found = findings.filter(({ check }) => check === "dns.proxy");
    expect(found).toMatchObject([
      { outcome: "ok", fact: expect.stringMatching(/^the agent's DNS proxy at 127/) as string },
    ]);
  });
});

/** Mounts over a file, for root. */
const mayReplaceResolver =
  process.getuid?.() === 0 &&
  spawnSync("unshare", ["-m", "mount", "--bind", "/dev/null", "/etc/resolv.conf"]).status === 0;

/** Another resolv.conf for the command. */
function withResolver(text: string): Pick<PodOptions, "prepare"> & { readonly launcher: readonly string[] } {
  return {
    prepare: ({ directory }) => {
      writeFileSync(join(directory, "resolv.conf"), text);
    },
    launcher: ["unshare", "-m", "sh", "-ec", 'mount --bind resolv.conf /etc/resolv.conf; exec "$@"', "sh"],
  };
}

describe.runIf(mayReplaceResolver)("names", () => {
  const pod = (prepare: PodOptions["prepare"]): PodOptions =>
    podAt("ca.mesh.test:15012", prepare === undefined ? {} : { prepare });

  test("the host of the CA is unknown", async () => {
    await using _resolver = await startFakeResolver(answering(), "127.0.0.154", 53);
    const { prepare, launcher } = withResolver("nameserver 127.0.0.154\n");
    await expectFault({
      pod: pod(prepare),
      run: { launcher },
      expected: ["fail ca.resolve: CA: the host ca.mesh.test is unknown"],
    });
  });

  test("no resolver responds", async () => {
    const { prepare, launcher } = withResolver("nameserver 127.0.0.155\nnameserver 127.0.0.156\n");
    await expectFault({
      pod: pod(prepare),
      run: { launcher },
      expected: [
        "warn ca.resolve: CA: the host ca.mesh.test cannot be resolved",
        "fail dns: no resolver of /etc/resolv.conf responds: 127.0.0.155: nothing listens there; 127.0.0.156",
      ],
    });
  });

  test("the resolver does not respond: the command ends in time, with what it waited for", async () => {
    await using _resolver = await startFakeResolver(silent, "127.0.0.159", 53);
    const { prepare, launcher } = withResolver("nameserver 127.0.0.159\noptions timeout:30 attempts:5\n");
    const startMs = performance.now();
    await expectFault({
      pod: pod(prepare),
      run: { launcher },
      expected: [
        "warn ca.resolve: CA: the host ca.mesh.test cannot be resolved: no response within 1200 ms",
        "fail dns: no resolver of /etc/resolv.conf responds: 127.0.0.159: no response within 1000 ms",
      ],
    });
    expect(performance.now() - startMs).toBeLessThan(5_000);
  });

  test("one of two resolvers does not respond", async () => {
    await using _resolver = await startFakeResolver(answering({ "ca.mesh.test.": ["127.0.0.1"] }), "127.0.0.157", 53);
    const { prepare, launcher } = withResolver("nameserver 127.0.0.157\nnameserver 127.0.0.158\n");
    const found = podAt(`ca.mesh.test:${String(ca.port)}`, {
      env: { ATTACHE_CA_SERVER_NAME: "localhost" },
      ...(prepare === undefined ? {} : { prepare }),
    });
    const expected = ["warn dns: a resolver of /etc/resolv.conf does not respond: 127.0.0.158: nothing listens there"];
    await expectFault({ pod: found, run: { launcher }, expected });
  });
});
