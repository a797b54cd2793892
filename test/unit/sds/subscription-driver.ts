// SPDX-License-Identifier: Apache-2.0
import { testBudgets } from "../../support/budgets.ts";
import { checkSecretName, parseSecretName } from "../../../src/sds/secret-name.ts";
import {
  Subscription,
  type SubscriptionRequest,
  type SubscriptionStep,
  type VersionedSecret,
} from "../../../src/sds/subscription.ts";

export type Step = SubscriptionStep<VersionedSecret>;

/** A stream and the secrets that exist, driven by hand: what a request or a change makes it send. */
export class SubscriptionDriver {
  readonly budgets = testBudgets();
  readonly secrets = new Map<string, VersionedSecret>();
  readonly subscription: Subscription<VersionedSecret>;
  lastNonce = "";
  lastStep: Step | undefined;
  #nonces = 0;

  constructor(secrets: Readonly<Record<string, string>> = {}) {
    for (const [text, version] of Object.entries(secrets)) this.secrets.set(text, { version });
    this.subscription = new Subscription({
      parseName: (text) => checkSecretName(parseSecretName(text), ["/certs"]),
      nextNonce: () => `nonce-${String(++this.#nonces)}`,
      names: this.budgets.of("sds-names"),
      pendingResponses: this.budgets.of("sds-pending-responses"),
    });
  }

  /** A state-of-the-world request; what is sent for it, as `name@version`. */
  ask(names: readonly string[], facts: { nonce?: string; rejection?: string; nodeId?: string } = {}): string[] {
    return this.request({
      protocol: "state-of-the-world",
      names,
      nodeId: facts.nodeId ?? "sidecar~1",
      nonce: facts.nonce ?? "",
      rejection: facts.rejection,
    });
  }

  /** A delta request; what is sent for it. */
  askDelta(facts: {
    subscribe?: string[];
    unsubscribe?: string[];
    initial?: Record<string, string>;
    nonce?: string;
    rejection?: string;
  }): string[] {
    return this.request({
      protocol: "delta",
      subscribe: facts.subscribe ?? [],
      unsubscribe: facts.unsubscribe ?? [],
      initialVersions: new Map(Object.entries(facts.initial ?? {})),
      nodeId: "sidecar~1",
      nonce: facts.nonce ?? "",
      rejection: facts.rejection,
    });
  }

  request(request: SubscriptionRequest): string[] {
    this.lastStep = this.subscription.request(request);
    for (const { text } of this.lastStep.added) {
      const secret = this.secrets.get(text);
      if (secret !== undefined) this.subscription.offer(text, secret);
    }
    return this.#take();
  }

  /** A secret changes; what is pushed. */
  change(text: string, version: string): string[] {
    this.secrets.set(text, { version });
    this.subscription.offer(text, { version });
    return this.#take();
  }

  get reports(): readonly string[] {
    return (this.lastStep?.reports ?? []).map((report) => report.kind);
  }

  get end(): Step["end"] {
    return this.lastStep?.end;
  }

  #take(): string[] {
    const response = this.subscription.nextResponse();
    if (response === undefined) return [];
    this.lastNonce = response.nonce;
    return response.deliveries.map(({ name, secret }) => `${name.text}@${secret.version}`);
  }
}
