// SPDX-License-Identifier: Apache-2.0
import { startEmbeddedCa } from "../ca/index.ts";
import type { Clock } from "../lib/async/clock.ts";
import { createLogger, type LogRecord } from "../lib/log/log.ts";
import { namespace, trustDomain, type WorkloadName } from "./mesh.ts";

/** The CA of one workload, as the mesh uses it. */
export interface MeshCa extends AsyncDisposable {
  readonly port: number;
  readonly rootsPem: string;
  createToken(workload: WorkloadName): string;
  /** Whether it has signed for a SPIFFE ID: it says so in its log. */
  hasSigned(spiffeId: string): boolean;
}

const dayMs = 24 * 3_600_000;
const backdateMs = 60_000;

/**
 * Starts an embedded CA on loopback.
 * @param directory where its root is kept
 * @param lifetimeMs the most that a certificate lives; asked at each signing
 */
export async function startMeshCa(directory: string, lifetimeMs: () => number, clock: Clock): Promise<MeshCa> {
  const signed = new Set<unknown>();
  const note = ({ message, fields }: LogRecord): void => {
    if (message === "certificate signed") signed.add(fields["spiffeId"]);
  };
  const log = createLogger(
    note,
    () => clock.now(),
    () => new Map(),
  );
  const options = {
    directory,
    host: "127.0.0.1",
    port: 0,
    // The name under which agents verify a CA on this machine.
    serverNames: ["istiod.istio-system.svc"],
    trustDomain,
    audience: "istio-ca",
    defaultTtlMs: dayMs,
    get maxTtlMs() {
      return lifetimeMs();
    },
    backdateMs,
    trustedTokenKeysPem: [],
  };
  const ca = await startEmbeddedCa(options, { log, clock });
  return {
    port: ca.port,
    rootsPem: ca.rootPem,
    createToken: (serviceAccount) => ca.issueToken({ namespace, serviceAccount, ttlMs: dayMs }),
    hasSigned: (spiffeId) => signed.has(spiffeId),
    [Symbol.asyncDispose]: () => ca[Symbol.asyncDispose](),
  };
}
