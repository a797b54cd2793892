// SPDX-License-Identifier: Apache-2.0
import { createPublicKey, type KeyObject, verify } from "node:crypto";
import { readRequest } from "../../src/ca/embedded/certificate-request.ts";
import { parseJwt } from "../../src/lib/pki/jwt.ts";
import { testBudgets } from "../support/budgets.ts";
import { type TestAuthority, testAuthority } from "../support/test-authority.ts";
import { type FakeRequest, type FakeResponse, type HttpsServer, startHttpsServer } from "./https-server.ts";

/**
 * step-ca with a JWK and a Kubernetes provisioner: sign, rekey, roots. An intermediate issues, as in every step-ca. One-time
 * tokens are accepted once; service account tokens any number of times.
 * Source: https://smallstep.com/docs/step-ca/provisioners; status codes, texts and bodies are those of step-ca 0.30.2
 */
export interface FakeStepCa extends AsyncDisposable {
  readonly server: HttpsServer;
  /** The root of the certificates issued now. */
  readonly rootPem: string;
  readonly requests: readonly FakeRequest[];
  answerNext(...responses: readonly FakeResponse[]): void;
  /** From now on another root is the first one, and an intermediate under it issues. The old root is kept. */
  rotateRoot(): void;
}

/** The provisioner's default, `minTLSCertDuration`. */
const leastLifetimeMs = 5 * 60_000;
const backdateMs = 60_000;
const logHint = "Please see the certificate authority logs for more info.";

export async function startFakeStepCa(provisionerKey: KeyObject): Promise<FakeStepCa> {
  let ca = issuingAuthority("step 1");
  const serverRoot = ca.root;
  let roots = [ca.root.rootPem];
  const requests: FakeRequest[] = [];
  const next: FakeResponse[] = [];
  const used = new Set<string>();
  let port = 0;
  /** @returns the SANs that the token allows: any when undefined; or null for a token that is not accepted */
  const allowedBy = (ott: string): readonly unknown[] | undefined | null => {
    if (ott === "sa-token") return undefined;
    const token = parseJwt(ott);
    if (token === undefined || used.has(ott)) return null;
    used.add(ott);
    const signature = { key: provisionerKey, dsaEncoding: "ieee-p1363" } as const;
    const isAccepted =
      token.claims.audiences.includes(`https://localhost:${String(port)}/1.0/sign`) &&
      verify("sha256", Buffer.from(token.signed), signature, token.signature);
    return isAccepted ? sansOf(ott) : null;
  };
  const issued = (csr: unknown, lifetimeMs: number): FakeResponse => {
    const nowMs = Date.now();
    const { publicKey, uris } = parsed(csr);
    const validity = { notBeforeMs: nowMs - backdateMs, notAfterMs: nowMs + lifetimeMs };
    const crt = ca.intermediate.issue({ publicKey, uris, ...validity }, nowMs);
    return { status: 201, body: { crt, ca: ca.intermediatePem, certChain: [crt, ca.intermediatePem], tlsOptions: {} } };
  };
  const sign = (body: FakeRequest["body"]): FakeResponse => {
    const allowed = allowedBy(String(body?.["ott"]));
    if (allowed === null) return failure(401, `The request lacked necessary authorization to be completed. ${logHint}`);
    const { uris } = parsed(body?.["csr"]);
    if (allowed !== undefined && allowed.join() !== uris.join()) {
      const detail = `got [${uris.join(" ")}], want [${allowed.join(" ")}]`;
      return forbidden(`certificate request does not contain the valid URIs - ${detail}`);
    }
    const lifetimeMs = Number.parseInt(String(body?.["notAfter"]), 10) * 1_000;
    if (lifetimeMs >= leastLifetimeMs) return issued(body?.["csr"], lifetimeMs);
    const [requested, least] = [lifetimeMs + backdateMs, leastLifetimeMs].map((ms) => `${String(ms / 60_000)}m0s`);
    return forbidden(
      `requested duration of ${String(requested)} is less than the authorized minimum certificate duration of ${String(least)}`,
    );
  };
  const answer = (request: FakeRequest): FakeResponse => {
    requests.push(request);
    const prepared = next.shift();
    if (prepared !== undefined) return prepared;
    const { path, body, client } = request;
    if (path === "/1.0/roots") return { status: 201, body: { crts: roots } };
    if (path === "/1.0/sign") return sign(body);
    if (path !== "/1.0/rekey") return { status: 404, body: "404 page not found\n" };
    if (client === undefined) return failure(400, "The request could not be completed: missing client certificate.");
    return issued(body?.["csr"], 3_600_000);
  };
  const server = await startHttpsServer(serverRoot, answer);
  port = server.port;
  return {
    server,
    get rootPem() {
      return ca.root.rootPem;
    },
    requests,
    answerNext: (...responses) => {
      next.push(...responses);
    },
    rotateRoot() {
      ca = issuingAuthority("step 2");
      roots = [ca.root.rootPem, ...roots];
      server.trustClients(roots);
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

interface IssuingAuthority {
  readonly root: TestAuthority;
  readonly intermediate: TestAuthority;
  readonly intermediatePem: string;
}

/** A root, and an intermediate under it. */
function issuingAuthority(name: string): IssuingAuthority {
  const nowMs = Date.now();
  const root = testAuthority(`${name} root`, nowMs);
  const intermediate = testAuthority(`${name} intermediate`, nowMs);
  const intermediatePem = root.issue(
    {
      subject: intermediate.issuer.name,
      publicKey: createPublicKey(intermediate.issuer.privateKey),
      use: "authority",
      uris: [],
      notAfterMs: nowMs + 365 * 86_400_000,
    },
    nowMs,
  );
  return { root, intermediate, intermediatePem };
}

function parsed(csr: unknown): ReturnType<typeof readRequest> {
  return readRequest(String(csr), testBudgets().of("embedded-ca-csr-bytes"));
}

function sansOf(ott: string): readonly unknown[] {
  const payload = JSON.parse(Buffer.from(ott.split(".")[1] ?? "", "base64url").toString()) as { sans?: unknown[] };
  return payload.sans ?? [];
}

function failure(status: number, message: string): FakeResponse {
  return { status, body: { status, message } };
}

function forbidden(text: string): FakeResponse {
  return failure(403, `The request was forbidden by the certificate authority: ${text}.`);
}
