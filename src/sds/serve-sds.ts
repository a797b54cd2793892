// SPDX-License-Identifier: Apache-2.0
import type { Deps } from "../lib/deps.ts";
import { createGrpcServer } from "../lib/grpc/server.ts";
import type { UnixListener } from "../lib/unix-socket.ts";
import { delta } from "./delta.ts";
import { fetchSecrets } from "./fetch-secrets.ts";
import type { SdsConfig } from "./sds-config.ts";
import type { SdsEvent, SdsMetrics } from "./sds-metrics.ts";
import { SdsObserver } from "./sds-observer.ts";
import { serveSdsStream } from "./sds-stream.ts";
import { SecretHub } from "./secret-hub.ts";
import { type SecretName, checkSecretName, parseSecretName } from "./secret-name.ts";
import { renderSecret } from "./secret-resource.ts";
import type { SecretSource } from "./secret-source.ts";
import { stateOfTheWorld } from "./state-of-the-world.ts";

export interface SdsDeps extends Pick<Deps, "log" | "clock" | "random"> {
  readonly metrics: SdsMetrics;
  /** Sees each moment of a secret's delivery; default: nobody. */
  readonly onEvent?: (event: SdsEvent) => void;
}

const service = "/envoy.service.secret.v3.SecretDiscoveryService/";

/**
 * Serves secrets to Envoy on a socket that already listens; connections made before are served first. Disposing cuts
 * the streams; the socket stays its owner's.
 * Source: Envoy api/envoy/service/secret/v3/sds.proto
 */
export function serveSds(
  listener: UnixListener,
  source: SecretSource,
  config: Pick<SdsConfig, "fileDirectories" | "privateKeyProvider">,
  deps: SdsDeps,
): AsyncDisposable {
  const log = deps.log.scope("sds");
  const observer = new SdsObserver({ metrics: deps.metrics, log, onEvent: deps.onEvent ?? (() => undefined) });
  const hub = new SecretHub({
    clock: deps.clock,
    watch: (name, signal) => source.watch(name, signal),
    render: (name, secret) =>
      renderSecret(name.text, secret, { privateKeyProvider: config.privateKeyProvider, crlPem: undefined }),
  });
  const parseName = (text: string): SecretName => checkSecretName(parseSecretName(text), config.fileDirectories);
  const nonces = nonceSeries(deps);
  const options = { hub, parseName, nextNonce: nonces, observer };
  const server = createGrpcServer(
    {
      methods: {
        [`${service}StreamSecrets`]: {
          kind: "stream",
          handle: (call) => serveSdsStream(call, { ...options, protocol: stateOfTheWorld }),
        },
        [`${service}DeltaSecrets`]: {
          kind: "stream",
          handle: (call) => serveSdsStream(call, { ...options, protocol: delta }),
        },
        [`${service}FetchSecrets`]: {
          kind: "unary",
          handle: (request, call) => fetchSecrets(request, { ...options, clock: deps.clock, signal: call.signal }),
        },
      },
      onFailure: (path, error) => {
        log.error("secret request failed", { path, error });
      },
    },
    deps,
  );
  listener.serve((socket) => {
    server.accept(socket);
  });
  return {
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await hub[Symbol.asyncDispose]();
    },
  };
}

/** Nonces that no other answer of this process has, and that those of an earlier process do not look like. */
function nonceSeries({ clock, random }: Pick<Deps, "clock" | "random">): () => string {
  const start = `${Math.trunc(clock.now()).toString(36)}${Math.trunc(random() * 2 ** 32).toString(36)}`;
  let count = 0;
  return () => `${start}-${String(++count)}`;
}
