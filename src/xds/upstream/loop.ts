// SPDX-License-Identifier: Apache-2.0
import { backoffMs } from "../../lib/async/backoff.ts";
import { abortReason } from "../../lib/async/clock.ts";
import { describeError } from "../../lib/errors.ts";
import { GrpcError, GrpcStatus, grpcStatusName } from "../../lib/grpc/status.ts";
import { ExtensionFeed } from "./extension-feed.ts";
import type { ProxiedStream } from "../proxied-stream.ts";
import { openUpstream, readConnectionFiles } from "./connection.ts";
import { UpstreamLink } from "./stream.ts";
import type { XdsUpstream } from "../xds-config.ts";

/** While an outage is young, tries are quick; a control plane that is gone for longer is spared. */
const youngOutageMs = 60_000;

/** A stream that held so long was a good one: the next outage is a new one. */
const goodStreamMs = 5_000;

/** How often files are looked at while waiting: a replaced root certificate is worth another try at once. */
const filesEveryMs = 1_000;

/** A client that can be given a stream to a control plane. */
interface AttachableStream extends ProxiedStream {
  attach(link: UpstreamLink): void;
  detach(): void;
}

/** Keeps the client connected to a control plane, with a wait between tries, until the signal fires. */
export async function runUpstream(client: AttachableStream, signal: AbortSignal): Promise<void> {
  const { clock, config, random } = client.context;
  const { backoff } = config.upstream;
  const converter = client.context.extensions;
  const extensions = converter === undefined ? undefined : new ExtensionFeed(client, converter, signal);
  let attempt = 0;
  let outageSinceMs = clock.monotonicMs();
  for (;;) {
    const files = await readConnectionFiles(config.upstream);
    const startMs = clock.monotonicMs();
    const held = await connectOnce(client, extensions, signal);
    if (signal.aborted) throw abortReason(signal);
    if (held && clock.monotonicMs() - startMs >= goodStreamMs) {
      attempt = 0;
      outageSinceMs = clock.monotonicMs();
    }
    const isYoung = clock.monotonicMs() - outageSinceMs < youngOutageMs;
    const policy = { ...backoff, maxMs: isYoung ? backoff.maxMs : backoff.idleMaxMs };
    const waitMs = backoffMs(policy, attempt++, random(), backoff.firstMs / 2);
    await waitOrFilesChange(client, { waitMs, files, upstream: config.upstream }, signal);
  }
}

/** One stream to the control plane, from its opening to its end. @returns whether it was open at all */
async function connectOnce(
  client: AttachableStream,
  extensions: ExtensionFeed | undefined,
  signal: AbortSignal,
): Promise<boolean> {
  const { context, protocol } = client;
  const { log, metrics } = context;
  let address: string | undefined;
  try {
    await using upstream = await openUpstream(context.config, protocol, context, signal);
    ({ address } = upstream);
    log.info("connected to the control plane", { address, protocol });
    const link = new UpstreamLink(client, upstream.stream, extensions, signal);
    client.attach(link);
    try {
      await link.run();
    } finally {
      client.detach();
    }
    log.info("the control plane ended the stream", { address });
  } catch (error) {
    if (address === undefined) metrics.connectionFailures.inc();
    else metrics.upstreamTerminations.inc(signal.aborted || isExpected(error) ? "cancelled" : "error");
    if (!signal.aborted) logEnd(client, address, error);
  }
  return address !== undefined;
}

function logEnd({ context: { log } }: ProxiedStream, address: string | undefined, error: unknown): void {
  const status = error instanceof GrpcError ? grpcStatusName(error.status) : undefined;
  const reason = describeError(error);
  if (address === undefined) log.warn("control plane cannot be reached; Envoy goes on with what it has", { reason });
  else if (isExpected(error)) log.info("the stream to the control plane ended", { address, status, reason });
  else log.warn("the stream to the control plane failed; Envoy goes on with what it has", { address, status, reason });
}

/** Ends that belong to a control plane's life: time limits, a restart. */
function isExpected(error: unknown): boolean {
  if (!(error instanceof GrpcError)) return false;
  return error.status === GrpcStatus.cancelled || error.status === GrpcStatus.deadlineExceeded;
}

interface Wait {
  readonly waitMs: number;
  readonly files: string;
  readonly upstream: XdsUpstream;
}

async function waitOrFilesChange(client: AttachableStream, wait: Wait, signal: AbortSignal): Promise<void> {
  const { clock } = client.context;
  const endMs = clock.monotonicMs() + wait.waitMs;
  for (let leftMs = wait.waitMs; leftMs > 0; leftMs = endMs - clock.monotonicMs()) {
    await clock.delay(Math.min(leftMs, filesEveryMs), signal);
    if ((await readConnectionFiles(wait.upstream)) !== wait.files) return;
  }
}
