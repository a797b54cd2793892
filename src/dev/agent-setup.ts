// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import { writeFileAtomicSync } from "../lib/fs/atomic-file.ts";
import { namespace, trustDomain, type WorkloadName, type WorkloadPorts } from "./mesh.ts";

/** Directory and environment of one agent. */
export interface AgentSetup {
  readonly workload: WorkloadName;
  /** Its working directory, to which all its paths are relative. */
  readonly directory: string;
  readonly env: Readonly<Record<string, string>>;
}

/** The source of the resources of one Envoy. */
export type ResourceSource =
  /** Files that Envoy reads itself. */
  | { readonly kind: "files"; readonly directory: string }
  /** A control plane on loopback, in plaintext, for its agent. */
  | { readonly kind: "ads"; readonly port: number };

export interface AgentSetupOptions {
  readonly workload: WorkloadName;
  readonly resources: ResourceSource;
  readonly ports: WorkloadPorts;
  readonly caPort: number;
  readonly envoyPath: string;
  /** Of this process. Only what every program needs, such as `PATH`, is passed on. */
  readonly env: Readonly<Record<string, string>>;
}

/** The CA issues shorter ones while the proof runs. */
const requestedLifetime = "1h";

/** Certificates are renewed early in their lifetime, so that the proof is fast and none is close to expiry. */
const remainingLifetimeAtRenewal = 0.95;

/** The environment of one agent, as an injector would set it in a pod. */
export function renderAgentEnv(options: AgentSetupOptions): Readonly<Record<string, string>> {
  const { workload, ports, caPort, envoyPath, resources, env } = options;
  const proxyConfig = {
    binaryPath: envoyPath,
    concurrency: 1,
    ...discoveryOf(resources, caPort),
    proxyAdminPort: ports.admin,
    statusPort: ports.status,
    terminationDrainDuration: "1s",
  };
  return {
    ...passedOnEnv(env),
    ...resourceVariables(resources),
    CA_ADDR: `localhost:${String(caPort)}`,
    CLOUD_PLATFORM: "none",
    ECC_SIGNATURE_ALGORITHM: "ECDSA",
    ENVOY_PROMETHEUS_PORT: String(ports.metrics),
    ENVOY_STATUS_PORT: String(ports.readiness),
    EXIT_ON_ZERO_ACTIVE_CONNECTIONS: "true",
    INSTANCE_IP: "127.0.0.1",
    MINIMUM_DRAIN_DURATION: "0s",
    POD_NAME: `${workload}-1`,
    POD_NAMESPACE: namespace,
    PROXY_CONFIG: JSON.stringify(proxyConfig),
    SECRET_GRACE_PERIOD_RATIO: String(remainingLifetimeAtRenewal),
    SECRET_GRACE_PERIOD_RATIO_JITTER: "0",
    SECRET_TTL: requestedLifetime,
    SERVICE_ACCOUNT: workload,
    TRUST_DOMAIN: trustDomain,
  };
}

/** With files the address is not used. */
function discoveryOf(resources: ResourceSource, caPort: number): Readonly<Record<string, string>> {
  if (resources.kind === "files") return { discoveryAddress: `localhost:${String(caPort)}` };
  return { discoveryAddress: `127.0.0.1:${String(resources.port)}`, controlPlaneAuthPolicy: "NONE" };
}

function resourceVariables(resources: ResourceSource): Readonly<Record<string, string>> {
  return resources.kind === "files" ? { ATTACHE_XDS_FILES: resources.directory } : { ATTACHE_XDS_CACHE: xdsCacheName };
}

/** The directory in an agent's directory where it keeps the responses that Envoy accepted. */
export const xdsCacheName = "xds-cache";

/** Writes the files that are mounted in a pod: the token and the root of the CA. */
export function writeAgentFiles(
  directory: string,
  mounted: { readonly token: string; readonly rootsPem: string },
): void {
  writeFileAtomicSync(join(directory, "var/run/secrets/tokens/istio-token"), mounted.token, 0o600);
  writeFileAtomicSync(join(directory, "var/run/secrets/istio/root-cert.pem"), mounted.rootsPem, 0o600);
}

/** Of the environment of this process, what every program needs. */
export function passedOnEnv(env: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const kept = ["HOME", "LANG", "PATH", "TMPDIR", "TZ"];
  return Object.fromEntries(Object.entries(env).filter(([name]) => kept.includes(name)));
}
