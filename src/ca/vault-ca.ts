// SPDX-License-Identifier: Apache-2.0
import { X509Certificate } from "node:crypto";
import { splitPem } from "../lib/pki/pem.ts";
import { formatHostPort } from "../lib/net/host-port.ts";
import type { CaAnswer, CaClient, CaDeps, CaRequest } from "./ca-client.ts";
import type { VaultAuth, VaultCaConfig } from "./ca-config.ts";
import { CaError } from "./ca-error.ts";
import { tlsFilesOf, untilFilesChange } from "./changed-files.ts";
import { callHttp, type HttpAnswer, type HttpCall } from "./http-call.ts";
import { asObject, asString, asStrings, httpFailure, parseJsonObject } from "./http-failure.ts";
import { readToken } from "./token.ts";

/** A login's token, and until when it is of use. Monotonic clock. */
interface Login {
  readonly token: string;
  readonly renewable: boolean;
  /** From here on it is renewed before it is used. */
  readonly renewAtMs: number;
  readonly endsMs: number;
}

/**
 * A client of Vault's PKI secrets engine. It logs in when it must, renews the login when half of it is over, and logs
 * in again when the server no longer knows the token.
 * Source: https://developer.hashicorp.com/vault/api-docs/secret/pki#sign-certificate and .../auth/token#renew-a-token-self
 */
export function createVaultClient(config: VaultCaConfig, deps: CaDeps): CaClient {
  return new VaultClient(config, deps);
}

class VaultClient implements CaClient {
  readonly mayBeAskedTwice = false;
  readonly #config: VaultCaConfig;
  readonly #deps: CaDeps;
  readonly #address: string;
  #login: Login | undefined;

  constructor(config: VaultCaConfig, deps: CaDeps) {
    this.#config = config;
    this.#deps = deps;
    this.#address = formatHostPort(config.server);
  }

  async sign(request: CaRequest, signal: AbortSignal): Promise<CaAnswer> {
    const body = {
      csr: request.csrPem,
      ttl: `${String(Math.ceil(request.ttlMs / 1_000))}s`,
      uri_sans: request.spiffeId,
      format: "pem",
    };
    const call = (token: string): HttpCall => this.#call("POST", this.#config.signPath, { token, body });
    let answer = await this.#send(call(await this.#token(signal)), signal);
    if (answer.status === 403) {
      // The token may have been revoked, or have ended early: once more with a new one.
      this.#login = undefined;
      answer = await this.#send(call(await this.#token(signal)), signal);
    }
    return this.#parseSigned(answer, signal);
  }

  untilChanged(signal: AbortSignal): Promise<void> {
    const files = [...authFilesOf(this.#config.auth), ...tlsFilesOf(this.#config.server.security)];
    return untilFilesChange(files, this.#deps.clock, signal);
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
    if (login !== undefined && login.renewable && nowMs < login.endsMs) {
      const call = this.#call("POST", "auth/token/renew-self", { token: login.token, body: {} });
      const answer = await this.#send(call, signal);
      if (answer.status === 200) return this.#keepLogin(answer);
    }
    const answer = await this.#send(
      this.#call("POST", `auth/${auth.mount}/login`, { body: await this.#credentials(auth) }),
      signal,
    );
    return this.#keepLogin(answer);
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

  #keepLogin(answer: HttpAnswer): string {
    const auth = asObject(this.#parse(answer)["auth"]);
    const token = asString(auth?.["client_token"]);
    if (auth === undefined || token === undefined) throw this.#malformed("its login answer has no token");
    const leaseMs = typeof auth["lease_duration"] === "number" ? auth["lease_duration"] * 1_000 : 0;
    const nowMs = this.#deps.clock.monotonicMs();
    // A lease of 0 does not end.
    const lastsMs = leaseMs > 0 ? leaseMs : Number.POSITIVE_INFINITY;
    this.#login = {
      token,
      renewable: auth["renewable"] === true,
      renewAtMs: nowMs + lastsMs / 2,
      endsMs: nowMs + lastsMs,
    };
    return token;
  }

  async #parseSigned(answer: HttpAnswer, signal: AbortSignal): Promise<CaAnswer> {
    const data = asObject(this.#parse(answer)["data"]);
    const leaf = asString(data?.["certificate"]);
    if (data === undefined || leaf === undefined) throw this.#malformed("there is no certificate in its answer");
    const issuing = asString(data["issuing_ca"]);
    const listed = asStrings(data["ca_chain"]);
    const chain = listed.length > 0 ? listed : issuing === undefined ? [] : [issuing];
    const roots = chain.flatMap((pem) => splitPem(pem).blocks).filter((block) => isSelfSigned(block.der));
    const rootsPem = roots.length > 0 ? roots.map((root) => root.pem).join("") : await this.#fetchRoots(signal);
    return { chainPem: [leaf, ...chain].join("\n"), rootsPem };
  }

  /** The mount's whole chain, for answers that leave the root out. */
  async #fetchRoots(signal: AbortSignal): Promise<string> {
    const mount = /^(.*?)\/(?:issuer\/[^/]+\/)?sign\//.exec(this.#config.signPath)?.[1] ?? "pki";
    const answer = await this.#send(this.#call("GET", `${mount}/ca_chain`, {}), signal);
    if (answer.status !== 200) throw httpFailure(this.#address, answer, "its roots cannot be read");
    const { blocks } = splitPem(answer.body);
    const roots = blocks.filter((block) => isSelfSigned(block.der));
    // A mount whose chain ends below the root: what it has last is the anchor.
    return (roots.length > 0 ? roots : blocks.slice(-1)).map((block) => block.pem).join("");
  }

  #parse(answer: HttpAnswer): Readonly<Record<string, unknown>> {
    const parsed = parseJsonObject(answer.body);
    if (answer.status !== 200) throw httpFailure(this.#address, answer, asStrings(parsed?.["errors"]).join("; "));
    if (parsed === undefined) throw this.#malformed("its answer is not JSON");
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

  #send(call: HttpCall, signal: AbortSignal): Promise<HttpAnswer> {
    return callHttp(this.#config.server, call, this.#deps.clock, signal);
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
