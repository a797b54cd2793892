// SPDX-License-Identifier: Apache-2.0
// Sends DNS queries to a port of this machine, so many at once, and writes how many responses were right. Arguments: the
// port, `names` or `forwarded`, how many queries wait for their responses at a time, seconds.
import { createSocket } from "node:dgram";
import { encodeQuery } from "../../test/support/dns-messages.ts";
import { addressOf, forwardedAddress, hostOf, services } from "./dns-names.ts";

interface Question {
  readonly bytes: Buffer;
  readonly address: Buffer;
}

const [port = "", kind = "", atOnce = "", seconds = ""] = process.argv.slice(2);
const headerBytes = 12;
const lostAfterMs = 2_000;
const known = Array.from({ length: services }, (_, index) => question(hostOf(index), addressOf(index)));
const label = `q${String(process.pid)}-`;
let asked = 0;

function question(name: string, address: string): Question {
  return { bytes: encodeQuery(name), address: Buffer.from(address.split(".").map(Number)) };
}

/** Names that are forwarded are new ones each time: an agent may keep a response for the next query. */
function next(): Question {
  asked++;
  if (kind === "forwarded") return question(`${label}${String(asked)}.example.org`, forwardedAddress);
  return known[asked % known.length] ?? question(hostOf(0), addressOf(0));
}

/** Whether it is a response without an error to this question, and ends with the address. */
function isRight(response: Buffer, { bytes, address }: Question): boolean {
  const hasNoError = (response.readUInt16BE(2) & 0x800f) === 0x8000;
  const isSame = response.subarray(headerBytes, bytes.length).equals(bytes.subarray(headerBytes));
  return hasNoError && isSame && response.subarray(-address.length).equals(address);
}

/** By the identifier of the query. */
const waiting = new Map<number, { readonly question: Question; readonly sentMs: number }>();
const socket = createSocket({ type: "udp4", recvBufferSize: 1 << 20 });
let [lastId, right, wrong] = [0, 0, 0];

function send(): void {
  const asking = next();
  lastId = (lastId + 1) & 0xffff;
  waiting.set(lastId, { question: asking, sentMs: performance.now() });
  asking.bytes.writeUInt16BE(lastId, 0);
  socket.send(Buffer.from(asking.bytes), Number(port), "127.0.0.1");
}

const startMs = performance.now();
const endMs = startMs + Number(seconds) * 1_000;
socket.on("message", (response) => {
  const id = response.readUInt16BE(0);
  const of = waiting.get(id);
  if (of === undefined) return;
  waiting.delete(id);
  if (isRight(response, of.question)) right++;
  else wrong++;
  if (performance.now() < endMs) send();
  else if (waiting.size === 0) finish();
});
for (let count = 0; count < Number(atOnce); count++) send();
const watch = setInterval(() => {
  const isLost = [...waiting.values()].some(({ sentMs }) => performance.now() - sentMs > lostAfterMs);
  if (isLost) finish();
}, 100);

function finish(): void {
  clearInterval(watch);
  socket.close();
  const perSecond = (right * 1_000) / (performance.now() - startMs);
  process.stdout.write(JSON.stringify({ right, wrong, lost: waiting.size, perSecond }));
}
