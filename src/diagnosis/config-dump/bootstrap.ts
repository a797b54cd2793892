// SPDX-License-Identifier: Apache-2.0
import { type JsonObject, objectOf, objectsOf, textOf } from "../../lib/json.ts";
import { formatHostPort } from "../../lib/net/host-port.ts";
import { readAddress } from "./addresses.ts";

/** A line of the summary of a bootstrap. */
export interface BootstrapFact {
  readonly label: string;
  readonly value: string;
}

/**
 * What people look for in a bootstrap; facts that it does not have are left out.
 * @param bootstrap an `envoy.config.bootstrap.v3.Bootstrap`
 */
export function bootstrapFacts(bootstrap: JsonObject): readonly BootstrapFact[] {
  const node = objectOf(bootstrap["node"]);
  const metadata = objectOf(node["metadata"]);
  const facts = {
    "Istio Version": textOf(metadata["ISTIO_VERSION"]),
    "Istio Proxy Version": imageDigest(textOf(metadata["ISTIO_PROXY_SHA"])),
    "Envoy Version": buildVersion(objectOf(node["userAgentBuildVersion"])),
    "Node ID": textOf(node["id"]),
    "Service Cluster": textOf(node["cluster"]),
    "Admin Address": renderAdmin(objectOf(bootstrap["admin"])),
    "Static Clusters": namesOf(bootstrap, "clusters"),
    "Static Listeners": namesOf(bootstrap, "listeners"),
  };
  return Object.entries(facts)
    .filter(([, value]) => value !== "")
    .map(([label, value]) => ({ label, value }));
}

/** What follows the colon of `istio-proxy:DIGEST`. */
function imageDigest(text: string): string {
  return text.split(":")[1] ?? text;
}

function buildVersion({ version, metadata }: JsonObject): string {
  const { majorNumber = 0, minorNumber = 0, patch = 0 } = objectOf(version);
  const labels = objectOf(metadata);
  const [label, status, type, ssl] = ["build.label", "revision.status", "build.type", "ssl.version"].map((name) => {
    return typeof labels[name] === "string" ? labels[name] : undefined;
  });
  const numbers = [majorNumber, minorNumber, patch].map((number) => JSON.stringify(number)).join(".");
  const head = label === undefined ? numbers : `${numbers}-${label}`;
  return [head, ...[status, type, ssl].filter((part) => part !== undefined)].join("/");
}

function renderAdmin({ address }: JsonObject): string {
  const { host, port, kind } = readAddress(address);
  return kind === "socket" ? formatHostPort({ host, port }) : host;
}

function namesOf(bootstrap: JsonObject, member: string): string {
  return objectsOf(objectOf(bootstrap["staticResources"])[member])
    .map(({ name }) => textOf(name))
    .filter((name) => name !== "")
    .join(", ");
}
