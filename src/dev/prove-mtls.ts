// SPDX-License-Identifier: Apache-2.0
import { describeError } from "../lib/errors.ts";
import { loopback, requestHttp } from "../lib/net/http-client.ts";
import { type ForwardedClientCert, parseForwardedClientCert } from "./forwarded-client-cert.ts";
import { spiffeIdOf } from "./mesh.ts";
import type { ProofOutcome } from "./report.ts";

/** One request web -> api as it came out. */
export interface MeshAnswer {
  /** 0 when there was no answer. */
  readonly status: number;
  /** The caller's certificate as api's application received it; undefined when the request did not get there. */
  readonly peer: ForwardedClientCert | undefined;
  /** What went wrong, for an answer that api did not give. */
  readonly problem: string;
}

/**
 * Asks web's application, which asks api through both Envoys. Never throws: a failure is an observation, too.
 */
export async function askApiThroughMesh(webAppPort: number, path: string, signal: AbortSignal): Promise<MeshAnswer> {
  try {
    const answer = await requestHttp({ url: loopback(webAppPort, path) }, signal);
    const header = answer.status === 200 ? forwardedCertOf(answer.text()) : undefined;
    const peer = header === undefined ? undefined : parseForwardedClientCert(header);
    return { status: answer.status, peer, problem: peer === undefined ? answer.text().trim() : "" };
  } catch (error) {
    return { status: 0, peer: undefined, problem: describeError(error) };
  }
}

/** Proves that web reaches api over mTLS, and that api is told who called. */
export async function proveMtls(
  webAppPort: number,
  signal: AbortSignal,
): Promise<ProofOutcome<{ readonly mtlsStatus: number; readonly peerSeenByApi: string | null }>> {
  const { status, peer, problem } = await askApiThroughMesh(webAppPort, "/proof/mtls", signal);
  const facts = { mtlsStatus: status, peerSeenByApi: peer?.uri ?? null };
  const expected = spiffeIdOf("web");
  const told = problem === "" ? "" : `: ${problem}`;
  if (status !== 200) return failed(facts, `request web -> api answered ${String(status)} instead of 200${told}`);
  if (peer?.uri !== expected) {
    return failed(facts, `api saw the caller ${JSON.stringify(peer?.uri ?? "")} instead of ${expected}${told}`);
  }
  return { facts, failure: undefined };
}

function failed<Facts>(facts: Facts, why: string): ProofOutcome<Facts> {
  return { facts, failure: { proof: "mtls", why } };
}

/** The header that api says it received, or undefined when the body is not an answer of api. */
function forwardedCertOf(body: string): string | undefined {
  try {
    const answer: unknown = JSON.parse(body);
    if (typeof answer !== "object" || answer === null || !("forwardedClientCert" in answer)) return undefined;
    return typeof answer.forwardedClientCert === "string" ? answer.forwardedClientCert : undefined;
  } catch {
    return undefined;
  }
}
