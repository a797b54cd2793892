// SPDX-License-Identifier: Apache-2.0
import type { Locality } from "../../model/node.ts";
import type { ProxyConfig } from "../proxy-config/proxy-config.ts";

export type Labels = Readonly<Record<string, string>>;

/** The label that holds the locality, if any: the newer one wins even when it is empty. */
export function localityLabel(labels: Labels): string {
  return labels["topology.istio.io/locality"] ?? labels["istio-locality"] ?? "";
}

/** A locality with slashes: in a text without any, dots stand for them. */
export function sanitizedLocality(text: string): string {
  return text.includes("/") ? text : text.replaceAll(".", "/");
}

/** `region/zone/subzone`; what follows is dropped. */
export function parseLocality(text: string): Locality {
  const [region = "", zone = "", subZone = ""] = sanitizedLocality(text).split("/");
  return { region, zone, subZone };
}

export interface ClusterNameInput {
  readonly config: Pick<ProxyConfig, "serviceCluster" | "tracingServiceName">;
  readonly labels: Labels;
  readonly workloadName: string;
  readonly namespace: string;
}

/**
 * Envoy's `node.cluster`, which tracers show as the service's name; never empty, since Envoy refuses that.
 * Source: Istio's agent, observed for every combination of labels
 */
export function clusterName({ config, labels, workloadName, namespace }: ClusterNameInput): string {
  const { serviceCluster = "", tracingServiceName } = config;
  const proxy = "istio-proxy";
  const canonicalLabel = labels["service.istio.io/canonical-name"];
  const nameLabel = labels["app.kubernetes.io/name"];
  const app = labels["app"] ?? nameLabel ?? canonicalLabel;
  const workload = workloadName === "" ? proxy : workloadName;
  const fallback = namespace === "" ? (app ?? workload) || proxy : `${app ?? workload}.${namespace}`;
  if (tracingServiceName === undefined || tracingServiceName === "APP_LABEL_AND_NAMESPACE") {
    return serviceCluster === "" || serviceCluster === proxy ? fallback : serviceCluster;
  }
  const canonical = canonicalLabel ?? nameLabel ?? labels["app"] ?? workload;
  if (canonical === proxy) return fallback;
  const isAlone = tracingServiceName === "CANONICAL_NAME_ONLY" || namespace === "";
  return isAlone ? canonical || fallback : `${canonical}.${namespace}`;
}
