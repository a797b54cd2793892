// SPDX-License-Identifier: Apache-2.0
import { X509Certificate } from "node:crypto";
import { AgentError } from "../../lib/errors.ts";
import { splitPem } from "../../lib/pki/pem.ts";
import type { OwnType } from "./agent-resource-type.ts";
import { typeUrls } from "../protocol/type-url.ts";
import { textOf, wireFields, wireType } from "../protocol/wire.ts";

/** Source: github.com/istio/api, mesh/v1alpha1/proxy.proto, ProxyConfig.ca_certificates_pem */
const certificatesField = 34;

export class TrustAnchorsError extends AgentError {
  readonly code = "AGENT_XDS_TRUST_ANCHORS";
  constructor(problem: string, cause?: unknown) {
    super(`take over trust anchors from the control plane: ${problem}; those of before stay`, { cause });
  }
}

/**
 * The roots that the control plane distributes beside the CA's, in a ProxyConfig. They are trusted from now on; the
 * workload's certificate has nothing to do with them.
 * @param publish takes each new set: PEM blocks, one certificate each; not called for the set of before
 */
export function createTrustAnchors(publish: (certificatesPem: readonly string[]) => void): OwnType {
  let current = "";
  return {
    typeUrl: typeUrls.proxyConfig,
    apply(resources) {
      const pems = [...resources.values()].flatMap(parseAnchors);
      const text = pems.join("");
      if (text !== current) {
        // Each takes its time, and after each restart of the control plane the same ones come again.
        for (const pem of pems) checkCertificate(pem);
        publish(pems);
      }
      current = text;
      return Promise.resolve();
    },
  };
}

/** @throws TrustAnchorsError when something in it is no PEM block of a certificate */
function parseAnchors(proxyConfig: Uint8Array): readonly string[] {
  const pems: string[] = [];
  for (const field of wireFields(proxyConfig)) {
    if (field.number !== certificatesField || field.type !== wireType.bytes) continue;
    const { blocks, problem } = splitPem(textOf(proxyConfig, field));
    if (problem !== undefined || blocks.length === 0)
      throw new TrustAnchorsError(problem ?? "an entry has no PEM block");
    for (const { label, pem } of blocks) {
      if (label !== "CERTIFICATE") throw new TrustAnchorsError(`an entry has a block ${label}`);
      pems.push(pem);
    }
  }
  return [...new Set(pems)];
}

function checkCertificate(pem: string): void {
  try {
    if (new X509Certificate(pem).ca) return;
  } catch (error) {
    throw new TrustAnchorsError("an entry is no X.509 certificate", error);
  }
  throw new TrustAnchorsError("an entry is not a certificate of a CA");
}
