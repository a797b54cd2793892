// SPDX-License-Identifier: Apache-2.0
import { type KeyObject, verify } from "node:crypto";
import { parseJwt } from "../../src/lib/pki/jwt.ts";
import { testAuthority } from "../support/test-authority.ts";
import { type FakeRequest, type FakeResponse, type HttpsServer, startHttpsServer } from "./https-server.ts";

/**
 * step-ca with a JWK and a Kubernetes provisioner: sign, rekey, roots. One-time tokens are taken once.
 * Source: https://smallstep.com/docs/step-ca/provisioners and the package `api` of github.com/smallstep/certificates
 */
export interface FakeStepCa extends AsyncDisposable {
  readonly server: HttpsServer;
  readonly rootPem: string;
  readonly requests: readonly FakeRequest[];
  answerNext(...responses: readonly FakeResponse[]): void;
}

export async function startFakeStepCa(provisionerKey: KeyObject): Promise<FakeStepCa> {
  const ca = testAuthority("step root", Date.now());
  const requests: FakeRequest[] = [];
  const next: FakeResponse[] = [];
  const used = new Set<string>();
  let port = 0;
  const refused = (message: string): FakeResponse => ({ status: 401, body: { status: 401, message } });
  const isGood = (ott: string): boolean => {
    if (ott === "sa-token") return true;
    const token = parseJwt(ott);
    if (token === undefined || used.has(ott)) return false;
    used.add(ott);
    const signature = { key: provisionerKey, dsaEncoding: "ieee-p1363" } as const;
    return (
      token.claims.audiences.includes(`https://localhost:${String(port)}/1.0/sign`) &&
      verify("sha256", Buffer.from(token.signed), signature, token.signature)
    );
  };
  const issued = (csr: unknown, ttlMs: number): FakeResponse => {
    const crt = ca.sign(String(csr), ttlMs, Date.now());
    return { status: 201, body: { crt, ca: ca.rootPem, certChain: [crt] } };
  };
  const answer = (request: FakeRequest): FakeResponse => {
    requests.push(request);
    const prepared = next.shift();
    if (prepared !== undefined) return prepared;
    const { path, body, client } = request;
    if (path === "/1.0/roots") return { status: 201, body: { crts: [ca.rootPem] } };
    if (path === "/1.0/rekey")
      return client === undefined ? refused("no certificate") : issued(body?.["csr"], 3_600_000);
    if (path !== "/1.0/sign") return { status: 404, body: { status: 404, message: "not found" } };
    if (!isGood(String(body?.["ott"]))) return refused("the token was used before, or is not known");
    return issued(body?.["csr"], Number.parseInt(String(body?.["notAfter"]), 10) * 1_000);
  };
  const server = await startHttpsServer(ca, answer);
  port = server.port;
  return {
    server,
    rootPem: ca.rootPem,
    requests,
    answerNext: (...responses) => {
      next.push(...responses);
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
