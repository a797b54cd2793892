// SPDX-License-Identifier: Apache-2.0
import type { FlagValues } from "../../lib/flags.ts";
import type { JsonObject } from "../../lib/json.ts";
import type { NodeIdentity, ProxyRole } from "../../model/node.ts";
import type { Findings } from "../config-error.ts";
import type { ConfigInput } from "./config-input.ts";
import type { Environment } from "./environment.ts";
import type { ProxyConfig } from "../proxy-config/proxy-config.ts";
import type { proxyFlags } from "./flags.ts";

/** The inputs of the configuration sections. */
export interface Sources {
  readonly input: ConfigInput;
  readonly env: Environment;
  readonly flags: FlagValues<typeof proxyFlags>;
  readonly role: ProxyRole;
  readonly proxy: ProxyConfig;
  /** The mesh file; empty without one. */
  readonly mesh: JsonObject;
  /** Where a field of ProxyConfig was given, for problems and warnings. */
  readonly fieldSource: (field: keyof ProxyConfig) => string;
  readonly annotations: ReadonlyMap<string, string>;
  readonly node: NodeIdentity;
  readonly findings: Findings;
}

/** Fixed paths in Istio's pods and virtual machines, relative to the working directory. */
export const places = {
  labels: "./etc/istio/pod/labels",
  annotations: "./etc/istio/pod/annotations",
  workloadSockets: "./var/run/secrets/workload-spiffe-uds",
  credentialSocket: "./var/run/secrets/credential-uds/socket",
  filesSocket: "./var/run/secrets/credential-uds/files-socket",
  token: "./var/run/secrets/tokens/istio-token",
  root: "./var/run/secrets/istio/root-cert.pem",
  crl: "/var/run/secrets/istio/crl/ca-crl.pem",
  workloadCredentials: "./var/run/secrets/workload-spiffe-credentials",
  certificates: "./etc/certs",
  certificatesRoot: "./etc/certs/root-cert.pem",
  serviceAccountToken: "/var/run/secrets/kubernetes.io/serviceaccount/token",
  serviceAccountRoot: "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt",
  template: "./var/lib/istio/envoy/envoy_bootstrap_tmpl.json",
} as const;

/** Annotations of the pod that commands beside the agent read too. */
export const configAnnotation = "proxy.istio.io/config";
export const statusPortAnnotation = "status.sidecar.istio.io/port";

export const { labels: labelsPath, annotations: annotationsPath, token: tokenPath, root: rootPath } = places;
