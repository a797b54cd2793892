// SPDX-License-Identifier: Apache-2.0
import type { Socket } from "node:net";
import type { Deps } from "../lib/deps.ts";
import { createGrpcServer, type GrpcHandler, type GrpcServerLimits } from "../lib/grpc/server.ts";
import type { UnixListener } from "../lib/net/unix-socket.ts";
import type { Budgets } from "../model/limits.ts";
import { fetchSecrets } from "./fetch-secrets.ts";
import { SdsObserver } from "./sds-observer.ts";
import { delta, stateOfTheWorld } from "./sds-protocol.ts";
import { serveSdsStream } from "./sds-stream.ts";
import { SecretHub } from "./secret-hub.ts";
import { checkSecretName, parseSecretName } from "./secret-name.ts";
import { watchResource } from "./secret-resource.ts";
import type { CrlSource, SdsConfig, SdsEvent, SdsMetrics, SecretSource } from "./types.ts";

export interface SdsDeps extends Pick<Deps, "log" | "clock" | "random"> {
  readonly metrics: SdsMetrics;
  readonly budgets: Budgets;
  /** Whether a connection is Envoy's. Default: none is. */
  readonly isEnvoy?: ((socket: Socket) => boolean) | undefined;
  /** Undefined: `ROOTCA` has no revocation list. */
  readonly crl?: CrlSource | undefined;
  /** Called for each step of a secret's delivery. */
  readonly onEvent?: (event: SdsEvent) => void;
}

const service = "/envoy.service.secret.v3.SecretDiscoveryService/";

/**
 * Serves secrets to Envoy on a socket that already listens; connections made before are served first. Disposing ends the
 * streams; the owner of the socket closes it.
 * Source: Envoy api/envoy/service/secret/v3/sds.proto
 */
export function serveSds(
  listener: UnixListener,
  source: SecretSource,
  config: Pick<SdsConfig, "fileDirectories" | "privateKeyProvider">,
  deps: SdsDeps,
): AsyncDisposable {
  const log = deps.log.scope("sds");
  const { metrics, clock, onEvent = () => undefined, isEnvoy: isPreferred = () => false } = deps;
  const observer = new SdsObserver({ metrics, log, clock, onEvent });
  const hub = new SecretHub({
    clock,
    fileSecrets: deps.budgets.of("sds-file-secrets"),
    watch: (name, signal) => watchResource(name, { ...config, source, crl: deps.crl }, signal),
  });
  const nameBytes = deps.budgets.of("sds-name-bytes");
  const options = {
    hub,
    parseName: (text: string) => checkSecretName(parseSecretName(text, nameBytes), config.fileDirectories),
    nextNonce: nonceSeries(deps),
    observer,
    clock,
    names: deps.budgets.of("sds-names"),
    pendingResponses: deps.budgets.of("sds-pending-responses"),
  };
  const methods: Record<string, GrpcHandler> = {
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
  };
  const [limits, onFailure] = [serverLimits(deps.budgets), observer.failed.bind(observer)];
  const server = createGrpcServer({ methods, limits, onFailure, isPreferred }, deps);
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

function serverLimits(budgets: Budgets): GrpcServerLimits {
  return {
    connections: budgets.of("sds-connections"),
    streams: budgets.of("sds-streams-of-connection"),
    resets: budgets.of("sds-resets"),
    messageBytes: budgets.of("sds-message-bytes"),
    partialBytes: budgets.of("sds-partial-bytes"),
    queuedBytes: budgets.of("sds-queued-bytes"),
    windowBytes: budgets.of("socket-window-bytes"),
    controlBytes: budgets.of("socket-control-bytes"),
    memory: budgets.memory,
  };
}

/** Nonces that no other response has, of this process or of an earlier one. */
function nonceSeries({ clock, random }: Pick<Deps, "clock" | "random">): () => string {
  const start = `${Math.trunc(clock.now()).toString(36)}${Math.trunc(random() * 2 ** 32).toString(36)}`;
  let count = 0;
  return () => `${start}-${String(++count)}`;
}
