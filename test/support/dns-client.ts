// SPDX-License-Identifier: Apache-2.0
import { createSocket } from "node:dgram";
import { connect } from "node:net";
import { decodeMessage, type DnsMessage } from "./dns-messages.ts";

export interface DnsServerAddress {
  readonly host: string;
  readonly port: number;
}

/** Sends the bytes and gives the first reply; undefined when there is none in time. */
export function askUdpRaw(
  { host, port }: DnsServerAddress,
  bytes: Buffer,
  waitMs = 6_000,
): Promise<Buffer | undefined> {
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  return new Promise<Buffer | undefined>((resolve, reject) => {
    const timer = setTimeout(() => {
      resolve(undefined);
    }, waitMs);
    socket.once("error", reject);
    socket.once("message", (reply) => {
      clearTimeout(timer);
      resolve(reply);
    });
    socket.send(bytes, port, host);
  }).finally(() => socket.close());
}

/** Sends the messages over one connection and gives the replies, in the order in which they come. */
export function askTcpRaw({ host, port }: DnsServerAddress, messages: readonly Buffer[]): Promise<readonly Buffer[]> {
  const socket = connect(port, host);
  const replies: Buffer[] = [];
  return new Promise<readonly Buffer[]>((resolve, reject) => {
    let received: Buffer = Buffer.alloc(0);
    socket.on("error", reject);
    socket.on("close", () => {
      resolve(replies);
    });
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
        const end = 2 + received.readUInt16BE(0);
        replies.push(received.subarray(2, end));
        received = received.subarray(end);
      }
      if (replies.length === messages.length) resolve(replies);
    });
    for (const message of messages) {
      const length = Buffer.alloc(2);
      length.writeUInt16BE(message.length);
      socket.write(Buffer.concat([length, message]));
    }
  }).finally(() => socket.destroy());
}

export async function ask(address: DnsServerAddress, transport: "udp" | "tcp", bytes: Buffer): Promise<DnsMessage> {
  const reply = transport === "udp" ? await askUdpRaw(address, bytes) : (await askTcpRaw(address, [bytes]))[0];
  if (reply === undefined) throw new Error("no reply");
  return decodeMessage(reply);
}
