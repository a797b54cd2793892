// SPDX-License-Identifier: Apache-2.0
import type { SignedChain, SigningRequest } from "../../model/signing.ts";
import type { CaDeps, CaProtocol, EmbeddedCaConfig } from "../types.ts";
import { openAuthority } from "./authority.ts";
import { readRequest } from "./certificate-request.ts";
import { issueCertificate } from "./certificates.ts";

const backdateMs = 120_000;

/**
 * Signs in this process, with the root in a directory. It signs any identity that the agent claims, so it is for
 * development only. It needs no server, so it is apart from `embedded-ca.ts` and an agent with it loads no
 * @grpc/grpc-js.
 */
export function createInProcessCa(config: EmbeddedCaConfig, deps: CaDeps): CaProtocol {
  deps.log.warn("agent signs its own identity, which is for development only", { directory: config.directory });
  return {
    sign: (request) => Promise.resolve().then(() => signHere(config.directory, request, deps)),
    causeFiles: [],
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

function signHere(
  directory: string,
  { csrPem, spiffeId, ttlMs }: SigningRequest,
  { clock, budgets }: CaDeps,
): SignedChain {
  const nowMs = clock.now();
  const { issuer, rootPem, rootNotAfterMs } = openAuthority(directory, nowMs);
  const chainPem = issueCertificate(issuer, {
    subject: undefined,
    publicKey: readRequest(csrPem, budgets.of("embedded-ca-csr-bytes")).publicKey,
    use: "workload",
    uris: [spiffeId],
    notBeforeMs: nowMs - backdateMs,
    notAfterMs: Math.min(nowMs + ttlMs, rootNotAfterMs),
  });
  return { chainPem, rootsPem: rootPem };
}
