// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../../../lib/async/clock.ts";
import { formatHostPort } from "../../../lib/net/host-port.ts";
import { type HttpRequest, streamHttp } from "../../../lib/net/http-client.ts";
import { plainExchange } from "../../../lib/net/plain-exchange.ts";
import { type EnvoyAdminAddress, socketAddress } from "../../../model/bootstrap-facts.ts";
import type { AgentClient } from "../../agent-client.ts";
import { type PageFacts, readBody, usualShare, usualTimeoutMs } from "./http-part.ts";
import { type Part, PartSkippedError, type PartSink } from "./part.ts";

/** How Envoy's admin interface is reached. */
export type EnvoyAccess =
  | { readonly kind: "direct"; readonly address: EnvoyAdminAddress }
  /** Through the agent: it may be on another machine. */
  | { readonly kind: "agent"; readonly client: AgentClient }
  | { readonly kind: "none"; readonly reason: string };

const mostBodyBytes = 1024 * 1024 * 1024;

/** The first one tells whether Envoy responds at all. */
const pages: readonly PageFacts[] = [
  {
    file: "envoy/server_info.json",
    about: "version, state, command line",
    path: "/server_info",
    form: "json",
    timeoutMs: 4_000,
  },
  {
    file: "envoy/listeners.json",
    about: "addresses that Envoy listens on",
    path: "/listeners?format=json",
    form: "json",
  },
  { file: "envoy/memory.json", about: "memory of Envoy", path: "/memory", form: "json" },
  { file: "envoy/certs.json", about: "certificates in use, without keys", path: "/certs", form: "json" },
  { file: "envoy/logging.txt", about: "log levels of Envoy", path: "/logging", form: "text" },
  {
    file: "envoy/stats.txt",
    about: "statistics that are in use",
    path: "/stats?usedonly",
    form: "statistics",
    timeoutMs: 8_000,
    share: 0.15,
  },
  {
    file: "envoy/clusters.json",
    about: "endpoints and their health",
    path: "/clusters?format=json",
    form: "json",
    timeoutMs: 8_000,
    share: 0.15,
  },
  {
    file: "envoy/config_dump.json",
    about: "the whole configuration, endpoints included",
    path: "/config_dump?include_eds",
    form: "json",
    timeoutMs: 18_000,
    share: 0.6,
  },
];

/** @param findAccess asked once for each page, which may be before an agent has said where Envoy is */
export function envoyParts(access: EnvoyAccess, clock: Clock): readonly Part[] {
  return pages.map(({ path, timeoutMs = usualTimeoutMs, share = usualShare, ...facts }): Part => {
    const page = { path, timeoutMs };
    return {
      ...facts,
      source: `${nameOf(access)}${path}`,
      timeoutMs,
      share,
      read: (sink, signal) => readPage(access, page, { clock, sink, signal }),
    };
  });
}

interface Reading {
  readonly clock: Clock;
  readonly sink: PartSink;
  readonly signal: AbortSignal;
}

async function readPage(
  access: EnvoyAccess,
  { path, timeoutMs }: { readonly path: string; readonly timeoutMs: number },
  { clock, sink, signal }: Reading,
): Promise<void> {
  if (access.kind === "none") throw new PartSkippedError(access.reason);
  if (access.kind === "agent") {
    const request = { path: `/debug/envoy${path}`, timeoutMs, maxBodyBytes: mostBodyBytes };
    await access.client.stream(request, (stream) => readBody(stream, sink), signal);
    return;
  }
  const request: HttpRequest = {
    ...target(access.address, path),
    method: path === "/logging" ? "POST" : "GET",
    deadline: { clock, timeoutMs },
    maxBodyBytes: mostBodyBytes,
    exchange: plainExchange,
  };
  await streamHttp(request, (stream) => readBody(stream, sink), signal);
}

function target(address: EnvoyAdminAddress, path: string): Pick<HttpRequest, "url" | "connection"> {
  if (!("socketPath" in address)) return { url: { ...address, path } };
  const socketPath = socketAddress(address.socketPath);
  return { url: { host: "localhost", port: 80, path }, connection: () => ({ socketPath }) };
}

function nameOf(access: EnvoyAccess): string {
  if (access.kind === "none") return "Envoy";
  if (access.kind === "agent") return `${access.client.url.host}/debug/envoy`;
  return "socketPath" in access.address ? access.address.socketPath : formatHostPort(access.address);
}
