// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../../lib/async/clock.ts";
import type { Budgets } from "../../model/limits.ts";
import { type Call, jsonReply, notFound, onlyLocalhost, type Reply, sendReply, textReply } from "../call.ts";
import { isLocalCaller } from "../local-caller.ts";
import type { ProbeResult } from "../probes/app-probe-route.ts";
import { type ReadinessReport, reportJson } from "../readiness/readiness-report.ts";
import type { Inspection } from "../inspection.ts";
import { envoyPages } from "./envoy-pages.ts";
import { EnvoyLogLevels } from "./envoy-log-levels.ts";
import { LogLevelRoute } from "./log-level-route.ts";
import { type DebugSources, overviewJson, readOverview, withIsoTimes } from "./overview.ts";
import { forBrowser, indexPage } from "./html/facts-page.ts";
import { pageReply } from "./html/page.ts";
import { type PageLink, statusPage } from "./html/status-page.ts";

export interface DebugRoutes extends Disposable {
  /** Handles `/` and everything below `/debug`, for callers on loopback only. */
  handle(call: Call): Promise<void>;
}

export interface DebugContext {
  readonly sources: DebugSources;
  readonly judge: { report(): Promise<ReadinessReport> };
  readonly probeResults: () => readonly ProbeResult[];
  readonly budgets: Budgets;
  readonly clock: Clock;
}

interface DebugPage {
  readonly about: string;
  /** Undefined when the handler has sent the response itself. */
  readonly handle: (call: Call) => Promise<Reply | undefined> | Reply;
}

type Pages = ReadonlyMap<string, DebugPage>;

const maxSeconds = 60;
const noStore = { "Cache-Control": "no-store" };

export function createDebugRoutes(context: DebugContext): DebugRoutes {
  const { clock } = context;
  const { inspect } = context.sources;
  const logging = createLogging(context);
  const profiles = [...profilePages(context)].map(([path, page]) => [path, oneAtATime(page, context.budgets)] as const);
  const pages: Pages = new Map([
    ...factPages(context),
    ...envoyPages({ ...context, adminAddress: inspect.envoyAdmin }),
    ...loggingPage(logging),
    ...profiles,
  ]);
  return {
    async handle(call) {
      const { request, path } = call;
      const send = (reply: Reply): void => {
        sendReply(call, withinLimit(reply, context.budgets));
      };
      const isHtml = wantsHtml(call);
      if (path === "/" && !isHtml) sendReply(call, notFound);
      else if (!isLocalCaller(request)) sendReply(call, path === "/" ? notFound : onlyLocalhost);
      else if (path === "/") send(pageReply(statusPage(await readOverview(context), linksOf(pages))));
      else if (path === "/debug") sendReply(call, { status: 307, headers: { Location: "/debug/" } });
      else if (path === "/debug/") send(isHtml ? pageReply(indexPage(linksOf(pages), clock.now())) : indexReply(pages));
      else {
        const reply = await (pages.get(path)?.handle(call) ?? notFound);
        if (reply === undefined) return;
        const { about = "" } = pages.get(path) ?? {};
        const limited = withinLimit(reply, context.budgets);
        send(isHtml ? forBrowser(limited, { path, about, nowMs: clock.now(), links: linksOf(pages) }) : limited);
      }
    },
    [Symbol.dispose]() {
      logging?.[Symbol.dispose]();
    },
  };
}

function createLogging({ sources, budgets, clock }: DebugContext): LogLevelRoute | undefined {
  const { logLevels, envoyLogLevels } = sources.inspect;
  if (logLevels === undefined) return undefined;
  const envoy = envoyLogLevels && new EnvoyLogLevels(envoyLogLevels, budgets.of("envoy-log-level-overrides"), clock);
  return new LogLevelRoute(logLevels, envoy, budgets.of("log-level-overrides"), clock);
}

function withinLimit(reply: Reply, budgets: Budgets): Reply {
  const limit = budgets.of("debug-output-bytes");
  return limit.admits(Buffer.byteLength(reply.body ?? "")) ? reply : textReply(503, limit.text);
}

/** A profile or snapshot takes memory beside that of the heap. */
function oneAtATime({ about, handle }: DebugPage, budgets: Budgets): DebugPage {
  const budget = budgets.of("debug-profiles");
  return {
    about,
    async handle(call) {
      using lease = budget.take();
      return lease === undefined ? textReply(503, budget.text) : await handle(call);
    },
  };
}

function wantsHtml({ request }: Call): boolean {
  return request.method === "GET" && /\btext\/html\b/.test(request.headers.accept ?? "");
}

