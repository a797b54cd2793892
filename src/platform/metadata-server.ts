// SPDX-License-Identifier: Apache-2.0
import type { IncomingMessage } from "node:http";
import { type Clock, deadline } from "../lib/async/clock.ts";
import type { MetadataGet } from "./platform-facts.ts";

export interface MetadataServer {
  /** `http://169.254.169.254`, without a slash at the end. */
  readonly baseUrl: string;
  readonly timeoutPerCallMs: number;
  /** A header that the answer must carry, so that another server is not taken for it. */
  readonly answerHeader?: readonly [name: string, value: string];
}

/** More than any answer has. */
const longestAnswer = 1 << 20;

/** Asks a metadata server. What goes wrong is no answer: nobody depends on one. */
export function createMetadataGet(server: MetadataServer, clock: Clock, signal: AbortSignal): MetadataGet {
  return async (path, { method = "GET", headers = {} } = {}) => {
    const { request } = await import("node:http");
    using limit = deadline(clock, server.timeoutPerCallMs, signal);
    try {
      const answer = await new Promise<IncomingMessage>((resolve, reject) => {
        const options = { method, headers, agent: false as const, signal: limit.signal };
        request(`${server.baseUrl}${path}`, options, resolve).once("error", reject).end();
      });
      const [name, value] = server.answerHeader ?? [];
      const body = await readBody(answer);
      const genuine = name === undefined || answer.headers[name] === value;
      return answer.statusCode === 200 && genuine ? body.trim() : undefined;
    } catch {
      return undefined;
    }
  };
}

async function readBody(answer: IncomingMessage): Promise<string> {
  let text = "";
  answer.setEncoding("utf8");
  for await (const chunk of answer) {
    text += String(chunk);
    if (text.length > longestAnswer) throw new Error("the answer is too long");
  }
  return text;
}
