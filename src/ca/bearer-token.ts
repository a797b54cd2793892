// SPDX-License-Identifier: Apache-2.0
import { formatSpan } from "../lib/relative-time.ts";
import { systemCode } from "../lib/errors.ts";
import { readTextFile } from "../lib/fs/bounded-read.ts";
import { parseJwt } from "../lib/pki/jwt.ts";
import type { BearerToken, ReadToken } from "../model/token.ts";
import { callHttp } from "./http-call.ts";
import type { CaDeps, CloudTokenConfig } from "./types.ts";

/** Of a token file; no token is as large. */
const mostTokenBytes = 64 * 1024;
const printable = /^[\x21-\x7e]+$/;
/** A cloud token with less than this left is fetched again. */
const minRemainingMs = 25 * 60_000;
const fetchTimeoutMs = 2_000;

/**
 * Reads a token file and finds what a CA would reject: no token, or an expired one. A token that is not a JWT is sent
 * unchanged.
 * @param nowMs wall clock
 */
export async function readToken(path: string, nowMs: number): Promise<BearerToken> {
  let text: string;
  try {
    text = (await readTextFile(path, mostTokenBytes)).trim();
  } catch (cause) {
    const what = `the token file ${path}`;
    if (systemCode(cause) !== "ENOENT") return { kind: "unusable", problem: `${what} cannot be read`, cause };
    return { kind: "unusable", problem: `${what} does not exist; mount the service account's token there` };
  }
  if (text === "") return { kind: "unusable", problem: `the token file ${path} is empty` };
  if (!printable.test(text)) return { kind: "unusable", problem: `the token file ${path} does not contain a token` };
  const expiresMs = parseJwt(text)?.claims.expiresMs;
  if (expiresMs !== undefined && expiresMs <= nowMs) {
    const when = `${formatSpan(nowMs - expiresMs)} ago (expired at ${new Date(Math.min(expiresMs, 8.64e15)).toISOString()})`;
    const cure = "mount one that is renewed, or set this machine's clock if it is ahead";
    return { kind: "unusable", problem: `the token in ${path} expired ${when}; ${cure}` };
  }
  return { kind: "usable", text };
}

/**
 * The machine's identity token from Google's metadata server. It is kept in memory and fetched again before it expires;
 * while that fails, the one in memory is used until it has expired.
 * Source: https://cloud.google.com/compute/docs/instances/verifying-instance-identity
 */
export function createCloudToken(
  { host, port, audience }: CloudTokenConfig,
  deps: Pick<CaDeps, "clock" | "budgets">,
): ReadToken {
  const { clock } = deps;
  let kept: string | undefined;
  /** By running time: a token ages also while the wall clock was set back. */
  let freshUntilMs = 0;
  const query = `audience=${encodeURIComponent(audience)}&format=full`;
  const path = `/computeMetadata/v1/instance/service-accounts/default/identity?${query}`;
  const headers = { "metadata-flavor": "Google", accept: "*/*" };
  const server = { host, port, security: { kind: "plaintext" } } as const;
  return async (signal) => {
    const isAged = clock.monotonicMs() >= freshUntilMs;
    if (kept !== undefined && !isAged && !isStale(kept, clock.now())) return { kind: "usable", text: kept };
    let problem: string;
    let cause: unknown;
    try {
      const call = { method: "GET", path, headers, timeoutMs: fetchTimeoutMs } as const;
      const response = await callHttp(server, call, deps, signal);
      const text = response.body.trim();
      if (response.status === 200 && printable.test(text)) {
        kept = text;
        freshUntilMs = clock.monotonicMs() + (lifetimeMs(text, clock.now()) ?? 0) - minRemainingMs;
        return { kind: "usable", text };
      }
      problem = `the metadata server ${host} returned no token: status ${String(response.status)}`;
    } catch (error) {
      signal.throwIfAborted();
      cause = error;
      problem = `the request for a token to the metadata server ${host} failed`;
    }
    const expiresMs = kept === undefined ? undefined : parseJwt(kept)?.claims.expiresMs;
    if (kept !== undefined && expiresMs !== undefined && expiresMs > clock.now()) return { kind: "usable", text: kept };
    return { kind: "unusable", problem, cause };
  };
}

/** Whether a cloud token must be fetched: there is none, it is no JWT, has no expiry, or expires soon. */
export function isStale(token: string | undefined, nowMs: number): boolean {
  const expiresMs = token === undefined ? undefined : parseJwt(token)?.claims.expiresMs;
  return expiresMs === undefined || expiresMs - nowMs < minRemainingMs;
}

/** Of a token that was just issued, by its issuer's clock if it says so. */
function lifetimeMs(token: string, nowMs: number): number | undefined {
  const { expiresMs, issuedMs = nowMs } = parseJwt(token)?.claims ?? {};
  return expiresMs === undefined ? undefined : expiresMs - issuedMs;
}
