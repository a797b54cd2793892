// SPDX-License-Identifier: Apache-2.0
import { stat } from "node:fs/promises";
import { type X509SVID, X509SVIDRequest, X509SVIDResponse } from "../gen/spiffe/workload.ts";
import { runTasks, untilAborted } from "../lib/async/tasks.ts";
import { watchFiles } from "../lib/fs/file-watch.ts";
import { readDerElements } from "../lib/pki/der-reader.ts";
import type { GrpcChannel, GrpcTarget } from "../lib/grpc/client.ts";
import { readWhole } from "../lib/grpc/message.ts";
import { GrpcError, GrpcStatus } from "../lib/grpc/status.ts";
import { formatPem } from "../lib/pki/pem.ts";
import type { OtherIdentity, ProvidedIdentity, ProvidedIdentityEvent } from "../model/provided-identity.ts";
import { CaError } from "./ca-error.ts";
import type { CaDeps } from "./types.ts";

export interface WorkloadApiConfig {
  readonly endpoint:
    | { readonly kind: "unix"; readonly path: string }
    | { readonly kind: "tcp"; readonly host: string; readonly port: number };
  /** Selects one of several identities, as does `hint`; the first one when both are undefined. */
  readonly spiffeId: string | undefined;
  readonly hint: string | undefined;
  /** Trust domains whose roots are trusted too, as far as the agent provides them. */
  readonly federatesWith: readonly string[];
}

const path = "/SpiffeWorkloadAPI/FetchX509SVID";
const maxDelayMs = 30_000;
/** The least delay, and by how much each failure adds to it. */
const delayStepMs = 1_000;
/**
 * The longest delay while the agent has no identity for this process: nothing tells that one was registered. As long as
 * the agent itself takes to learn of it. Source: SPIRE, pkg/agent/manager/config.go: the default of `SyncInterval`, 5 s
 */
const maxDeniedDelayMs = 5_000;
const finalStatuses: ReadonlySet<number> = new Set([GrpcStatus.invalidArgument, GrpcStatus.unimplemented]);

/**
 * The X.509 identity that a SPIFFE agent on this machine issues to this process, each time it is renewed. A stream that
 * ends is opened again, after a delay that grows with the number of failures, and ends when the agent's socket is created.
 * Source: SPIFFE Workload API, sections 4 to 6; the delays are those of the reference client
 */
export async function* watchWorkloadApi(
  config: WorkloadApiConfig,
  { clock, budgets }: Pick<CaDeps, "clock" | "budgets">,
  signal: AbortSignal,
): AsyncGenerator<ProvidedIdentityEvent, void, undefined> {
  const { createGrpcChannel } = await import("../lib/grpc/client.ts");
  const target: GrpcTarget = config.endpoint;
  const maxReceiveBytes = budgets.of("workload-api-message-bytes").size;
  await using channel = createGrpcChannel({ target, authority: "localhost", maxReceiveBytes }, { clock });
  let delayMs = 0;
  const isAborted = (): boolean => signal.aborted;
  while (!isAborted()) {
    const mark = config.endpoint.kind === "unix" ? await socketMark(config.endpoint.path) : undefined;
    try {
      for await (const response of responses(channel, signal)) {
        delayMs = 0;
        yield eventOf(response, config);
      }
      throw new GrpcError(GrpcStatus.unavailable, "the agent ended the stream");
    } catch (error) {
      if (isAborted()) return;
      yield { kind: "problem", error: problemOf(error, config) };
      // These need a change of configuration, here or at the agent, so the longest delay applies at once.
      const isFinal = error instanceof GrpcError && finalStatuses.has(error.status);
      const longestMs = isDenied(error) ? maxDeniedDelayMs : maxDelayMs;
      delayMs = isFinal ? maxDelayMs : Math.min(longestMs, delayMs + delayStepMs);
    }
    await untilRetry({ endpoint: config.endpoint, mark }, delayMs, clock, signal).catch(() => undefined);
  }
}

