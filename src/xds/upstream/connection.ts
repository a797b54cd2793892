// SPDX-License-Identifier: Apache-2.0
import type { Socket } from "node:net";
import type { Clock } from "../../lib/async/clock.ts";
import { orAborted } from "../../lib/async/tasks.ts";
import type { Budget } from "../../lib/budget.ts";
import { describeError } from "../../lib/errors.ts";
import { readTextFile } from "../../lib/fs/bounded-read.ts";
import { createGrpcChannel, type ClientStream, type GrpcTarget } from "../../lib/grpc/client.ts";
import { ConnectProgress } from "../../lib/grpc/connect-progress.ts";
import { type Dial, dialTcp } from "../../lib/grpc/dial.ts";
import type { Metadata } from "../../lib/grpc/metadata.ts";
import type { RepeatedWarnings } from "../../lib/log/repeated-warnings.ts";
import { formatHostPort, type HostPort } from "../../lib/net/host-port.ts";
import { isLoopbackHost } from "../../lib/net/ip-address.ts";
import { tlsErrorIn } from "../../lib/net/tls-error.ts";
import type { TlsClient } from "../../lib/net/tls-client.ts";
import type { Budgets } from "../../model/limits.ts";
import type { ReadToken } from "../../model/token.ts";
import type { RejectedCredential } from "../../model/token-advice.ts";
import type { XdsProtocol } from "../protocol/request.ts";
import type { HttpProxyAddress, XdsConfig, XdsUpstream } from "../xds-config.ts";
import type { UpstreamProblem } from "./upstream-problem.ts";

/** A connection to a control plane with its one stream. A new stream gets a new connection: it may reach another replica. */
export interface UpstreamConnection extends AsyncDisposable {
  readonly address: string;
  readonly stream: ClientStream;
}

export interface UpstreamDeps {
  readonly connectionWarnings: RepeatedWarnings;
  readonly clock: Clock;
  readonly budgets: Budgets;
  /** Undefined: the connection is plaintext. */
  readonly tls: TlsClient | undefined;
  /** Takes precedence over the token file; undefined: the file is read, if one is configured. */
  readonly readToken?: ReadToken | undefined;
  /** Notes how far a connection comes, and what it presents. */
  readonly upstreamProblem?: UpstreamProblem;
}

const service = "/envoy.service.discovery.v3.AggregatedDiscoveryService/";

/** The methods of the ADS service, for client and server. */
export const adsMethods: Readonly<Record<XdsProtocol, string>> = {
  sotw: `${service}StreamAggregatedResources`,
  delta: `${service}DeltaAggregatedResources`,
};

/**
 * Opens a stream at the first address that is reachable. Token, roots and client certificate are read now.
 * @throws GrpcError of the last address when none is reachable
 */
export async function connectUpstream(
  config: XdsConfig,
  protocol: XdsProtocol,
  deps: UpstreamDeps,
  signal: AbortSignal,
): Promise<UpstreamConnection> {
  const { addresses } = config.upstream;
  const metadata = await readMetadata(config.upstream, deps, signal);
  for (const [index, address] of addresses.entries()) {
    try {
      return await connectTo(address, { config, protocol, metadata }, deps, signal);
    } catch (error) {
      if (signal.aborted || index === addresses.length - 1) throw error;
      const isTls = tlsErrorIn(error) !== undefined;
      const what = isTls ? "TLS with the control plane failed" : "control plane unreachable";
      deps.connectionWarnings.warn(`${what}; trying the next address`, {
        address: formatHostPort(address),
        next: formatHostPort(addresses[index + 1] ?? address),
        reason: describeError(error),
      });
    }
  }
  throw new Error("no control plane address is configured");
}

interface StreamOptions {
  readonly config: XdsConfig;
  readonly protocol: XdsProtocol;
  readonly metadata: Metadata;
}

async function connectTo(address: HostPort, options: StreamOptions, deps: UpstreamDeps, signal: AbortSignal) {
  const { upstream, keepalive } = options.config;
  const { security, connectTimeoutMs } = upstream;
  const responseBytes = deps.budgets.of("xds-connect-response-bytes");
  const { httpProxy } = upstream;
  const progress = new ConnectProgress(httpProxy && dialThroughProxy(httpProxy, responseBytes));
  deps.upstreamProblem?.connecting(formatHostPort(address), progress);
  const channel = createGrpcChannel(
    {
      target: targetFor(address, progress.dial, deps),
      authority: security.kind === "tls" ? security.serverName : upstream.authority,
      connectTimeoutMs,
      keepalive,
      maxReceiveBytes: 2 ** 31 - 1,
      windowBytes: deps.budgets.of("xds-window-bytes").size,
    },
    deps,
  );
  try {
    const stream = await channel.stream(adsMethods[options.protocol], { metadata: options.metadata, signal });
    return { address: formatHostPort(address), stream, [Symbol.asyncDispose]: () => channel[Symbol.asyncDispose]() };
  } catch (error) {
    await channel[Symbol.asyncDispose]();
    throw error;
  }
}

