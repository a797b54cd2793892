// SPDX-License-Identifier: Apache-2.0
import { isIP } from "node:net";
import { describeError, systemCode } from "../lib/errors.ts";
import type { ProbeOutcome, ProbeSettings } from "./probe-outcome.ts";

/** Options of a connection to the application, for `net`, `tls`, `http` and `https` alike. */
export interface ProbeAddress {
  readonly host: string;
  readonly localAddress?: string;
  readonly family?: 4 | 6;
}

/**
 * Where a probe goes and what it comes from. The source address is what lets traffic capture leave probes alone; it
 * can only be had towards an address of its own family, so a name is resolved to that family.
 * @param appHost empty means this host, as an unset INSTANCE_IP does
 */
export function probeAddress({ appHost, probeSourceAddress }: ProbeSettings): ProbeAddress {
  const host = appHost === "" ? "localhost" : appHost;
  const sourceFamily = isIP(probeSourceAddress);
  const hostFamily = isIP(host);
  if (sourceFamily === 0 || (hostFamily !== 0 && hostFamily !== sourceFamily)) return { host };
  return { host, localAddress: probeSourceAddress, family: sourceFamily === 6 ? 6 : 4 };
}

/** Turns what a connection threw into an outcome, and says whose fault it is. */
export function failedProbe(error: unknown, signal: AbortSignal): ProbeOutcome {
  if (signal.aborted) return { kind: "failed", side: "app", reason: "no answer within the probe's timeout" };
  const code = systemCode(error);
  if (code === "EADDRNOTAVAIL") {
    return { kind: "failed", side: "agent", reason: `cannot use the probes' source address: ${describeError(error)}` };
  }
  const side = code === "EMFILE" || code === "ENFILE" ? "agent" : "app";
  return { kind: "failed", side, reason: tlsProblem(error) ?? describeError(error) };
}

/** What OpenSSL says without the numbers and places in it. */
function tlsProblem(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("reason" in error) || typeof error.reason !== "string") return undefined;
  return systemCode(error)?.startsWith("ERR_SSL_") === true ? `TLS: ${error.reason}` : undefined;
}
