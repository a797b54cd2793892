// SPDX-License-Identifier: Apache-2.0
import {
  type CertConfig,
  type CertDeps,
  type CertStore,
  type CertificateSigner,
  type IdentityProvider,
  createCertStore,
} from "../../src/cert/index.ts";
import { type Clock, systemClock } from "../../src/lib/async/clock.ts";
import type { Budgets } from "../../src/model/limits.ts";
import type { Secret } from "../../src/model/secret.ts";
import { testLog } from "./test-log.ts";
import { testBudgets } from "./budgets.ts";

export const testCertConfig: CertConfig = {
  identity: { trustDomain: "cluster.local", namespace: "demo", serviceAccount: "web" },
  strictTrustDomain: false,
  key: { kind: "ec", curve: "P-256" },
  pkcs8: false,
  ttlMs: 3_600_000,
  rotation: { gracePeriodRatio: 0.5, gracePeriodRatioJitter: 0, leastSpread: 0, floorMs: 1_000 },
  refusedExitAfterMs: 600_000,
  cacheDirectory: undefined,
  provisioned: undefined,
  output: undefined,
  anchors: [],
  rootFiles: [],
  rootSpreadMs: 30_000,
  bundlePolicy: "default",
  trustDomainAliases: [],
};

/** A store with everything around it recorded. */
export interface TestStore extends AsyncDisposable {
  readonly store: CertStore;
  /** What keeps the workload from being ready; undefined when nothing does. */
  pending(): string | undefined;
  /** What is shown while renewal fails and the certificate is valid. */
  renewalNote(): string | undefined;
  readonly outcomes: readonly string[];
  /** How often the trust domain changed. */
  trustDomainChanges(): number;
  readonly failures: readonly unknown[];
  readonly records: ReturnType<typeof testLog>["records"];
  /** Everything that `watch` yielded for the name, from now on; `order` gets the name each time. */
  collect(name: "default" | "ROOTCA", order?: string[]): readonly Secret[];
}

export function testStore(
  source: CertificateSigner | IdentityProvider,
  {
    config = {},
    clock = systemClock,
    random = () => 0.5,
    budgets = testBudgets(),
  }: { config?: Partial<CertConfig>; clock?: Clock; random?: () => number; budgets?: Budgets } = {},
): TestStore {
  const { log, records } = testLog();
  const outcomes: string[] = [];
  const failures: unknown[] = [];
  const stop = new AbortController();
  let trustDomainChanges = 0;
  let pending: string | undefined = "not looked at yet";
  let renewalNote: string | undefined;
  const deps: CertDeps = {
    budgets,
    log,
    clock,
    random,
    fail: (error) => failures.push(error),
    hold: {
      set: (detail) => {
        pending = detail;
      },
      release: () => {
        pending = undefined;
      },
    },
    renewalNote: {
      set: (detail) => {
        renewalNote = detail;
      },
      release: () => {
        renewalNote = undefined;
      },
    },
    metrics: { signed: (outcome) => outcomes.push(outcome), trustDomainChanged: () => trustDomainChanges++ },
  };
  const store = createCertStore({ ...testCertConfig, ...config }, source, deps);
  return {
    store,
    pending: () => pending,
    renewalNote: () => renewalNote,
    outcomes,
    trustDomainChanges: () => trustDomainChanges,
    failures,
    records,
    collect(name, order = []) {
      const secrets: Secret[] = [];
      void (async () => {
        for await (const secret of store.watch(name, stop.signal)) {
          secrets.push(secret);
          order.push(name);
        }
      })();
      return secrets;
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await store[Symbol.asyncDispose]();
    },
  };
}
