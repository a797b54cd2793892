// SPDX-License-Identifier: Apache-2.0
import { X509Certificate } from "node:crypto";
import { ProxyConfig } from "../../gen/istio/mesh/v1alpha1/proxy.ts";
import type { Clock } from "../../lib/async/clock.ts";
import { type Steps, TimeSlice } from "../../lib/async/time-slice.ts";
import { type Budget, BudgetSpentError } from "../../lib/budget.ts";
import { ByteParts } from "../../lib/byte-parts.ts";
import { AgentError } from "../../lib/errors.ts";
import { splitPem } from "../../lib/pki/pem.ts";
import type { Budgets } from "../../model/limits.ts";
import { typeUrls } from "../protocol/type-url.ts";
import { countFields } from "../protocol/wire.ts";
import type { AgentResourceType } from "./agent-resource-type.ts";

export class TrustAnchorsError extends AgentError {
  readonly code = "AGENT_XDS_TRUST_ANCHORS";
  constructor(problem: string, cause?: unknown) {
    super(`read trust anchors from the control plane: ${problem}; keeping the previous ones`, { cause });
  }
}

export interface TrustAnchorsDeps {
  readonly clock: Clock;
  readonly budgets: Budgets;
  /** Takes each new set: PEM blocks, one certificate each; not called when the set is unchanged. */
  readonly publish: (certificatesPem: readonly string[], signal: AbortSignal) => Promise<void>;
}

/**
 * The trust anchors that the control plane distributes in a ProxyConfig (PCDS), beside the CA's roots. They do not
 * affect the workload's own certificate.
 */
export function createTrustAnchors({ clock, budgets, publish }: TrustAnchorsDeps): AgentResourceType {
  let current = "";
  let accepted: ReadonlyMap<string, readonly string[]> = new Map();
  const maxRoots = budgets.of("trust-roots").child();
  return {
    typeUrl: typeUrls.proxyConfig,
    responseBytes: budgets.of("pcds-response-bytes"),
    begin(signal) {
      const parts = new ByteParts();
      const entries = new Map<string, readonly string[]>();
      return Promise.resolve({
        push(bytes: Uint8Array) {
          parts.push(Uint8Array.from(bytes));
        },
        endResource(name: string) {
          entries.set(name, decodeProxyConfig(parts.take(), maxRoots).caCertificatesPem);
        },
        async commit(kept: ReadonlySet<string>) {
          const slice = new TimeSlice(clock, signal);
          const changed = new Map<string, readonly string[]>();
          for (const [name, texts] of entries) changed.set(name, await slice.run(parseAnchors(texts)));
          const all = new Map([...[...accepted].filter(([name]) => kept.has(name)), ...changed]);
          const pems = [...new Set([...all.values()].flat())];
          const text = pems.join("");
          // Checking a certificate is slow, and a control plane that restarts sends the same set again.
          if (text !== current) {
            if (!maxRoots.admits(pems.length)) throw maxRoots.spentError();
            await slice.run(checkCertificates(pems));
            await publish(pems, signal);
          }
          accepted = all;
          current = text;
        },
        [Symbol.dispose]: () => undefined,
      });
    },
  };
}

/** @throws TrustAnchorsError when an entry is not a list of PEM certificates */
function* parseAnchors(entries: readonly string[]): Steps<readonly string[]> {
  const pems: string[] = [];
  for (const entry of entries) {
    const { blocks, problem } = splitPem(entry);
    if (problem !== undefined || blocks.length === 0)
      throw new TrustAnchorsError(problem ?? "an entry has no PEM block");
    for (const { label, pem } of blocks) {
      if (label !== "CERTIFICATE") throw new TrustAnchorsError(`an entry has a block ${label}`);
      pems.push(pem);
    }
    yield;
  }
  return pems;
}

/** Beside the roots, of which an entry has one or more. */
const otherFields = 200;

function decodeProxyConfig(bytes: Uint8Array, maxRoots: Budget): ProxyConfig {
  try {
    const roots = countFields(bytes, maxRoots.size + otherFields) - otherFields;
    if (!maxRoots.admits(roots)) throw maxRoots.spentError();
    return ProxyConfig.decode(bytes);
  } catch (error) {
    if (error instanceof BudgetSpentError) throw error;
    throw new TrustAnchorsError("malformed ProxyConfig", error);
  }
}

function* checkCertificates(pems: readonly string[]): Steps<void> {
  for (const pem of pems) {
    checkCertificate(pem);
    yield;
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
