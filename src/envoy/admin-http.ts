// SPDX-License-Identifier: Apache-2.0
import type { IncomingMessage } from "node:http";
import { type Clock, deadline, DeadlineError } from "../lib/async/clock.ts";
import { systemCode } from "../lib/errors.ts";
import type { EnvoyAdminAddress } from "./envoy-config.ts";
import { EnvoyAdminError } from "./envoy-errors.ts";

export interface AdminCall {
  readonly method: "GET" | "POST";
  /** Path and query as sent. */
  readonly path: string;
  /** From the call to the last byte of the answer. */
  readonly timeoutMs: number;
  /** Of the answer's body; a longer one fails the call. */
  readonly maxBytes: number;
}

/**
 * Calls Envoy's admin interface, on a connection of its own.
 * @returns the body of a 200 answer
 * @throws EnvoyAdminError, also when the answer hangs: no call outlasts its time; the signal's reason when it aborts
 */
export async function callAdmin(
  address: EnvoyAdminAddress,
  call: AdminCall,
  clock: Clock,
  signal?: AbortSignal,
): Promise<string> {
  signal?.throwIfAborted();
  using limit = deadline(clock, call.timeoutMs, signal);
  const name = `${call.method} ${call.path.split("?")[0] ?? call.path}`;
  try {
    const answer = await send(address, call, limit.signal);
    if (answer.statusCode !== 200) {
      answer.destroy();
      throw new EnvoyAdminError("status", name, { status: answer.statusCode ?? 0 });
    }
    return await readBody(answer, name, call.maxBytes);
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof EnvoyAdminError) throw error;
    const cause: unknown = limit.signal.aborted ? limit.signal.reason : error;
    throw new EnvoyAdminError(failureOf(cause), name, { cause });
  }
}

async function send(address: EnvoyAdminAddress, call: AdminCall, signal: AbortSignal): Promise<IncomingMessage> {
  const { request } = await import("node:http");
  return await new Promise((resolve, reject) => {
    const outgoing = request(
      { host: address.host, port: address.port, method: call.method, path: call.path, agent: false, signal },
      resolve,
    );
    outgoing.on("error", reject);
    outgoing.end();
  });
}

async function readBody(answer: IncomingMessage, name: string, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  const body: AsyncIterable<Uint8Array> = answer;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new EnvoyAdminError("too-large", name);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function failureOf(cause: unknown): "timeout" | "unreachable" | "malformed" {
  if (cause instanceof DeadlineError) return "timeout";
  return systemCode(cause)?.startsWith("HPE_") === true ? "malformed" : "unreachable";
}
