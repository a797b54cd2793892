// SPDX-License-Identifier: Apache-2.0
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import type { Clock } from "../lib/async/clock.ts";
import type { TurnQueue } from "../lib/async/turn-queue.ts";
import { BudgetSpentError } from "../lib/budget.ts";
import { describeError } from "../lib/errors.ts";
import type { Logger } from "../lib/log/log.ts";
import type { Budgets } from "../model/limits.ts";
import {
  type Call,
  methodNotAllowed,
  notFound,
  onlyLocalhost,
  type Reply,
  RequestCall,
  sendReply,
  textReply,
} from "./call.ts";
import type { DebugRoutes } from "./debug/debug-routes.ts";
import { isLocalCaller, peerOf } from "./local-caller.ts";
import { AppProbeRoute } from "./probes/app-probe-route.ts";
import type { AppProber } from "./probes/app-prober.ts";
import type { ReadinessJudge } from "./readiness/readiness-judge.ts";
import type { ResponseLimits } from "./response-limits.ts";
import { createReadinessRoute } from "./readiness/readiness-route.ts";
import { ScrapeRoute } from "./scrape-route.ts";
import type { StatusConfig } from "./status-config.ts";
import type { StatusSources } from "./status-sources.ts";

export interface RoutesContext {
  readonly config: StatusConfig;
  readonly sources: StatusSources;
  readonly judge: ReadinessJudge;
  readonly prober: AppProber;
  /** For all work that takes longer than a probe. */
  readonly turns: TurnQueue;
  readonly budgets: Budgets;
  readonly limits: ResponseLimits;
  readonly clock: Clock;
  readonly log: Logger;
}

const readinessPath = "/healthz/ready";

/** Without a promise, the response is sent when it returns. */
type Handler = (call: Call) => Promise<void> | undefined;

export interface Routes extends Disposable {
  /** Handles every request. No request, and no handler that throws, can make it throw. */
  readonly handle: RequestListener;
  /** Whether a request asks for readiness or runs a probe of the application. */
  readonly isProbe: (request: Pick<IncomingMessage, "url">) => boolean;
}

export function createRoutes(context: RoutesContext): Routes {
  const { config, sources, log, prober, clock, budgets, turns } = context;
  using stack = new DisposableStack();
  const appProbes = stack.use(new AppProbeRoute({ probes: config.appProbes, prober, turns, budgets, clock, log }));
  const debug = stack.use(lazyDebugRoutes(context, appProbes));
  const scrapes = stack.use(new ScrapeRoute({ config, sources, turns, budgets, clock }));
  const scrape = (call: Call): Promise<void> => scrapes.handle(call);
  const quit = control(() => {
    log.info("quit requested");
    sources.quit();
  });
  const drain = control(() => {
    log.info("drain requested");
    sources.drain();
  });
  const rotate = localPost((call) => {
    const problem = sources.rotate();
    sendReply(call, problem === undefined ? okReply : textReply(409, problem));
  });
  const exact = new Map<string, Handler>([
    [readinessPath, createReadinessRoute({ ...context, turns, terminating: sources.terminating })],
    ["/stats/prometheus", scrape],
    ["/metrics", scrape],
    ["/quitquitquit", quit],
    ["/drain", drain],
    ["/rotate", rotate],
  ]);
  const handleDebug = afterTurn(turns, debug.handle);

  const find = (path: string): Handler => {
    const found = exact.get(path);
    if (found !== undefined) return found;
    if (path === "/app-health" || path === "/app-lifecycle") return sends((call) => redirect(call, `${path}/`));
    if (/^\/app-(health|lifecycle)\//.test(path)) return (call) => appProbes.handle(call);
    const isDebug = path === "/" || path === "/debug" || path.startsWith("/debug/");
    return isDebug && config.debug ? handleDebug : sends(() => notFound);
  };
  const opened = stack.move();
  return {
    handle: createListener(find, context),
    isProbe: ({ url = "" }) => {
      const target = parseRequestTarget(url);
      return target.kind === "path" && (target.path === readinessPath || appProbes.has(target.path));
    },
    [Symbol.dispose]: () => {
      opened.dispose();
    },
  };
}

function createListener(
  find: (path: string) => Handler,
  { log, limits }: Pick<RoutesContext, "log" | "limits">,
): RequestListener {
  const failed = (call: Call, error: unknown): void => {
    const { response, path } = call;
    if (response.closed && !response.writableFinished) {
      log.debug("caller left before its response was complete", { path });
      return;
    }
    if (error instanceof BudgetSpentError && !response.headersSent) {
      sendReply(call, textReply(503, error.message));
      return;
    }
    log.error("status request failed", { path, reason: describeError(error) });
    if (response.headersSent) response.destroy();
    else sendReply(call, textReply(500, "500 Internal Server Error"));
  };
  return (request, response) => {
    response.on("error", ignore);
    const target = parseRequestTarget(request.url ?? "");
    if (target.kind === "malformed") {
      sendReply({ request, response, limits }, textReply(400, "400 Bad Request"));
      return;
    }
    if (target.kind === "unclean") {
      sendReply({ request, response, limits }, redirect({ request }, target.location));
      return;
    }
    const { path, query } = target;
    const call = new RequestCall({ request, response, limits, path, query });
    try {
      find(path)(call)?.catch((error: unknown) => {
        failed(call, error);
      });
    } catch (error) {
      failed(call, error);
    }
  };
}

function ignore(): void {
  // the caller has left, which the response's end tells
}

function sends(reply: (call: Call) => Reply): Handler {
  return (call) => {
    sendReply(call, reply(call));
    return undefined;
  };
}

/** The debug code is loaded for the first debug request. */
function lazyDebugRoutes(
  { sources, judge, budgets, clock }: RoutesContext,
  appProbes: AppProbeRoute,
): { readonly handle: Handler } & Disposable {
  let loaded: Promise<DebugRoutes> | undefined;
  const load = async (): Promise<DebugRoutes> => {
    const { createDebugRoutes } = await import("./debug/debug-routes.ts");
    const { inspect = () => Promise.resolve({}), terminating } = sources;
    const inspected = { inspect: await inspect(), terminating };
    return createDebugRoutes({ sources: inspected, judge, budgets, clock, probeResults: () => appProbes.results() });
  };
  return {
    async handle(call) {
      loaded ??= load();
      await (await loaded).handle(call);
    },
    [Symbol.dispose]() {
      void loaded?.then((routes) => {
        routes[Symbol.dispose]();
      });
    },
  };
}

/** For requests that take longer than a probe: one of them starts in each turn of the event loop. */
function afterTurn(turns: TurnQueue, handler: Handler): Handler {
  return async (call) => {
    await turns.turn(peerOf(call.request.socket));
    if (!call.signal.aborted) await handler(call);
  };
}

const okReply: Reply = { status: 200, headers: { "Content-Type": "text/plain; charset=utf-8" }, body: "OK" };

/** For a POST from loopback. The action starts when the response has been sent. */
function control(act: () => void): Handler {
  return localPost(async (call) => {
    sendReply(call, okReply);
    await untilSent(call.response);
    act();
  });
}

function localPost(handle: Handler): Handler {
  return async (call) => {
    if (!isLocalCaller(call.request)) sendReply(call, onlyLocalhost);
    else if (call.request.method !== "POST") sendReply(call, methodNotAllowed);
    else await handle(call);
  };
}

function untilSent(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    if (response.writableFinished || response.destroyed) resolve();
    else {
      response.once("finish", resolve);
      response.once("close", resolve);
    }
  });
}

