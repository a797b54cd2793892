// SPDX-License-Identifier: Apache-2.0
import { createHash, createPublicKey, type KeyObject, X509Certificate } from "node:crypto";
import { type CertificateSigner, createCertStore } from "../../src/cert/index.ts";
import { splitPem } from "../../src/lib/pki/pem.ts";
import type { ResponseCheck, SignedChain, SigningRequest } from "../../src/model/signing.ts";
import { newKey, publicKeyOf, testAuthority, testSpiffeId } from "./test-authority.ts";
import { testCertConfig } from "./test-store.ts";
import { seededRandom, VirtualClock } from "./virtual-clock.ts";
import { testBudgets } from "./budgets.ts";

const faults = [
  "down",
  "slow",
  "hanging",
  "garbage",
  "wrong-key",
  "wrong-identity",
  "expired",
  "not-yet-valid",
  "other-root",
] as const;
type Mode = "good" | (typeof faults)[number];

export interface SimulationOptions {
  readonly seed: number;
  /** Ends when this many good certificates were issued. */
  readonly lifetimes: number;
  readonly lifetimeMs: number;
}

export interface SimulationResult {
  /** Seconds in which a valid certificate was here and none that is valid was served. */
  readonly withheldMs: number;
  /** Seconds without any valid certificate: the CA's fault alone. */
  readonly withoutMs: number;
  readonly badServed: number;
  readonly attempts: number;
  readonly issued: number;
  readonly shortestGapMs: number;
  readonly mostPerMinute: number;
  readonly modesSeen: ReadonlySet<Mode>;
  /** A digest of everything that happened, with its times. */
  readonly trace: string;
}

interface Period {
  readonly serial: string;
  readonly fromMs: number;
  readonly toMs: number;
}

/** A signer that changes its behaviour at random times, and knows what it gave. */
class FaultySigner implements CertificateSigner {
  readonly #clock: VirtualClock;
  readonly #random: () => number;
  readonly #lifetimeMs: number;
  readonly #ca;
  readonly #other;
  readonly #wrongKey: KeyObject = publicKeyOf(newKey());
  readonly trace = createHash("sha256");
  readonly good: Period[] = [];
  readonly attemptsMs: number[] = [];
  readonly modesSeen = new Set<Mode>();
  isWaiting = false;
  #mode: Mode = "good";
  #modeEndsMs = 0;

  constructor(clock: VirtualClock, random: () => number, lifetimeMs: number) {
    this.#clock = clock;
    this.#random = random;
    this.#lifetimeMs = lifetimeMs;
    this.#ca = testAuthority("simulated", clock.now());
    this.#other = testAuthority("stranger", clock.now());
  }

