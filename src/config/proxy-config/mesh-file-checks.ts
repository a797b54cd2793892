// SPDX-License-Identifier: Apache-2.0
import type { JsonObject } from "../../model/node.ts";
import type { Findings } from "../config-error.ts";
import { isHostname } from "../host-port.ts";
import {
  localityFields,
  localityProblems,
  objectsOf,
  textsOf,
  zoneAwareFields,
  zoneAwareProblems,
} from "./locality-checks.ts";
import { isJsonObject, protoDurationMs } from "./proxy-config.ts";
import { durationProblem, portProblem } from "./checks.ts";
import { camelCase, isRecord, readMessage } from "./reader.ts";
import type { MessageFields } from "./schema.ts";

/** The mesh's settings that are checked though the agent does not use them: such a file is a file of another kind. */
const checkedFields = {
  connectTimeout: "duration",
  protocolDetectionTimeout: "duration",
  proxyListenPort: "int",
  trustDomain: "string",
  trustDomainAliases: { list: "string" },
  localityLbSetting: { message: localityFields },
  zoneAwareLbSetting: { message: zoneAwareFields },
  serviceSettings: { list: { message: { settings: "any", hosts: { list: "string" } } } },
  meshMTLS: { message: { minProtocolVersion: "any", cipherSuites: "any", ecdhCurves: "any" } },
} as const satisfies MessageFields;

const longestConnectTimeoutMs = 3_600_000;

/**
 * Source: the checks of Istio's agent on the mesh's settings; those on defaults of traffic policy and of retries, and
 * the types of settings that are not named here, are left out
 */
export function checkMeshFile(mesh: Readonly<Record<string, unknown>>, source: string, findings: Findings): void {
  const given = Object.entries(mesh).filter(([name]) => Object.hasOwn(checkedFields, camelCase(name)));
  const fields = readMessage(Object.fromEntries(given), checkedFields, { source, path: "" }, findings);
  const report = (field: string, problem: string | undefined): void => {
    if (problem !== undefined) findings.problem(`${source}, field ${field}`, problem);
  };
  const { connectTimeout, protocolDetectionTimeout, proxyListenPort, trustDomain, trustDomainAliases } = fields;
  if (typeof connectTimeout === "string") {
    const tooLong = protoDurationMs(connectTimeout) > longestConnectTimeoutMs ? "it must be 1h or less" : undefined;
    report("connectTimeout", prefixed("invalid connect timeout", durationProblem(connectTimeout) ?? tooLong));
  }
  if (typeof protocolDetectionTimeout === "string" && protocolDetectionTimeout !== "0s") {
    report(
      "protocolDetectionTimeout",
      prefixed("invalid protocol detection timeout", durationProblem(protocolDetectionTimeout)),
    );
  }
  if (typeof proxyListenPort === "number") report("proxyListenPort", portProblem("proxy listen port", proxyListenPort));
  if (typeof trustDomain === "string") report("trustDomain", trustDomainProblem("trustDomain", trustDomain));
  for (const [index, alias] of (Array.isArray(trustDomainAliases) ? trustDomainAliases : []).entries()) {
    const name = `trustDomainAliases[${String(index)}]`;
    if (typeof alias === "string") report(name, trustDomainProblem(name, alias));
  }
  for (const [field, problem] of otherProblems(fields)) report(field, problem);
  warnOfAutoAllocation(mesh, source, findings);
}

/** Of settings that are the control plane's alone. */
function* otherProblems(fields: JsonObject): Generator<readonly [field: string, problem: string]> {
  const { localityLbSetting, zoneAwareLbSetting, serviceSettings, meshMTLS } = fields;
  if (isJsonObject(localityLbSetting)) {
    for (const problem of localityProblems(localityLbSetting)) yield ["localityLbSetting", problem];
  }
  if (isJsonObject(zoneAwareLbSetting)) {
    for (const problem of zoneAwareProblems(zoneAwareLbSetting)) yield ["zoneAwareLbSetting", problem];
  }
  for (const [index, { hosts }] of objectsOf(serviceSettings).entries()) {
    for (const host of textsOf(hosts)) {
      if (host === "*" || isHostname(host.replace(/^\*\./, ""))) continue;
      yield [`serviceSettings[${String(index)}]`, `host ${JSON.stringify(host)} is no name, nor one after *.`];
    }
  }
  if (isJsonObject(meshMTLS) && meshMTLS["ecdhCurves"] !== undefined) {
    yield ["meshMTLS", "does not take ecdhCurves; they are set in tlsDefaults"];
  }
}

function prefixed(what: string, problem: string | undefined): string | undefined {
  return problem === undefined ? undefined : `${what}: ${problem}`;
}

/** Labels of letters, digits and inner hyphens, as in a host name; a dot may end it. */
function trustDomainProblem(field: string, text: string): string | undefined {
  const labels = (text.endsWith(".") ? text.slice(0, -1) : text).split(".");
  const valid = labels.every((label) => /^[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?$/.test(label));
  return valid ? undefined : `${field}: trust domain name ${JSON.stringify(text)} invalid`;
}

function warnOfAutoAllocation(mesh: Readonly<Record<string, unknown>>, source: string, findings: Findings): void {
  const config = mesh["defaultConfig"] ?? mesh["default_config"];
  const metadata = isRecord(config) ? (config["proxyMetadata"] ?? config["proxy_metadata"]) : undefined;
  if (!isRecord(metadata) || metadata["ISTIO_META_DNS_AUTO_ALLOCATE"] === undefined) return;
  findings.warn(
    `${source}, field defaultConfig.proxyMetadata.ISTIO_META_DNS_AUTO_ALLOCATE`,
    "is deprecated: the control plane allocates addresses by default",
  );
}