function factPages(context: DebugContext): Pages {
  const { inspect } = context.sources;
  const { xds } = inspect;
  const page = (about: string, read: () => unknown): DebugPage => ({
    about,
    handle: async () => jsonReply(200, await read(), noStore),
  });
  const optional = (about: string, read: (() => unknown) | undefined): DebugPage =>
    read === undefined ? { about, handle: () => textReply(404, "not available in this agent") } : page(about, read);
  return new Map<string, DebugPage>([
    ["/debug/readiness", page("why the pod is ready or not", async () => reportJson(await context.judge.report()))],
    ["/debug/overview", page("the content of the page at /", async () => overviewJson(await readOverview(context)))],
    ["/debug/certificates", optional("certificates and roots in use, without keys", heldJson(inspect))],
    ["/debug/identity", optional("chain and roots as PEM, without the key; the SDS socket", inspect.identity)],
    ["/debug/xds", optional("configuration by type: versions, rejections", xds && (() => withIsoTimes(xds(), "both")))],
    ["/debug/node", optional("the node as the control plane knows it", inspect.node)],
    ["/debug/config", optional("effective configuration, without secrets", inspect.configuration)],
    ["/debug/events", optional("flight recorder: the last events, oldest first", inspect.events)],
    ["/debug/envoy-admin", optional("address of Envoy's admin interface", inspect.envoyAdmin)],
    [
      "/debug/ndsz",
      {
        about: "name table of the DNS proxy",
        handle: async ({ response }) => {
          const pieces = inspect.nameTable?.();
          if (pieces === undefined) return { status: 404, body: "{}" };
          await sendPieces(response, { "Content-Type": "application/json", ...noStore }, pieces);
          return undefined;
        },
      },
    ],
  ]);
}

/** The certificates in use and, under the name that they have in SDS, the trusted roots. */
function heldJson({ certificates, roots }: Inspection): (() => unknown) | undefined {
  if (certificates === undefined) return undefined;
  return () => {
    const trusted = (roots?.() ?? []).map((root) => ({ resourceName: "ROOTCA", ...root }));
    return [...certificates(), ...trusted].map((one) => withIsoTimes(one, "both"));
  };
}

function loggingPage(logging: LogLevelRoute | undefined): Pages {
  if (logging === undefined) return new Map();
  const handle = ({ request, query }: Call): Promise<Reply> => {
    const asJson = /\bapplication\/json\b/.test(request.headers.accept ?? "");
    return logging.reply({ method: request.method ?? "GET", query, asJson });
  };
  const about = "log levels; POST ?SCOPE=LEVEL&for=5m changes one for a while, envoy:LOGGER one of Envoy's";
  return new Map([["/debug/logging", { about, handle }]]);
}

function profilePages({ clock }: DebugContext): Pages {
  return new Map<string, DebugPage>([
    [
      "/debug/event-loop",
      {
        about: "how late the event loop runs, over ?seconds=1",
        handle: async ({ query, signal }) => {
          const { measureEventLoop } = await import("./profiles.ts");
          return jsonReply(200, await measureEventLoop(seconds(query, 1), clock, signal), noStore);
        },
      },
    ],
    [
      "/debug/cpu",
      {
        about: "CPU profile over ?seconds=5, for Chromium's developer tools",
        handle: async ({ query, signal }) => {
          const { recordCpuProfile } = await import("./profiles.ts");
          return download("cpu.cpuprofile", await recordCpuProfile(seconds(query, 5), clock, signal));
        },
      },
    ],
    ["/debug/heap", { about: "heap snapshot; the agent stands still meanwhile", handle: sendHeapSnapshot }],
    [
      "/debug/pprof/cmdline",
      { about: "command line, in the form of Go programs", handle: () => textBody(process.argv.join("\u0000")) },
    ],
  ]);
}

async function sendHeapSnapshot({ response }: Call): Promise<undefined> {
  const { heapSnapshot } = await import("./heap-snapshot.ts");
  const disposition = 'attachment; filename="attache.heapsnapshot"';
  await sendPieces(
    response,
    { "Content-Type": "application/json", "Content-Disposition": disposition },
    heapSnapshot(),
  );
}

/** Sends a body that is too large to be held, as fast as the caller reads it. */
async function sendPieces(
  response: Call["response"],
  headers: Reply["headers"],
  pieces: AsyncIterable<string | Uint8Array>,
): Promise<void> {
  const { Readable } = await import("node:stream");
  const { pipeline } = await import("node:stream/promises");
  response.writeHead(200, headers);
  await pipeline(Readable.from(pieces, { objectMode: false }), response);
}

function seconds(query: string, fallback: number): number {
  const given = Number(new URLSearchParams(query).get("seconds") ?? fallback);
  return given > 0 && given <= maxSeconds ? given : fallback;
}

function textBody(body: string): Reply {
  return { status: 200, headers: { "Content-Type": "text/plain; charset=utf-8" }, body };
}

function download(name: string, body: string): Reply {
  const headers = { "Content-Type": "application/json", "Content-Disposition": `attachment; filename="${name}"` };
  return { status: 200, headers, body };
}

function linksOf(pages: Pages): readonly PageLink[] {
  const links = [...pages].map(([path, { about }]) => ({ path, about }));
  return [...links, { path: "/stats/prometheus", about: "metrics of Envoy, agent and application" }];
}

function indexReply(pages: Pages): Reply {
  const widest = Math.max(...[...pages.keys()].map((path) => path.length));
  const lines = [...pages].map(([path, { about }]) => `${path.padEnd(widest)}  ${about}\n`);
  return textBody(lines.join(""));
}
