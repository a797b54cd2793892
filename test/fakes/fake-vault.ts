// SPDX-License-Identifier: Apache-2.0
import { testAuthority } from "../support/test-authority.ts";
import { type FakeRequest, type FakeResponse, type HttpsServer, startHttpsServer } from "./https-server.ts";

/**
 * Vault's PKI engine, its Kubernetes and AppRole logins, and the renewal of tokens.
 * Source: https://developer.hashicorp.com/vault/api-docs/secret/pki, .../auth/kubernetes, .../auth/approle, .../auth/token
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
    return {
      status: 200,
      body: { auth: { client_token: token, lease_duration: vault.leaseSeconds, renewable: true } },
    };
  };
  const signed = (body: FakeRequest["body"]): FakeResponse => {
    const ttlMs = Number.parseInt(String(body?.["ttl"]), 10) * 1_000;
    const certificate = ca.sign(String(body?.["csr"]), ttlMs, Date.now());
    const chain = vault.withoutRoot ? [] : [ca.rootPem];
    return {
      status: 200,
      body: { data: { certificate, issuing_ca: ca.rootPem, ca_chain: chain, serial_number: "00" } },
    };
  };
  const answer = (request: FakeRequest): FakeResponse => {
    requests.push(request);
    const prepared = next.shift();
    if (prepared !== undefined) return prepared;
    const { path, body, headers } = request;
    if (path === "/v1/auth/kubernetes/login" && body?.["role"] === "mesh" && body["jwt"] === "sa-token") return login();
    if (path === "/v1/auth/approle/login" && body?.["role_id"] === "id" && body["secret_id"] === "secret")
      return login();
    if (path === "/v1/pki/ca_chain") return { status: 200, body: ca.rootPem };
    if (!tokens.has(String(headers["x-vault-token"])) && headers["x-vault-token"] !== "static") {
      return { status: 403, body: { errors: ["permission denied"] } };
    }
    if (path === "/v1/auth/token/renew-self") {
      const auth = { client_token: headers["x-vault-token"], lease_duration: vault.leaseSeconds, renewable: true };
      return { status: 200, body: { auth } };
    }
    if (path === "/v1/pki/sign/mesh") return signed(body);
    return { status: 404, body: { errors: [] } };
  };
  const server = await startHttpsServer(ca, answer);
  return Object.assign(vault, { server, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() });
}