/** 307 keeps the method: a POST does not become a GET. */
function redirect({ request }: { readonly request: IncomingMessage }, path: string): Reply {
  // browsers read /\ as //, which would lead to another host
  const location = path.replaceAll("\\", "%5C");
  if (request.method !== "GET" && request.method !== "HEAD") return { status: 307, headers: { Location: location } };
  const headers = { Location: location, "Content-Type": "text/html; charset=utf-8" };
  const escaped = location.replaceAll(/[&<>"']/g, (char) => `&#${String(char.charCodeAt(0))};`);
  return { status: 307, headers, body: `<a href="${escaped}">Temporary Redirect</a>.\n` };
}

export type RequestTarget =
  /** The path decoded once, to be compared as text; the query as received, without the question mark. */
  | { readonly kind: "path"; readonly path: string; readonly query: string }
  /** The path has empty or dot segments: the caller is redirected to the clean path, and no handler runs. */
  | { readonly kind: "unclean"; readonly location: string }
  | { readonly kind: "malformed" };

/**
 * Parses the target of a request line as text, without a URL parser: that would fold `..` and `%2e%2e`, and a request
 * for `/healthz/ready/../../quitquitquit`, which Envoy forwards from other pods, would stop this one.
 * @param target as on the request line: origin form, or absolute form with scheme and authority
 * Source: Go's http.ServeMux, as observed with pilot-agent
 */
export function parseRequestTarget(target: string): RequestTarget {
  const origin = target.startsWith("/") ? target : originForm(target);
  if (origin === undefined) return { kind: "malformed" };
  const mark = origin.indexOf("?");
  const rawPath = mark < 0 ? origin : origin.slice(0, mark);
  const query = mark < 0 ? "" : origin.slice(mark + 1);
  if (rawPath.includes("//") || rawPath.includes("/.")) {
    const clean = cleanPath(rawPath);
    if (clean !== rawPath) return { kind: "unclean", location: mark < 0 ? clean : `${clean}?${query}` };
  }
  if (!rawPath.includes("%")) return { kind: "path", path: rawPath, query };
  try {
    return { kind: "path", path: decodeURIComponent(rawPath), query };
  } catch {
    return { kind: "malformed" };
  }
}

/** The path and query of `http://authority/path?query`; undefined for anything else, such as `*`. */
function originForm(target: string): string | undefined {
  const [origin] = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i.exec(target) ?? [];
  if (origin === undefined) return undefined;
  const rest = target.slice(origin.length);
  return rest.startsWith("/") ? rest : `/${rest}`;
}

/** Folds literal empty, `.` and `..` segments; encoded ones are ordinary text. */
function cleanPath(path: string): string {
  const kept: string[] = [];
  const segments = path.split("/").slice(1);
  for (const segment of segments) {
    if (segment === "..") kept.pop();
    else if (segment !== "" && segment !== ".") kept.push(segment);
  }
  const trailingSlash = kept.length > 0 && path.endsWith("/");
  return `/${kept.join("/")}${trailingSlash ? "/" : ""}`;
}
