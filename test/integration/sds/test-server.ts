// SPDX-License-Identifier: Apache-2.0
import { testBudgets } from "../../support/budgets.ts";
import { join } from "node:path";
import { systemClock } from "../../../src/lib/async/clock.ts";
import type { LogRecord } from "../../../src/lib/log/log.ts";
import { listenUnix } from "../../../src/lib/net/unix-socket.ts";
import { ObservableValue } from "../../../src/lib/async/observable-value.ts";
import type { Secret } from "../../../src/model/secret.ts";
import type { AgentMetrics } from "../../../src/metrics/index.ts";
import { type SdsConfig, type SdsEvent, serveSds } from "../../../src/sds/index.ts";
import { createTestMetrics } from "../../support/agent-metrics.ts";
import { SdsClient } from "../../fakes/sds-client.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { testLog } from "../../support/test-log.ts";

/** The SDS module on a socket of its own, with a source that the test holds. */
export interface TestServer extends AsyncDisposable {
  readonly socketPath: string;
  readonly directory: string;
  readonly metrics: AgentMetrics["sds"];
  readonly events: SdsEvent[];
  readonly records: LogRecord[];
  /** The names that somebody waits for, or has waited for. */
  readonly watched: ReadonlySet<string>;
  /** Publishes a secret under a name. */
  set(name: string, secret: Secret): void;
  /** From now on the source gives up on this name. */
  fail(name: string, error: Error): void;
  /** The revocation list; a server started with one waits for it. */
  setCrl(crlPem: string | undefined): void;
  /** A new client, on a connection of its own, closed with the server. */
  client(): SdsClient;
}

export async function startTestServer(
  config: Partial<SdsConfig> = {},
  withCrl = false,
  budgets = testBudgets(),
): Promise<TestServer> {
  const stack = new AsyncDisposableStack();
  const directory = stack.use(await temporaryDirectory()).path;
  const socketPath = join(directory, "socket");
  const { log, records } = testLog();
  const metrics = createTestMetrics().sds;
  const events: SdsEvent[] = [];
  const secrets = new Map<string, ObservableValue<Secret>>();
  const failures = new Map<string, Error>();
  const watched = new Set<string>();
  const secretOf = (name: string): ObservableValue<Secret> => {
    const watched = secrets.get(name) ?? new ObservableValue<Secret>();
    secrets.set(name, watched);
    return watched;
  };
  const lists = new ObservableValue<{ readonly crlPem: string | undefined }>();
  const crl = {
    async *watch(signal: AbortSignal) {
      for await (const { crlPem } of lists.watch(signal)) yield crlPem;
    },
  };
  const listener = stack.use(await listenUnix({ path: socketPath, mode: 0o600 }));
  const server = serveSds(
    listener,
    {
      watch({ text }, signal) {
        const failure = failures.get(text);
        if (failure !== undefined) throw failure;
        watched.add(text);
        return secretOf(text).watch(signal);
      },
    },
    { fileDirectories: ["/certs"], privateKeyProvider: { kind: "none" }, ...config },
    {
      log,
      clock: systemClock,
      budgets,
      random: Math.random,
      metrics,
      onEvent: (event) => events.push(event),
      ...(withCrl ? { crl } : {}),
    },
  );
  stack.use(server);
  return {
    socketPath,
    directory,
    metrics,
    events,
    records,
    watched,
    set(name, secret) {
      secretOf(name).set(secret);
    },
    fail(name, error) {
      failures.set(name, error);
    },
    setCrl(crlPem) {
      lists.set({ crlPem });
    },
    client: () => stack.use(new SdsClient(socketPath)),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** A certificate in name only, for what does not look into it. */
export function certificate(text: string): Secret {
  const keyPem = `key of ${text}`;
  return { kind: "certificate", chainPem: text, keyPem, spiffeId: "", serial: "1", notBeforeMs: 0, notAfterMs: 1 };
}

export function bundle(rootsPem: string): Secret {
  return { kind: "trust-bundle", rootsPem };
}
