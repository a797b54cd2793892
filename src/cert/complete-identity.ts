// SPDX-License-Identifier: Apache-2.0
import { AgentError } from "../lib/errors.ts";
import { checkSpiffeId, type SpiffeId } from "../model/spiffe-id.ts";

/** No certificate is asked for, because it is not known for whom. */
export class IdentityIncompleteError extends AgentError {
  readonly code = "AGENT_IDENTITY";
  /** The kind of failure, for metrics. */
  readonly failure = "misconfigured";
  constructor(cause: unknown) {
    super(
      "ask for a certificate: this workload's identity is not complete; set POD_NAMESPACE, SERVICE_ACCOUNT and TRUST_DOMAIN",
      {
        cause,
      },
    );
  }
}

/** @throws IdentityIncompleteError for an identity that no peer could verify */
export function assertComplete(identity: SpiffeId): void {
  try {
    checkSpiffeId(identity);
  } catch (cause) {
    throw new IdentityIncompleteError(cause);
  }
}
