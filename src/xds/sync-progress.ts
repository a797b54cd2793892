// SPDX-License-Identifier: Apache-2.0
import { shortenPeerText } from "../lib/printable-text.ts";

/** As `istioctl proxy-status` names them. STALE: sent and not acknowledged. NACKED: the last response is rejected. */
export type SyncState = "SYNCED" | "STALE" | "NACKED" | "NOT SENT";

/** How far a client has come with the responses of one type. Times are milliseconds since the epoch. */
export interface TypeProgress {
  /** Of the response that was sent last. */
  readonly versionSent: string;
  /** Undefined while nothing was sent. */
  readonly lastSentAtMs: number | undefined;
  /** Of the response that was accepted last. */
  readonly versionAccepted: string;
  /** When a response was accepted last. */
  readonly lastAckedAtMs: number | undefined;
  readonly state: SyncState;
  /** Resources of the response that was sent last, where their number is known. */
  readonly resourceCount: number | undefined;
}

interface Response {
  readonly typeUrl: string;
  readonly version: string;
  readonly nonce: string;
  readonly resourceCount?: number | undefined;
}

const nothing: TypeProgress = {
  versionSent: "",
  lastSentAtMs: undefined,
  versionAccepted: "",
  lastAckedAtMs: undefined,
  state: "NOT SENT",
  resourceCount: undefined,
};

/** What was sent to one client, and what became of it, by type. One entry for each type that the client subscribes to. */
export class SyncProgress {
  readonly #now: () => number;
  readonly #types = new Map<string, { readonly progress: TypeProgress; readonly lastNonce: string }>();

  /** @param now wall clock */
  constructor(now: () => number) {
    this.#now = now;
  }

  of(typeUrl: string): TypeProgress {
    return this.#types.get(typeUrl)?.progress ?? nothing;
  }

  sent({ typeUrl, version, nonce, resourceCount }: Response): void {
    const versionSent = shortenPeerText(version);
    const sent = { versionSent, lastSentAtMs: this.#now(), state: "STALE" as const, resourceCount };
    this.#types.set(typeUrl, {
      progress: { ...this.of(typeUrl), ...sent },
      lastNonce: shortenPeerText(nonce),
    });
  }

  /** The client has accepted or rejected a response; a later one may be under way. */
  acknowledged({ typeUrl, version, nonce }: Response, isAccepted: boolean): void {
    const known = this.#types.get(typeUrl);
    if (known === undefined) return;
    const { progress, lastNonce } = known;
    const isLast = lastNonce === shortenPeerText(nonce);
    const state = isLast ? (isAccepted ? "SYNCED" : "NACKED") : progress.state;
    const accepted = { versionAccepted: shortenPeerText(version), lastAckedAtMs: this.#now() };
    this.#types.set(typeUrl, { progress: { ...progress, ...(isAccepted ? accepted : {}), state }, lastNonce });
  }
}
