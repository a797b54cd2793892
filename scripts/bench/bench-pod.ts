// SPDX-License-Identifier: Apache-2.0
// The agent or its peer with a real Envoy, the same CA and the same control plane, both over TLS.
import { ServerCredentials } from "@grpc/grpc-js";
import { copyFileSync, mkdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { parse } from "yaml";
import { typeUrls } from "../../src/xds/protocol/type-url.ts";
import { type FakeCa, startFakeCa } from "../../test/fakes/fake-ca.ts";
import {
  type FakeControlPlane,
  type FakeResource,
  startFakeControlPlane,
} from "../../test/fakes/fake-control-plane.ts";
import { encodeEnvoy } from "../../test/support/envoy-api.ts";
import { type Pod, type PodOptions, startPod } from "../../test/support/pod.ts";
import { newKey, publicKeyOf, testAuthority } from "../../test/support/test-authority.ts";
import type { Peer } from "./peer.ts";

/** What a pod is sent to: as istiod, one root for both. */
export interface Backends extends AsyncDisposable {
  readonly ca: FakeCa;
  readonly controlPlane: FakeControlPlane;
  /** What is mounted as root certificate. */
  readonly rootsPem: string;
}

export async function startBackends(): Promise<Backends> {
  await using stack = new AsyncDisposableStack();
  const ca = stack.use(await startFakeCa());
  const authority = testAuthority("control plane", Date.now());
  const key = newKey();
  const facts = {
    publicKey: publicKeyOf(key),
    use: "server",
    dnsNames: ["localhost", "istiod.istio-system.svc"],
    ips: ["127.0.0.1"],
  } as const;
  const chain = authority.issue({ ...facts, uris: [] }, Date.now());
  const pair = {
    private_key: Buffer.from(key.export({ type: "pkcs8", format: "pem" })),
    cert_chain: Buffer.from(chain),
  };
  const controlPlane = stack.use(await startFakeControlPlane(ServerCredentials.createSsl(null, [pair])));
  const owned = stack.move();
  return {
    ca,
    controlPlane,
    rootsPem: `${ca.serverRootPem}${authority.rootPem}`,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

export interface BenchPodOptions {
  readonly backends: Backends;
  /** Undefined starts the built agent of this tree. */
  readonly peer: Peer | undefined;
  readonly key?: "rsa" | "ecdsa";
  readonly env?: Readonly<Record<string, string>>;
  readonly proxyConfig?: Readonly<Record<string, unknown>>;
  readonly launcher?: readonly string[];
  readonly prepare?: PodOptions["prepare"];
}

/**
 * Starts a pod with the environment of an injected sidecar. Its Envoy gets one mTLS listener over ADS, so that it asks
 * the agent for the certificate.
 */
export async function startBenchPod(options: BenchPodOptions): Promise<Pod> {
  const { backends, peer, key = "rsa", env = {}, proxyConfig = {}, launcher = [] } = options;
  return await startPod({
    ca: { port: backends.ca.port, serverRootPem: backends.rootsPem },
    ...programOf(peer),
    launcher,
    env: {
      ATTACHE_XDS_FILES: "",
      ECC_SIGNATURE_ALGORITHM: key === "rsa" ? "" : "ECDSA",
      ISTIO_META_CLUSTER_ID: "Kubernetes",
      ...env,
    },
    proxyConfig: { discoveryAddress: `localhost:${String(backends.controlPlane.port)}`, ...proxyConfig },
    prepare: async (pod) => {
      const { controlPlane } = backends;
      // what an earlier pod was pushed does not count here
      controlPlane.set(typeUrls.cluster, []);
      controlPlane.set(typeUrls.listener, [inboundListener(pod.ports.inbound)]);
      if (peer?.templatePath !== undefined) {
        const place = join(pod.directory, "var/lib/istio/envoy/envoy_bootstrap_tmpl.json");
        mkdirSync(dirname(place), { recursive: true });
        copyFileSync(peer.templatePath, place);
      }
      await options.prepare?.(pod);
    },
  });
}

/** `BENCH_AGENT` names another build of the agent than that of this tree. */
function programOf(peer: Peer | undefined): Pick<PodOptions, "program"> {
  const program = peer?.path ?? process.env["BENCH_AGENT"];
  return program === undefined ? {} : { program: resolve(program) };
}

/** The listener that pods with files get, as the control plane sends it. */
function inboundListener(port: number): FakeResource {
  const template = readFileSync(join(import.meta.dirname, "../../test/fixtures/pod/lds.yaml"), "utf8");
  const file = parse(template.replace("${INBOUND_PORT}", String(port))) as { readonly resources: readonly [object] };
  // well-known types have their full form here
  const text = JSON.stringify(file.resources[0])
    .replaceAll('"initial_fetch_timeout":"0s"', '"initial_fetch_timeout":{}')
    .replaceAll('"require_client_certificate":true', '"require_client_certificate":{"value":true}');
  const listener = JSON.parse(text) as { "@type"?: string };
  delete listener["@type"];
  return { name: "inbound", version: "1", value: encodeEnvoy("envoy.config.listener.v3.Listener", listener) };
}
