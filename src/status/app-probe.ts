// SPDX-License-Identifier: Apache-2.0
import { type Clock, deadline } from "../lib/async/clock.ts";
import { assertNever } from "../lib/errors.ts";
import type { ProbeOutcome, ProbeRequest, ProbeSettings } from "./probe-outcome.ts";
import type { AppProbe, AppProbeHandler } from "./status-config.ts";

/** Of a probe that has none, as Kubernetes does it. */
const defaultTimeoutMs = 1_000;

/** Makes one kind of probe; connections that are kept between probes are closed when it is disposed. */
export interface AppProber extends Disposable {
  probe(probe: AppProbe, request: ProbeRequest, signal: AbortSignal): Promise<ProbeOutcome>;
}

/** Makes the probes of an application. What a kind of probe needs is loaded at its first use. */
export function createAppProber(settings: ProbeSettings, deps: { readonly clock: Clock }): AppProber {
  async function askGrpc(
    { port, service }: Extract<AppProbeHandler, { kind: "grpc" }>,
    request: ProbeRequest,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<ProbeOutcome> {
    const [{ probeGrpc }, { probeAddress }] = await Promise.all([
      import("./grpc-probe.ts"),
      import("./probe-address.ts"),
    ]);
    const userAgent = request.headers["user-agent"];
    return await probeGrpc({ address: probeAddress(settings), port, service, timeoutMs, userAgent }, deps, signal);
  }

  let http: Promise<import("./http-probe.ts").HttpProber> | undefined;
  return {
    async probe({ handler, timeoutMs }, request, signal) {
      const limitMs = timeoutMs > 0 ? timeoutMs : defaultTimeoutMs;
      using limit = deadline(deps.clock, limitMs, signal);
      switch (handler.kind) {
        case "http":
          http ??= import("./http-probe.ts").then(({ createHttpProber }) => createHttpProber(settings));
          return await (await http).probe(handler, request, limit.signal);
        case "tcp": {
          const [{ probeTcp }, { probeAddress }] = await Promise.all([
            import("./tcp-probe.ts"),
            import("./probe-address.ts"),
          ]);
          return await probeTcp(probeAddress(settings), handler.port, limit.signal);
        }
        case "grpc":
          return await askGrpc(handler, request, limitMs, limit.signal);
        default:
          return assertNever(handler);
      }
    },
    [Symbol.dispose]() {
      void http?.then((prober) => {
        prober[Symbol.dispose]();
      });
    },
  };
}
