// SPDX-License-Identifier: Apache-2.0
import type { CertConfig } from "../../cert/types.ts";
import { isJsonObject, objectsOf, textOf, textsOf } from "../../lib/json.ts";
import { camelCase, readMessage } from "../proxy-config/reader.ts";
import type { MessageFields } from "../proxy-config/schema.ts";
import type { Sources } from "../sources/sources.ts";

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
export function meshTrust(sources: Sources): Pick<CertConfig, "anchors" | "trustDomainAliases"> {
  const { env, proxy, mesh, flags, findings } = sources;
  const source = `mesh config file ${flags.meshConfig}`;
  const given = Object.entries(mesh).filter(([name]) => Object.hasOwn(meshTrustFields, camelCase(name)));
  const fields = readMessage(Object.fromEntries(given), meshTrustFields, { source, path: "" }, findings);
  const anchors = objectsOf(fields["caCertificates"]).flatMap(({ pem, spiffeBundleUrl, trustDomains }, index) => {
    if (textOf(spiffeBundleUrl) !== "") {
      findings.warn(
        `${source}, field caCertificates[${String(index)}].spiffeBundleUrl`,
        "is not fetched by the agent; the control plane distributes its roots (PROXY_CONFIG_XDS_AGENT)",
      );
    }
    return textOf(pem) === "" ? [] : [{ pem: textOf(pem), trustDomains: textsOf(trustDomains).map(withoutScheme) }];
  });
  const untagged = (proxy.caCertificatesPem ?? []).map((pem) => ({ pem, trustDomains: [] }));
  const aliases = env.string("ATTACHE_TRUST_DOMAIN_ALIASES").split(",");
  const trustDomainAliases = [...textsOf(fields["trustDomainAliases"]), ...aliases].map(withoutScheme);
  return {
    anchors: [...untagged, ...anchors],
    trustDomainAliases: [...new Set(trustDomainAliases.filter((name) => name !== ""))],
  };
}

/** The mesh file where it has trust anchors or may get some: it exists. */
export function watchedMeshFile({ mesh, flags }: Sources): string | undefined {
  return isJsonObject(mesh) && Object.keys(mesh).length > 0 ? flags.meshConfig : undefined;
}

function withoutScheme(name: string): string {
  return name.trim().replace(/^spiffe:\/\//, "");
}
