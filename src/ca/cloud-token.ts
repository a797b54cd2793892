// SPDX-License-Identifier: Apache-2.0
import type { CloudTokenConfig } from "./ca-config.ts";
import type { CaDeps } from "./ca-client.ts";
import { callHttp } from "./http-call.ts";
import { parseJwt } from "../lib/pki/jwt.ts";
import type { Token } from "./token.ts";

/** A token with less than this left is fetched anew. */
const leastLeftMs = 25 * 60_000;
const timeoutMs = 2_000;

/** Whether a token should be fetched anew: there is none, it cannot be read, does not say its end, or ends soon. */
export function isStale(token: string | undefined, nowMs: number): boolean {
  const expiresMs = token === undefined ? undefined : parseJwt(token)?.claims.expiresMs;
  return expiresMs === undefined || expiresMs - nowMs < leastLeftMs;
}

/**
 * The identity token of the machine that this runs on, from Google's metadata server. Kept in memory only, and fetched
 * again when it gets old; one that is still good is used when that fails.
 * Source: https://cloud.google.com/compute/docs/instances/verifying-instance-identity
 */
export function createCloudToken(
  { host, port, audience }: CloudTokenConfig,
  { clock }: Pick<CaDeps, "clock">,
): (signal: AbortSignal) => Promise<Token> {
  let kept: string | undefined;
  const query = `audience=${encodeURIComponent(audience)}&format=full`;
  const path = `/computeMetadata/v1/instance/service-accounts/default/identity?${query}`;
  const headers = { "metadata-flavor": "Google", accept: "*/*" };
  const server = { host, port, security: { kind: "plaintext" } } as const;
  return async (signal) => {
    if (kept !== undefined && !isStale(kept, clock.now())) return { kind: "usable", text: kept };
    let problem: string;
    let cause: unknown;
    try {
      const answer = await callHttp(server, { method: "GET", path, headers, timeoutMs }, clock, signal);
      const text = answer.body.trim();
      if (answer.status === 200 && /^[\x21-\x7e]+$/.test(text)) {
        kept = text;
        return { kind: "usable", text };
      }
      problem = `the metadata server ${host} gives no token: it answered ${String(answer.status)}`;
    } catch (error) {
      signal.throwIfAborted();
      cause = error;
      problem = `the metadata server ${host} cannot be asked for a token`;
    }
    const expiresMs = kept === undefined ? undefined : parseJwt(kept)?.claims.expiresMs;
    if (kept !== undefined && expiresMs !== undefined && expiresMs > clock.now()) return { kind: "usable", text: kept };
    return { kind: "unusable", problem, cause };
  };
}
