// SPDX-License-Identifier: Apache-2.0
import { describeError } from "../lib/errors.ts";
import { objectOf, parseJsonObject } from "../lib/json.ts";
import { createLogger } from "../lib/log/log.ts";
import { readToken } from "./bearer-token.ts";
import { CaError } from "./ca-error.ts";
import { callHttp, type CaHttpResponse, type HttpCall } from "./http-call.ts";
import { createIstioCa } from "./istio-ca.ts";
import type {
  CaDeps,
  IstioCaConfig,
  KubernetesCsrConfig,
  SingleCaConfig,
  StepCaConfig,
  VaultCaConfig,
} from "./types.ts";

/**
 * How a CA responds to this workload: it accepts its credentials, it rejects them, it cannot sign now, or nothing is known
 * because there is no credential to send, or it was not asked.
 */
export interface CaProbe {
  readonly kind: "accepted" | "rejected" | "unavailable" | "no-credential" | "not-asked";
  /** One line; may have the CA's text in it, and what to do about it behind the last semicolon. */
  readonly detail: string;
}

export interface CaProbeOptions {
  /** For each call. */
  readonly timeoutMs: number;
  /** The identity that the agent would request, for advice. */
  readonly spiffeId: string;
}

type ProbeDeps = Pick<CaDeps, "clock" | "budgets">;

/**
 * Asks a CA whether it accepts the workload's credentials. Nothing is signed, created, or used up: no certificate, no login,
 * no one-time token.
 * @throws the signal's reason
 */
export async function probeCa(
  config: SingleCaConfig,
  { timeoutMs, spiffeId }: CaProbeOptions,
  deps: ProbeDeps,
  signal: AbortSignal,
): Promise<CaProbe> {
  try {
    switch (config.kind) {
      case "istio":
        return await probeIstio({ ...config, timeoutPerTryMs: timeoutMs }, spiffeId, deps, signal);
      case "vault":
        return await probeVault(config, timeoutMs, deps, signal);
      case "step":
        return await probeStep(config, timeoutMs, deps, signal);
      case "kubernetes-csr":
        return await probeKubernetes(config, timeoutMs, deps, signal);
      case "embedded":
        return { kind: "accepted", detail: "it is part of the agent" };
    }
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof CaError && error.failure === "misconfigured") {
      return { kind: "no-credential", detail: reasonOf(error) };
    }
    return { kind: "unavailable", detail: reasonOf(error) };
  }
}

/** The message of a CA's error without the address, which the caller knows. */
function reasonOf(error: unknown): string {
  return describeError(error).replace(/^request a certificate from \S+: /, "");
}

/**
 * Requests a certificate without a CSR. The CA authenticates the caller first, and then finds that there is nothing to
 * sign. Source: istio security/pkg/server/ca/server.go
 */
async function probeIstio(
  config: IstioCaConfig,
  spiffeId: string,
  deps: ProbeDeps,
  signal: AbortSignal,
): Promise<CaProbe> {
  const log = createLogger(
    () => undefined,
    () => deps.clock.now(),
    () => new Map(),
  );
  await using ca = createIstioCa(config, { ...deps, log });
  try {
    await ca.sign({ csrPem: "", ttlMs: 0, spiffeId, current: undefined }, signal);
  } catch (error) {
    if (!(error instanceof CaError)) throw error;
    switch (error.statusCode) {
      case "UNAUTHENTICATED":
      case "PERMISSION_DENIED":
        return { kind: "rejected", detail: reasonOf(error).replace(/^it rejected the request with /, "") };
      case "UNIMPLEMENTED":
        return { kind: "unavailable", detail: "it has no certificate service" };
      default:
        if (error.failure !== "refused" && error.failure !== "malformed-response") throw error;
    }
  }
  return { kind: "accepted", detail: config.tokenPath === undefined ? "without a token" : "with the token" };
}

/** A token is looked up. A login would create one, and rejected logins lock AppRole; so only the server's state is read. */
async function probeVault(config: VaultCaConfig, timeoutMs: number, deps: ProbeDeps, signal: AbortSignal) {
  const { server, namespace, auth } = config;
  const call = (path: string, headers: Readonly<Record<string, string>>): Promise<CaHttpResponse> =>
    callHttp(server, { method: "GET", path: `/v1/${path}`, headers, timeoutMs }, deps, signal);
  const health = await call("sys/health?standbyok=true&perfstandbyok=true", {});
  if (health.status === 503) return unavailable("it is sealed");
  if (health.status === 501) return unavailable("it is not initialised");
  if (auth.kind !== "token-file") return notAsked(`a login by ${auth.kind} would create a token`);
  const token = await readToken(auth.path, deps.clock.now());
  if (token.kind === "unusable") return noCredential(token.problem);
  const inNamespace = namespace === "" ? {} : { "x-vault-namespace": namespace };
  const response = await call("auth/token/lookup-self", { "x-vault-token": token.text, ...inNamespace });
  return judge(response, "with the token", "the token");
}

/** A token of a JWK provisioner can be used once, and one of Kubernetes is checked when it signs: the CA's health is read. */
async function probeStep({ server }: StepCaConfig, timeoutMs: number, deps: ProbeDeps, signal: AbortSignal) {
  const response = await callHttp(server, { method: "GET", path: "/health", timeoutMs }, deps, signal);
  if (response.status !== 200) return unavailable(`it is not healthy: status ${String(response.status)}`);
  return notAsked("it is healthy; the provisioner's token is not sent, because it can be used once");
}

const reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

/** Asks the API whether this account may create signing requests. The API keeps nothing of such a review. */
async function probeKubernetes(config: KubernetesCsrConfig, timeoutMs: number, deps: ProbeDeps, signal: AbortSignal) {
  const token = await readToken(config.tokenPath, deps.clock.now());
  if (token.kind === "unusable") return noCredential(token.problem);
  const resourceAttributes = { verb: "create", group: "certificates.k8s.io", resource: "certificatesigningrequests" };
  const call: HttpCall = {
    method: "POST",
    path: reviews,
    headers: { authorization: `Bearer ${token.text}` },
    body: { apiVersion: "authorization.k8s.io/v1", kind: "SelfSubjectAccessReview", spec: { resourceAttributes } },
    timeoutMs,
  };
  const response = await callHttp(config.server, call, deps, signal);
  const { allowed } = objectOf(parseJsonObject(response.body)?.["status"]);
  if (response.status === 201 && allowed === false) {
    return rejected("this account may not create certificatesigningrequests");
  }
  return judge(response, "with the token, which may create signing requests", "the token");
}

function judge({ status }: CaHttpResponse, accepted: string, credential: string): CaProbe {
  if (status === 401 || status === 403) return rejected(`it rejects ${credential}: status ${String(status)}`);
  if (status >= 300) return unavailable(`status ${String(status)}`);
  return { kind: "accepted", detail: accepted };
}

function rejected(detail: string): CaProbe {
  return { kind: "rejected", detail };
}

function unavailable(detail: string): CaProbe {
  return { kind: "unavailable", detail };
}

function noCredential(detail: string): CaProbe {
  return { kind: "no-credential", detail };
}

function notAsked(detail: string): CaProbe {
  return { kind: "not-asked", detail };
}
