// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import { BudgetSpentError } from "../lib/budget.ts";
import { describeError } from "../lib/errors.ts";
import { shortenPeerText } from "../lib/printable-text.ts";
import { GrpcError, GrpcStatus } from "../lib/grpc/status.ts";
import type { LogFields, Logger } from "../lib/log/log.ts";
import { OutageLog } from "../lib/log/outage-log.ts";
import type { SecretName } from "./secret-name.ts";
import type { SubscriptionReport, SubscriptionResponse, VersionedSecret } from "./subscription.ts";
import type { SdsEvent, SdsMetrics } from "./types.ts";

/** Reports what the streams do, as metrics, events and log lines. Never a secret. */
export class SdsObserver {
  readonly #metrics: SdsMetrics;
  readonly #log: Logger;
  readonly #onEvent: (event: SdsEvent) => void;
  readonly #faults: OutageLog;
  readonly #rejectedRequests: OutageLog;
  readonly #rejectedSecrets: OutageLog;

  constructor(deps: {
    readonly metrics: SdsMetrics;
    readonly log: Logger;
    readonly clock: Clock;
    readonly onEvent: (event: SdsEvent) => void;
  }) {
    this.#metrics = deps.metrics;
    this.#log = deps.log;
    this.#onEvent = deps.onEvent;
    this.#faults = new OutageLog(deps.log, deps.clock);
    this.#rejectedRequests = new OutageLog(deps.log, deps.clock);
    this.#rejectedSecrets = new OutageLog(deps.log, deps.clock);
  }

  opened(): void {
    this.#metrics.streams.inc();
  }

  closed(): void {
    this.#metrics.streams.dec();
  }

  subscribed(name: SecretName): void {
    this.#metrics.subscribers.inc(resourceLabel(name));
    this.#rejectedRequests.works();
    this.#faults.works();
    this.#log.debug("secret subscribed", { resource: name.text });
    this.#onEvent({ kind: "subscribed", resource: name.text });
  }

  unsubscribed(name: SecretName): void {
    this.#metrics.subscribers.dec(resourceLabel(name));
    this.#onEvent({ kind: "unsubscribed", resource: name.text });
  }

  /** @param durationMs until flow control had accepted the whole response */
  sent({ deliveries }: SubscriptionResponse<VersionedSecret>, durationMs: number): void {
    for (const { name, secret } of deliveries) {
      this.#metrics.sent.inc(resourceLabel(name));
      this.#log.debug("secret sent", { resource: name.text, version: secret.version });
      this.#onEvent({ kind: "sent", resource: name.text, version: secret.version, durationMs });
    }
  }

  /** A fault of this server, not of a client. */
  failed(path: string, error: unknown): void {
    const message = "secret request failed";
    this.#faults.failed({ level: "error", message, fields: { path, error: describeError(error) } });
    this.#onEvent({ kind: "request-failed", reason: describeError(error) });
  }

  report(report: SubscriptionReport<VersionedSecret>): void {
    switch (report.kind) {
      case "stale-nonce":
        this.#metrics.expiredNonces.inc("sds");
        this.#onEvent({ kind: "stale-nonce" });
        return;
      case "accepted":
        this.#rejectedSecrets.works();
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
  requestRejected(error: GrpcError): GrpcError {
    this.#metrics.rejectedRequests.inc(String(error.status));
    const reason = shortenPeerText(error.detail);
    const message = "secret request rejected";
    this.#rejectedRequests.failed({ level: "warn", message, kind: reason, fields: { reason } });
    this.#onEvent({ kind: "request-rejected", reason });
    return error;
  }

  /** The source can never serve the name, or a limit is reached. */
  unavailable(name: SecretName, cause: unknown): GrpcError {
    const detail = `serve secret ${JSON.stringify(name.text)}: ${describeError(cause)}`;
    const { failedPrecondition, resourceExhausted } = GrpcStatus;
    const status = cause instanceof BudgetSpentError ? resourceExhausted : failedPrecondition;
    return this.requestRejected(new GrpcError(status, detail, { cause }));
  }

  #rejected({ deliveries, reason }: SubscriptionReport<VersionedSecret> & { readonly kind: "rejected" }): void {
    const why = shortenPeerText(reason);
    const log = (resource: string, fields: LogFields): void => {
      const message = "client rejected secret (NACK)";
      this.#rejectedSecrets.failed({ level: "warn", message, kind: `${resource} ${why}`, fields });
    };
    if (deliveries.length === 0) {
      this.#metrics.nacks.inc("other");
      log("", { reason: why });
    }
    for (const { name, secret } of deliveries) {
      this.#metrics.nacks.inc(resourceLabel(name));
      this.#metrics.rejects.inc("sds");
      log(name.text, { resource: name.text, version: secret.version, reason: why });
      this.#onEvent({ kind: "rejected", resource: name.text, version: secret.version, reason: why });
    }
  }
}

/** The label value of a name: a closed set, whatever paths clients request. */
function resourceLabel(name: SecretName): string {
  switch (name.kind) {
    case "workload-certificate":
    case "trust-bundle":
      return name.text;
    case "spiffe-certificate":
      return "spiffe-cert";
    case "spiffe-roots":
    case "all-roots":
      return "spiffe-root";
    case "file-certificate":
      return "file-cert";
    case "file-roots":
    case "system-roots":
      return "file-root";
  }
}