/** Waits for the delay, or after the least delay only until the agent creates its socket: it was started. */
async function untilRetry(
  { endpoint, mark }: { readonly endpoint: WorkloadApiConfig["endpoint"]; readonly mark: string | undefined },
  delayMs: number,
  clock: CaDeps["clock"],
  signal: AbortSignal,
): Promise<void> {
  await clock.delay(delayStepMs, signal);
  const untilCreated = (either: AbortSignal): Promise<void> =>
    endpoint.kind === "unix" ? untilSocketChanges(endpoint.path, mark, clock, either) : untilAborted(either);
  await runTasks(signal, [untilCreated, (either) => clock.delay(delayMs - delayStepMs, either)]);
}

const socketDebounceMs = 50;
const socketPollMs = 30_000;

/** Tells a socket from the one that the agent creates at the same path later; undefined where there is none. */
async function socketMark(path: string): Promise<string | undefined> {
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  return found === undefined ? undefined : `${String(found.ino)} ${String(found.ctimeNs)}`;
}

/** Resolves as soon as the socket is not the one with this mark, or when the signal aborts. */
async function untilSocketChanges(
  path: string,
  mark: string | undefined,
  clock: CaDeps["clock"],
  signal: AbortSignal,
): Promise<void> {
  for await (const _ of watchFiles([path], { clock, debounceMs: socketDebounceMs, pollMs: socketPollMs }, signal)) {
    if ((await socketMark(path)) !== mark) return;
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

/** A response without the requested identity does not end the stream: the next one follows when the agent has it. */
function eventOf(response: X509SVIDResponse, config: WorkloadApiConfig): ProvidedIdentityEvent {
  try {
    return { kind: "identity", identity: choose(response, config) };
  } catch (error) {
    return { kind: "problem", error: problemOf(error, config) };
  }
}

function choose({ svids, federatedBundles }: X509SVIDResponse, config: WorkloadApiConfig): ProvidedIdentity {
  const svid = svids.find(
    (one) =>
      (config.spiffeId === undefined || one.spiffeId === config.spiffeId) &&
      (config.hint === undefined || one.hint === config.hint),
  );
  if (svid === undefined) {
    const provided = svids.map((one) => one.spiffeId).join(", ");
    throw malformed(config, `it does not provide the requested identity; it provides: ${provided || "none"}`);
  }
  const federated = Object.entries(federatedBundles).map(([name, der]) => {
    const trustDomain = name.replace(/^spiffe:\/\//, "");
    const isSelected = config.federatesWith.includes(trustDomain);
    return { trustDomain, rootsPem: certificatesPem(der, config), isSelected };
  });
  return {
    ...pairOf(svid, config),
    rootsPem: certificatesPem(svid.bundle, config),
    federated,
    others: svids.filter((one) => one !== svid).map((one) => pairOf(one, config)),
  };
}

function pairOf({ x509Svid, x509SvidKey }: X509SVID, config: WorkloadApiConfig): OtherIdentity {
  return { chainPem: certificatesPem(x509Svid, config), keyPem: formatPem("PRIVATE KEY", x509SvidKey) };
}

/** Converts concatenated DER certificates to PEM. */
function certificatesPem(der: Uint8Array, config: WorkloadApiConfig): string {
  try {
    return readDerElements(der)
      .map(({ bytes }) => formatPem("CERTIFICATE", bytes))
      .join("");
  } catch (cause) {
    throw malformed(config, "its response has no DER certificates", cause);
  }
}

function problemOf(error: unknown, config: WorkloadApiConfig): Error {
  if (error instanceof CaError) return error;
  if (!(error instanceof GrpcError)) return malformed(config, "its response cannot be parsed", error);
  if (!isDenied(error)) return new CaError("unreachable", addressOf(config), error.message, { cause: error });
  const text = `it has no identity for this process: ${error.detail}`;
  return new CaError("refused", addressOf(config), text, { cause: error });
}

function isDenied(error: unknown): boolean {
  return error instanceof GrpcError && error.status === GrpcStatus.permissionDenied;
}

function malformed(config: WorkloadApiConfig, text: string, cause?: unknown): CaError {
  return new CaError("malformed-response", addressOf(config), text, { cause });
}

function addressOf({ endpoint }: WorkloadApiConfig): string {
  return endpoint.kind === "unix" ? endpoint.path : `${endpoint.host}:${String(endpoint.port)}`;
}
