// SPDX-License-Identifier: Apache-2.0
import type { CertConfig, TrustAnchor } from "../../cert/types.ts";
import { isJsonObject, objectsOf, textOf, textsOf } from "../../lib/json.ts";
import { camelCase, readMessage } from "../proxy-config/reader.ts";
import type { MessageFields } from "../proxy-config/schema.ts";
import type { Sources } from "../sources/sources.ts";
import { compliancePolicy } from "./trust-section.ts";

/** Source: Istio's API, MeshConfig */
const meshTrustFields = {
  caCertificates: {
    list: {
      message: {
        pem: "string",
        spiffeBundleUrl: "string",
        certSigners: { list: "string" },
        trustDomains: { list: "string" },
      },
    },
  },
  trustDomainAliases: { list: "string" },
} as const satisfies MessageFields;

/**
 * Trust anchors and further names of the own trust domain: `caCertificatesPem` of ProxyConfig, `caCertificates` and
 * `trustDomainAliases` of the mesh file, `ATTACHE_TRUST_DOMAIN_ALIASES`.
 */
export function meshTrust(sources: Sources): Pick<CertConfig, "anchors" | "bundlePolicy" | "trustDomainAliases"> {
  const { env, proxy, mesh, flags, findings } = sources;
  const source = `mesh config file ${flags.meshConfig}`;
  const given = Object.entries(mesh).filter(([name]) => Object.hasOwn(meshTrustFields, camelCase(name)));
  const fields = readMessage(Object.fromEntries(given), meshTrustFields, { source, path: "" }, findings);
  const anchors = objectsOf(fields["caCertificates"]).flatMap((given, index): readonly TrustAnchor[] => {
    const trustDomains = textsOf(given["trustDomains"]).map(withoutScheme);
    const [pem, bundleUrl] = [textOf(given["pem"]), textOf(given["spiffeBundleUrl"])];
    const problem = bundleUrl === "" ? undefined : bundleUrlProblem(bundleUrl);
    if (problem !== undefined) {
      findings.warn(`${source}, field caCertificates[${String(index)}].spiffeBundleUrl`, `${problem}; it is ignored`);
    }
    if (pem !== "") return [{ pem, trustDomains }];
    return bundleUrl === "" || problem !== undefined ? [] : [{ bundleUrl, trustDomains }];
  });
  const untagged = (proxy.caCertificatesPem ?? []).map((pem) => ({ pem, trustDomains: [] }));
  const aliases = env.string("ATTACHE_TRUST_DOMAIN_ALIASES").split(",");
  const trustDomainAliases = [...textsOf(fields["trustDomainAliases"]), ...aliases].map(withoutScheme);
  return {
    anchors: [...untagged, ...anchors],
    bundlePolicy: compliancePolicy(sources),
    trustDomainAliases: [...new Set(trustDomainAliases.filter((name) => name !== ""))],
  };
}

/** A bundle's endpoint is verified by its server certificate alone, so anything but HTTPS would let others decide. */
function bundleUrlProblem(text: string): string | undefined {
  const url = URL.parse(text);
  if (url === null) return "is not a URL";
  if (url.protocol !== "https:") return "must begin with https://";
  return url.username === "" && url.password === "" ? undefined : "must have no user name or password";
}

/** The mesh file where it has trust anchors or may get some: it exists. */
export function watchedMeshFile({ mesh, flags }: Sources): string | undefined {
  return isJsonObject(mesh) && Object.keys(mesh).length > 0 ? flags.meshConfig : undefined;
}

function withoutScheme(name: string): string {
  return name.trim().replace(/^spiffe:\/\//, "");
}
