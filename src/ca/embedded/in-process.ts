// SPDX-License-Identifier: Apache-2.0
import type { SignedChain, SigningRequest } from "../../model/signing.ts";
import { untilFilesChange } from "../retry-causes.ts";
import type { CaDeps, CaProtocol, EmbeddedCaConfig } from "../types.ts";
import { openAuthority } from "./authority.ts";
import { readRequest } from "./csr-reader.ts";
import { issueCertificate } from "./issue.ts";

const backdateMs = 120_000;

/** Signs in this process with the root in a folder; there is nobody to ask who the workload is. For development. */
export function createInProcessCa(config: EmbeddedCaConfig, deps: CaDeps): CaProtocol {
  deps.log.warn("identities are made by this agent itself; this is for development", { directory: config.directory });
  return {
    sign: (request) => Promise.resolve().then(() => signHere(config.directory, request, deps.clock.now())),
    untilChanged: (signal) => untilFilesChange([], deps.clock, signal),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

function signHere(directory: string, { csrPem, spiffeId, ttlMs }: SigningRequest, nowMs: number): SignedChain {
  const { issuer, rootPem, rootNotAfterMs } = openAuthority(directory, nowMs);
  const chainPem = issueCertificate(issuer, {
    subject: undefined,
    publicKey: readRequest(csrPem).publicKey,
    use: "workload",
    uris: [spiffeId],
    notBeforeMs: nowMs - backdateMs,
    notAfterMs: Math.min(nowMs + ttlMs, rootNotAfterMs),
  });
  return { chainPem, rootsPem: rootPem };
}
