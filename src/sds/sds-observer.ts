// SPDX-License-Identifier: Apache-2.0
import { describeError } from "../lib/errors.ts";
import { GrpcError, GrpcStatus } from "../lib/grpc/status.ts";
import type { Logger } from "../lib/log/log.ts";
import { type SdsEvent, type SdsMetrics, resourceLabel } from "./sds-metrics.ts";
import type { SecretName } from "./secret-name.ts";
import type { SubscriptionAnswer, SubscriptionReport, VersionedSecret } from "./subscription.ts";

const longestReason = 500;

/** Tells what the streams do: numbers, events and log lines. Never a secret. */
export class SdsObserver {
  readonly #metrics: SdsMetrics;
  readonly #log: Logger;
  readonly #onEvent: (event: SdsEvent) => void;

  constructor(deps: {
    readonly metrics: SdsMetrics;
    readonly log: Logger;
    readonly onEvent: (event: SdsEvent) => void;
  }) {
    this.#metrics = deps.metrics;
    this.#log = deps.log;
    this.#onEvent = deps.onEvent;
  }

  opened(): void {
    this.#metrics.streams.inc();
  }

  closed(): void {
    this.#metrics.streams.dec();
  }

  subscribed(name: SecretName): void {
    this.#metrics.subscribers.inc(resourceLabel(name));
    this.#log.debug("secret subscribed", { resource: name.text });
    this.#onEvent({ kind: "subscribed", resource: name.text });
  }

  unsubscribed(name: SecretName): void {
    this.#metrics.subscribers.dec(resourceLabel(name));
    this.#onEvent({ kind: "unsubscribed", resource: name.text });
  }

  /** @param durationMs until the client's flow control had module for the whole answer */
  sent({ deliveries }: SubscriptionAnswer<VersionedSecret>, durationMs: number): void {
    for (const { name, secret } of deliveries) {
      this.#metrics.sent.inc(resourceLabel(name));
      this.#log.debug("secret sent", { resource: name.text, version: secret.version });
      this.#onEvent({ kind: "sent", resource: name.text, version: secret.version, durationMs });
    }
  }

  /** A fault of this server, not of a client. */
  failed(path: string, error: unknown): void {
    this.#log.error("secret request failed", { path, error: describeError(error) });
    this.#onEvent({ kind: "failed", reason: describeError(error) });
  }

  report(report: SubscriptionReport<VersionedSecret>): void {
    switch (report.kind) {
      case "stale-nonce":
        this.#metrics.expiredNonces.inc("sds");
        this.#onEvent({ kind: "stale-nonce" });
        return;
      case "accepted":
        for (const { name, secret } of report.deliveries) {
          this.#metrics.acks.inc(resourceLabel(name));
          this.#onEvent({ kind: "accepted", resource: name.text, version: secret.version });
        }
        return;
      case "rejected":
        this.#rejected(report);
    }
  }

  /** A request that ends its stream. */
  refused(error: GrpcError): GrpcError {
    this.#metrics.refusals.inc(String(error.status));
    this.#log.warn("secret request refused", { reason: error.detail.slice(0, longestReason) });
    this.#onEvent({ kind: "refused", reason: error.detail.slice(0, longestReason) });
    return error;
  }

  /** The source has given a name up. */
  unavailable(name: SecretName, cause: unknown): GrpcError {
    const detail = `serve secret ${JSON.stringify(name.text)}: ${describeError(cause)}`;
    return this.refused(new GrpcError(GrpcStatus.failedPrecondition, detail, { cause }));
  }

  #rejected({ deliveries, reason }: SubscriptionReport<VersionedSecret> & { readonly kind: "rejected" }): void {
    const why = reason.slice(0, longestReason);
    if (deliveries.length === 0) {
      this.#metrics.nacks.inc("other");
      this.#log.warn("secret rejected by the client", { reason: why });
    }
    for (const { name, secret } of deliveries) {
      this.#metrics.nacks.inc(resourceLabel(name));
      this.#metrics.rejects.inc("sds");
      this.#log.warn("secret rejected by the client", { resource: name.text, version: secret.version, reason: why });
      this.#onEvent({ kind: "rejected", resource: name.text, version: secret.version, reason: why });
    }
  }
}
