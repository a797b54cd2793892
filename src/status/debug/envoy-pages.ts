// SPDX-License-Identifier: Apache-2.0
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Clock } from "../../lib/async/clock.ts";
import { HttpError, type HttpRequest, type HttpStream, streamHttp } from "../../lib/net/http-client.ts";
import type { EnvoyAdminAddress } from "../../model/bootstrap-facts.ts";
import type { Budgets } from "../../model/limits.ts";
import { type Call, headerText, methodNotAllowed, type Reply, textReply } from "../call.ts";

interface EnvoyPagesContext {
  /** Undefined in an agent without Envoy. */
  readonly adminAddress: (() => EnvoyAdminAddress) | undefined;
  readonly budgets: Budgets;
  readonly clock: Clock;
}

interface EnvoyPage {
  readonly about: string;
  /** Undefined when the handler has sent the response itself. */
  readonly handle: (call: Call) => Promise<Reply | undefined>;
}

/** What Envoy's admin interface shows and does not change. Each path is passed on under `/debug/envoy/`. */
const passedPages: Readonly<Record<string, string>> = {
  certs: "certificates that Envoy has loaded",
  clusters: "endpoints that Envoy has, and their health; ?format=json",
  config_dump: "Envoy's configuration; ?resource=dynamic_active_clusters or ?mask=bootstrap for a part of it",
  listeners: "addresses that Envoy listens on",
  logging: "Envoy's log levels",
  memory: "memory that Envoy has allocated",
  server_info: "version, state and command line of Envoy",
  stats: "Envoy's statistics; ?filter=REGEX, ?format=json",
};

/** From the request to the last byte that the caller has read. */
const withinMs = 120_000;

/**
 * Pages of Envoy's admin interface, passed on unchanged as fast as the caller reads them. Nothing is held in memory.
 * Each path is fixed; only the query is the caller's.
 */
export function envoyPages(context: EnvoyPagesContext): ReadonlyMap<string, EnvoyPage> {
  return new Map(
    Object.entries(passedPages).map(([name, about]) => [
      `/debug/envoy/${name}`,
      { about, handle: (call: Call) => passOn(name, call, context) },
    ]),
  );
}

async function passOn(name: string, call: Call, context: EnvoyPagesContext): Promise<Reply | undefined> {
  const { adminAddress, budgets, clock } = context;
  if (call.request.method !== "GET") return methodNotAllowed;
  if (adminAddress === undefined) return textReply(404, "this agent runs without Envoy");
  const address = adminAddress();
  if ("socketPath" in address) return textReply(403, onSocket);
  // Envoy takes no other method there, and changes nothing without a query.
  const isLogging = name === "logging";
  if (isLogging && call.query !== "") return textReply(400, "levels are only shown here");
  const budget = budgets.of("envoy-pages");
  using lease = budget.take();
  if (lease === undefined) return textReply(503, budget.text);
  const request: HttpRequest = {
    url: { ...address, path: `/${name}${call.query === "" ? "" : `?${call.query}`}` },
    method: isLogging ? "POST" : "GET",
    deadline: { clock, timeoutMs: withinMs },
    maxBodyBytes: budgets.of("envoy-page-bytes").size,
  };
  try {
    await streamHttp(request, (envoy) => send(call, envoy), call.signal);
    return undefined;
  } catch (error) {
    if (error instanceof HttpError && error.failure === "too-large") {
      budgets.of("envoy-page-bytes").admits(budgets.of("envoy-page-bytes").size + 1);
    }
    // The caller notices a response that is cut off.
    if (call.response.headersSent || !(error instanceof HttpError)) throw error;
    return textReply(502, `Envoy's admin interface: ${error.problem}`);
  }
}

const onSocket =
  "Envoy's admin interface is on a Unix socket, which other containers cannot use; run 'attache config' in the agent's container";

async function send({ response }: Call, { status, headers, chunks }: HttpStream): Promise<void> {
  response.writeHead(status, {
    "Content-Type": headerText(headers["content-type"] ?? "text/plain"),
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
  });
  await pipeline(Readable.from(chunks, { objectMode: false }), response);
}
