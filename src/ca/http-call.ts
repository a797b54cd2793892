// SPDX-License-Identifier: Apache-2.0
import { shortenPeerText } from "../lib/printable-text.ts";
import { connectMeaning } from "../lib/net/connect-meaning.ts";
import { formatHostPort } from "../lib/net/host-port.ts";
import { HttpError, type HttpResponse, requestHttp } from "../lib/net/http-client.ts";
import { readTlsClientOptions } from "../lib/net/tls-client.ts";
import { type TlsClientOptions, tlsErrorIn } from "../lib/net/tls-error.ts";
import { CaError, isConnectCode, isNameCode, maxRetryAfterMs } from "./ca-error.ts";
import type { CaDeps, HttpServer } from "./types.ts";

/** One request of a CA's HTTP API: JSON is sent and, unless the path says otherwise, received. */
export interface HttpCall {
  readonly method: "GET" | "POST" | "DELETE";
  /** Includes the query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly timeoutMs: number;
  /** Presented instead of the client certificate in the server's configuration. */
  readonly clientPair?: { readonly cert: string; readonly key: string };
}

/** A response with any status. */
export interface CaHttpResponse {
  readonly status: number;
  readonly body: string;
  /** `Retry-After` in milliseconds; 0 without one. */
  readonly retryAfterMs: number;
}

/**
 * Calls a CA over a connection of its own.
 * @throws CaError: unreachable, malformed-response when the response is too long, or misconfigured when there is no root
 * to verify the server with; the signal's reason
 */
export async function callHttp(
  server: HttpServer,
  call: HttpCall,
  { clock, budgets }: Pick<CaDeps, "clock" | "budgets">,
  signal: AbortSignal,
): Promise<CaHttpResponse> {
  const { host, port, security } = server;
  const limit = budgets.of("ca-response-bytes");
  const tls = await tlsOptionsFor(server, call, clock);
  const json = call.body === undefined ? {} : { "content-type": "application/json" };
  const headers = { accept: "application/json", ...json };
  const isTls = security.kind === "tls";
  try {
    const response = await requestHttp(
      {
        url: { scheme: isTls ? "https" : "http", host, port, path: call.path },
        method: call.method,
        // Without TLS only what the configuration allows: ATTACHE_CA_PLAINTEXT, or a metadata server.
        ...(isTls ? { headers, secretHeaders: call.headers ?? {} } : { headers: { ...headers, ...call.headers } }),
        ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
        deadline: { clock, timeoutMs: call.timeoutMs },
        maxBodyBytes: limit.size,
        connection: () => ({ tls }),
      },
      signal,
    );
    return { status: response.status, body: response.text(), retryAfterMs: retryAfterMs(response) };
  } catch (error) {
    if (!(error instanceof HttpError)) throw error;
    if (error.failure === "too-large" && !limit.admits(limit.size + 1)) {
      throw new CaError("malformed-response", formatHostPort(server), `its response is too long: ${limit.text}`);
    }
    const tls = tlsErrorIn(error);
    if (tls !== undefined) throw new CaError(`tls-${tls.failure}`, formatHostPort(server), tls.message, { cause: tls });
    // The cause of the HTTP error: its own message would repeat the problem.
    const facts = { cause: error.cause, isUnconnected: isConnectCode(error.systemCode) };
    const meaning = connectMeaning(error.systemCode);
    const cure = `correct the CA's address${isNameCode(error.systemCode) ? " or this machine's DNS" : ", or start the CA there"}`;
    const text = meaning === undefined ? error.problem : `${meaning} (${error.problem}); ${cure}`;
    throw new CaError("unreachable", formatHostPort(server), text, facts);
  }
}

/**
 * The error for an HTTP status other than success.
 * @param message the server's explanation; undefined or empty for none
 */
export function httpFailure(address: string, response: CaHttpResponse, message: string | undefined): CaError {
  const { status } = response;
  // Vault's explanations have line breaks and tabs: "1 error occurred:\n\t* permission denied\n\n".
  const line = shortenPeerText(message ?? "")
    .replace(/\s+/g, " ")
    .trim();
  const isRejected = status === 401 || status === 403;
  const cure = isRejected ? "; check the credential, and what the CA allows it" : "";
  const text = `status ${String(status)}${line === "" ? "" : `: ${line}`}${cure}`;
  const isBusy = status === 412 || status === 429 || status >= 500;
  return new CaError(isBusy ? "unreachable" : "refused", address, text, {
    retryAfterMs: Math.min(response.retryAfterMs, maxRetryAfterMs),
    isPermanent: status === 403,
    statusCode: String(status),
  });
}

/** The value, when it is a text; else undefined. */
export function asString(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

async function tlsOptionsFor(
  { security, ...server }: HttpServer,
  call: HttpCall,
  clock: CaDeps["clock"],
): Promise<TlsClientOptions> {
  if (security.kind === "plaintext") return {};
  try {
    return { ...(await readTlsClientOptions(security, clock.now())), ...call.clientPair };
  } catch (cause) {
    const address = formatHostPort(server);
    throw new CaError("misconfigured", address, "no root certificate to verify the server with", { cause });
  }
}

function retryAfterMs({ headers }: HttpResponse): number {
  const seconds = Number(headers["retry-after"] ?? "0");
  return Number.isFinite(seconds) && seconds > 0 ? seconds * 1_000 : 0;
}
