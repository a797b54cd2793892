// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { textField } from "../../../src/xds/protocol/wire.ts";
import { typeUrls } from "../../../src/xds/protocol/type-url.ts";
import { startFakeControlPlane } from "../../fakes/fake-control-plane.ts";
import { frame, frameFlag, frameType, literalHeader, RawHttp2Client } from "../../support/raw-http2.ts";
import { envoyNode, startProxy } from "../../support/xds-proxy-pair.ts";

const { cluster } = typeUrls;
const floodMs = 700;

const head = Buffer.concat(
  [
    [":method", "POST"],
    [":scheme", "http"],
    [":path", "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"],
    [":authority", "x"],
    ["content-type", "application/grpc"],
  ].map(([name = "", value = ""]) => literalHeader(name, value)),
);

function times(count: number, bytes: Buffer): Buffer {
  return Buffer.concat(Array.from({ length: count }, () => bytes));
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function setting(id: number, value: number): Buffer {
  return Buffer.concat([Buffer.from([0, id]), uint32(value)]);
}

const { data, headers, priority, reset, settings, ping, windowUpdate, continuation } = frameType;
const open = frame(headers, 1, head, frameFlag.endHeaders);
const huge = Buffer.concat([head, ...Array.from({ length: 100 }, () => literalHeader("x-a", "v".repeat(100)))]);
const noWindow = setting(4, 0);

interface Flood {
  readonly settings?: Buffer;
  readonly first?: Buffer;
  readonly bytes: (round: number) => Buffer;
  /** The client reads what comes back. */
  readonly reads?: boolean;
  /** Legal frames, for which no connection is closed, or streams that are rejected one by one first. */
  readonly staysOpen?: boolean;
}

const floods: readonly (readonly [string, Flood])[] = [
  ["CONTINUATION", { first: frame(headers, 1, head), bytes: () => times(1_000, frame(continuation, 1)) }],
  ["SETTINGS", { bytes: () => times(1_000, frame(settings, 0, setting(3, 100))) }],
  ["PING", { bytes: () => times(1_000, frame(ping, 0, Buffer.alloc(8))) }],
  [
    "RST_STREAM",
    {
      bytes: (round) =>
        Buffer.concat(
          Array.from({ length: 50 }, (_, index) => {
            const stream = 1 + 2 * (round * 50 + index);
            return Buffer.concat([frame(headers, stream, head, frameFlag.endHeaders), frame(reset, stream, uint32(8))]);
          }),
        ),
    },
  ],
  ["WINDOW_UPDATE", { first: open, bytes: () => times(500, frame(windowUpdate, 1, uint32(1))) }],
  ["PRIORITY", { bytes: () => times(500, frame(priority, 1, Buffer.from([0, 0, 0, 3, 1]))) }],
  ["PING whose answers are read", { reads: true, bytes: () => times(500, frame(ping, 0, Buffer.alloc(8))) }],
  ["SETTINGS whose answers are read", { reads: true, bytes: () => times(500, frame(settings, 0, setting(3, 100))) }],
  ["empty DATA", { first: open, bytes: () => times(1_000, frame(data, 1)) }],
  [
    "DATA of one byte",
    {
      first: open,
      bytes: (round) =>
        round === 0 ? frame(data, 1, Buffer.from([0, 0, 16, 0, 0])) : times(500, frame(data, 1, Buffer.alloc(1))),
      staysOpen: true,
    },
  ],
  ["empty messages", { first: open, bytes: () => times(500, frame(data, 1, Buffer.alloc(5))), staysOpen: true }],
  [
    "huge header lists",
    { bytes: (round) => frame(headers, 1 + 2 * round, huge, frameFlag.endHeaders), staysOpen: true },
  ],
  [
    "streams without a window",
    { settings: noWindow, bytes: (round) => frame(headers, 1 + 2 * round, head, frameFlag.endHeaders) },
  ],
];

test.each(floods)("a flood of %s costs little memory, and other connections go on", async (_, flood) => {
  await using controlPlane = await startFakeControlPlane();
  controlPlane.set(cluster, [{ name: "a", version: "0", value: textField(1, "a") }]);
  await using under = await startProxy([controlPlane.port]);
  const envoy = await under.open("delta");
  await envoy.send({ typeUrl: cluster, node: envoyNode });
  await envoy.ack(await envoy.next());
  const before = process.memoryUsage.rss();
  await using hostile = await RawHttp2Client.connect(under.socketPath, flood.settings);
  if (flood.reads === true) hostile.socket.resume();
  if (flood.first !== undefined) hostile.socket.write(flood.first);
  let longestMs = 0;
  let version = 0;
  // Until the connection is closed, which takes longer on a busy machine.
  const flooding = hostile.flood(flood.bytes, flood.staysOpen === true ? floodMs : 8_000);
  const endMs = performance.now() + floodMs;
  while (performance.now() < endMs) {
    const startMs = performance.now();
    controlPlane.set(cluster, [{ name: "a", version: String(++version), value: textField(1, "a") }]);
    await envoy.ack(await envoy.next());
    longestMs = Math.max(longestMs, performance.now() - startMs);
  }
  await flooding;
  // Client, control plane and proxy share the process and its event loop.
  expect(longestMs).toBeLessThan(2_000);
  expect(process.memoryUsage.rss() - before).toBeLessThan(128 * 2 ** 20);
  if (flood.staysOpen !== true) expect(hostile.isOpen).toBe(false);
});
