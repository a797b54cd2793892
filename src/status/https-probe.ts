// SPDX-License-Identifier: Apache-2.0
import { Agent, type RequestOptions, request } from "node:https";
import { type ProbeAnswer, readAnswer } from "./probe-answer.ts";
import type { ProbeSettings } from "./probe-outcome.ts";

export interface HttpsRequester extends Disposable {
  ask(options: RequestOptions): Promise<ProbeAnswer>;
}

/** Asks over TLS. The certificate is not verified: the kubelet does not verify it either. */
export function createHttpsRequester(settings: Pick<ProbeSettings, "probeKeepalive">): HttpsRequester {
  const tls = { rejectUnauthorized: false, minVersion: "TLSv1.2", ALPNProtocols: ["http/1.1"] } as const;
  const keep = settings.probeKeepalive ? new Agent({ keepAlive: true, timeout: 90_000, ...tls }) : undefined;
  return {
    ask: (options) => readAnswer(request({ ...options, ...tls, agent: keep ?? false })),
    [Symbol.dispose]() {
      keep?.destroy();
    },
  };
}
