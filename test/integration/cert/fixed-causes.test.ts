// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, readFileSync, rmSync, symlinkSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { createCaClient, type EmbeddedCa, startEmbeddedCa } from "../../../src/ca/index.ts";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { startFakeMetadataServer } from "../../fakes/fake-metadata-server.ts";
import { testBudgets } from "../../support/budgets.ts";
import { eventually } from "../../support/eventually.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { testAuthority } from "../../support/test-authority.ts";
import { testLog } from "../../support/test-log.ts";
import { testStore, type TestStore } from "../../support/test-store.ts";

const account = { namespace: "demo", serviceAccount: "web" };
const hourMs = 3_600_000;

interface Pod extends AsyncDisposable {
  readonly clock: FakeClock;
  readonly store: TestStore;
  readonly directory: string;
  readonly tokenPath: string;
  readonly rootPath: string;
  readonly goodToken: string;
  readonly wrongAudienceToken: string;
  readonly expiredToken: string;
  readonly rootPem: string;
  /** Calls that the CA rejected. */
  rejected(): number;
  /** Lets time pass, with all attempts that are due meanwhile. */
  pass(ms: number, stepMs?: number): Promise<void>;
}

async function startCa(directory: string, audience: string, log = testLog().log): Promise<EmbeddedCa> {
  const options = {
    directory: join(directory, "ca"),
    host: "127.0.0.1",
    port: 0,
    serverNames: [],
    trustDomain: "cluster.local",
    audience,
    defaultTtlMs: hourMs,
    maxTtlMs: 24 * hourMs,
    backdateMs: 120_000,
    trustedTokenKeysPem: [],
  };
  return await startEmbeddedCa(options, { log, clock: systemClock, budgets: testBudgets() });
}

