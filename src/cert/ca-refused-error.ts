// SPDX-License-Identifier: Apache-2.0
import { AgentError } from "../lib/errors.ts";
import { exitCode } from "../lib/exit-code.ts";

/** The CA has refused to sign for this workload long enough to believe it; there is no certificate to go on with. */
export class CaRefusedForGoodError extends AgentError {
  readonly code = "AGENT_CA_REFUSED";
  override readonly exitCode = exitCode.refused;
  constructor(spiffeId: string, refusedMs: number, cause: unknown) {
    const minutes = String(Math.round(refusedMs / 60_000));
    super(`get a certificate for ${spiffeId}: the CA has refused for ${minutes} min; allow this identity at the CA`, {
      cause,
    });
  }
}
