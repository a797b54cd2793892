// SPDX-License-Identifier: Apache-2.0
import { Agent, type ClientRequest, request } from "node:http";
import { isIPv6 } from "node:net";
import type { Budget } from "../../lib/budget.ts";
import type { AppProbeHandler } from "../status-config.ts";
import { sendPlainProbe } from "./plain-probe.ts";
import type {
  ProbeAddress,
  ProbeLimits,
  ProbeOutcome,
  ProbeRequest,
  ProbeResponse,
  ProbeSettings,
} from "./probe-outcome.ts";

type HttpHandler = Extract<AppProbeHandler, { kind: "http" }>;

export interface HttpProber extends Disposable {
  /** @throws when the application sends no response */
  probe(handler: HttpHandler, kubelet: ProbeRequest, signal: AbortSignal): Promise<ProbeOutcome>;
}

/** One GET request over TLS. */
export interface HttpsProbeRequest {
  readonly address: ProbeAddress & { readonly port: number };
  readonly path: string;
  /** Names and values alternate; Host is the first. */
  readonly headers: readonly string[];
  readonly signal: AbortSignal;
}

export interface HttpsRequester extends Disposable {
  send(request: HttpsProbeRequest): Promise<ProbeResponse>;
}

/** Source: Go's http.Transport */
const maxInterimResponses = 5;
/** The first request included. Source: Go's http.Client */
const maxRequests = 10;
const keepIdleMs = 90_000;

export interface HttpProberParts {
  readonly address: ProbeAddress;
  readonly limits: ProbeLimits;
  /** Called for the first HTTPS request. */
  readonly loadHttps: () => Promise<HttpsRequester>;
}

/** Sends HTTP and HTTPS probes as the kubelet does. The application's certificate is not verified. */
export function createHttpProber(settings: ProbeSettings, { address, limits, loadHttps }: HttpProberParts): HttpProber {
  const agent = settings.probeKeepalive ? new Agent({ keepAlive: true, timeout: keepIdleMs }) : undefined;
  let https: Promise<HttpsRequester> | undefined;

  async function send(
    { scheme, port }: Pick<HttpHandler, "scheme" | "port">,
    path: string,
    headers: readonly string[],
    signal: AbortSignal,
  ): Promise<ProbeResponse> {
    const target = { ...address, port };
    if (scheme === "https") {
      https ??= loadHttps();
      return await (await https).send({ address: target, path, headers, signal });
    }
    if (agent === undefined) return await sendPlainProbe({ address: target, path, headers, limits, signal });
    const tolerant = { insecureHTTPParser: true, maxHeaderSize: limits.headerBytes.size };
    const options = { ...target, ...tolerant, method: "GET", path, headers, signal, agent };
    return await sendOnKeptConnection(() => request(options), limits.bodyBytes, signal);
  }

  return {
    async probe(handler, kubelet, signal) {
      const authority = `${urlHost(settings.appHost)}:${String(handler.port)}`;
      let target: Pick<HttpHandler, "scheme" | "port"> = handler;
      let path = requestPath(handler.path);
      let url = `${handler.scheme}://${authority}${path}`;
      let host = appAuthority(kubelet.headers.host, { statusPort: settings.port, appPort: handler.port, authority });
      const headers = forwardedHeaders(kubelet, settings.probeKeepalive);
      for (let requestsMade = 1; ; requestsMade++) {
        const response = await send(target, path, ["Host", host, ...headers], signal);
        if (response.status < 300 || response.status > 399) return { kind: "responded", ...response };
        const step = nextRedirect(response.status, response.location, new URL(url), requestsMade);
        if (step.kind === "stop") return { kind: "passed" };
        if (step.kind === "fail") return { kind: "failed", side: "app", reason: step.reason };
        if (step.absolute) host = step.url.host;
        target = { scheme: step.url.protocol === "https:" ? "https" : "http", port: portOf(step.url) };
        url = step.url.href;
        path = `${step.url.pathname}${step.url.search}`;
      }
    },
    [Symbol.dispose]() {
      agent?.destroy();
      void https?.then((requester) => {
        requester[Symbol.dispose]();
      });
    },
  };
}

function urlHost(host: string): string {
  if (host === "") return "localhost";
  return isIPv6(host) ? `[${host}]` : host;
}

function portOf(url: URL): number {
  if (url.port !== "") return Number(url.port);
  return url.protocol === "https:" ? 443 : 80;
}

/** The configured path as a request line may have it: dot segments stay, characters that are not allowed are encoded. */
function requestPath(path: string): string {
  const [beforeFragment = ""] = path.split("#");
  const absolute = beforeFragment.startsWith("/") ? beforeFragment : `/${beforeFragment}`;
  return absolute.replaceAll(/[^\x21-\x7e]+/g, encodeURI);
}

/** Headers of the kubelet's connection, or about a body, which is not forwarded. */
const notForwarded = new Set(["host", "connection", "keep-alive", "content-length", "transfer-encoding", "expect"]);

