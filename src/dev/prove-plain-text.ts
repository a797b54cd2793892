// SPDX-License-Identifier: Apache-2.0
import { connect } from "node:net";
import { type Clock, deadline } from "../lib/async/clock.ts";
import { describeError } from "../lib/errors.ts";
import type { App } from "./apps.ts";
import type { ProofOutcome } from "./report.ts";

/** What came of a TCP connection on which plain HTTP was spoken. */
interface PlainAttempt {
  readonly connected: boolean;
  /** The first bytes that came back, as text. */
  readonly answer: string;
  readonly problem: string;
}

const path = "/proof/plain-text";
const silenceMs = 5_000;

/**
 * Proves that a caller without TLS gets nothing out of api's Envoy: the connection is made, no HTTP answer comes back,
 * the connection is closed, and the application never sees the request. A port that does not even accept is no proof.
 */
export async function provePlainTextRefused(
  apiEnvoyPort: number,
  apiApp: App,
  clock: Clock,
  signal: AbortSignal,
): Promise<ProofOutcome<{ readonly plainTextRefused: boolean }>> {
  using limit = deadline(clock, silenceMs, signal);
  const attempt = await speakPlainHttp(apiEnvoyPort, limit.signal);
  signal.throwIfAborted();
  const why = problemOf(attempt, apiApp.seenPaths.includes(path));
  const facts = { plainTextRefused: why === undefined };
  return { facts, failure: why === undefined ? undefined : { proof: "plain-text", why } };
}

function problemOf(attempt: PlainAttempt, reachedApp: boolean): string | undefined {
  if (reachedApp) return "a plain-text request reached api's application";
  if (!attempt.connected) return `api's port accepts no connection: ${attempt.problem}`;
  if (attempt.answer.startsWith("HTTP/"))
    return `api's port answered plain HTTP: ${attempt.answer.split("\r\n")[0] ?? ""}`;
  if (attempt.problem !== "") return `api's port neither answered nor closed the connection: ${attempt.problem}`;
  return undefined;
}

function speakPlainHttp(port: number, signal: AbortSignal): Promise<PlainAttempt> {
  return new Promise((resolve) => {
    let connected = false;
    let answer = "";
    const socket = connect({ host: "127.0.0.1", port, signal });
    const end = (problem: string): void => {
      socket.destroy();
      resolve({ connected, answer, problem });
    };
    socket.on("connect", () => {
      connected = true;
      socket.write(`GET ${path} HTTP/1.1\r\nhost: api\r\nconnection: close\r\n\r\n`);
    });
    socket.on("data", (bytes: Buffer) => {
      answer += bytes.toString("latin1");
    });
    socket.on("close", () => {
      end("");
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      end(connected && error.code === "ECONNRESET" ? "" : describeError(error));
    });
  });
}
