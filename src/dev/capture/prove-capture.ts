// SPDX-License-Identifier: Apache-2.0
import { describeError } from "../../lib/errors.ts";
import { formatHostPort } from "../../lib/net/host-port.ts";
import { spiffeIdOf } from "../mesh.ts";
import { forwardedCertOf, parseForwardedClientCert } from "../prove-mtls.ts";
import type { CaptureReport, ProofOutcome } from "../report.ts";
import { apiService } from "./addresses.ts";
import type { CapturedNetwork } from "./captured-network.ts";

/**
 * Proves that a program in web's namespace which knows nothing of the mesh reaches api through both Envoys: for it the
 * connection is one to the address of api's name, and api's application receives web's identity.
 */
export async function proveCapture(network: Pick<CapturedNetwork, "callApi">): Promise<ProofOutcome<CaptureReport>> {
  const nothing: CaptureReport = { connectedTo: null, status: null, peerSeenByApi: null };
  try {
    const { connectedTo, status, body } = await network.callApi("/proof/capture");
    const header = forwardedCertOf(body);
    const peer = header === undefined ? null : parseForwardedClientCert(header).uri;
    const facts = { connectedTo, status, peerSeenByApi: peer };
    return { facts, failure: problemOf(facts, body) };
  } catch (error) {
    return { facts: nothing, failure: failed(`request http://${apiService.name}/: ${describeError(error)}`) };
  }
}

function problemOf(
  { connectedTo, status, peerSeenByApi }: CaptureReport,
  body: string,
): ReturnType<typeof failed> | undefined {
  const service = formatHostPort({ host: apiService.address, port: apiService.port });
  const identity = spiffeIdOf("web");
  if (status !== 200)
    return failed(`http://${apiService.name}/ returned ${String(status)} instead of 200: ${body.trim()}`);
  if (connectedTo !== service) return failed(`the connection went to ${connectedTo ?? "-"} instead of ${service}`);
  if (peerSeenByApi !== identity)
    return failed(`api saw the caller ${JSON.stringify(peerSeenByApi)} instead of ${identity}`);
  return undefined;
}

function failed(why: string): { readonly proof: "capture"; readonly why: string } {
  return { proof: "capture", why };
}
