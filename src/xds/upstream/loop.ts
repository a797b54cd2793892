// SPDX-License-Identifier: Apache-2.0
import { backoffMs } from "../../lib/async/backoff.ts";
import { abortReason, DeadlineError } from "../../lib/async/clock.ts";
import { describeError } from "../../lib/errors.ts";
import { CauseFiles } from "../../lib/fs/cause-files.ts";
import { tlsErrorIn } from "../../lib/net/tls-error.ts";
import { GrpcError, GrpcStatus, grpcStatusName } from "../../lib/grpc/status.ts";
import type { ProxiedStream } from "../proxied-stream.ts";
import { connectionFiles, connectUpstream } from "./connection.ts";
import { ExtensionFeed } from "./extension-feed.ts";
import { UpstreamStream } from "./stream.ts";
import { slowMs } from "./upstream-problem.ts";

/** Retries are frequent for the first minute of an outage; after that the control plane is spared. */
const frequentRetriesMs = 60_000;

/** A stream that was open for so long ends an outage: the backoff starts again. */
const stableStreamMs = 5_000;

const closedMessage = "control plane closed the stream; reconnecting";

const waitingMessage = "no response from the control plane yet; waiting";

const emptyMessage = "control plane closes each stream before its first response; retrying";

/** A client that can be given a stream to the control plane. */
interface AttachableStream extends ProxiedStream {
  attach(upstream: UpstreamStream, signal: AbortSignal): Promise<void>;
  detach(): void;
}

/** Keeps the client connected to a control plane, with a backoff between retries, until the signal aborts. */
export async function runUpstream(client: AttachableStream, signal: AbortSignal): Promise<void> {
  const { clock, config, random } = client.context;
  const { backoff } = config.upstream;
  const converter = client.context.extensions;
  const extensions = converter === undefined ? undefined : new ExtensionFeed(client, converter, signal);
  let attempt = 0;
  let outageSinceMs = clock.monotonicMs();
  const files = new CauseFiles(connectionFiles(config.upstream), clock);
  for (;;) {
    await files.attemptBegins();
    const startMs = clock.monotonicMs();
    const wasOpen = await connectOnce(client, extensions, signal);
    if (signal.aborted) throw abortReason(signal);
    if (wasOpen && clock.monotonicMs() - startMs >= stableStreamMs) {
      attempt = 0;
      outageSinceMs = clock.monotonicMs();
    }
    const isRecent = clock.monotonicMs() - outageSinceMs < frequentRetriesMs;
    const policy = { ...backoff, maxMs: isRecent ? backoff.maxMs : backoff.idleMaxMs };
    const waitMs = backoffMs(policy, attempt++, random(), backoff.firstMs / 2);
    await files.untilChangedFor(waitMs, signal);
  }
}

/** One stream to the control plane, from connecting to its end. @returns whether it was open at all */
async function connectOnce(
  client: AttachableStream,
  extensions: ExtensionFeed | undefined,
  signal: AbortSignal,
): Promise<boolean> {
  const { context, protocol } = client;
  const { log, metrics, outage } = context;
  let address: string | undefined;
  using _slow = reportWhenSlow(client, signal);
  try {
    await using connection = await connectUpstream(context.config, protocol, context, signal);
    ({ address } = connection);
    log.debug("stream to the control plane opened", { address, protocol });
    using _open = context.controlPlane?.opened(address);
    const upstream = new UpstreamStream(client, connection.stream, { address, extensions, signal });
    await client.attach(upstream, signal);
    try {
      await upstream.run();
    } finally {
      client.detach();
    }
    const [level, message] = client.hasResponse
      ? (["info", closedMessage] as const)
      : (["warn", emptyMessage] as const);
    if (!client.hasResponse) {
      const what = "closes each stream before its first response; see its log";
      context.upstreamProblem.failed(`the control plane at ${address} ${what}`);
    }
    context.controlPlane?.failed(message);
    outage.failed({ level, message, fields: { address } });
  } catch (error) {
    if (address === undefined) metrics.connectionFailures.inc();
    else metrics.upstreamTerminations.inc(signal.aborted || isRoutine(error) ? "cancelled" : "error");
    if (!signal.aborted) {
      const { explainFailure } = await import("./upstream-failure.ts");
      const { upstreamProblem, clock } = context;
      const credential = upstreamProblem.credential && { ...upstreamProblem.credential, nowMs: clock.now() };
      upstreamProblem.failed(explainFailure(error, address, credential));
      logFailure(client, address, error);
    }
  }
  return address !== undefined;
}

/** A control plane that does not respond is reported before the time limit of a connection. */
function reportWhenSlow({ context }: ProxiedStream, signal: AbortSignal): Disposable {
  const { clock, outage, upstreamProblem } = context;
  const done = new AbortController();
  clock.delay(slowMs, AbortSignal.any([signal, done.signal])).then(
    () => {
      const reason = upstreamProblem.waiting;
      if (reason !== undefined) outage.failed({ level: "warn", message: waitingMessage, fields: { reason } });
    },
    () => undefined,
  );
  return {
    [Symbol.dispose]: () => {
      done.abort();
    },
  };
}

function logFailure({ context, hasResponse }: ProxiedStream, address: string | undefined, error: unknown): void {
  const status = error instanceof GrpcError ? grpcStatusName(error.status) : undefined;
  const failure = address === undefined ? tlsErrorIn(error)?.failure : undefined;
  const level = address !== undefined && isRoutine(error) ? "info" : "warn";
  let message = "stream to the control plane failed; retrying";
  if (failure !== undefined) message = "TLS with the control plane failed; retrying";
  else if (address === undefined) message = "control plane unreachable; retrying";
  else if (level === "info") message = closedMessage;
  // a control plane that is back and rejects the agent is another failure than one that is away
  const wasSilent = address === undefined && (failure === "handshake-timeout" || isDeadline(error));
  const kind = wasSilent ? waitingMessage : [message, status ?? "", failure ?? ""].join(" ");
  const reason = context.upstreamProblem.text ?? describeError(error);
  context.controlPlane?.failed(reason);
  const fields = { address, status, failure, reason, envoyHasConfiguration: hasResponse };
  context.outage.failed({ level, message, kind, fields });
}

function isDeadline(error: unknown): boolean {
  return error instanceof GrpcError && error.cause instanceof DeadlineError;
}

/** A stream's time limit, or a restart of the control plane. */
function isRoutine(error: unknown): boolean {
  if (!(error instanceof GrpcError)) return false;
  return error.status === GrpcStatus.cancelled || error.status === GrpcStatus.deadlineExceeded;
}
