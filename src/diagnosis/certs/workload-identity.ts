// SPDX-License-Identifier: Apache-2.0
import type { ChainChecks } from "../../cert/index.ts";
import { type JsonObject, listOf, objectOf, textOf } from "../../lib/json.ts";
import type { DomainAnchors } from "./chain-verdict.ts";
import { readPem } from "./read-pem.ts";

/** The public part of a workload's identity, as its agent shows it. */
export interface WorkloadIdentity {
  /** Leaf first; empty before the first certificate, and where another process serves it. */
  readonly chainPem: string;
  readonly roots: readonly DomainPem[];
  /** Where Envoy gets certificate and key; empty when the agent does not say. On the agent's machine. */
  readonly sdsSocketPath: string;
  /** Undefined where another process serves the certificate. */
  readonly renewal: RenewalState | undefined;
}

export interface DomainPem {
  /** Undefined: they verify every peer. */
  readonly trustDomain: string | undefined;
  readonly rootsPem: string;
}

export interface RenewalState {
  /** `none`, `valid` or `expired` */
  readonly state: string;
  /** `ca`, or the name of the provider. */
  readonly source: string;
  readonly rotationDueMs: number | undefined;
  readonly attempts: number;
  readonly failuresInARow: number;
  /** Of the last attempt; empty after a success. */
  readonly lastError: string;
}

/** @param document the response of `/debug/identity` */
export function parseWorkloadIdentity(document: JsonObject): WorkloadIdentity {
  const renewal = document["renewal"];
  return {
    chainPem: textOf(document["chainPem"]),
    sdsSocketPath: textOf(document["sdsSocketPath"]),
    roots: listOf(document["roots"]).map((value) => {
      const { trustDomain, rootsPem } = objectOf(value);
      return { trustDomain: typeof trustDomain === "string" ? trustDomain : undefined, rootsPem: textOf(rootsPem) };
    }),
    renewal: renewal === undefined ? undefined : parseRenewal(objectOf(renewal)),
  };
}

function parseRenewal({ state, source, rotationDueMs, attempts, failuresInARow, lastError }: JsonObject): RenewalState {
  return {
    state: textOf(state),
    source: textOf(source),
    rotationDueMs: typeof rotationDueMs === "number" ? rotationDueMs : undefined,
    attempts: typeof attempts === "number" ? attempts : 0,
    failuresInARow: typeof failuresInARow === "number" ? failuresInARow : 0,
    lastError: textOf(lastError),
  };
}

/** The roots with which each trust domain is verified. */
export function anchorsOf(roots: readonly DomainPem[], checks: ChainChecks): readonly DomainAnchors[] {
  return roots.map(({ trustDomain, rootsPem }) => ({ trustDomain, roots: readPem(rootsPem, checks).certificates }));
}

/** The serial number of the first certificate of a chain; undefined when there is none. */
export function serialOf(chainPem: string, checks: ChainChecks): string | undefined {
  return readPem(chainPem, checks).certificates[0]?.x509.serialNumber;
}
