// SPDX-License-Identifier: Apache-2.0
import type { HttpStream } from "../../../lib/net/http-client.ts";
import { shortenPeerText } from "../../../lib/printable-text.ts";
import { oneLine } from "../../../lib/trim.ts";
import type { Part, PartSink } from "./part.ts";

/** A page of a server. */
export interface PageFacts extends Pick<Part, "file" | "about" | "form" | "member"> {
  /** Includes the query. */
  readonly path: string;
  /** Default 3 s. */
  readonly timeoutMs?: number;
  /** Default one tenth. */
  readonly share?: number;
}

export const usualTimeoutMs = 3_000;
export const usualShare = 0.1;
const longestReason = 2_000;

/** Passes the body of a response with status 200 on. @throws Error for any other status */
export async function readBody({ status, chunks }: HttpStream, sink: PartSink): Promise<void> {
  if (status === 200) {
    for await (const chunk of chunks) sink(chunk);
    return;
  }
  let reason = "";
  for await (const chunk of chunks) {
    reason += Buffer.from(chunk).toString("latin1");
    if (reason.length > longestReason) break;
  }
  const text = shortenPeerText(oneLine(reason.trim()));
  throw new HttpStatusError(status, text);
}

/** A server responded, with an error status. */
export class HttpStatusError extends Error {
  readonly status: number;
  constructor(status: number, text: string) {
    super(`HTTP status ${String(status)}${text === "" ? "" : `: ${text}`}`);
    this.status = status;
  }
}