  async sign<T>({ csrPem }: SigningRequest, check: ResponseCheck<T>, signal: AbortSignal): Promise<T> {
    this.attemptsMs.push(this.#clock.monotonicMs());
    const mode = this.#currentMode();
    this.modesSeen.add(mode);
    this.trace.update(`${String(this.#clock.monotonicMs())} ${mode}\n`);
    if (mode === "down") throw Object.assign(new Error("down"), { failure: "unreachable" });
    if (mode === "slow" || mode === "hanging") await this.#wait(mode === "slow" ? 3_000 : 10_000, signal);
    if (mode === "hanging") throw Object.assign(new Error("no answer"), { failure: "unreachable" });
    if (mode === "garbage") return check({ chainPem: "rubbish", rootsPem: this.#ca.rootPem });
    return check(this.#issue(mode, csrPem));
  }

  #issue(mode: Mode, csrPem: string): SignedChain {
    const nowMs = this.#clock.now();
    const lateMs = mode === "not-yet-valid" ? 1_000 + Math.floor(this.#random() * 20_000) : -2_000;
    const shiftMs = mode === "expired" ? -2 * this.#lifetimeMs : lateMs;
    const chainPem = (mode === "other-root" ? this.#other : this.#ca).issue(
      {
        publicKey: mode === "wrong-key" ? this.#wrongKey : publicKeyIn(csrPem),
        uris: [mode === "wrong-identity" ? "spiffe://cluster.local/ns/other/sa/other" : testSpiffeId],
        notBeforeMs: nowMs + shiftMs,
        notAfterMs: nowMs + shiftMs + this.#lifetimeMs,
      },
      nowMs,
    );
    if (mode === "good" || mode === "slow" || mode === "not-yet-valid") {
      const x509 = new X509Certificate(chainPem);
      this.good.push({ serial: x509.serialNumber, fromMs: Date.parse(x509.validFrom), toMs: Date.parse(x509.validTo) });
    }
    return { chainPem, rootsPem: this.#ca.rootPem };
  }

  #currentMode(): Mode {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs >= this.#modeEndsMs) {
      this.#mode = this.#random() < 0.5 ? "good" : (faults[Math.floor(this.#random() * faults.length)] ?? "down");
      // Mostly short; now and then longer than a certificate lives.
      this.#modeEndsMs = nowMs + this.#lifetimeMs * this.#random() ** 3 * 1.5;
    }
    return this.#mode;
  }

  async #wait(ms: number, signal: AbortSignal): Promise<void> {
    this.isWaiting = true;
    try {
      await this.#clock.delay(ms, signal);
    } finally {
      this.isWaiting = false;
    }
  }
}

/** Runs a store beside a CA that fails at random, and measures what its workload would have felt. */
export async function simulateLifetimes(options: SimulationOptions): Promise<SimulationResult> {
  const clock = new VirtualClock();
  const random = seededRandom(options.seed);
  const signer = new FaultySigner(clock, random, options.lifetimeMs);
  let finished = 0;
  let failure: unknown;
  const quiet = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
  const log = { ...quiet, scope: () => log };
  const rotation = { gracePeriodRatio: 0.5, gracePeriodRatioJitter: 0, leastSpread: 0.1, floorMs: 1_000 };
  await using store = createCertStore({ ...testCertConfig, rotation }, signer, {
    budgets: testBudgets(),
    log,
    clock,
    random,
    fail: (error) => (failure = error),
    hold: { set: () => undefined, release: () => undefined },
    metrics: { signed: () => finished++, trustDomainChanged: () => undefined },
  });
  const tally = new Tally(signer, store);
  while (signer.good.length < options.lifetimes && failure === undefined) {
    // Keys are made off the event loop, in real time, while the simulated one stands still.
    do await new Promise((resolve) => setImmediate(resolve));
    while (store.status().attempts !== finished && !signer.isWaiting);
    const fromMs = clock.now();
    tally.look(fromMs);
    clock.step();
    tally.passed(clock.now() - fromMs);
  }
  if (failure !== undefined) throw new Error("the store failed", { cause: failure });
  return tally.result();
}

interface ServingStore {
  status(): { readonly serial: string | undefined };
}

class Tally {
  readonly #signer: FaultySigner;
  readonly #store: ServingStore;
  #isServed = true;
  #isThere = false;
  #withheldMs = 0;
  #withoutMs = 0;
  #badServed = 0;
  #serial: string | undefined;
  #oldest = 0;

  constructor(signer: FaultySigner, store: ServingStore) {
    this.#signer = signer;
    this.#store = store;
  }

  /** Compares what is served with what could be. */
  look(nowMs: number): void {
    const { serial } = this.#store.status();
    const { good, trace } = this.#signer;
    if (serial !== this.#serial)
      trace.update(`${String(nowMs)} serves ${String(good.findLastIndex((one) => one.serial === serial))}\n`);
    if (serial !== this.#serial && !good.some((one) => one.serial === serial)) this.#badServed++;
    this.#serial = serial;
    while (good[this.#oldest] !== undefined && (good[this.#oldest]?.toMs ?? 0) <= nowMs) this.#oldest++;
    const valid = good.slice(this.#oldest).filter((one) => one.fromMs <= nowMs && nowMs < one.toMs);
    this.#isThere = valid.length > 0;
    this.#isServed = valid.some((one) => one.serial === serial);
  }

  passed(ms: number): void {
    if (!this.#isThere) this.#withoutMs += ms;
    else if (!this.#isServed) this.#withheldMs += ms;
  }

  result(): SimulationResult {
    const { attemptsMs, modesSeen, trace, good } = this.#signer;
    const gaps = attemptsMs.slice(1).map((at, i) => at - (attemptsMs[i] ?? 0));
    let mostPerMinute = 0;
    for (let from = 0, to = 0; to < attemptsMs.length; to++) {
      while ((attemptsMs[to] ?? 0) - (attemptsMs[from] ?? 0) >= 60_000) from++;
      mostPerMinute = Math.max(mostPerMinute, to - from + 1);
    }
    return {
      withheldMs: this.#withheldMs,
      withoutMs: this.#withoutMs,
      badServed: this.#badServed,
      attempts: attemptsMs.length,
      issued: good.length,
      shortestGapMs: gaps.reduce((least, gap) => Math.min(least, gap), Number.POSITIVE_INFINITY),
      mostPerMinute,
      modesSeen,
      trace: trace.copy().digest("hex"),
    };
  }
}

/** The P-256 key in a request, by the bytes that its encoding always begins with. */
function publicKeyIn(csrPem: string): KeyObject {
  const der = Buffer.from(splitPem(csrPem).blocks[0]?.der ?? []);
  const at = der.indexOf(Buffer.from("3059301306072a8648ce3d020106082a8648ce3d030107034200", "hex"));
  return createPublicKey({ key: der.subarray(at, at + 91), type: "spki", format: "der" });
}