/**
 * The application's headers except Host, names and values alternating: those of the kubelet's request in their order,
 * and `Connection: close` unless connections are kept.
 * Source: istio cmd/pilot-agent/status, kubernetes pkg/probe/http
 */
export function forwardedHeaders({ rawHeaders, headers }: ProbeRequest, keepAlive: boolean): readonly string[] {
  const forwarded: string[] = [];
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const [name = "", value = ""] = rawHeaders.slice(index, index + 2);
    if (!notForwarded.has(name.toLowerCase())) forwarded.push(name, value);
  }
  if (headers["user-agent"] === undefined) forwarded.push("User-Agent", "attache-probe");
  if (!keepAlive) forwarded.push("Connection", "close");
  return forwarded;
}

export interface AuthorityOptions {
  readonly statusPort: number;
  readonly appPort: number;
  /** Used when the kubelet's request has no Host. */
  readonly authority: string;
}

/** The application's Host header: that of the kubelet's request, with the application's port in place of the status port. */
export function appAuthority(host: string | undefined, { statusPort, appPort, authority }: AuthorityOptions): string {
  if (host === undefined || host === "") return authority;
  const match = /^(.*):(\d+)$/.exec(host);
  if (match === null || Number(match[2]) !== statusPort) return host;
  return `${match[1] ?? ""}:${String(appPort)}`;
}

export type RedirectStep =
  | { readonly kind: "follow"; readonly url: URL; readonly absolute: boolean }
  /** The probe passes: the redirect leads to another host, or nowhere. */
  | { readonly kind: "stop" }
  | { readonly kind: "fail"; readonly reason: string };

const redirectStatuses = new Set([301, 302, 303, 307, 308]);

/**
 * Handles a redirect as the kubelet does: one to the same host name is followed, whatever its port and scheme; one to
 * another host passes the probe.
 * @param from the URL of the request @param requestsMade including the request that this redirect responds to
 * Source: kubernetes pkg/probe/http, RedirectChecker; Go's http.Client
 */
export function nextRedirect(
  status: number,
  received: string | undefined,
  from: URL,
  requestsMade: number,
): RedirectStep {
  if (!redirectStatuses.has(status) || received === undefined || received === "") return { kind: "stop" };
  // one character for each byte, and the URL parser would take them for letters
  const location = received.replaceAll(/[\x80-\xff]/g, (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase()}`);
  if (!URL.canParse(location, from)) return { kind: "fail", reason: "redirect to a location that is no URL" };
  const url = new URL(location, from);
  if (url.hostname !== from.hostname) return { kind: "stop" };
  if (requestsMade >= maxRequests) return { kind: "fail", reason: `stopped after ${String(maxRequests)} redirects` };
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    return { kind: "fail", reason: `redirect to the unsupported scheme ${url.protocol.slice(0, -1)}` };
  }
  return { kind: "follow", url, absolute: URL.canParse(location) };
}

/**
 * Sends the request again when it failed on a kept connection: servers close idle connections at any time, which says
 * nothing about the application's health.
 * Source: Go's http.Transport does the same
 */
export async function sendOnKeptConnection(
  createRequest: () => ClientRequest,
  body: Budget,
  signal: AbortSignal,
): Promise<ProbeResponse> {
  for (;;) {
    const outgoing = createRequest();
    try {
      return await sendRequest(outgoing, body);
    } catch (error) {
      if (!outgoing.reusedSocket || signal.aborted) throw error;
    }
  }
}

/** Sends the request and reads as much of the response as the kubelet would. @param bodyBytes for the body */
export function sendRequest(outgoing: ClientRequest, bodyBytes: Budget): Promise<ProbeResponse> {
  return new Promise((resolve, reject) => {
    let interimResponses = 0;
    outgoing.on("error", reject);
    outgoing.on("information", () => {
      if (++interimResponses > maxInterimResponses) outgoing.destroy(new Error("too many interim responses"));
    });
    outgoing.on("upgrade", (response, socket) => {
      socket.destroy();
      resolve({ status: response.statusCode ?? 101, location: undefined, body: new Uint8Array() });
    });
    outgoing.on("response", (response) => {
      const { statusCode: status = 0 } = response;
      // these have no body; the kubelet ignores one that is sent nevertheless
      if (status === 204 || status === 304) {
        resolve({ status, location: undefined, body: new Uint8Array() });
        response.resume();
        return;
      }
      readBody(response, bodyBytes).then((body) => {
        resolve({ status, location: response.headers.location, body });
      }, reject);
    });
    outgoing.end();
  });
}

/**
 * The beginning of a body. A longer one is no fault of the application, so it does not count as a rejection.
 * Source: kubernetes pkg/probe/http, which reads 10 KiB
 */
export async function readBody(response: AsyncIterable<unknown>, { size }: Budget): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response) {
    if (!Buffer.isBuffer(chunk)) continue;
    chunks.push(chunk);
    bytes += chunk.byteLength;
    if (bytes >= size) break;
  }
  return Buffer.concat(chunks).subarray(0, size);
}
