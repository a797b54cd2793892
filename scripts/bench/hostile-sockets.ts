// SPDX-License-Identifier: Apache-2.0
// More attackers of the hostile bench: clients of both Unix sockets, and DNS over TCP. The last message has how often each
// attack was made.
import { connect, type Socket } from "node:net";
import { setPriority } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import { DiscoveryRequest } from "../../src/gen/envoy/service/discovery/v3/discovery.ts";
import { typeUrls } from "../../src/xds/protocol/type-url.ts";

export interface HostileSockets {
  readonly sdsPath: string;
  readonly xdsPath: string;
  readonly dnsPort: number;
  readonly seconds: number;
}

const { sdsPath, xdsPath, dnsPort, seconds } = JSON.parse(process.argv[2] ?? "{}") as HostileSockets;
setPriority(15);
const endMs = performance.now() + 1_000 * seconds;
const made: Record<string, number> = {};

/** How long one connection attacks, and the pause before the next one. */
const attackMs = 1_000;
const betweenMs = 250;

const frameTypes = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, windowUpdate: 8, continuation: 9 } as const;
const endHeaders = 4;

/** Source: RFC 9113, section 4.1 */
function frame(type: keyof typeof frameTypes, flags: number, stream: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.byteLength, 0, 3);
  head[3] = frameTypes[type];
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** Literal header fields that are not indexed. Source: RFC 7541, section 6.2.2 */
function headerBlock(path: string): Buffer {
  const fields = { ":method": "POST", ":scheme": "http", ":path": path, ":authority": "a", te: "trailers" };
  const all = Object.entries({ ...fields, "content-type": "application/grpc" });
  const text = (value: string): readonly Buffer[] => [Buffer.from([value.length]), Buffer.from(value)];
  return Buffer.concat(all.flatMap(([name, value]) => [Buffer.from([0]), ...text(name), ...text(value)]));
}

function message(bytes: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(bytes.byteLength, 1);
  return Buffer.concat([head, bytes]);
}

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/** Frames of at most this size are always accepted. */
const maxFrameBytes = 16_384;

function setting(id: number, value: number): Buffer {
  const payload = Buffer.alloc(6);
  payload.writeUInt16BE(id, 0);
  payload.writeUInt32BE(value, 2);
  return frame("settings", 0, 0, payload);
}

/** @param isReading whether the responses are read */
interface Flood {
  readonly path: string;
  readonly first?: Buffer;
  readonly isReading?: boolean;
  /** What is sent, again and again: `round` counts from 0. Undefined when there is nothing more to send. */
  readonly next: (round: number) => Buffer | undefined;
}

async function flood(attack: string, { path, first = setting(3, 100), isReading = true, next }: Flood): Promise<void> {
  while (performance.now() < endMs) {
    const socket = connect(path).on("error", () => undefined);
    if (isReading) socket.resume();
    const untilMs = performance.now() + attackMs;
    socket.write(preface);
    socket.write(first);
    for (let round = 0; performance.now() < untilMs && !socket.destroyed; round++) {
      const bytes = next(round);
      if (bytes === undefined || !socket.write(bytes)) await drained(socket, untilMs - performance.now());
    }
    socket.destroy();
    made[attack] = (made[attack] ?? 0) + 1;
    await pause(betweenMs);
  }
}

async function drained(socket: Socket, ms: number): Promise<void> {
  const over = new AbortController();
  const event = new Promise<void>((resolve) => {
    socket.once("drain", resolve).once("close", resolve);
  });
  await Promise.race([event, pause(Math.max(1, ms), undefined, { signal: over.signal }).catch(() => undefined)]);
  over.abort();
  socket.removeAllListeners("drain");
}

const sdsMethod = headerBlock("/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets");
const adsMethod = headerBlock("/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources");
const repeated = (one: Buffer): Buffer => Buffer.concat(Array.from({ length: 1_000 }, () => one));
const empty = Buffer.alloc(0);
const stream = (round: number): number => 2 * round + 1;

