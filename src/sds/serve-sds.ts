// SPDX-License-Identifier: Apache-2.0
import type { Deps } from "../lib/deps.ts";
import { createGrpcServer } from "../lib/grpc/server.ts";
import type { UnixListener } from "../lib/net/unix-socket.ts";
import type { Secret } from "../model/secret.ts";
import { withCrl } from "./crl.ts";
import { delta } from "./delta.ts";
import { fetchSecrets } from "./fetch-secrets.ts";
import type { PrivateKeyProvider, SdsConfig } from "./sds-config.ts";
import type { SdsEvent, SdsMetrics } from "./sds-metrics.ts";
import { SdsObserver } from "./sds-observer.ts";
import { serveSdsStream } from "./sds-stream.ts";
import { SecretHub } from "./secret-hub.ts";
import { type SecretName, checkSecretName, parseSecretName } from "./secret-name.ts";
import { renderSecret } from "./secret-resource.ts";
import type { CrlSource, SecretSource } from "./secret-source.ts";
import { stateOfTheWorld } from "./state-of-the-world.ts";

export interface SdsDeps extends Pick<Deps, "log" | "clock" | "random"> {
  readonly metrics: SdsMetrics;
  /** Left out: no revocation list goes with `ROOTCA`. */
  readonly crl?: CrlSource | undefined;
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
    watch: (name, signal) =>
      watchResource(name, signal, { source, crl: deps.crl, provider: config.privateKeyProvider }),
  });
  const parseName = (text: string): SecretName => checkSecretName(parseSecretName(text), config.fileDirectories);
  const options = { hub, parseName, nextNonce: nonceSeries(deps), observer, clock: deps.clock };
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
          handle: (request, call) => fetchSecrets(request, { ...options, signal: call.signal }),
        },
      },
      onFailure: (path, error) => {
        observer.failed(path, error);
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

interface ResourceSources {
  readonly source: SecretSource;
  readonly crl: CrlSource | undefined;
  readonly provider: PrivateKeyProvider;
}

async function* watchResource(
  name: SecretName,
  signal: AbortSignal,
  { source, crl, provider }: ResourceSources,
): AsyncGenerator<Buffer, void, undefined> {
  const watch = (stop: AbortSignal): AsyncIterable<Secret> => source.watch(name, stop);
  if (crl !== undefined && name.kind === "trust-bundle") {
    for await (const { secret, crlPem } of withCrl(watch, crl, signal)) {
      yield renderSecret(name.text, secret, { privateKeyProvider: provider, crlPem });
    }
    return;
  }
  for await (const secret of watch(signal)) {
    yield renderSecret(name.text, secret, { privateKeyProvider: provider, crlPem: undefined });
  }
}

/** Nonces that no other answer of this process has, and that those of an earlier process do not look like. */
function nonceSeries({ clock, random }: Pick<Deps, "clock" | "random">): () => string {
  const start = `${Math.trunc(clock.now()).toString(36)}${Math.trunc(random() * 2 ** 32).toString(36)}`;
  let count = 0;
  return () => `${start}-${String(++count)}`;
}
