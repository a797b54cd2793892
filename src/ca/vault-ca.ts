// SPDX-License-Identifier: Apache-2.0
import { X509Certificate } from "node:crypto";
import { shortHash } from "../lib/content-hash.ts";
import { type JsonObject, objectOf, parseJsonObject, textsOf } from "../lib/json.ts";
import { formatHostPort } from "../lib/net/host-port.ts";
import { splitPem } from "../lib/pki/pem.ts";
import type { SignedChain, SigningRequest } from "../model/signing.ts";
import { readToken } from "./bearer-token.ts";
import { CaError } from "./ca-error.ts";
import { asString, callHttp, type CaHttpResponse, type HttpCall, httpFailure } from "./http-call.ts";
import { tlsFilesOf, untilReachable } from "./retry-causes.ts";
import type { CaDeps, CaProtocol, VaultAuth, VaultCaConfig } from "./types.ts";

/** The token of a login, and how long it is valid. Monotonic clock. */
interface Login {
  readonly token: string;
  readonly renewable: boolean;
  /** From here on it is renewed before it is used. */
  readonly renewAtMs: number;
  readonly expiresMs: number;
}

/**
 * How long a rejected secret ID is not sent again. Vault locks a role ID, for all who use it, for 15 minutes after five
 * rejections, and counts those that are less than 15 minutes apart.
 * Source: OpenBao, internal/helper/configutil/userlockout.go; observed with OpenBao
 */
const rejectedForMs = 16 * 60_000;

/**
 * Vault's PKI secrets engine. Logs in when it has no token, renews the login after half of its lease, and logs in again
 * when the server no longer accepts the token.
 * Source: https://developer.hashicorp.com/vault/api-docs/secret/pki#sign-certificate and .../auth/token#renew-a-token-self
 */
export function createVaultCa(config: VaultCaConfig, deps: CaDeps): CaProtocol {
  return new VaultCa(config, deps);
}

class VaultCa implements CaProtocol {
  readonly #config: VaultCaConfig;
  readonly #deps: CaDeps;
  readonly #address: string;
  #login: Login | undefined;
  /** Credentials of AppRole that were rejected, as a hash, and until when they are not sent. Monotonic clock. */
  #rejected: { readonly hash: string; readonly untilMs: number } | undefined;

  constructor(config: VaultCaConfig, deps: CaDeps) {
    this.#config = config;
    this.#deps = deps;
    this.#address = formatHostPort(config.server);
  }

  async sign(request: SigningRequest, signal: AbortSignal): Promise<SignedChain> {
    const body = {
      csr: request.csrPem,
      ttl: `${String(Math.ceil(request.ttlMs / 1_000))}s`,
      uri_sans: request.spiffeId,
      format: "pem",
    };
    const call = (token: string): HttpCall => this.#call("POST", this.#config.signPath, { token, body });
    let response = await this.#send(call(await this.#token(signal)), signal);
    if (response.status === 403) {
      // The token may have been revoked, or have expired early: log in and retry once.
      this.#login = undefined;
      response = await this.#send(call(await this.#token(signal)), signal);
    }
    return this.#parseSigned(response, signal);
  }

