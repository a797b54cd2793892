// SPDX-License-Identifier: Apache-2.0
// A thin client in a process of its own, so that the one that measures does not slow it down. Arguments: host, port,
// path, connections, seconds. Prints what it counted as JSON; no two requests are equal.
import { once } from "node:events";
import { connect } from "node:net";

const [host = "", port = "", path = "", connections = "", seconds = ""] = process.argv.slice(2);
const latenciesMs: number[] = [];
let failures = 0;
let sent = 0;
const endMs = performance.now() + Number(seconds) * 1_000;

/** Sends one request after the other. All responses have a length, and fit into one read. */
async function ask(): Promise<void> {
  const socket = connect({ host, port: Number(port), noDelay: true });
  await once(socket, "connect");
  const finished = Promise.withResolvers<undefined>();
  let startMs = 0;
  const send = (): void => {
    startMs = performance.now();
    if (startMs >= endMs) {
      socket.destroy();
      finished.resolve(undefined);
      return;
    }
    socket.write(
      `GET ${path} HTTP/1.1\r\nHost: ${host}:${port}\r\nUser-Agent: kube-probe/1.34\r\nX-Call: ${String(sent++)}\r\n\r\n`,
      "latin1",
    );
  };
  socket.on("data", (bytes: Buffer) => {
    if (bytes.toString("latin1", 9, 12) === "200") latenciesMs.push(performance.now() - startMs);
    else failures++;
    send();
  });
  socket.on("close", () => {
    finished.resolve(undefined);
  });
  socket.on("error", () => failures++);
  send();
  await finished.promise;
}

await Promise.all(Array.from({ length: Number(connections) }, ask));
latenciesMs.sort((a, b) => a - b);
const at = (share: number): number => latenciesMs[Math.floor(latenciesMs.length * share)] ?? Number.NaN;
const answered = latenciesMs.length;
process.stdout.write(JSON.stringify({ answered, failures, perSecond: answered / Number(seconds), p99Ms: at(0.99) }));
