// SPDX-License-Identifier: Apache-2.0
import { Session } from "node:inspector/promises";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { type Readable, Transform } from "node:stream";
import { getHeapSnapshot } from "node:v8";
import type { Clock } from "../../lib/async/clock.ts";

/** Delays of the event loop in milliseconds, and the resources that keep it alive. */
export interface EventLoopReport {
  readonly seconds: number;
  readonly meanMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** Active resources by kind, such as `Timeout` and `TCPSocketWrap`. */
  readonly waitsFor: Readonly<Record<string, number>>;
}

/** Samples the delay of the event loop for some seconds. Nothing is sampled before and after. */
export async function measureEventLoop(seconds: number, clock: Clock, signal: AbortSignal): Promise<EventLoopReport> {
  const histogram = monitorEventLoopDelay({ resolution: 10 });
  histogram.enable();
  try {
    await clock.delay(seconds * 1_000, signal);
  } finally {
    histogram.disable();
  }
  const ms = (nanoseconds: number): number => Math.round(nanoseconds / 1e4) / 100;
  return {
    seconds,
    meanMs: ms(histogram.mean),
    p50Ms: ms(histogram.percentile(50)),
    p99Ms: ms(histogram.percentile(99)),
    maxMs: ms(histogram.max),
    waitsFor: countKinds(process.getActiveResourcesInfo()),
  };
}

function countKinds(kinds: readonly string[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const kind of kinds) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}

/** Profiles the CPU for some seconds, in the format of Chromium's developer tools. */
export async function recordCpuProfile(seconds: number, clock: Clock, signal: AbortSignal): Promise<string> {
  const session = new Session();
  session.connect();
  try {
    await session.post("Profiler.enable");
    await session.post("Profiler.start");
    await clock.delay(seconds * 1_000, signal);
    const { profile } = await session.post("Profiler.stop");
    return JSON.stringify(profile);
  } finally {
    session.disconnect();
  }
}

/** A snapshot of the heap without its texts. The whole process stands still while it is taken. */
export function heapSnapshot(): Readable {
  return getHeapSnapshot().pipe(new HeapRedaction());
}

const marker = '"strings":[';
/** Names of classes, functions and properties are shorter; keys, tokens and certificates are longer. */
const maxNameLength = 32;

/**
 * Removes the texts from a heap snapshot while it is written: a snapshot has every string of the process, among them
 * private keys and tokens. Names stay, so that the snapshot still shows what the memory is used for.
 * Source: V8's heap snapshot format, whose last member is the table of strings
 */
export class HeapRedaction extends Transform {
  /** The end of the last chunk, which may be the start of the marker. */
  #tail = "";
  #inTable = false;
  /** The current string, without quotes; undefined between strings. */
  #text: string | undefined;
  #escaped = false;

  override _transform(
    chunk: Buffer,
    _encoding: BufferEncoding,
    done: (error?: Error | null, data?: Buffer) => void,
  ): void {
    // one character per byte, so that chunks may end anywhere
    done(null, Buffer.from(this.#redact(chunk.toString("latin1")), "latin1"));
  }

  override _flush(done: (error?: Error | null, data?: Buffer) => void): void {
    done(null, Buffer.from(this.#tail, "latin1"));
  }

  #redact(chunk: string): string {
    if (this.#inTable) return this.#redactTable(chunk);
    const text = this.#tail + chunk;
    const at = text.indexOf(marker);
    if (at < 0) {
      this.#tail = text.slice(-marker.length);
      return text.slice(0, -marker.length);
    }
    this.#inTable = true;
    this.#tail = "";
    const table = at + marker.length;
    return text.slice(0, table) + this.#redactTable(text.slice(table));
  }

  #redactTable(chunk: string): string {
    let out = "";
    for (const char of chunk) {
      if (this.#text === undefined) {
        if (char === '"') this.#text = "";
        else out += char;
      } else if (char === '"' && !this.#escaped) {
        out += `"${redacted(this.#text)}"`;
        this.#text = undefined;
      } else {
        this.#text += char;
        this.#escaped = char === "\\" && !this.#escaped;
      }
    }
    return out;
  }
}

/** Replaces a text that is too long for a name, or that looks like the last line of encoded data, by its length. */
function redacted(text: string): string {
  const encoded = text.length >= 12 && /^[A-Za-z0-9+/_-]+={0,2}$/.test(text) && /[0-9+/=]/.test(text);
  return text.length > maxNameLength || encoded ? `(text of ${String(text.length)} characters)` : text;
}
