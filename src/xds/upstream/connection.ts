// SPDX-License-Identifier: Apache-2.0
import { readFile, stat } from "node:fs/promises";
import { createGrpcChannel, type ClientStream, type GrpcTarget } from "../../lib/grpc/client.ts";
import type { Clock } from "../../lib/async/clock.ts";
import { describeError } from "../../lib/errors.ts";
import type { Metadata } from "../../lib/grpc/metadata.ts";
import type { Logger } from "../../lib/log/log.ts";
import type { TlsClient } from "../../lib/net/tls-client.ts";
import { formatHostPort, type HostPort } from "../../lib/net/host-port.ts";
import type { ReadToken } from "../../model/token.ts";
import { dialThroughProxy } from "./proxy-dial.ts";
import type { XdsProtocol } from "../protocol/request.ts";
import type { XdsConfig, XdsUpstream } from "../xds-config.ts";

/** One stream to one control plane, over a connection of its own: another connection may reach another one. */
export interface UpstreamStream extends AsyncDisposable {
  readonly address: string;
  readonly stream: ClientStream;
}

export interface UpstreamDeps {
  readonly log: Logger;
  readonly clock: Clock;
  /** Undefined: the control plane is asked in plaintext. */
  readonly tls: TlsClient | undefined;
  /** Comes before the token file; undefined: that of the file, if any. */
  readonly readToken?: ReadToken | undefined;
}

const service = "/envoy.service.discovery.v3.AggregatedDiscoveryService/";

/** The methods of the one service, in both roles. */
export const adsMethods: Readonly<Record<XdsProtocol, string>> = {
  sotw: `${service}StreamAggregatedResources`,
  delta: `${service}DeltaAggregatedResources`,
};

/**
 * Opens a stream at the first address that can be reached. Token, roots and client certificate are read now.
 * @throws GrpcError of the last address, when none can be
 */
export async function openUpstream(
  config: XdsConfig,
  protocol: XdsProtocol,
  deps: UpstreamDeps,
  signal: AbortSignal,
): Promise<UpstreamStream> {
  const { addresses } = config.upstream;
  const metadata = await metadataFor(config.upstream, deps, signal);
  for (const [index, address] of addresses.entries()) {
    try {
      return await openAt(address, { config, protocol, metadata }, deps, signal);
    } catch (error) {
      if (signal.aborted || index === addresses.length - 1) throw error;
      const next = formatHostPort(addresses[index + 1] ?? address);
      const reason = describeError(error);
      deps.log.warn("control plane cannot be reached, next address", {
        address: formatHostPort(address),
        next,
        reason,
      });
    }
  }
  throw new Error("no address of a control plane is configured");
}

interface Opening {
  readonly config: XdsConfig;
  readonly protocol: XdsProtocol;
  readonly metadata: Metadata;
}

async function openAt(address: HostPort, opening: Opening, deps: UpstreamDeps, signal: AbortSignal) {
  const { upstream, keepalive } = opening.config;
  const { security, connectTimeoutMs } = upstream;
  const channel = createGrpcChannel(
    {
      target: targetFor(address, upstream, deps),
      authority: security.kind === "tls" ? security.serverName : upstream.authority,
      connectTimeoutMs,
      keepalive,
      maxReceiveBytes: 2 ** 31 - 1,
    },
    deps,
  );
  try {
    const stream = await channel.stream(adsMethods[opening.protocol], { metadata: opening.metadata, signal });
    return { address: formatHostPort(address), stream, [Symbol.asyncDispose]: () => channel[Symbol.asyncDispose]() };
  } catch (error) {
    await channel[Symbol.asyncDispose]();
    throw error;
  }
}

function targetFor({ host, port }: HostPort, { httpProxy }: XdsUpstream, { tls, clock }: UpstreamDeps): GrpcTarget {
  const dial = httpProxy === undefined ? {} : { dial: dialThroughProxy(httpProxy) };
  if (tls === undefined) return { kind: "tcp", host, port, ...dial };
  return { kind: "tls", host, port, ...dial, tlsOptions: () => tls.options(clock.now()) };
}

/** A missing token is not an error: a client certificate may do, and the control plane says so if it does not. */
async function metadataFor(
  upstream: XdsUpstream,
  { log, readToken }: UpstreamDeps,
  signal: AbortSignal,
): Promise<Metadata> {
  const metadata = { ...upstream.headers, clusterid: upstream.clusterId };
  if (readToken !== undefined) {
    const token = await readToken(signal);
    if (token.kind === "usable") return { ...metadata, authorization: `Bearer ${token.text}` };
    const { problem: reason } = token;
    log.warn("there is no token of this machine; the control plane is asked without one", { reason });
    return metadata;
  }
  const { tokenPath } = upstream;
  if (tokenPath === undefined) return metadata;
  try {
    const token = (await readFile(tokenPath, "utf8")).trim();
    if (/^[\x21-\x7e]+$/.test(token)) {
      if (upstream.security.kind === "plaintext") log.warn("the token goes to the control plane without encryption");
      return { ...metadata, authorization: `Bearer ${token}` };
    }
    log.warn("the token file holds no token; the control plane is asked without one", { tokenPath });
  } catch (error) {
    log.warn("the token cannot be read; the control plane is asked without one", {
      tokenPath,
      reason: describeError(error),
    });
  }
  return metadata;
}

/**
 * A text that changes when a file that a connection depends on is replaced: a failed connection is then worth another
 * try at once.
 */
export async function readConnectionFiles(upstream: XdsUpstream): Promise<string> {
  const { security, tokenPath } = upstream;
  const paths: (string | undefined)[] = [tokenPath];
  if (security.kind === "tls") {
    paths.push(security.roots.kind === "file" ? security.roots.path : undefined);
    paths.push(security.client?.chainPath, security.client?.keyPath);
  }
  const states = paths.map(async (path) => {
    if (path === undefined) return "";
    const state = await stat(path).catch(() => undefined);
    return state === undefined ? "missing" : `${String(state.ino)}/${String(state.mtimeMs)}/${String(state.size)}`;
  });
  return (await Promise.all(states)).join(" ");
}
