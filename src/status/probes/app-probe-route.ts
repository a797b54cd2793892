// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../../lib/async/clock.ts";
import { FairSlots, loopbackPeer, type Slot } from "../../lib/async/fair-slots.ts";
import { SharedWork } from "../../lib/async/shared-work.ts";
import type { TurnQueue } from "../../lib/async/turn-queue.ts";
import { assertNever } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log/log.ts";
import type { Budgets } from "../../model/limits.ts";
import { type Call, headerText, type Reply, sendReply, textReply } from "../call.ts";
import { peerOf } from "../local-caller.ts";
import type { AppProbe } from "../status-config.ts";
import type { AppProber } from "./app-prober.ts";
import type { ProbeOutcome, ProbeRequest } from "./probe-outcome.ts";

/** The last result of a probe. */
export interface ProbeResult {
  readonly path: string;
  readonly kind: string;
  /** Milliseconds since the epoch. */
  readonly atMs: number;
  readonly durationMs: number;
  /** Of the response to the kubelet. */
  readonly status: number;
  readonly reason: string | undefined;
}

interface AppProbeRouteOptions {
  /** By path. */
  readonly probes: Readonly<Record<string, AppProbe>>;
  readonly prober: AppProber;
  readonly turns: TurnQueue;
  readonly budgets: Budgets;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A probe that has run for so long is ended when others wait. */
const fairMs = 5_000;

/**
 * Where the fault lies, so that the kubelet's event explains itself: `app` (bad response or none), `agent` (it could
 * not send the probe), `config` (no such probe).
 */
const faultHeader = "X-Attache-Probe-Fault";
const reasonHeader = "X-Attache-Probe-Reason";

/**
 * Probes the application as the path says, and responds as the application did. Equal requests of a peer share one probe;
 * those of other peers than loopback start one after another, so that `/healthz/ready` overtakes them.
 */
export class AppProbeRoute implements Disposable {
  readonly #options: AppProbeRouteOptions;
  readonly #probes: ReadonlyMap<string, AppProbe>;
  /** One for each configured path, so there are few. */
  readonly #results = new Map<string, ProbeResult>();
  readonly #shared = new SharedWork<Reply>();
  readonly #slots: FairSlots;

  constructor(options: AppProbeRouteOptions) {
    this.#options = options;
    this.#probes = new Map(Object.entries(options.probes));
    const { budgets, clock } = options;
    const slots = Math.max(1, Math.floor(budgets.of("probes").size / 2));
    this.#slots = new FairSlots({ slots, waiting: budgets.of("probes-waiting"), fairMs, clock });
  }

  results(): readonly ProbeResult[] {
    return [...this.#results.values()];
  }

  /** Whether such a probe is configured. */
  has(path: string): boolean {
    return this.#probes.has(path);
  }

  async handle(call: Call): Promise<void> {
    const { turns, log } = this.#options;
    const { request, path, signal } = call;
    const probe = this.#probes.get(path);
    if (probe === undefined) {
      log.debug("application probe is not configured", { path });
      const unknown = textReply(404, `no application probe is configured for ${path}`);
      sendReply(call, { ...unknown, headers: { ...unknown.headers, [faultHeader]: "config" } });
      return;
    }
    const peer = peerOf(request.socket);
    const key = [peer, path, ...request.rawHeaders].join("\n");
    const reply = await this.#shared.run(key, (stop) => this.#probe({ path, probe, request, peer }, stop), signal);
    if (peer !== loopbackPeer) await turns.turn(peer);
    sendReply(call, reply);
  }

  [Symbol.dispose](): void {
    this.#slots[Symbol.dispose]();
  }

  async #probe({ path, probe, request, peer }: ProbeOrder, stop: AbortSignal): Promise<Reply> {
    const { clock, log, turns } = this.#options;
    const { kind } = probe.handler;
    if (peer !== loopbackPeer) await turns.turn(peer);
    using slot = await this.#slots.acquire(peer, stop);
    const startMs = clock.monotonicMs();
    const outcome = await this.#outcome(probe, request, slot, stop);
    const reason = outcome.kind === "failed" ? outcome.reason : undefined;
    if (outcome.kind === "failed") log.debug("application probe failed", { path, kind, fault: outcome.side, reason });
    const reply = replyFor(outcome);
    const durationMs = Math.round(clock.monotonicMs() - startMs);
    this.#results.set(path, { path, kind, atMs: clock.now(), durationMs, status: reply.status, reason });
    return reply;
  }

  async #outcome(probe: AppProbe, request: ProbeRequest, slot: Slot, stop: AbortSignal): Promise<ProbeOutcome> {
    const outcome = await this.#options.prober.probe(probe, request, stop, slot.preempted);
    if (!slot.preempted.aborted || outcome.kind !== "failed") return outcome;
    return { kind: "failed", side: "agent", reason: `${this.#options.budgets.of("probes").text}; other probes wait` };
  }
}

interface ProbeOrder {
  readonly path: string;
  readonly probe: AppProbe;
  readonly request: ProbeRequest;
  readonly peer: string;
}

function replyFor(outcome: ProbeOutcome): Reply {
  switch (outcome.kind) {
    case "passed":
      return { status: 200 };
    case "responded":
      return forwardedReply(outcome.status, outcome.body);
    case "failed":
      return { status: 500, headers: { [faultHeader]: outcome.side, [reasonHeader]: headerText(outcome.reason) } };
    default:
      return assertNever(outcome);
  }
}

/** The application's status, except one that cannot be sent: below 200 it would not end the request. */
function forwardedReply(status: number, body: Uint8Array): Reply {
  const fault = status >= 200 && status < 400 ? undefined : { [faultHeader]: "app" };
  if (status < 200 || status > 999) {
    const reason = `the application responded with status ${String(status)}`;
    return { status: 500, headers: { ...fault, [reasonHeader]: reason } };
  }
  const type = body.byteLength === 0 ? undefined : { "Content-Type": contentType(body) };
  return { status, headers: { ...fault, ...type }, body };
}

/** The application's headers are not forwarded, so the type is derived from the first bytes. */
function contentType(body: Uint8Array): string {
  const start = Buffer.from(body.subarray(0, 512)).toString("latin1");
  if (/^\s*<(!doctype html|html)/i.test(start)) return "text/html; charset=utf-8";
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters distinguish binary from text
  return /[\u0000-\u0008\u000e-\u001a]/.test(start) ? "application/octet-stream" : "text/plain; charset=utf-8";
}
