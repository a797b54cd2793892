// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import { FairSlots, type Slot } from "../lib/async/fair-slots.ts";
import type { TurnQueue } from "../lib/async/turn-queue.ts";
import type { Budgets } from "../model/limits.ts";
import { type Call, onlyLocalhost, sendReply } from "./call.ts";
import { isLocalConnection, peerOf } from "./local-caller.ts";
import { type Encoder, ScrapeGroup } from "./scrape-group.ts";
import type { StatusConfig } from "./status-config.ts";
import type { ScrapeRequest, StatusSources } from "./status-sources.ts";

interface ScrapeRouteOptions {
  readonly config: Pick<StatusConfig, "metricsLocalhostOnly">;
  readonly sources: Pick<StatusSources, "metrics">;
  readonly turns: TurnQueue;
  readonly budgets: Budgets;
  readonly clock: Clock;
}

type Asked = Pick<ScrapeRequest, "accept" | "userAgent" | "timeoutSeconds" | "query">;

/** A scraper may say how long it waits; longer is not waited for any target. */
const longestSeconds = 60;
/** A scrape that has run for so long gives up its targets that have not responded, when others wait. */
const fairMs = 2_000;

/**
 * Responds to scrapes with 200 and all metrics that could be read. Equal requests of a peer share one scrape until its
 * response begins. Few scrapes run at once; peers take turns.
 */
export class ScrapeRoute implements Disposable {
  readonly #options: ScrapeRouteOptions;
  readonly #slots: FairSlots;
  /** Groups that scrapers can join, by request. */
  readonly #open = new Map<string, ScrapeGroup>();
  /** Groups whose scrapers read slowly, in the order in which they became slow. */
  readonly #slow = new Set<ScrapeGroup>();

  constructor(options: ScrapeRouteOptions) {
    this.#options = options;
    const { budgets, clock } = options;
    const slots = budgets.of("scrapes").size;
    this.#slots = new FairSlots({ slots, waiting: budgets.of("scrapes-waiting"), fairMs, clock });
  }

  async handle(call: Call): Promise<void> {
    const { request } = call;
    if (this.#options.config.metricsLocalhostOnly && !isLocalConnection(request.socket)) {
      sendReply(call, onlyLocalhost);
      return;
    }
    const encoder = await encoderFor(call);
    const peer = peerOf(request.socket);
    const { accept, "user-agent": userAgent, "x-prometheus-scrape-timeout-seconds": timeout } = request.headers;
    const timeoutSeconds = cappedSeconds(timeout);
    const asked = { accept, userAgent, timeoutSeconds, query: call.query };
    const key = JSON.stringify([peer, asked, encoder?.coding]);
    const open = this.#open.get(key);
    if (open !== undefined) encoder?.stream.destroy();
    await (open ?? this.#begin(key, peer, asked, encoder)).join(call);
  }

  /** Starts a scrape that equal requests can join; the first one must join at once. */
  #begin(key: string, peer: string, asked: Asked, encoder: Encoder | undefined): ScrapeGroup {
    let slot: Slot | undefined;
    const group: ScrapeGroup = new ScrapeGroup({
      clock: this.#options.clock,
      encoder,
      onBegin: () => {
        this.#open.delete(key);
      },
      onSlow: () => {
        slot?.[Symbol.dispose]();
        this.#addSlow(group);
      },
    });
    this.#open.set(key, group);
    const run = async (): Promise<void> => {
      const { turns, clock, sources } = this.#options;
      const startedMs = clock.monotonicMs();
      await turns.turn(peer);
      slot = await this.#slots.acquire(peer, group.abandoned);
      const waitedMs = clock.monotonicMs() - startedMs;
      const scrape = { ...asked, preempted: slot.preempted, waitedMs, turn: () => turns.turn(peer) };
      await sources.metrics.scrape(scrape, group, group.abandoned);
      await group.end();
    };
    void run()
      .catch((error: unknown) => {
        group.fail(error);
      })
      .finally(() => {
        slot?.[Symbol.dispose]();
        if (this.#open.get(key) === group) this.#open.delete(key);
        if (this.#slow.delete(group)) this.#options.budgets.of("scrapes-unread").release();
      });
    return group;
  }

  [Symbol.dispose](): void {
    this.#slots[Symbol.dispose]();
  }

  #addSlow(group: ScrapeGroup): void {
    if (this.#slow.has(group)) return;
    const [oldest] = this.#slow;
    if (!this.#options.budgets.of("scrapes-unread").tryTake() && oldest !== undefined) {
      // its place passes to this one
      this.#slow.delete(oldest);
      oldest.close();
    }
    this.#slow.add(group);
  }
}

/** zlib is loaded for the first scraper that accepts compression. */
async function encoderFor({ request }: Call): Promise<Encoder | undefined> {
  const header = request.headers["accept-encoding"];
  if (typeof header !== "string") return undefined;
  const { chooseCoding, createEncoder } = await import("./content-coding.ts");
  const coding = chooseCoding(header);
  return coding === undefined ? undefined : { coding, stream: createEncoder(coding) };
}

/** The header as received, unless it says more than the longest time. */
function cappedSeconds(header: string | readonly string[] | undefined): string | undefined {
  if (typeof header !== "string") return undefined;
  return Number.parseFloat(header) > longestSeconds ? String(longestSeconds) : header.slice(0, 32);
}
