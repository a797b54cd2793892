// SPDX-License-Identifier: Apache-2.0
import { StringDecoder } from "node:string_decoder";
import type { AgentClient } from "../../agent-client.ts";
import { HttpStatusError, type PageFacts, readBody, usualShare, usualTimeoutMs } from "./http-part.ts";
import { type Part, PartSkippedError, type PartSink } from "./part.ts";

const mostBodyBytes = 1024 * 1024 * 1024;

/** The agent asks an Envoy that hangs for as long. */
const waitsForEnvoyMs = 6_000;

/** The first one, which needs nothing of others, tells whether the agent responds at all. */
const pages: readonly PageFacts[] = [
  { file: "agent/node.json", about: "the node as sent", path: "/debug/node", form: "json", member: "node" },
  {
    file: "agent/readiness.json",
    about: "readiness, with each condition",
    path: "/debug/readiness",
    form: "json",
    timeoutMs: waitsForEnvoyMs,
  },
  {
    file: "agent/overview.json",
    about: "all of the status page",
    path: "/debug/overview",
    form: "json",
    timeoutMs: waitsForEnvoyMs,
  },
  { file: "agent/xds.json", about: "xDS: versions and rejections", path: "/debug/xds", form: "json" },
  { file: "agent/events.json", about: "flight recorder: the last events", path: "/debug/events", form: "json" },
  { file: "agent/certificates.json", about: "certificates and roots", path: "/debug/certificates", form: "json" },
  { file: "agent/identity.json", about: "certificates as PEM, no key", path: "/debug/identity", form: "json" },
  { file: "agent/proxy-config.json", about: "effective ProxyConfig", path: "/debug/config", form: "json" },
  { file: "agent/log-levels.txt", about: "levels of the agent's log", path: "/debug/logging", form: "text" },
  { file: "agent/event-loop.json", about: "delay of the event loop", path: "/debug/event-loop", form: "json" },
  { file: "agent/command-line.txt", about: "command line", path: "/debug/pprof/cmdline", form: "text" },
  { file: "agent/name-table.json", about: "name table of the DNS proxy", path: "/debug/ndsz", form: "json" },
];

/** What a running agent says about itself. */
export function agentParts(client: AgentClient): readonly Part[] {
  const parts = pages.map(({ path, timeoutMs = usualTimeoutMs, share = usualShare, ...facts }): Part => {
    return {
      ...facts,
      source: `${client.url.host}${path}`,
      timeoutMs,
      share,
      read: (sink, signal) =>
        readPage(client, { path, timeoutMs }, path.endsWith("cmdline") ? words(sink) : sink, signal),
    };
  });
  return [...parts, metricsPart(client)];
}

interface Page {
  readonly path: string;
  readonly timeoutMs: number;
}

/** @throws PartSkippedError for a page that this agent does not have */
async function readPage(client: AgentClient, page: Page, sink: PartSink, signal: AbortSignal): Promise<void> {
  try {
    await client.stream({ ...page, maxBodyBytes: mostBodyBytes }, (stream) => readBody(stream, sink), signal);
  } catch (error) {
    if (error instanceof HttpStatusError && error.status === 404) {
      throw new PartSkippedError(
        "this agent has no such page; it may be of another version, or run with --profiling=false",
      );
    }
    throw error;
  }
}

/** Arguments are separated by zero bytes. */
function words(sink: PartSink): PartSink {
  return (piece) => {
    sink(Buffer.from(piece).toString("utf8").replaceAll("\0", "\n"));
  };
}

const ownFamily =
  /^(?:# \w+ )?(?:attache_|istio_agent_|process_|nodejs_|go_|cert_|scrape_|startup_|wasm_|outgoing_|num_|xds_|dns_)/;

/** The application's metrics are in the same response. They belong to the application. */
function metricsPart(client: AgentClient): Part {
  const page = { path: "/stats/prometheus", timeoutMs: 5_000 };
  return {
    file: "agent/metrics.txt",
    about: "metrics of the agent; those of the application and of Envoy are left out",
    source: `${client.url.host}${page.path}`,
    form: "statistics",
    timeoutMs: page.timeoutMs,
    share: usualShare,
    async read(sink, signal) {
      const decoder = new StringDecoder("utf8");
      let rest = "";
      const filter: PartSink = (piece) => {
        const lines = (rest + decoder.write(Buffer.from(piece))).split("\n");
        rest = lines.pop() ?? "";
        sink(
          lines
            .filter((line) => ownFamily.test(line))
            .map((line) => `${line}\n`)
            .join(""),
        );
      };
      await readPage(client, page, filter, signal);
    },
  };
}
