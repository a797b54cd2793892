// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import type { Budgets } from "../model/limits.ts";
import { HttpError, requestHttp } from "../lib/net/http-client.ts";

export interface MetadataRequest {
  readonly method?: "GET" | "PUT";
  readonly headers?: Readonly<Record<string, string>>;
  /** Also returns the body of a response with status 400, which says what the server supports. */
  readonly readBadRequest?: boolean;
}

/** Reads one path of a metadata server; undefined when the request fails or has another status than requested. */
export type MetadataGet = (path: string, options?: MetadataRequest) => Promise<string | undefined>;

export interface MetadataServer {
  /** `http://169.254.169.254`, without a trailing slash. */
  readonly baseUrl: string;
  readonly timeoutPerCallMs: number;
  /** A header that the response must carry; without it the response comes from another server. */
  readonly responseHeader?: readonly [name: string, value: string];
}

/** What a lookup uses. */
export interface MetadataDeps {
  readonly clock: Clock;
  readonly budgets: Budgets;
}

/** Failures are not reported, because nothing depends on these facts. */
export function createMetadataGet(
  server: MetadataServer,
  { clock, budgets }: MetadataDeps,
  signal: AbortSignal,
): MetadataGet {
  const limit = budgets.of("metadata-response-bytes");
  return async (path, { method = "GET", headers = {}, readBadRequest = false } = {}) => {
    try {
      const url = new URL(`${server.baseUrl}${path}`);
      const deadline = { clock, timeoutMs: server.timeoutPerCallMs };
      const response = await requestHttp({ url, method, headers, deadline, maxBodyBytes: limit.size }, signal);
      const [name, value] = server.responseHeader ?? [];
      const isGenuine = name === undefined || response.headers[name] === value;
      const isRead = response.status === 200 || (readBadRequest && response.status === 400);
      return isRead && isGenuine ? response.text().trim() : undefined;
    } catch (error) {
      if (error instanceof HttpError && error.failure === "too-large") limit.admits(limit.size + 1);
      return undefined;
    }
  };
}