/** A real CA and the client with its real files; only the time between attempts is the test's. */
async function startPod(
  given: {
    readonly token?: (pod: Omit<Pod, "store">) => string | undefined;
    /** The port of the cloud's metadata server, where the token comes from one. */
    readonly metadataPort?: number;
  } = {},
): Promise<Pod> {
  await using stack = new AsyncDisposableStack();
  const directory = stack.use(await temporaryDirectory()).path;
  const caLog = testLog();
  const ca = stack.use(await startCa(directory, "istio-ca", caLog.log));
  const other = stack.use(await startCa(directory, "somebody else"));
  const clock = new FakeClock(Date.now());
  const tokenPath = join(directory, "tokens", "istio-token");
  const rootPath = join(directory, "root.pem");
  mkdirSync(join(directory, "tokens"));
  writeFileSync(rootPath, ca.rootPem);
  const base = {
    clock,
    directory,
    tokenPath,
    rootPath,
    goodToken: ca.issueToken({ ...account, ttlMs: 12 * hourMs }),
    wrongAudienceToken: other.issueToken({ ...account, ttlMs: 12 * hourMs }),
    expiredToken: ca.issueToken({ ...account, ttlMs: -hourMs }),
    rootPem: ca.rootPem,
    rejected: () => caLog.records.filter(({ message }) => message === "certificate request rejected").length,
  };
  const pass: Pod["pass"] = async (ms, stepMs = 250) => {
    for (let left = ms; left > 0; left -= stepMs) {
      await clock.advance(Math.min(stepMs, left));
      // Files and sockets take real time, also while nothing is pending by the count.
      await systemClock.delay(4);
      await eventually(
        () => {
          expect(store.outcomes.length).toBe(store.store.status().attempts);
        },
        { withinMs: 5_000, everyMs: 1 },
      );
    }
  };
  const token = given.token?.({ ...base, pass, [Symbol.asyncDispose]: () => Promise.resolve() });
  if (token !== undefined) writeFileSync(tokenPath, token);
  const client = stack.use(
    createCaClient(
      {
        kind: "istio",
        host: "127.0.0.1",
        port: ca.port,
        security: {
          kind: "tls",
          serverName: "localhost",
          roots: { kind: "file", path: rootPath },
          client: undefined,
          policy: "default",
        },
        tokenPath,
        cloudToken:
          given.metadataPort === undefined
            ? undefined
            : { host: "127.0.0.1", port: given.metadataPort, audience: "istio-ca" },
        clusterId: "Kubernetes",
        certSigner: "",
        headers: {},
        timeoutPerTryMs: 10_000,
        keepalive: { intervalMs: 30_000, timeoutMs: 10_000 },
      },
      { log: testLog().log, clock, budgets: testBudgets() },
    ),
  );
  const store = stack.use(testStore(client, { clock }));
  const owned = stack.move();
  return { ...base, store, pass, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** How long after now the certificate is there. Time passes with the real one, since the system reports file events. */
async function untilValidMs({ clock, store }: Pod): Promise<number> {
  const startMs = clock.monotonicMs();
  await eventually(
    async () => {
      if (store.store.status().state === "valid") return;
      await clock.advance(20);
      expect(store.store.status().state).toBe("valid");
    },
    { withinMs: 10_000, everyMs: 20 },
  );
  return clock.monotonicMs() - startMs;
}

const causes = ["missing", "expired", "wrong audience", "garbage"] as const;

function badToken(cause: (typeof causes)[number], pod: Omit<Pod, "store">): string | undefined {
  switch (cause) {
    case "missing":
      return undefined;
    case "expired":
      return pod.expiredToken;
    case "wrong audience":
      return pod.wrongAudienceToken;
    case "garbage":
      return "garbage";
  }
}

describe("A6: a fixed cause is noticed at once", () => {
  const cases = [5, 25, 300].flatMap((seconds) => causes.map((cause) => [cause, seconds] as const));
  test.each(cases)(
    "A6: a token that was %s for %i s is used within 2 s after it is corrected",
    async (cause, seconds) => {
      await using pod = await startPod({ token: (one) => badToken(cause, one) });
      await pod.pass(seconds * 1_000, seconds > 60 ? 1_000 : 250);
      // Time of the test passes faster than files and sockets work on a busy machine.
      while (pod.store.outcomes.length < (seconds === 5 ? 2 : 10)) await pod.pass(1_000);
      expect(pod.store.outcomes).not.toContain("ok");
      writeFileSync(pod.tokenPath, pod.goodToken);
      expect(await untilValidMs(pod)).toBeLessThanOrEqual(2_000);
    },
    30_000,
  );

  test("A6: so is a root that was another CA's, and a token that is swapped as the kubelet swaps it", async () => {
    await using pod = await startPod();
    writeFileSync(pod.rootPath, testAuthority("stranger", Date.now()).rootPem);
    const version = (name: string, text: string): void => {
      mkdirSync(join(pod.directory, "tokens", name));
      writeFileSync(join(pod.directory, "tokens", name, "istio-token"), text);
      symlinkSync(name, join(pod.directory, "tokens", "..data_tmp"));
      renameSync(join(pod.directory, "tokens", "..data_tmp"), join(pod.directory, "tokens", "..data"));
    };
    version("..1", pod.wrongAudienceToken);
    symlinkSync("..data/istio-token", pod.tokenPath);
    await pod.pass(40_000);
    version("..2", pod.goodToken);
    await pod.pass(20_000);
    expect(pod.store.store.status().state).toBe("none");
    writeFileSync(pod.rootPath, pod.rootPem);
    expect(await untilValidMs(pod)).toBeLessThanOrEqual(2_000);
  });

  test.each([5, 25, 300])(
    "A6: a cloud token that was away for %i s is used within 4 s of its return",
    async (seconds) => {
      const cloud: { token?: string } = {};
      await using metadata = await startFakeMetadataServer(() => cloud.token);
      await using pod = await startPod({ metadataPort: metadata.port });
      await pod.pass(seconds * 1_000, seconds > 60 ? 1_000 : 250);
      expect(pod.store.outcomes).not.toContain("ok");
      cloud.token = pod.goodToken;
      expect(await untilValidMs(pod)).toBeLessThanOrEqual(4_000);
    },
    30_000,
  );

  test("A6: a change while the attempt is under way counts", async () => {
    await using pod = await startPod({ token: (one) => one.wrongAudienceToken });
    // The first attempt has read the token, and is not finished.
    writeFileSync(pod.tokenPath, pod.goodToken);
    expect(await untilValidMs(pod)).toBeLessThanOrEqual(2_000);
  });

  test("A6: an unchanged cause keeps to ten attempts a minute, also when its file is written again", async () => {
    await using pod = await startPod({ token: (one) => one.wrongAudienceToken });
    for (let second = 0; second < 180; second++) {
      writeFileSync(`${pod.tokenPath}.new`, readFileSync(pod.tokenPath));
      renameSync(`${pod.tokenPath}.new`, pod.tokenPath);
      await pod.pass(1_000, 500);
    }
    expect(pod.rejected()).toBeGreaterThan(20);
    expect(pod.rejected()).toBeLessThanOrEqual(31);
  }, 30_000);

  test("A6: a token that changes all the time costs the CA at most one call a second", async () => {
    await using pod = await startPod({ token: () => "garbage" });
    for (let second = 0; second < 120; second++) {
      writeFileSync(pod.tokenPath, `garbage ${String(second)}`.replace(" ", "-"));
      await pod.pass(1_000, 250);
    }
    expect(pod.rejected()).toBeLessThanOrEqual(115);
    rmSync(pod.tokenPath);
  }, 30_000);
});