function targetFor({ host, port }: HostPort, dial: Dial, { tls, clock }: UpstreamDeps): GrpcTarget {
  if (tls === undefined) return { kind: "tcp", host, port, dial };
  return { kind: "tls", host, port, dial, tlsOptions: () => tls.options(clock.now()) };
}

/** A missing token is not an error: a client certificate may suffice, and otherwise the control plane rejects the stream. */
async function readMetadata(upstream: XdsUpstream, deps: UpstreamDeps, signal: AbortSignal): Promise<Metadata> {
  const metadata = { ...upstream.headers, clusterid: upstream.clusterId };
  const token = await readBearerToken(upstream, deps, signal);
  const { tokenPath: source = "the machine's metadata server" } = upstream;
  if (deps.upstreamProblem !== undefined) deps.upstreamProblem.credential = { ...token, source };
  return token.token === undefined ? metadata : { ...metadata, authorization: `Bearer ${token.token}` };
}

/** Whether only the control plane can read a token: over TLS, and in plaintext within this machine. */
export function keepsTokensSecret({ security, addresses }: Pick<XdsUpstream, "security" | "addresses">): boolean {
  return security.kind === "tls" || addresses.every(({ host }) => isLoopbackHost(host));
}

/** The token, or why there is none. */
type ReadBearerToken = Pick<RejectedCredential, "token" | "problem">;

async function readBearerToken(
  upstream: XdsUpstream,
  { connectionWarnings, readToken }: UpstreamDeps,
  signal: AbortSignal,
): Promise<ReadBearerToken> {
  const { tokenPath, security } = upstream;
  if (!keepsTokensSecret(upstream)) {
    if (tokenPath !== undefined || readToken !== undefined) {
      connectionWarnings.warn("control plane is not reached over TLS; connecting without a token");
    }
    return { token: undefined, problem: "the connection has no TLS; use a TLS port of the control plane" };
  }
  if (readToken !== undefined) {
    const token = await readToken(signal);
    if (token.kind === "usable") return { token: token.text };
    connectionWarnings.warn("machine token unavailable; connecting without a token", { reason: token.problem });
    return { token: undefined, problem: token.problem };
  }
  if (tokenPath === undefined) return { token: undefined };
  try {
    const token = (await readTextFile(tokenPath)).trim();
    if (/^[\x21-\x7e]+$/.test(token)) {
      if (security.kind === "plaintext") connectionWarnings.warn("token is sent to the control plane unencrypted");
      return { token };
    }
    connectionWarnings.warn("invalid token file; connecting without a token", { tokenPath });
  } catch (error) {
    connectionWarnings.warn("cannot read token file; connecting without a token", {
      tokenPath,
      reason: describeError(error),
    });
  }
  return { token: undefined, problem: `${tokenPath} has no token; mount the service account's token there` };
}

/** The files that a connection depends on: a failed one is retried at once when one of them is replaced. */
export function connectionFiles({ security, tokenPath }: XdsUpstream): readonly string[] {
  const roots = security.kind === "tls" && security.roots.kind === "file" ? security.roots.path : undefined;
  const client = security.kind === "tls" ? security.client : undefined;
  return [tokenPath, roots, client?.chainPath, client?.keyPath].filter((path) => path !== undefined);
}

/** Connects through an HTTP proxy by CONNECT. @throws Error with the proxy's status line when it rejects the request */
function dialThroughProxy(proxy: HttpProxyAddress, responseBytes: Budget): Dial {
  return async (host, port, signal) => {
    const socket = await dialTcp(proxy.host, proxy.port, signal);
    try {
      const authority = formatHostPort({ host, port });
      const credentials = proxy.authorization === undefined ? "" : `Proxy-Authorization: ${proxy.authorization}\r\n`;
      socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${credentials}\r\n`);
      const statusLine = await orAborted(readStatusLine(socket, responseBytes), signal);
      if (!/^HTTP\/1\.[01] 2\d\d/.test(statusLine)) {
        throw new Error(`proxy ${formatHostPort(proxy)} rejected CONNECT: ${statusLine}`);
      }
      return socket;
    } catch (error) {
      socket.destroy();
      throw error;
    }
  };
}

/** Reads a response's headers; what follows them stays in the socket. @returns the status line */
function readStatusLine(socket: Socket, responseBytes: Budget): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0);
    const onData = (chunk: Buffer): void => {
      received = Buffer.concat([received, chunk]);
      const end = received.indexOf("\r\n\r\n");
      if (end === -1 && responseBytes.admits(received.length)) return;
      socket.off("data", onData);
      socket.pause();
      if (end === -1) reject(new Error(`the proxy's response is not HTTP: ${responseBytes.text}`));
      else {
        if (received.length > end + 4) socket.unshift(received.subarray(end + 4));
        resolve(received.subarray(0, received.indexOf("\r\n")).toString("latin1"));
      }
    };
    socket.on("data", onData);
    socket.once("close", () => {
      reject(new Error("the proxy closed the connection"));
    });
  });
}
