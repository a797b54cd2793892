// SPDX-License-Identifier: Apache-2.0
import { connect, isIP } from "node:net";
import { networkInterfaces } from "node:os";
import { type Clock, deadline } from "../../lib/async/clock.ts";
import { BudgetSpentError } from "../../lib/budget.ts";
import { assertNever, describeError, systemCode } from "../../lib/errors.ts";
import { canonicalIp, isLoopbackHost } from "../../lib/net/ip-address.ts";
import type { Budgets } from "../../model/limits.ts";
import type { AppProbe } from "../status-config.ts";
import type { HttpProber } from "./http-probe.ts";
import type { ProbeAddress, ProbeLimits, ProbeOutcome, ProbeRequest, ProbeSettings } from "./probe-outcome.ts";

/** Of a probe without a timeout. Source: Kubernetes, `timeoutSeconds` */
const defaultTimeoutMs = 1_000;

/** Probes the application. Disposing it closes the connections that are kept between probes. */
export interface AppProber extends Disposable {
  /**
   * @param request the kubelet's request, whose headers an HTTP probe forwards
   * @param signals each of them ends the probe
   */
  probe(probe: AppProbe, request: ProbeRequest, ...signals: readonly AbortSignal[]): Promise<ProbeOutcome>;
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
  const { host, family } = address;
  const withSource = createSender(address, settings, limits, deps);
  const withoutSource = createSender({ host, ...(family && { family }) }, settings, limits, deps);

  async function send(probe: AppProbe, request: ProbeRequest, signal: AbortSignal): Promise<ProbeOutcome> {
    try {
      return await withSource.send(probe, request, signal);
    } catch (error) {
      if (address.localAddress === undefined || !isUnusableSource(error)) throw error;
      return await withoutSource.send(probe, request, signal);
    }
  }

  return {
    async probe(probe, request, ...signals) {
      const timeoutMs = probe.timeoutMs > 0 ? probe.timeoutMs : defaultTimeoutMs;
      using limit = deadline(deps.clock, timeoutMs, ...signals);
      try {
        return await send({ ...probe, timeoutMs }, request, limit.signal);
      } catch (error) {
        return failureOf(error, limits, limit.signal);
      }
    },
    [Symbol.dispose]() {
      withSource[Symbol.dispose]();
      withoutSource[Symbol.dispose]();
    },
  };
}

function createSender(
  address: ProbeAddress,
  settings: ProbeSettings,
  limits: ProbeLimits,
  deps: ProberDeps,
): ProbeSender {
  const loadHttps = async () => (await import("./https-probe.ts")).createHttpsRequester(settings, limits);
  const loadHttp = async () =>
    (await import("./http-probe.ts")).createHttpProber(settings, { address, limits, loadHttps });
  let http: Promise<HttpProber> | undefined;
  return {
    async send({ handler, timeoutMs }, request, signal) {
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
    },
    [Symbol.dispose]() {
      void http?.then((prober) => {
        prober[Symbol.dispose]();
      });
    },
  };
}

/** Sends probes from one source address, or from that of the system's choice. */
interface ProbeSender extends Disposable {
  send(probe: AppProbe, request: ProbeRequest, signal: AbortSignal): Promise<ProbeOutcome>;
}

/** The machine does not have the source address (`::6`), or does not send from it to that target (127.0.0.6 to a NAT). */
function isUnusableSource(error: unknown): boolean {
  const code = systemCode(error);
  return code === "EADDRNOTAVAIL" || code === "EINVAL";
}

/**
 * The target and source address of a probe. Traffic capture ignores probes by their source address. That must be of
 * the same family as the target, so a host name is resolved to that family.
 * An empty `appHost`, from an unset INSTANCE_IP, is this host. A target on another machine, such as the public address of
 * a machine behind NAT, could not reply to the source address.
 */
export function probeAddress(
  { appHost, probeSourceAddress }: Pick<ProbeSettings, "appHost" | "probeSourceAddress">,
  isOwn: (address: string) => boolean = isOwnAddress,
): ProbeAddress {
  const host = appHost === "" ? "localhost" : appHost;
  const sourceFamily = isIP(probeSourceAddress);
  const hostFamily = isIP(host);
  if (sourceFamily === 0 || (hostFamily !== 0 && hostFamily !== sourceFamily)) return { host };
  if (hostFamily !== 0 && !isOwn(host)) return { host };
  return { host, localAddress: probeSourceAddress, family: sourceFamily === 6 ? 6 : 4 };
}

function isOwnAddress(address: string): boolean {
  if (isLoopbackHost(address)) return true;
  const wanted = canonicalIp(address);
  const own = Object.values(networkInterfaces()).flatMap((entries) => entries ?? []);
  return own.some((entry) => canonicalIp(entry.address) === wanted);
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
  if (error instanceof BudgetSpentError) {
    return { kind: "failed", side: "app", reason: `headers of the response: ${error.message}` };
  }
  const code = systemCode(error);
  // Node.js does not say how many they were
  if (code === "HPE_HEADER_OVERFLOW" && !headerBytes.admits(Number.POSITIVE_INFINITY)) {
    return { kind: "failed", side: "app", reason: `headers of the response: ${headerBytes.text}` };
  }
  const side = code === "EMFILE" || code === "ENFILE" || code === "EADDRNOTAVAIL" ? "agent" : "app";
  return { kind: "failed", side, reason: tlsProblem(error) ?? describeError(error) };
}

/** OpenSSL's reason, without its error numbers and source locations. */
function tlsProblem(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("reason" in error) || typeof error.reason !== "string") return undefined;
  return systemCode(error)?.startsWith("ERR_SSL_") === true ? `TLS: ${error.reason}` : undefined;
}
