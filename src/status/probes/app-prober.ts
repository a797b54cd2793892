// SPDX-License-Identifier: Apache-2.0
import { connect, isIP } from "node:net";
import { type Clock, deadline } from "../../lib/async/clock.ts";
import { assertNever, describeError, systemCode } from "../../lib/errors.ts";
import type { Budgets } from "../../model/limits.ts";
import type { AppProbe } from "../status-config.ts";
import type { HttpProber } from "./http-probe.ts";
import type { ProbeAddress, ProbeLimits, ProbeOutcome, ProbeRequest, ProbeSettings } from "./probe-outcome.ts";

/** Of a probe without a timeout. Source: Kubernetes, `timeoutSeconds` */
const defaultTimeoutMs = 1_000;

/** Probes the application. Disposing it closes the connections that are kept between probes. */
export interface AppProber extends Disposable {
  /** @param request the kubelet's request, whose headers an HTTP probe forwards */
  probe(probe: AppProbe, request: ProbeRequest, signal: AbortSignal): Promise<ProbeOutcome>;
}

export interface ProberDeps {
  readonly clock: Clock;
  readonly budgets: Budgets;
}

/** The code for HTTP, HTTPS and gRPC is loaded when the first such probe is made. */
export function createAppProber(settings: ProbeSettings, deps: ProberDeps): AppProber {
  const { budgets } = deps;
  const limits = { headerBytes: budgets.of("probe-header-bytes"), bodyBytes: budgets.of("probe-body-bytes") };
  const address = probeAddress(settings);
  const loadHttps = async () => (await import("./https-probe.ts")).createHttpsRequester(settings, limits);
  const loadHttp = async () =>
    (await import("./http-probe.ts")).createHttpProber(settings, { address, limits, loadHttps });
  let http: Promise<HttpProber> | undefined;

  async function send(
    { handler, timeoutMs }: AppProbe,
    request: ProbeRequest,
    signal: AbortSignal,
  ): Promise<ProbeOutcome> {
    switch (handler.kind) {
      case "http":
        http ??= loadHttp();
        return await (await http).probe(handler, request, signal);
      case "tcp":
        return await probeTcp(address, handler.port, signal);
      case "grpc": {
        const { probeGrpc } = await import("./grpc-probe.ts");
        const { port, service } = handler;
        const userAgent = request.headers["user-agent"];
        return await probeGrpc({ address, port, service, timeoutMs, userAgent, limits }, deps, signal);
      }
      default:
        return assertNever(handler);
    }
  }

  return {
    async probe(probe, request, signal) {
      const timeoutMs = probe.timeoutMs > 0 ? probe.timeoutMs : defaultTimeoutMs;
      using limit = deadline(deps.clock, timeoutMs, signal);
      try {
        return await send({ ...probe, timeoutMs }, request, limit.signal);
      } catch (error) {
        return failureOf(error, limits, limit.signal);
      }
    },
    [Symbol.dispose]() {
      void http?.then((prober) => {
        prober[Symbol.dispose]();
      });
    },
  };
}

/**
 * The target and source address of a probe. Traffic capture ignores probes by their source address. That must be of
 * the same family as the target, so a host name is resolved to that family.
 * An empty `appHost`, from an unset INSTANCE_IP, is this host.
 */
export function probeAddress({ appHost, probeSourceAddress }: ProbeSettings): ProbeAddress {
  const host = appHost === "" ? "localhost" : appHost;
  const sourceFamily = isIP(probeSourceAddress);
  const hostFamily = isIP(host);
  if (sourceFamily === 0 || (hostFamily !== 0 && hostFamily !== sourceFamily)) return { host };
  return { host, localAddress: probeSourceAddress, family: sourceFamily === 6 ? 6 : 4 };
}

/** Connects and closes; sends no byte. */
async function probeTcp(address: ProbeAddress, port: number, signal: AbortSignal): Promise<ProbeOutcome> {
  await new Promise<void>((resolve, reject) => {
    const socket = connect({ ...address, port, signal });
    socket.on("error", reject);
    socket.once("connect", () => {
      socket.destroy();
      resolve();
    });
  });
  return { kind: "passed" };
}

/** The outcome for a connection or request that failed, and on which side the fault lies. */
function failureOf(error: unknown, { headerBytes }: ProbeLimits, signal: AbortSignal): ProbeOutcome {
  if (signal.aborted) return { kind: "failed", side: "app", reason: "no response within the probe's timeout" };
  const code = systemCode(error);
  if (code === "EADDRNOTAVAIL") {
    return { kind: "failed", side: "agent", reason: `cannot use the probes' source address: ${describeError(error)}` };
  }
  // Node.js does not say how many they were
  if (code === "HPE_HEADER_OVERFLOW" && !headerBytes.admits(Number.POSITIVE_INFINITY)) {
    return { kind: "failed", side: "app", reason: `headers of the response: ${headerBytes.text}` };
  }
  const side = code === "EMFILE" || code === "ENFILE" ? "agent" : "app";
  return { kind: "failed", side, reason: tlsProblem(error) ?? describeError(error) };
}

/** OpenSSL's reason, without its error numbers and source locations. */
function tlsProblem(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("reason" in error) || typeof error.reason !== "string") return undefined;
  return systemCode(error)?.startsWith("ERR_SSL_") === true ? `TLS: ${error.reason}` : undefined;
}
