// SPDX-License-Identifier: Apache-2.0
import { connect } from "node:net";

export interface RawAnswer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

export interface RawRequest {
  readonly method?: string;
  /** Sent as it is: nothing is folded or encoded. */
  readonly target: string;
  readonly headers?: readonly string[];
  readonly host?: string;
  readonly body?: string;
}

/** Sends a request byte by byte as given, which no HTTP client does, and reads the answer until the connection closes. */
export function rawHttp(
  port: number,
  { method = "GET", target, headers = [], host = "127.0.0.1", body = "" }: RawRequest,
): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port });
    const chunks: Buffer[] = [];
    socket.on("error", reject);
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("close", () => {
      resolve(parse(Buffer.concat(chunks)));
    });
    const hasHost = headers.some((header) => header.toLowerCase().startsWith("host:"));
    const lines = [
      `${method} ${target} HTTP/1.1`,
      ...(hasHost ? [] : [`Host: localhost:${String(port)}`]),
      "Connection: close",
      ...headers,
    ];
    if (body !== "") lines.push(`Content-Length: ${String(Buffer.byteLength(body))}`);
    socket.write(`${lines.join("\r\n")}\r\n\r\n${body}`);
  });
}

function parse(bytes: Buffer): RawAnswer {
  const end = bytes.indexOf("\r\n\r\n");
  const [statusLine = "", ...lines] = bytes.toString("latin1", 0, Math.max(0, end)).split("\r\n");
  const headers = new Map(
    lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]),
  );
  return { status: Number(statusLine.split(" ")[1] ?? 0), headers, body: bytes.toString("latin1", end + 4) };
}