  get causeFiles(): readonly string[] {
    return [...authFilesOf(this.#config.auth), ...tlsFilesOf(this.#config.server.security)];
  }

  untilReachable(signal: AbortSignal): Promise<void> {
    return untilReachable(this.#config.server, this.#deps.clock, signal);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#login = undefined;
    return Promise.resolve();
  }

  async #token(signal: AbortSignal): Promise<string> {
    const { auth } = this.#config;
    if (auth.kind === "token-file") return this.#secretIn(auth.path);
    const nowMs = this.#deps.clock.monotonicMs();
    const login = this.#login;
    if (login !== undefined && nowMs < login.renewAtMs) return login.token;
    if (login !== undefined && login.renewable && nowMs < login.expiresMs) {
      const call = this.#call("POST", "auth/token/renew-self", { token: login.token, body: {} });
      const response = await this.#send(call, signal);
      if (response.status === 200) return this.#keepLogin(response);
    }
    const body = await this.#credentials(auth);
    const call = this.#call("POST", `auth/${auth.mount}/login`, { body });
    if (auth.kind === "kubernetes") return this.#keepLogin(await this.#send(call, signal));
    const hash = shortHash(JSON.stringify(body), 32);
    this.#assertNotRejected(hash, auth.secretIdPath);
    const response = await this.#send(call, signal);
    const untilMs = this.#deps.clock.monotonicMs() + rejectedForMs;
    this.#rejected = response.status === 400 ? { hash, untilMs } : undefined;
    return this.#keepLogin(response);
  }

  #assertNotRejected(hash: string, path: string): void {
    const rejected = this.#rejected;
    const waitMs = (rejected?.untilMs ?? 0) - this.#deps.clock.monotonicMs();
    if (rejected?.hash !== hash || waitMs <= 0) return;
    const again = `it is sent again in ${String(Math.ceil(waitMs / 60_000))} min`;
    const text = `the secret ID in ${path} was rejected; replace it. Vault locks the role ID after five rejections; ${again}`;
    throw new CaError("misconfigured", this.#address, text);
  }

  async #credentials(auth: Exclude<VaultAuth, { readonly kind: "token-file" }>): Promise<object> {
    if (auth.kind === "approle") {
      return { role_id: await this.#secretIn(auth.roleIdPath), secret_id: await this.#secretIn(auth.secretIdPath) };
    }
    return { role: auth.role, jwt: await this.#secretIn(auth.tokenPath) };
  }

  async #secretIn(path: string): Promise<string> {
    const token = await readToken(path, this.#deps.clock.now());
    if (token.kind === "usable") return token.text;
    throw new CaError("misconfigured", this.#address, token.problem, { cause: token.cause });
  }

  #keepLogin(response: CaHttpResponse): string {
    const auth = objectOf(this.#parse(response)["auth"]);
    const token = asString(auth["client_token"]);
    if (token === undefined) throw this.#malformed("its login response has no token");
    const leaseMs = typeof auth["lease_duration"] === "number" ? auth["lease_duration"] * 1_000 : 0;
    const nowMs = this.#deps.clock.monotonicMs();
    // A lease of 0 does not expire.
    const validMs = leaseMs > 0 ? leaseMs : Number.POSITIVE_INFINITY;
    this.#login = {
      token,
      renewable: auth["renewable"] === true,
      renewAtMs: nowMs + validMs / 2,
      expiresMs: nowMs + validMs,
    };
    return token;
  }

  async #parseSigned(response: CaHttpResponse, signal: AbortSignal): Promise<SignedChain> {
    const data = objectOf(this.#parse(response)["data"]);
    const leaf = asString(data["certificate"]);
    if (leaf === undefined) throw this.#malformed("its response has no certificate");
    const issuing = asString(data["issuing_ca"]);
    const listed = textsOf(data["ca_chain"]);
    const chain = listed.length > 0 ? listed : issuing === undefined ? [] : [issuing];
    const roots = chain.flatMap((pem) => splitPem(pem).blocks).filter((block) => isSelfSigned(block.der));
    const rootsPem = roots.length > 0 ? roots.map((root) => root.pem).join("") : await this.#fetchRoots(signal);
    return { chainPem: [leaf, ...chain].join("\n"), rootsPem };
  }

  /** The roots in the mount's chain, for responses without a root. */
  async #fetchRoots(signal: AbortSignal): Promise<string> {
    const mount = /^(.*?)\/(?:issuer\/[^/]+\/)?sign\//.exec(this.#config.signPath)?.[1] ?? "pki";
    const response = await this.#send(this.#call("GET", `${mount}/ca_chain`, {}), signal);
    if (response.status !== 200) throw httpFailure(this.#address, response, "its roots cannot be read");
    const { blocks } = splitPem(response.body);
    const roots = blocks.filter((block) => isSelfSigned(block.der));
    // The chain of some mounts ends below the root; its last certificate is the anchor.
    return (roots.length > 0 ? roots : blocks.slice(-1)).map((block) => block.pem).join("");
  }

  #parse(response: CaHttpResponse): JsonObject {
    const parsed = parseJsonObject(response.body);
    if (response.status !== 200) throw httpFailure(this.#address, response, textsOf(parsed?.["errors"]).join("; "));
    if (parsed === undefined) throw this.#malformed("its response is not JSON");
    return parsed;
  }

  #malformed(text: string): CaError {
    return new CaError("malformed-response", this.#address, text);
  }

  #call(method: "GET" | "POST", path: string, { token, body }: { token?: string; body?: unknown }): HttpCall {
    const { namespace, timeoutPerTryMs: timeoutMs } = this.#config;
    const headers = {
      "x-vault-request": "true",
      ...(token === undefined ? {} : { "x-vault-token": token }),
      ...(namespace === "" ? {} : { "x-vault-namespace": namespace }),
    };
    return { method, path: `/v1/${path}`, headers, timeoutMs, ...(body === undefined ? {} : { body }) };
  }

  #send(call: HttpCall, signal: AbortSignal): Promise<CaHttpResponse> {
    return callHttp(this.#config.server, call, this.#deps, signal);
  }
}

function authFilesOf(auth: VaultAuth): readonly string[] {
  if (auth.kind === "approle") return [auth.roleIdPath, auth.secretIdPath];
  return [auth.kind === "token-file" ? auth.path : auth.tokenPath];
}

function isSelfSigned(der: Uint8Array): boolean {
  try {
    const one = new X509Certificate(der);
    return one.checkIssued(one);
  } catch {
    return false;
  }
}
