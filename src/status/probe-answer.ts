// SPDX-License-Identifier: Apache-2.0
import type { ClientRequest } from "node:http";

/** The application's answer to one request. */
export interface ProbeAnswer {
  readonly status: number;
  readonly location: string | undefined;
  readonly body: Uint8Array;
}

/** Applications with large cookies are no reason to fail a probe. */
export const maxHeaderBytes = 256 * 1024;
/** More of a body is of no interest to the kubelet. Source: kubernetes pkg/probe/http */
const maxBodyBytes = 10_240;
/** Source: Go's http.Transport */
const maxInterimAnswers = 5;

/** Waits for the answer and takes as much of its body as the kubelet would see. */
export function readAnswer(asked: ClientRequest): Promise<ProbeAnswer> {
  return new Promise((resolve, reject) => {
    let interimAnswers = 0;
    asked.on("error", reject);
    asked.on("information", () => {
      if (++interimAnswers > maxInterimAnswers) asked.destroy(new Error("too many interim answers"));
    });
    asked.on("upgrade", (response, socket) => {
      socket.destroy();
      resolve({ status: response.statusCode ?? 101, location: undefined, body: new Uint8Array() });
    });
    asked.on("response", (response) => {
      const { statusCode = 0 } = response;
      // these have no body, and one that is sent nevertheless is nothing to the kubelet
      if (statusCode === 204 || statusCode === 304) {
        resolve({ status: statusCode, location: undefined, body: new Uint8Array() });
        response.resume();
        return;
      }
      readBody(response).then((body) => {
        resolve({ status: statusCode, location: response.headers.location, body });
      }, reject);
    });
    asked.end();
  });
}

/**
 * Asks once more when the connection was one from before: the application may have closed it just now, as servers do
 * with idle ones, which says nothing about its health.
 * Source: Go's http.Transport does the same
 */
export async function askReusing(ask: () => ClientRequest, signal: AbortSignal): Promise<ProbeAnswer> {
  for (;;) {
    const asked = ask();
    try {
      return await readAnswer(asked);
    } catch (error) {
      if (!asked.reusedSocket || signal.aborted) throw error;
    }
  }
}

/** As much of a body as the kubelet would look at. */
export async function readBody(response: AsyncIterable<unknown>): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response) {
    if (!Buffer.isBuffer(chunk)) continue;
    chunks.push(chunk);
    bytes += chunk.byteLength;
    if (bytes >= maxBodyBytes) break;
  }
  return Buffer.concat(chunks).subarray(0, maxBodyBytes);
}
