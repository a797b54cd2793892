// SPDX-License-Identifier: Apache-2.0
import { testAuthority } from "../support/test-authority.ts";
import { type FakeRequest, type FakeResponse, type HttpsServer, startHttpsServer } from "./https-server.ts";

/**
 * Vault's PKI engine, its Kubernetes and AppRole logins, and the renewal of tokens.
 * Source: https://developer.hashicorp.com/vault/api-docs/secret/pki, .../auth/kubernetes, .../auth/approle, .../auth/token;
 * texts, status codes and the lock of AppRole as observed with OpenBao 2.6.2
 */
export interface FakeVault extends AsyncDisposable {
  readonly server: HttpsServer;
  readonly rootPem: string;
  readonly requests: readonly FakeRequest[];
  /** The next answers, instead of the right ones. */
  answerNext(...responses: readonly FakeResponse[]): void;
  /** Tokens given so far are no longer known. */
  revokeTokens(): void;
  leaseSeconds: number;
  /** Leaves the root out of the chain that comes with a certificate. */
  withoutRoot: boolean;
}

export async function startFakeVault(): Promise<FakeVault> {
  const ca = testAuthority("vault root", Date.now());
  const tokens = new Set<string>();
  const requests: FakeRequest[] = [];
  const next: FakeResponse[] = [];
  let logins = 0;
  let rejectedLogins = 0;
  const vault = {
    rootPem: ca.rootPem,
    requests,
    leaseSeconds: 3_600,
    withoutRoot: false,
    answerNext: (...responses: readonly FakeResponse[]) => {
      next.push(...responses);
    },
    revokeTokens: () => {
      tokens.clear();
    },
  };
  const login = (): FakeResponse => {
    const token = `token-${String(++logins)}`;
    tokens.add(token);
    return success({ auth: { client_token: token, lease_duration: vault.leaseSeconds, renewable: true } });
  };
  const signed = (body: FakeRequest["body"]): FakeResponse => {
    const ttlMs = Number.parseInt(String(body?.["ttl"]), 10) * 1_000;
    const certificate = ca.sign(String(body?.["csr"]), ttlMs, Date.now());
    const chain = vault.withoutRoot ? [] : [ca.rootPem];
    // A certificate whose issuer has no known chain comes without `ca_chain`.
    const data = { certificate, issuing_ca: ca.rootPem, serial_number: "00" };
    return success({ data: chain.length === 0 ? data : { ...data, ca_chain: chain } });
  };
  const answer = (request: FakeRequest): FakeResponse => {
    requests.push(request);
    const prepared = next.shift();
    if (prepared !== undefined) return prepared;
    const { path, body, headers } = request;
    if (path === "/v1/auth/kubernetes/login" && body?.["role"] === "mesh" && body["jwt"] === "sa-token") return login();
    if (path === "/v1/auth/approle/login") {
      // A role ID is locked after five rejected secret IDs, also for the right one.
      if (rejectedLogins >= 5) return { status: 403, body: { errors: ["permission denied"] } };
      if (body?.["role_id"] === "id" && body["secret_id"] === "secret") return login();
      rejectedLogins++;
      return { status: 400, body: { errors: ["invalid role or secret ID"] } };
    }
    if (path === "/v1/pki/ca_chain") return { status: 200, body: ca.rootPem };
    if (!tokens.has(String(headers["x-vault-token"])) && headers["x-vault-token"] !== "static") {
      return { status: 403, body: { errors: ["1 error occurred:\n\t* permission denied\n\n"] } };
    }
    if (path === "/v1/auth/token/renew-self") {
      const auth = { client_token: headers["x-vault-token"], lease_duration: vault.leaseSeconds, renewable: true };
      return success({ auth });
    }
    if (path === "/v1/pki/sign/mesh") return signed(body);
    return { status: 404, body: { errors: [] } };
  };
  const server = await startHttpsServer(ca, answer);
  return Object.assign(vault, { server, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() });
}

/** The whole of a response: every member is there, null when it has no value. */
function success(part: { readonly auth: object } | { readonly data: object }): FakeResponse {
  const empty = { lease_id: "", renewable: false, lease_duration: 0, data: null, wrap_info: null, warnings: null };
  return { status: 200, body: { request_id: "1f5d", ...empty, auth: null, ...part } };
}
