// SPDX-License-Identifier: Apache-2.0
import { X509Certificate } from "node:crypto";
import { ProxyConfig } from "../../gen/istio/mesh/v1alpha1/proxy.ts";
import { AgentError } from "../../lib/errors.ts";
import { splitPem } from "../../lib/pki/pem.ts";
import { typeUrls } from "../protocol/type-url.ts";
import type { AgentResourceType } from "./agent-resource-type.ts";

export class TrustAnchorsError extends AgentError {
  readonly code = "AGENT_XDS_TRUST_ANCHORS";
  constructor(problem: string, cause?: unknown) {
    super(`read trust anchors from the control plane: ${problem}; keeping the previous ones`, { cause });
  }
}

/**
 * The trust anchors that the control plane distributes in a ProxyConfig (PCDS), beside the CA's roots. They do not
 * affect the workload's own certificate.
 * @param publish takes each new set: PEM blocks, one certificate each; not called when the set is unchanged
 */
export function createTrustAnchors(publish: (certificatesPem: readonly string[]) => void): AgentResourceType {
  let current = "";
  return {
    typeUrl: typeUrls.proxyConfig,
    apply(resources) {
      const pems = [...resources.values()].flatMap(parseAnchors);
      const text = pems.join("");
      if (text !== current) {
        // Checking a certificate is slow, and a control plane that restarts sends the same set again.
        for (const pem of pems) checkCertificate(pem);
        publish(pems);
      }
      current = text;
      return Promise.resolve();
    },
  };
}

/** @throws TrustAnchorsError when an entry is not a list of PEM certificates */
function parseAnchors(proxyConfig: Uint8Array): readonly string[] {
  const pems: string[] = [];
  for (const entry of decodeProxyConfig(proxyConfig).caCertificatesPem) {
    const { blocks, problem } = splitPem(entry);
    if (problem !== undefined || blocks.length === 0)
      throw new TrustAnchorsError(problem ?? "an entry has no PEM block");
    for (const { label, pem } of blocks) {
      if (label !== "CERTIFICATE") throw new TrustAnchorsError(`an entry has a block ${label}`);
      pems.push(pem);
    }
  }
  return [...new Set(pems)];
}

function decodeProxyConfig(bytes: Uint8Array): ProxyConfig {
  try {
    return ProxyConfig.decode(bytes);
  } catch (error) {
    throw new TrustAnchorsError("malformed ProxyConfig", error);
  }
}

function checkCertificate(pem: string): void {
  try {
    if (new X509Certificate(pem).ca) return;
  } catch (error) {
    throw new TrustAnchorsError("an entry is not an X.509 certificate", error);
  }
  throw new TrustAnchorsError("an entry is not a CA certificate");
}
