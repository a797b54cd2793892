// SPDX-License-Identifier: Apache-2.0
import { AgentError } from "../lib/errors.ts";
import { exitCode } from "../lib/exit-code.ts";

/** Why an identity that was received cannot be used. */
export type ResponseProblem =
  | "malformed"
  | "wrong-key"
  | "wrong-identity"
  | "expired"
  | "not-yet-valid"
  /** The chain leads to no root. */
  | "untrusted"
  /** The chain leads to a root, but peers would reject it. */
  | "invalid-path";

/** An identity that was received is not usable by this workload. Nothing of it reaches Envoy. */
export class ResponseError extends AgentError {
  readonly code = "AGENT_CA_ANSWER";
  /** The kind of failure; a label value of metrics. */
  readonly failure: ResponseProblem;
  constructor(problem: ResponseProblem, text: string, cause?: unknown) {
    super(`check the identity received: ${text}`, { cause });
    this.failure = problem;
  }
}

/** The CA has rejected every request for so long that it is taken as final, and there is no valid certificate. */
export class CaRejectedError extends AgentError {
  readonly code = "AGENT_CA_REFUSED";
  override readonly exitCode = exitCode.rejected;
  constructor(spiffeId: string, rejectedMs: number, cause: unknown) {
    const minutes = String(Math.round(rejectedMs / 60_000));
    const text = `the CA has rejected every request for ${minutes} min; allow this identity at the CA`;
    super(`request a certificate for ${spiffeId}: ${text}`, { cause });
  }
}

/** No certificate is requested, because the identity has no value for one of its parts. */
export class IdentityIncompleteError extends AgentError {
  readonly code = "AGENT_IDENTITY";
  /** The kind of failure; a label value of metrics. */
  readonly failure = "misconfigured";
  constructor(cause: unknown) {
    const text = "this workload's identity is incomplete; set POD_NAMESPACE, SERVICE_ACCOUNT and TRUST_DOMAIN";
    super(`request a certificate: ${text}`, { cause });
  }
}

/** The configured key is one that no CA of a mesh would certify. */
export class KeyAlgorithmError extends AgentError {
  readonly code = "AGENT_KEY_ALGORITHM";
  constructor(problem: string) {
    super(`generate the workload's key: ${problem}`);
  }
}

/** A SPIFFE name is not that of an identity or trust domain of this workload. */
export class SpiffeNameError extends AgentError {
  readonly code = "AGENT_SPIFFE_NAME";
  constructor(name: string, problem: string) {
    super(`serve ${name}: ${problem}; name one of them, or change the entry of this workload`);
  }
}

/** A file that should hold a certificate or a key is not usable. */
export class CertFileError extends AgentError {
  readonly code = "AGENT_CERT_FILE";
  readonly path: string;
  constructor(path: string, problem: string, cause?: unknown) {
    super(`use ${path}: ${problem}`, { cause });
    this.path = path;
  }
}

/** The identity cache is not usable: other users could have written it or can read it, or its content is damaged. */
export class IdentityCacheError extends AgentError {
  readonly code = "AGENT_IDENTITY_CACHE";
  constructor(path: string, problem: string, cause?: unknown) {
    super(`use the identity cache ${path}: ${problem}`, { cause });
  }
}
