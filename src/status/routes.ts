// SPDX-License-Identifier: Apache-2.0
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { describeError } from "../lib/errors.ts";
import { answerAppProbe } from "./app-probe-route.ts";
import type { Call, RouteContext } from "./call.ts";
import { isFromOtherSite, isLoopback } from "./caller.ts";
import type { DebugRoutes } from "./debug-routes.ts";
import { answerMetrics } from "./metrics-route.ts";
import { answerReadiness } from "./readiness-route.ts";
import { ReadinessWait } from "./readiness-wait.ts";
import { methodNotAllowed, notFound, onlyLocalhost, type Reply, sendReply, textReply } from "./reply.ts";
import { parseRequestTarget } from "./request-path.ts";

type Handler = (call: Call) => Promise<void>;

export interface Routes extends Disposable {
  /** Answers every request; nothing that a caller sends, and no handler that throws, gets past this function. */
  readonly handle: RequestListener;
}

export function createRoutes(context: RouteContext): Routes {
  const debug = lazyDebugRoutes(context);
  const find = createFinder(context, debug);
  const latest = new WeakMap<Socket, ServerResponse>();
  const handle: RequestListener = (request, response) => {
    const { socket } = request;
    const before = latest.get(socket);
    latest.set(socket, response);
    // a caller that asks on without reading its answers waits for itself, and keeps nothing busy meanwhile
    if (before === undefined || before.closed) answer(request, response);
    else {
      before.once("close", () => {
        answer(request, response);
      });
    }
  };
  const answer: RequestListener = (request, response) => {
    const gone = new AbortController();
    response.once("close", () => {
      gone.abort(new Error("the caller has gone"));
    });
    response.on("error", () => undefined);
    const target = parseRequestTarget(request.url ?? "");
    if (target.kind === "malformed") {
      sendReply({ request, response }, textReply(400, "400 Bad Request"));
      return;
    }
    if (target.kind === "unclean") {
      sendReply({ request, response }, redirect(request, target.location));
      return;
    }
    const call = { request, response, path: target.path, query: target.query, signal: gone.signal };
    find(call)(call).catch((error: unknown) => {
      if (gone.signal.aborted && !response.writableFinished) {
        context.log.debug("caller left before its response was complete", { path: target.path });
        return;
      }
      context.log.error("a status request failed", { path: target.path, reason: describeError(error) });
      if (response.headersSent) response.destroy();
      else sendReply(call, textReply(500, "500 Internal Server Error"));
    });
  };
  return { handle, [Symbol.dispose]: debug[Symbol.dispose] };
}

/** What is for people is loaded when the first of them asks. */
function lazyDebugRoutes(context: RouteContext): { readonly answer: Handler } & Disposable {
  let loaded: Promise<DebugRoutes> | undefined;
  return {
    async answer(call) {
      loaded ??= import("./debug-routes.ts").then(({ createDebugRoutes }) => createDebugRoutes(context));
      await (await loaded).answer(call);
    },
    [Symbol.dispose]() {
      void loaded?.then((routes) => {
        routes[Symbol.dispose]();
      });
    },
  };
}

function createFinder(context: RouteContext, debug: { readonly answer: Handler }): (call: Call) => Handler {
  const { config, sources, log, judge, clock, turns } = context;
  const wait = new ReadinessWait({ judge, clock, terminating: sources.terminating });
  const exact = new Map<string, Handler>([
    [
      "/healthz/ready",
      async (call) => {
        if (call.request.headers["prefer"] !== undefined) await wait.untilReady(call);
        await answerReadiness(context, call);
      },
    ],
    ["/stats/prometheus", later(turns, (call) => answerMetrics(context, call))],
    ["/metrics", later(turns, (call) => answerMetrics(context, call))],
    [
      "/quitquitquit",
      control(() => {
        log.info("quit requested");
        sources.quit();
      }),
    ],
    [
      "/drain",
      control(() => {
        log.info("drain requested");
        sources.drain();
      }),
    ],
  ]);
  const probes = new Map(Object.entries(config.appProbes));
  const people = later(turns, debug.answer);
  return ({ path }) => {
    const found = exact.get(path);
    if (found !== undefined) return found;
    for (const root of ["/app-health", "/app-lifecycle"]) {
      if (path === root) return (call) => reply(call, redirect(call.request, `${root}/`));
      if (path.startsWith(`${root}/`)) return (call) => answerAppProbe(context, probes.get(path), call);
    }
    const forPeople = path === "/" || path === "/debug" || path.startsWith("/debug/");
    return forPeople && config.debug ? people : (call) => reply(call, notFound);
  };
}

/** For what takes longer than a probe, and may wait for its turn. */
function later(turns: RouteContext["turns"], handler: Handler): Handler {
  return async (call) => {
    await turns.next();
    if (!call.signal.aborted) await handler(call);
  };
}

/** For a POST from loopback. The answer leaves before the thing that was asked for begins. */
function control(act: () => void): Handler {
  return async (call) => {
    const { request, response } = call;
    if (!isLoopback(request.socket.remoteAddress) || isFromOtherSite(request)) await reply(call, onlyLocalhost);
    else if (request.method !== "POST") await reply(call, methodNotAllowed);
    else {
      await reply(call, { status: 200, headers: { "Content-Type": "text/plain; charset=utf-8" }, body: "OK" });
      await sent(response);
      act();
    }
  };
}

function sent(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    if (response.writableFinished || response.destroyed) resolve();
    else {
      response.once("finish", resolve);
      response.once("close", resolve);
    }
  });
}

function reply(call: Call, answer: Reply): Promise<void> {
  sendReply(call, answer);
  return Promise.resolve();
}

/** 307 keeps the method, so that a POST does not arrive as a GET. */
function redirect(request: IncomingMessage, path: string): Reply {
  // browsers read /\ as //, which would lead to another host
  const location = path.replaceAll("\\", "%5C");
  const hasBody = request.method === "GET" || request.method === "HEAD";
  const headers = { Location: location, "Content-Type": "text/html; charset=utf-8" };
  const link = `<a href="${location.replaceAll(/[&<>"']/g, (char) => `&#${String(char.charCodeAt(0))};`)}">Temporary Redirect</a>.\n`;
  return hasBody ? { status: 307, headers, body: link } : { status: 307, headers: { Location: location } };
}