/** A message in frames that are never too large. */
function dataFrames(id: number, bytes: Buffer): Buffer {
  const frames: Buffer[] = [];
  for (let at = 0; at < bytes.byteLength; at += maxFrameBytes)
    frames.push(frame("data", 0, id, bytes.subarray(at, at + maxFrameBytes)));
  return Buffer.concat(frames);
}

function request(typeUrl: string, names: readonly string[]): Buffer {
  return message(
    DiscoveryRequest.encode(DiscoveryRequest.fromPartial({ typeUrl, resourceNames: [...names] })).finish(),
  );
}

const longNames = Array.from({ length: 300 }, (_, number) => `${String(number)}${"n".repeat(200)}`);

function socketFloods(kind: string, path: string, method: Buffer, ask: Buffer): readonly Promise<void>[] {
  const open = (round: number): Buffer => frame("headers", endHeaders, stream(round), method);
  const half = Buffer.concat([Buffer.from([0, 0, 15, 0, 0]), Buffer.alloc(60_000)]);
  const settings = repeated(frame("settings", 0, 0, empty));
  const pings = repeated(frame("ping", 0, 0, Buffer.alloc(8)));
  const windows = repeated(frame("windowUpdate", 0, 0, Buffer.from([0, 0, 0, 1])));
  const more = frame("continuation", 0, 1, Buffer.alloc(maxFrameBytes, 1));
  const resets = (round: number): Buffer =>
    Buffer.concat([open(round), frame("reset", 0, stream(round), Buffer.from([0, 0, 0, 8]))]);
  const asked = (round: number): Buffer => Buffer.concat([open(round), dataFrames(stream(round), ask)]);
  return [
    flood(`${kind}: SETTINGS`, { path, next: () => settings }),
    flood(`${kind}: PING that are not read`, { path, isReading: false, next: () => pings }),
    flood(`${kind}: WINDOW_UPDATE`, { path, next: () => windows }),
    flood(`${kind}: CONTINUATION`, { path, next: (round) => (round === 0 ? frame("headers", 0, 1, method) : more) }),
    flood(`${kind}: resets`, { path, next: resets }),
    flood(`${kind}: zero windows`, {
      path,
      first: setting(4, 0),
      next: (round) => (round < 300 ? asked(round) : undefined),
    }),
    flood(`${kind}: half messages`, {
      path,
      next: (round) => (round < 100 ? Buffer.concat([open(round), dataFrames(stream(round), half)]) : undefined),
    }),
  ];
}

/** Queries over TCP whose responses are not read. */
async function queryOverTcp(): Promise<void> {
  const query = Buffer.from(
    "\u0000\u0001\u0001\u0000\u0000\u0001\u0000\u0000\u0000\u0000\u0000\u0000\u0001x\u0007example\u0003com\u0000\u0000\u0001\u0000\u0001",
    "latin1",
  );
  const framed = repeated(Buffer.concat([Buffer.from([0, query.byteLength]), query]));
  while (performance.now() < endMs) {
    const socket = connect({ port: dnsPort, host: "127.0.0.1" }).on("error", () => undefined);
    const untilMs = performance.now() + attackMs;
    while (performance.now() < untilMs && !socket.destroyed)
      if (!socket.write(framed)) await drained(socket, untilMs - performance.now());
    socket.destroy();
    made["queries over TCP"] = (made["queries over TCP"] ?? 0) + 1;
    await pause(betweenMs);
  }
}

await Promise.all([
  ...socketFloods("SDS", sdsPath, sdsMethod, request(typeUrls.secret, ["default", "ROOTCA"])),
  ...socketFloods("XDS", xdsPath, adsMethod, request(typeUrls.cluster, [])),
  flood("XDS: long names", {
    path: xdsPath,
    next: (round) =>
      round < 100
        ? Buffer.concat([
            frame("headers", endHeaders, stream(round), adsMethod),
            dataFrames(stream(round), request(round % 2 === 0 ? typeUrls.nameTable : `x/${String(round)}`, longNames)),
          ])
        : undefined,
  }),
  ...Array.from({ length: 20 }, queryOverTcp),
]);
process.send?.(made, () => {
  if (process.connected) process.disconnect?.();
});
