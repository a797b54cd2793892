// SPDX-License-Identifier: Apache-2.0
import { AgentError } from "../lib/errors.ts";
import { exitCode } from "../lib/exit-code.ts";

/** A workload's identity, parsed: `spiffe://<trustDomain>/ns/<namespace>/sa/<serviceAccount>`. */
export interface SpiffeId {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

export class SpiffeIdError extends AgentError {
  readonly code = "AGENT_SPIFFE_ID";
  override readonly exitCode = exitCode.configuration;
  constructor(text: string, problem: string) {
    super(`SPIFFE ID ${JSON.stringify(text)}: ${problem}`);
  }
}

const trustDomainForm = /^[a-z0-9._-]{1,255}$/;

/** The identity as a URI, as it stands in a certificate's subject alternative name. */
export function formatSpiffeId(id: SpiffeId): string {
  return `spiffe://${id.trustDomain}/ns/${id.namespace}/sa/${id.serviceAccount}`;
}

/**
 * Returns the identity unchanged when each of its parts is one that SPIFFE allows.
 * @throws SpiffeIdError naming the part
 */
export function checkSpiffeId(id: SpiffeId): SpiffeId {
  const text = formatSpiffeId(id);
  if (!trustDomainForm.test(id.trustDomain)) {
    throw new SpiffeIdError(text, "the trust domain must be 1 to 255 of a-z, 0-9, dot, dash and underscore");
  }
  checkAccount(id);
  return id;
}

/**
 * Checks namespace and service account alone, for a CA that decides the trust domain itself.
 * @throws SpiffeIdError naming the part
 */
export function checkAccount(id: SpiffeId): void {
  const text = formatSpiffeId(id);
  for (const [part, value] of [
    ["namespace", id.namespace],
    ["service account", id.serviceAccount],
  ] as const) {
    if (!/^[a-zA-Z0-9._-]+$/.test(value) || value === "." || value === "..") {
      throw new SpiffeIdError(
        text,
        `the ${part} must not be empty and may have letters, digits, dot, dash, underscore`,
      );
    }
  }
}

/** A SPIFFE ID without its trust domain: `/ns/<namespace>/sa/<serviceAccount>`; undefined for any other URI. */
export function workloadPath(spiffeId: string): string | undefined {
  return /^spiffe:\/\/[^/]*(\/.*)$/.exec(spiffeId)?.[1];
}

/** Whether the URI has a trust domain that SPIFFE allows. */
export function hasTrustDomain(spiffeId: string): boolean {
  return trustDomainForm.test(/^spiffe:\/\/([^/]*)\//.exec(spiffeId)?.[1] ?? "");
}
