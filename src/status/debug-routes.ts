// SPDX-License-Identifier: Apache-2.0
import type { Call, RouteContext } from "./call.ts";
import { hostIsLoopback, isFromOtherSite, isLoopback } from "./caller.ts";
import { LogLevelRoute } from "./log-level-route.ts";
import { type Overview, readOverview } from "./overview.ts";
import { reportJson } from "./readiness-report.ts";
import { notFound, onlyLocalhost, type Reply, sendReply, textReply } from "./reply.ts";
import { renderStatusPage } from "./status-page.ts";

export interface DebugRoutes extends Disposable {
  /** Answers `/` and everything below `/debug`, to callers on loopback alone. */
  answer(call: Call): Promise<void>;
}

interface DebugPage {
  readonly about: string;
  /** A reply, or undefined when the answer was sent already. */
  readonly answer: (call: Call) => Promise<Reply | undefined> | Reply;
}

type Pages = ReadonlyMap<string, DebugPage>;

const longestSeconds = 60;

export function createDebugRoutes(context: RouteContext): DebugRoutes {
  const { inspect = {} } = context.sources;
  const logging = inspect.logLevels === undefined ? undefined : new LogLevelRoute(inspect.logLevels, context.clock);
  const pages: Pages = new Map([...factPages(context), ...loggingPage(logging), ...profilePages(context)]);
  return {
    async answer(call) {
      const { request, path } = call;
      if (path === "/" && !wantsHtml(call)) sendReply(call, notFound);
      else if (!isLocal(request)) sendReply(call, path === "/" ? notFound : onlyLocalhost);
      else if (path === "/") sendReply(call, htmlReply(renderStatusPage(await readOverview(context))));
      else if (path === "/debug") sendReply(call, { status: 307, headers: { Location: "/debug/" } });
      else if (path === "/debug/") sendReply(call, indexReply(pages));
      else {
        const reply = await (pages.get(path)?.answer(call) ?? notFound);
        if (reply !== undefined) sendReply(call, reply);
      }
    },
    [Symbol.dispose]() {
      logging?.[Symbol.dispose]();
    },
  };
}

function isLocal(request: Call["request"]): boolean {
  return isLoopback(request.socket.remoteAddress) && hostIsLoopback(request.headers.host) && !isFromOtherSite(request);
}

function wantsHtml({ request }: Call): boolean {
  return request.method === "GET" && /\btext\/html\b/.test(request.headers.accept ?? "");
}

function factPages(context: RouteContext): Pages {
  const { judge, sources } = context;
  const { inspect = {} } = sources;
  const facts = (about: string, read: (() => unknown) | undefined): DebugPage => ({
    about,
    answer: () => (read === undefined ? textReply(404, "not available in this agent") : jsonReply(read())),
  });
  return new Map<string, DebugPage>([
    [
      "/debug/readiness",
      { about: "why the pod is ready or not", answer: async () => jsonReply(reportJson(await judge.report())) },
    ],
    [
      "/debug/overview",
      { about: "what the page at / shows", answer: async () => jsonReply(await overviewJson(context)) },
    ],
    ["/debug/certificates", facts("certificates and roots that are held, without keys", inspect.certificates)],
    ["/debug/xds", facts("configuration by type: versions, refusals", inspect.xds)],
    ["/debug/node", facts("the node as the control plane knows it", inspect.node)],
    ["/debug/config", facts("effective configuration, without secrets", inspect.configuration)],
    [
      "/debug/ndsz",
      {
        about: "name table of the DNS proxy",
        answer: () => {
          const table = inspect.nameTable?.();
          return table === undefined ? { status: 404, body: "{}" } : jsonReply(table);
        },
      },
    ],
  ]);
}

function loggingPage(logging: LogLevelRoute | undefined): Pages {
  if (logging === undefined) return new Map();
  const answer = ({ request, query }: Call): Reply => logging.answer(request.method ?? "GET", query);
  const about = "log levels; POST ?SCOPE=LEVEL&for=5m changes one for a while";
  return new Map([["/debug/logging", { about, answer }]]);
}

function profilePages({ clock }: RouteContext): Pages {
  return new Map<string, DebugPage>([
    [
      "/debug/event-loop",
      {
        about: "how late the event loop runs, over ?seconds=1",
        answer: async ({ query, signal }) => {
          const { measureEventLoop } = await import("./profiles.ts");
          return jsonReply(await measureEventLoop(seconds(query, 1), clock, signal));
        },
      },
    ],
    [
      "/debug/cpu",
      {
        about: "CPU profile over ?seconds=5, for Chromium's developer tools",
        answer: async ({ query, signal }) => {
          const { recordCpuProfile } = await import("./profiles.ts");
          return download("cpu.cpuprofile", await recordCpuProfile(seconds(query, 5), clock, signal));
        },
      },
    ],
    ["/debug/heap", { about: "heap snapshot; stops the agent while it is taken", answer: sendHeapSnapshot }],
    [
      "/debug/pprof/cmdline",
      { about: "command line, as Go programs show it", answer: () => textBody(process.argv.join("\u0000")) },
    ],
  ]);
}

async function sendHeapSnapshot({ response }: Call): Promise<undefined> {
  const { heapSnapshot } = await import("./profiles.ts");
  const { pipeline } = await import("node:stream/promises");
  const disposition = 'attachment; filename="attache.heapsnapshot"';
  response.writeHead(200, { "Content-Type": "application/json", "Content-Disposition": disposition });
  await pipeline(heapSnapshot(), response);
}

function seconds(query: string, fallback: number): number {
  const given = Number(new URLSearchParams(query).get("seconds") ?? fallback);
  return given > 0 && given <= longestSeconds ? given : fallback;
}

async function overviewJson(context: RouteContext): Promise<unknown> {
  const overview: Overview = await readOverview(context);
  return { ...overview, readiness: reportJson(overview.readiness) };
}

function jsonReply(value: unknown): Reply {
  const body = `${JSON.stringify(value, undefined, 2)}\n`;
  return { status: 200, headers: { "Content-Type": "application/json", "Cache-Control": "no-store" }, body };
}

function textBody(body: string): Reply {
  return { status: 200, headers: { "Content-Type": "text/plain; charset=utf-8" }, body };
}

function download(name: string, body: string): Reply {
  const headers = { "Content-Type": "application/json", "Content-Disposition": `attachment; filename="${name}"` };
  return { status: 200, headers, body };
}

/** No script, style or image from elsewhere can get into the page. */
function htmlReply(body: string): Reply {
  const headers = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Content-Security-Policy":
      "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
  };
  return { status: 200, headers, body };
}

function indexReply(pages: Pages): Reply {
  const widest = Math.max(...[...pages.keys()].map((path) => path.length));
  const lines = [...pages].map(([path, { about }]) => `${path.padEnd(widest)}  ${about}\n`);
  return textBody(lines.join(""));
}
