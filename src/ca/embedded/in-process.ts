// SPDX-License-Identifier: Apache-2.0
import type { CaAnswer, CaClient, CaDeps, CaRequest } from "../ca-client.ts";
import type { EmbeddedCaConfig } from "../ca-config.ts";
import { untilFilesChange } from "../changed-files.ts";
import { openAuthority } from "./authority.ts";
import { readRequest } from "./csr-reader.ts";
import { issueCertificate } from "./issue.ts";

const backdateMs = 120_000;

/** Signs in this process with the root in a folder; there is nobody to ask who the workload is. For development. */
export function createInProcessClient(config: EmbeddedCaConfig, deps: CaDeps): CaClient {
  deps.log.warn("identities are made by this agent itself; this is for development", { directory: config.directory });
  return {
    sign: (request) => Promise.resolve().then(() => signHere(config.directory, request, deps.clock.now())),
    untilChanged: (signal) => untilFilesChange([], deps.clock, signal),
    mayBeAskedTwice: false,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

function signHere(directory: string, { csrPem, spiffeId, ttlMs }: CaRequest, nowMs: number): CaAnswer {
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
