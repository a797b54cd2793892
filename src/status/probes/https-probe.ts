// SPDX-License-Identifier: Apache-2.0
import { type ClientRequest, request, type RequestOptions } from "node:http";
import { type ClientHttp2Session, connect as connectHttp2, type OutgoingHttpHeaders } from "node:http2";
import { Agent } from "node:https";
import { isIP } from "node:net";
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from "node:tls";
import type { Budget } from "../../lib/budget.ts";
import {
  type HttpsProbeRequest,
  type HttpsRequester,
  readBody,
  sendOnKeptConnection,
  sendRequest,
} from "./http-probe.ts";
import type { ProbeLimits, ProbeResponse, ProbeSettings } from "./probe-outcome.ts";

/** Of a response over HTTP/2; Node's default is 128. */
const maxHeaderCount = 2_000;
/** An idle connection is kept for the next probe this long. */
const keepIdleMs = 90_000;

/**
 * Sends requests over TLS, in HTTP/2 where the application selects it. Like the kubelet, it does not verify the
 * certificate and accepts old ciphers.
 */
export function createHttpsRequester(
  settings: Pick<ProbeSettings, "probeKeepalive" | "probeHttp2">,
  limits: ProbeLimits,
): HttpsRequester {
  const { bodyBytes } = limits;
  const tls: ConnectionOptions = { rejectUnauthorized: false, minVersion: "TLSv1.2", ciphers: "DEFAULT:@SECLEVEL=0" };
  const protocols = settings.probeHttp2 ? ["h2", "http/1.1"] : ["http/1.1"];
  const agent = new Agent({ ...tls, ALPNProtocols: ["http/1.1"], keepAlive: true, timeout: keepIdleMs });
  const sessions = new Map<number, ClientHttp2Session>();
  const withoutHttp2 = new Set<number>();

  async function sendOnNewConnection(probe: HttpsProbeRequest): Promise<ProbeResponse> {
    const { port } = probe.address;
    const socket = await handshake({ ...tls, ...probe.address, ALPNProtocols: protocols }, probe.signal);
    if (socket.alpnProtocol !== "h2") {
      if (settings.probeKeepalive) withoutHttp2.add(port);
      return await sendRequest(request({ ...http1Options(probe, limits), createConnection: () => socket }), bodyBytes);
    }
    const session = openSession(socket, limits);
    if (!settings.probeKeepalive)
      return await sendOnSession(session, probe, bodyBytes).finally(() => {
        session.destroy();
      });
    keepSession(sessions, port, session);
    return await sendOnSession(session, probe, bodyBytes);
  }

  return {
    async send(probe) {
      const { port } = probe.address;
      const session = sessions.get(port);
      const again = (): ClientRequest => agentRequest(agent, probe, limits);
      if (withoutHttp2.has(port)) return await sendOnKeptConnection(again, bodyBytes, probe.signal);
      if (session === undefined || session.closed) return await sendOnNewConnection(probe);
      try {
        return await sendOnSession(session, probe, bodyBytes);
      } catch (error) {
        // a broken connection must not fail the next probe too
        session.destroy();
        sessions.delete(port);
        if (probe.signal.aborted) throw error;
        return await sendOnNewConnection(probe);
      }
    },
    [Symbol.dispose]() {
      agent.destroy();
      for (const session of sessions.values()) session.destroy();
    },
  };
}

function http1Options(
  { address, path, headers, signal }: HttpsProbeRequest,
  { headerBytes }: ProbeLimits,
): RequestOptions {
  const tolerant = { insecureHTTPParser: true, maxHeaderSize: headerBytes.size };
  return { host: address.host, port: address.port, ...tolerant, method: "GET", path, headers, signal };
}

function agentRequest(agent: Agent, probe: HttpsProbeRequest, limits: ProbeLimits): ClientRequest {
  return request({ ...probe.address, ...http1Options(probe, limits), protocol: "https:", agent });
}

function handshake(options: ConnectionOptions & { readonly host: string }, signal: AbortSignal): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const named = isIP(options.host) === 0 ? { servername: options.host } : undefined;
    const socket = connectTls({ ...options, ...named });
    const onAbort = (): void => {
      socket.destroy(new Error("aborted"));
    };
    signal.addEventListener("abort", onAbort, { once: true });
    socket.once("error", reject);
    socket.once("close", () => {
      reject(new Error("the connection closed during the TLS handshake"));
    });
    socket.once("secureConnect", () => {
      signal.removeEventListener("abort", onAbort);
      socket.removeListener("error", reject);
      socket.on("error", () => undefined);
      resolve(socket);
    });
    if (signal.aborted) onAbort();
  });
}

function openSession(socket: TLSSocket, { headerBytes }: ProbeLimits): ClientHttp2Session {
  const settings = { enablePush: false, maxHeaderListSize: headerBytes.size };
  const options = { createConnection: () => socket, maxHeaderListPairs: maxHeaderCount, settings };
  const session = connectHttp2("https://application", options);
  session.on("error", () => undefined);
  return session;
}

function keepSession(sessions: Map<number, ClientHttp2Session>, port: number, session: ClientHttp2Session): void {
  sessions.set(port, session);
  session.setTimeout(keepIdleMs, () => {
    session.close();
  });
  session.once("close", () => {
    if (sessions.get(port) === session) sessions.delete(port);
  });
}

function sendOnSession(
  session: ClientHttp2Session,
  { path, headers, signal }: HttpsProbeRequest,
  bodyBytes: Budget,
): Promise<ProbeResponse> {
  return new Promise((resolve, reject) => {
    const stream = session.request(
      { ...http2Headers(headers), ":path": path, ":scheme": "https" },
      { signal, endStream: true },
    );
    stream.on("error", reject);
    stream.once("response", (received) => {
      const location = received.location;
      readBody(stream, bodyBytes).then((body) => {
        resolve({ status: received[":status"] ?? 0, location, body });
      }, reject);
    });
    stream.once("close", () => {
      reject(new Error("the application closed the stream without a response"));
    });
  });
}

/** HTTP/1.1 headers that HTTP/2 forbids. Source: RFC 9113 section 8.2.2 */
const connectionHeaders = new Set(["connection", "keep-alive", "proxy-connection", "upgrade", "te", "http2-settings"]);

function http2Headers(raw: readonly string[]): OutgoingHttpHeaders {
  const headers: Record<string, string[]> = {};
  let authority = "";
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = (raw[index] ?? "").toLowerCase();
    const value = raw[index + 1] ?? "";
    if (name === "host") authority = value;
    else if (!connectionHeaders.has(name)) headers[name] = [...(headers[name] ?? []), value];
  }
  return { ...headers, ":authority": authority };
}
