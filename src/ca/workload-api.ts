// SPDX-License-Identifier: Apache-2.0
import { X509SVIDRequest, X509SVIDResponse } from "../gen/spiffe/workload.ts";
import type { Clock } from "../lib/async/clock.ts";
import { splitDer } from "../lib/pki/der.ts";
import type { GrpcChannel, GrpcTarget } from "../lib/grpc/client.ts";
import { readWhole } from "../lib/grpc/message.ts";
import { GrpcError, GrpcStatus } from "../lib/grpc/status.ts";
import { formatPem } from "../lib/pki/pem.ts";
import { CaError } from "./ca-error.ts";

export interface WorkloadApiConfig {
  readonly endpoint:
    | { readonly kind: "unix"; readonly path: string }
    | { readonly kind: "tcp"; readonly host: string; readonly port: number };
  /** Which of several identities is wanted; the agent's first when neither is given. */
  readonly spiffeId: string | undefined;
  readonly hint: string | undefined;
  /** Trust domains whose roots are trusted too, where the agent has them. */
  readonly federatesWith: readonly string[];
}

/** An identity as it came, or what went wrong. */
export type WorkloadApiEvent =
  | { readonly kind: "identity"; readonly identity: WorkloadApiIdentity }
  | { readonly kind: "problem"; readonly error: Error };

export interface WorkloadApiIdentity {
  readonly chainPem: string;
  readonly keyPem: string;
  readonly rootsPem: string;
}

const path = "/SpiffeWorkloadAPI/FetchX509SVID";
const longestWaitMs = 30_000;
const waitStepMs = 1_000;
const finalStatuses: ReadonlySet<number> = new Set([GrpcStatus.invalidArgument, GrpcStatus.unimplemented]);

/**
 * The X.509 identity that a SPIFFE agent on this machine gives to this process, as it renews it. The stream is opened
 * again when it ends, sooner the shorter the trouble lasts.
 * Source: SPIFFE Workload API, sections 4 to 6; the waits are those of the reference client
 */
export async function* watchWorkloadApi(
  config: WorkloadApiConfig,
  clock: Clock,
  signal: AbortSignal,
): AsyncGenerator<WorkloadApiEvent, void, undefined> {
  const { createGrpcChannel } = await import("../lib/grpc/client.ts");
  const target: GrpcTarget = config.endpoint;
  await using channel = createGrpcChannel({ target, authority: "localhost" }, { clock });
  let waitMs = 0;
  const isOver = (): boolean => signal.aborted;
  while (!isOver()) {
    try {
      for await (const response of responses(channel, signal)) {
        waitMs = 0;
        yield { kind: "identity", identity: choose(response, config) };
      }
      throw new GrpcError(GrpcStatus.unavailable, "the agent ended the stream");
    } catch (error) {
      if (isOver()) return;
      yield { kind: "problem", error: problemOf(error, config) };
      // Nothing but a change of the agent's mind or of ours helps here, so there is no hurry.
      const isFinal = error instanceof GrpcError && finalStatuses.has(error.status);
      waitMs = isFinal ? longestWaitMs : Math.min(longestWaitMs, waitMs + waitStepMs);
    }
    await clock.delay(waitMs, signal).catch(() => undefined);
  }
}

async function* responses(
  channel: GrpcChannel,
  signal: AbortSignal,
): AsyncGenerator<X509SVIDResponse, void, undefined> {
  using stream = await channel.stream(path, { metadata: { "workload.spiffe.io": "true" }, signal });
  await stream.write(X509SVIDRequest.encode({}).finish());
  await stream.end();
  for await (const message of stream.responses) yield X509SVIDResponse.decode(await readWhole(message));
}

function choose({ svids, federatedBundles }: X509SVIDResponse, config: WorkloadApiConfig): WorkloadApiIdentity {
  const svid = svids.find(
    (one) =>
      (config.spiffeId === undefined || one.spiffeId === config.spiffeId) &&
      (config.hint === undefined || one.hint === config.hint),
  );
  if (svid === undefined) {
    const given = svids.map((one) => one.spiffeId).join(", ");
    throw malformed(config, `it gives no identity that was asked for; it gives: ${given === "" ? "none" : given}`);
  }
  const federated = config.federatesWith.map(
    (domain) => federatedBundles[`spiffe://${domain}`] ?? federatedBundles[domain] ?? new Uint8Array(),
  );
  return {
    chainPem: certificatesPem(svid.x509Svid, config),
    keyPem: formatPem("PRIVATE KEY", svid.x509SvidKey),
    rootsPem: [svid.bundle, ...federated].map((der) => certificatesPem(der, config)).join(""),
  };
}

/** Certificates that follow each other as DER, as PEM. */
function certificatesPem(der: Uint8Array, config: WorkloadApiConfig): string {
  const elements = splitDer(der);
  if (elements === undefined) throw malformed(config, "its answer has something else where certificates should be");
  return elements.map((element) => formatPem("CERTIFICATE", element)).join("");
}

function problemOf(error: unknown, config: WorkloadApiConfig): Error {
  if (error instanceof CaError) return error;
  if (!(error instanceof GrpcError)) return malformed(config, "its answer cannot be read", error);
  const refused = error.status === GrpcStatus.permissionDenied;
  const text = refused ? `it has no identity for this process: ${error.detail}` : error.message;
  return new CaError(refused ? "refused" : "unreachable", addressOf(config), text, { cause: error });
}

function malformed(config: WorkloadApiConfig, text: string, cause?: unknown): CaError {
  return new CaError("malformed-response", addressOf(config), text, { cause });
}

function addressOf({ endpoint }: WorkloadApiConfig): string {
  return endpoint.kind === "unix" ? endpoint.path : `${endpoint.host}:${String(endpoint.port)}`;
}
