// SPDX-License-Identifier: Apache-2.0
import { createServer, type Socket } from "node:net";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { answer, startFakeApp } from "../../fakes/fake-app.ts";
import { listening } from "../../support/listening.ts";
import { percentile, startProber } from "../../support/prober.ts";
import { startStatusChild } from "../../support/status-child.ts";

const head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";

const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024, `filler{n="${"x".repeat(1_000)}"} 1\n`));

/** Writes as fast as the reader takes it, until the reader has gone. */
function flood(socket: Socket, piece: string): void {
  const write = (): void => {
    while (!socket.destroyed && socket.write(piece));
  };
  socket.on("drain", write);
  write();
}

/** What a target does with its connection once it has read a request. */
const hostile: Readonly<Record<string, (socket: Socket) => void>> = {
  "a comment without an end": (socket) => {
    socket.write(`${head}\r\n# HELP `);
    flood(socket, "x".repeat(60_000));
  },
  "a sample without an end": (socket) => {
    socket.write(`${head}\r\na{b="`);
    flood(socket, "x".repeat(60_000));
  },
  "a line in chunks of one byte": (socket) => {
    socket.write(`${head}Transfer-Encoding: chunked\r\n\r\n`);
    flood(socket, "1\r\nx\r\n".repeat(10_000));
  },
  "a header without an end": (socket) => {
    socket.write(head);
    flood(socket, "A\n".repeat(10_000));
  },
  "endless interim responses": (socket) => {
    flood(socket, "HTTP/1.1 100 Continue\r\n\r\n".repeat(1_000));
  },
  "trailers without an end": (socket) => {
    socket.write(`${head}Transfer-Encoding: chunked\r\n\r\n0\r\n`);
    flood(socket, "A: b\r\n".repeat(10_000));
  },
  "less than it announced": (socket) => {
    socket.end(`${head}Content-Length: 100\r\n\r\na 1\n`);
  },
  "a length that is none": (socket) => {
    socket.end(`${head}Content-Length: 1e3\r\n\r\na 1\n`);
  },
  "gzip that decodes to more than a target may send": (socket) => {
    socket.write(`${head}Content-Encoding: gzip\r\n\r\n`);
    socket.end(bomb);
  },
  "a coding that is not known": (socket) => {
    socket.end(`${head}Content-Encoding: lz4\r\n\r\na 1\n`);
  },
  "bytes that are no text": (socket) => {
    socket.end(Buffer.concat([Buffer.from(`${head}\r\n`), Buffer.from([0, 1, 2, 255, 10, 0])]));
  },
  "another protocol": (socket) => {
    socket.end("SSH-2.0-OpenSSH_9\r\n");
  },
};

test("targets that misbehave cost the scrape themselves alone, and the probes nothing", async () => {
  await using stack = new AsyncDisposableStack();
  const ports: number[] = [];
  for (const act of Object.values(hostile)) {
    const server = createServer((socket) => {
      socket
        .on("error", () => undefined)
        .once("data", () => {
          act(socket);
        });
    });
    ports.push(stack.use(await listening(server)).port);
  }
  // begun in the middle of its first line
  const slowly = await startFakeApp((_request, response) => {
    response.write("g");
    setImmediate(() => response.end("ood 1\n"));
  });
  ports.push(stack.use(slowly).port);
  await using last = await startFakeApp(answer(200, "# TYPE last_up gauge\nlast_up 1\n"));
  ports.push(last.port);
  const targets = ports.map((port) => ({ host: "127.0.0.1", scheme: "http" as const, port, path: "/" }));
  await using status = await startStatusChild({ scrape: { envoyPort: undefined, targets } });
  const url = `http://127.0.0.1:${String(status.port)}`;
  await using prober = await startProber([{ url: `${url}/healthz/ready`, pid: status.pid }]);
  const atRest = status.privateBytes();
  using peak = status.watchPeak();
  const startMs = performance.now();
  const text = await (await fetch(`${url}/metrics`)).text();
  expect(performance.now() - startMs).toBeLessThan(4_000);
  const [probes = []] = await prober.stop();
  expect(text).toMatch(/^good 1$/m);
  expect(text).toMatch(/^last_up 1$/m);
  const up = targets.map(({ port }) => text.includes(`target_up{target="127.0.0.1:${String(port)}/"} 1`));
  const names = [...Object.keys(hostile), "begins slowly", "last"];
  expect(names.filter((_name, index) => up[index])).toEqual(["begins slowly", "last"]);
  // one that stands still for as long as a kubelet waits would fail its probes
  expect(percentile(probes, 1)).toBeLessThan(900);
  expect(peak.bytes() - atRest).toBeLessThan(32 * 1024 * 1024);
});
