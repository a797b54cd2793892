// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { ResponseReader } from "../../../../src/lib/net/response-reader.ts";
import { testBudgets } from "../../../support/budgets.ts";
import { processorTime } from "../../../support/processor-time.ts";

interface Read {
  readonly status: number;
  readonly body: string;
  readonly complete: boolean;
}

function read(text: string, size: number, ended = false): Read {
  let status = 0;
  let body = "";
  const reader = new ResponseReader(
    {
      head: (code) => {
        status = code;
      },
      piece: (bytes) => {
        body += Buffer.from(bytes).toString();
        return true;
      },
    },
    testBudgets().of("scrape-header-bytes"),
  );
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.byteLength; at += size) reader.feed(bytes.subarray(at, at + size));
  if (ended) reader.end();
  return { status, body, complete: reader.complete };
}

test.each([1, 2, 3, 7, 1_000])("a response is read the same in pieces of %s bytes", (size) => {
  const counted = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\nhello";
  expect(read(counted, size)).toEqual({ status: 200, body: "hello", complete: true });
  const chunked =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nb;x=y\r\n, long text\r\n0\r\nTrailer: a\r\n\r\n";
  expect(read(chunked, size)).toEqual({ status: 200, body: "hello, long text", complete: true });
  const continued = `HTTP/1.1 100 Continue\r\n\r\n${counted}`;
  expect(read(continued, size)).toEqual({ status: 200, body: "hello", complete: true });
  const untilClose = "HTTP/1.0 200 OK\nServer: old\n\nhello";
  expect(read(untilClose, size)).toEqual({ status: 200, body: "hello", complete: false });
  expect(read(untilClose, size, true).complete).toBe(true);
});

const empty = "Content-Length: 0\r\n\r\n";

test.each([
  [`HTTP/1.1 200\r\n${empty}`, 200],
  [`HTTP/1.1  503 Two Spaces\r\n${empty}`, 503],
  [`HTTP/2.0 200 OK\r\n${empty}`, 200],
  [`HTTP/1.1 200 OK\r\nX: a\r\n Content-Length: 9\r\n${empty}`, 200],
  [`HTTP/1.1 200 OK\r\nContent-Length : 0\r\n${empty}`, 200],
  ["HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", 101],
  ["HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", 204],
])("a response in another form is complete without a body: %j", (text, status) => {
  for (const size of [1, 1_000]) expect(read(text, size)).toEqual({ status, body: "", complete: true });
});

test.each([
  ["X: a\r\nX: b", "a"],
  ["X: a\r\n\tb\r\n c", "a b c"],
  ["x : \t a \t", "a"],
  ["X: \u00c3\u00a0", "\u00c3\u00a0"],
])("the value of a header is its first one, without spaces and tabs: %j", (header, value) => {
  let seen: string | undefined;
  const handler = {
    head: (_: number, headers: ReadonlyMap<string, string>) => (seen = headers.get("x")),
    piece: () => true,
  };
  const reader = new ResponseReader(handler, testBudgets().of("scrape-header-bytes"));
  reader.feed(Buffer.from(`HTTP/1.1 200 OK\r\n${header}\r\n\r\n`, "latin1"));
  expect(seen).toBe(value);
});

test.each(["SSH-2.0-OpenSSH\r\n", "\u0015\u0003\u0001", "HTTQ", "HTTP/1.1 2000 OK\r\n", "HTTP/1.1 200OK\r\n", "\r\n"])(
  "what is no HTTP is rejected before its sender says more: %j",
  (text) => {
    for (const size of [1, 1_000]) expect(() => read(text, size)).toThrow("the response is not HTTP/1.1");
  },
);

test("a truncated response is not complete", () => {
  expect(read("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", 9, true).complete).toBe(false);
  expect(read("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", 9, true).complete).toBe(false);
});

test("a head of very many lines costs no more than one of few", () => {
  const elapsedMs = processorTime();
  for (let time = 0; time < 10; time++)
    expect(read(`HTTP/1.1 200 OK\r\n${"a:\n".repeat(20_000)}\n`, 1).status).toBe(200);
  expect(elapsedMs()).toBeLessThan(2_000);
});

test.each([" ".repeat(60_000), `a\n${" \n".repeat(29_000)}`, `a\n${"Transfer-Encoding:b\n".repeat(3_000)}`])(
  "a head with one strange value costs little: %.8j",
  (value) => {
    const elapsedMs = processorTime();
    for (let time = 0; time < 10; time++) expect(read(`HTTP/1.1 200 OK\nX: ${value}b: c\n\n`, 1).status).toBe(200);
    expect(elapsedMs()).toBeLessThan(2_000);
  },
);

test.each([
  "SSH-2.0-OpenSSH\r\n\r\n",
  "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
  "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
  "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
  "HTTP/1.1 200 OK\r\n: no name\r\n\r\n",
  "HTTP/1.1 200 OK\r\n folded: too early\r\n\r\n",
  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
  `HTTP/1.1 200 OK\r\nX: ${"x".repeat(70_000)}\r\n\r\n`,
  `${"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(6)}HTTP/1.1 200 OK\r\n\r\n`,
])("a malformed response is rejected: %.40j", (text) => {
  expect(() => read(text, 1_000)).toThrow(/response|limit scrape-header-bytes/);
});
