// SPDX-License-Identifier: Apache-2.0
import { rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { ServerCredentials, type ServerDuplexStream, status } from "@grpc/grpc-js";
import { typeUrls } from "../../../src/xds/protocol/type-url.ts";
import { type FakeCa, type FakeCaMode, type FakeCaOptions, startFakeCa } from "../../fakes/fake-ca.ts";
import { startFakeControlPlane } from "../../fakes/fake-control-plane.ts";
import { encodeEnvoy } from "../../support/envoy-api.ts";
import { startGrpcJsServer } from "../../support/grpc-js-peer.ts";
import { listening } from "../../support/listening.ts";
import type { PodOptions, PodPorts } from "../../support/pod.ts";
import { testAuthority } from "../../support/test-authority.ts";

/** One thing that an operator can get wrong. */
export interface Fault {
  readonly title: string;
  /** What one line must say: the thing, and what to do about it. */
  readonly says: readonly RegExp[];
  /** The code of the readiness check that says it; undefined where the agent exits. */
  readonly code: string | undefined;
  plant(stack: AsyncDisposableStack): Promise<PodOptions>;
}

type Prepare = NonNullable<PodOptions["prepare"]>;

const hourS = 3_600;
const tokenPath = /\/var\/run\/secrets\/tokens\/istio-token/;
const goodClaims = { aud: ["istio-ca"], sub: "system:serviceaccount:demo:web", iss: "https://kubernetes.example" };

/** Not signed: the agent reads tokens and verifies none. */
function tokenOf(claims: object, ageS = 0): string {
  const iat = Math.floor(Date.now() / 1_000) - ageS;
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "RS256" })}.${part({ ...goodClaims, iat, exp: iat + hourS, ...claims })}.c2lnbmF0dXJl`;
}

async function caOf(stack: AsyncDisposableStack, options: FakeCaOptions = {}, mode?: FakeCaMode): Promise<FakeCa> {
  const ca = stack.use(await startFakeCa(options));
  if (mode !== undefined) ca.set(mode);
  return ca;
}

/** Accepts connections, and never sends anything. */
async function silentServer(stack: AsyncDisposableStack, port = 0, host = "127.0.0.1"): Promise<number> {
  return stack.use(await listening(createServer(), host, port)).port;
}

async function takes(
  stack: AsyncDisposableStack,
  which: keyof PodPorts,
  host: string,
): Promise<{ readonly ca: FakeCa; readonly prepare: Prepare }> {
  return {
    ca: await caOf(stack),
    prepare: async ({ ports }) => {
      await silentServer(stack, ports[which], host);
    },
  };
}

const writes =
  (name: string, text: (ports: PodPorts) => string): Prepare =>
  ({ directory, ports }) =>
    writeFile(join(directory, "resources", name), text(ports));

/** Of a kind that Envoy has, but not for a filter: it looks for the name then, as for one of Istio's. */
const strangeType = "envoy.config.route.v3.VirtualHost";

function listenerWith(filter: string, port: number, typedConfig: object): object {
  return {
    name: "virtualInbound",
    address: { socket_address: { address: "127.0.0.1", port_value: port } },
    filter_chains: [{ filters: [{ name: filter, typed_config: typedConfig }] }],
  };
}

const istioFilter = (ports: PodPorts): string => {
  const type = "type.googleapis.com/udpa.type.v1.TypedStruct";
  const config = { "@type": type, type_url: "type.googleapis.com/envoy.tcp.metadataexchange.config.MetadataExchange" };
  const listener = listenerWith("istio.metadata_exchange", ports.inbound, config);
  return JSON.stringify({ resources: [{ "@type": typeUrls.listener, ...listener }] });
};

/** The control plane in plaintext on loopback, to which a token may be sent. */
const overAds = (port: number): Pick<PodOptions, "env" | "proxyConfig"> => ({
  env: { ATTACHE_XDS_FILES: "" },
  proxyConfig: { discoveryAddress: `127.0.0.1:${String(port)}`, controlPlaneAuthPolicy: "NONE" },
});

async function rejectingControlPlane(stack: AsyncDisposableStack): Promise<number> {
  const reject = (call: ServerDuplexStream<Buffer, Buffer>): void => {
    call.emit("error", { code: status.UNAUTHENTICATED, details: "authentication failure" });
  };
  const service = "/envoy.service.discovery.v3.AggregatedDiscoveryService/";
  const methods = { [`${service}StreamAggregatedResources`]: reject, [`${service}DeltaAggregatedResources`]: reject };
  const address = "127.0.0.1:0";
  return stack.use(await startGrpcJsServer(methods, address, ServerCredentials.createInsecure())).port;
}

export const faultsOfTheCa: readonly Fault[] = [
  {
    title: "no token",
    code: "certificate",
    says: [tokenPath, /does not exist; mount the service account's token there/],
    plant: async (stack) => ({ ca: await caOf(stack), token: "" }),
  },
  {
    title: "an expired token",
    code: "certificate",
    says: [tokenPath, /expired 2 h ago .*; mount one that is renewed, or set this machine's clock/],
    plant: async (stack) => ({ ca: await caOf(stack), token: tokenOf({}, 3 * hourS) }),
  },
  {
    title: "a token for another audience",
    code: "certificate",
    says: [tokenPath, /UNAUTHENTICATED.* for the audience "vault", istiod expects "istio-ca": mount a token for/],
    plant: async (stack) => ({ ca: await caOf(stack, { token: "another" }), token: tokenOf({ aud: ["vault"] }) }),
  },
  {
    title: "a token of another account",
    code: "certificate",
    says: [tokenPath, /is of "demo\/other", not of spiffe:.*\/sa\/web: set POD_NAMESPACE and SERVICE_ACCOUNT/],
    plant: async (stack) => ({
      ca: await caOf(stack, { token: "another" }),
      token: tokenOf({ sub: "system:serviceaccount:demo:other" }),
    }),
  },
  {
    title: "a CA that denies the permission",
    code: "certificate",
    says: [/from localhost:\d+: .*PERMISSION_DENIED/, /allow spiffe:\/\/cluster.local\/ns\/demo\/sa\/web there/],
    plant: async (stack) => ({
      ca: await caOf(stack, {}, { kind: "refuse", status: "PERMISSION_DENIED" }),
      token: tokenOf({}),
    }),
  },
  {
    title: "a CA whose name does not resolve",
    code: "certificate",
    says: [/istiod\.nowhere\.invalid:15012: the name does not resolve/, /correct the address \(CA_ADDR, else/],
    plant: async (stack) => ({ ca: await caOf(stack), env: { CA_ADDR: "istiod.nowhere.invalid:15012" } }),
  },
  {
    title: "a CA that does not listen",
    code: "certificate",
    says: [/localhost:1: nothing listens there/, /correct the address \(CA_ADDR, else .*or start the CA there/],
    plant: async (stack) => ({ ca: await caOf(stack), env: { CA_ADDR: "localhost:1" } }),
  },
  {
    title: "a CA that accepts connections and says nothing",
    code: "certificate",
    says: [/the CA at localhost:\d+ accepts connections, but sends nothing; check its port/],
    plant: async (stack) => {
      const { serverRootPem } = await caOf(stack);
      return { ca: { port: await silentServer(stack), serverRootPem } };
    },
  },
  {
    title: "a CA that does not respond to the request",
    code: "certificate",
    says: [/the CA at localhost:\d+ is connected, but does not respond; check whether it is overloaded/],
    plant: async (stack) => ({ ca: await caOf(stack, {}, { kind: "hang" }) }),
  },
  {
    title: "a root that is another CA's",
    code: "certificate",
    says: [/leads to no root in \.\/var\/run\/secrets\/istio\/root-cert\.pem, .*put the root of that issuer there/],
    plant: async (stack) => {
      const { port } = await caOf(stack);
      return { ca: { port, serverRootPem: testAuthority("another CA", Date.now()).rootPem } };
    },
  },
  {
    title: "a clock that is behind",
    code: "certificate",
    says: [/this machine's clock \(\S+Z\) is about (?:3 h|2 h 59 min) behind the CA's; set the clock/],
    plant: async (stack) => ({ ca: await caOf(stack, {}, { kind: "not-yet-valid", byMs: 3 * hourS * 1_000 }) }),
  },
  {
    title: "a clock that is ahead",
    code: "certificate",
    says: [/this machine's clock \(\S+Z\) is about 2 h(?: \d+ min)? ahead of the CA's; set the clock/],
    plant: async (stack) => ({ ca: await caOf(stack, { lifetimeMs: hourS * 1_000 }, { kind: "expired" }) }),
  },
];

export const faultsOfTheConfiguration: readonly Fault[] = [
  {
    title: "a control plane whose name does not resolve",
    code: "control-plane",
    says: [
      /the control plane at istiod\.nowhere\.invalid:15012: the name does not resolve/,
      /correct discoveryAddress/,
    ],
    plant: async (stack) => ({
      ca: await caOf(stack),
      env: { ATTACHE_XDS_FILES: "" },
      proxyConfig: { discoveryAddress: "istiod.nowhere.invalid:15012" },
    }),
  },
  {
    title: "a control plane that accepts connections and says nothing",
    code: "control-plane",
    says: [/the control plane at 127\.0\.0\.1:\d+ accepts connections, but sends nothing; check its port/],
    plant: async (stack) => ({ ca: await caOf(stack), ...overAds(await silentServer(stack)) }),
  },
  {
    title: "a control plane that rejects the pod for lack of a token",
    code: "control-plane",
    says: [/UNAUTHENTICATED/, tokenPath, /no token was sent: .*; mount the service account's token there/],
    plant: async (stack) => ({
      ca: await caOf(stack),
      token: "",
      ...overAds(await rejectingControlPlane(stack)),
    }),
  },
  {
    title: "a filter from the control plane that Envoy lacks",
    code: "configuration-refused",
    says: [
      /virtualInbound/,
      /this Envoy lacks istio\.stats: use Istio's Envoy .*, or set at istiod: no metrics provider/,
    ],
    plant: async (stack) => {
      const controlPlane = stack.use(await startFakeControlPlane());
      const config = { "@type": `type.googleapis.com/${strangeType}`, name: "x", domains: ["*"] };
      const value = encodeEnvoy("envoy.config.listener.v3.Listener", listenerWith("istio.stats", 1, config));
      controlPlane.set(typeUrls.cluster, []);
      controlPlane.set(typeUrls.listener, [{ name: "virtualInbound", version: "1", value }]);
      return { ca: await caOf(stack), ...overAds(controlPlane.port) };
    },
  },
  {
    title: "a filter in a file that Envoy lacks",
    code: "configuration-refused",
    says: [/lds\.yaml/, /lacks istio\.metadata_exchange: use Istio's .* or remove it from the file/],
    plant: async (stack) => ({ ca: await caOf(stack), prepare: writes("lds.yaml", istioFilter) }),
  },
  {
    title: "a file that is not YAML",
    code: "configuration-refused",
    says: [/resources\/lds\.yaml/, /not YAML: .* at line 2, column \d+; correct it there/],
    plant: async (stack) => ({
      ca: await caOf(stack),
      prepare: writes("lds.yaml", () => "resources:\n- '@type': type\n   name: [x\n"),
    }),
  },
  {
    title: "a directory of files that is missing",
    code: undefined,
    says: [/ATTACHE_XDS_FILES: there is no .*\/resources\/lds\.yaml and no .*cds\.yaml; create it/],
    plant: async (stack) => ({
      ca: await caOf(stack),
      prepare: ({ directory }) => rm(join(directory, "resources"), { recursive: true }),
    }),
  },
  {
    title: "a root that is not mounted",
    code: undefined,
    says: [/CA_ROOT_CA: .* does not exist var\/run\/secrets\/istio\/root-cert\.pem; mount it there/],
    plant: async (stack) => ({ ca: { port: (await caOf(stack)).port, serverRootPem: undefined } }),
  },
  {
    title: "a PROXY_CONFIG that cannot be parsed",
    code: undefined,
    says: [/PROXY_CONFIG: is neither YAML nor JSON: .* at line 1, column 14; correct it there/],
    plant: async (stack) => ({ ca: await caOf(stack), env: { PROXY_CONFIG: "{statusPort: 15020\n  concurrency: [1" } }),
  },
];

const listensThere = /(?:listens|listen) (?:there|on): .*\(?.*process \d+\)/;

export const faultsOfTheMachine: readonly Fault[] = [
  {
    title: "no Envoy",
    code: undefined,
    says: [/run Envoy at \/nowhere\/envoy: there is no such file; install Envoy there, or set its path: .*binaryPath/],
    plant: async (stack) => ({ ca: await caOf(stack), proxyConfig: { binaryPath: "/nowhere/envoy" } }),
  },
  {
    title: "the admin port taken",
    code: undefined,
    says: [listensThere, /stop it, or set proxyAdminPort to a free port/],
    plant: (stack) => takes(stack, "admin", "127.0.0.1"),
  },
  {
    title: "the port of Envoy's readiness taken",
    code: undefined,
    says: [listensThere, /stop it, or set ENVOY_STATUS_PORT to a free port/],
    plant: (stack) => takes(stack, "readiness", "0.0.0.0"),
  },
  {
    title: "the port of Envoy's metrics taken",
    code: undefined,
    says: [listensThere, /stop it, or set ENVOY_PROMETHEUS_PORT to a free port/],
    plant: (stack) => takes(stack, "metrics", "0.0.0.0"),
  },
  {
    title: "the status port taken",
    code: undefined,
    says: [
      /listen on status port \d+: .*\(process \d+\) already listens there/,
      /or set statusPort in PROXY_CONFIG to a/,
    ],
    plant: (stack) => takes(stack, "status", "0.0.0.0"),
  },
];
