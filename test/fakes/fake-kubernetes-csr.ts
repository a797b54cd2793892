// SPDX-License-Identifier: Apache-2.0
import { testAuthority } from "../support/test-authority.ts";
import { type FakeRequest, type FakeResponse, type HttpsServer, startHttpsServer } from "./https-server.ts";

/**
 * The API certificates.k8s.io/v1 with an approver and a signer.
 * Source: https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/certificate-signing-request-v1/
 */
export interface FakeKubernetesCsr extends AsyncDisposable {
  readonly server: HttpsServer;
  /** Of the API server, and of the signer too. */
  readonly rootPem: string;
  readonly requests: readonly FakeRequest[];
  /** What becomes of requests from now on. */
  decide: "approve" | "deny" | "fail" | "nothing";
  /** Looks at a request before it is decided. */
  looksNeeded: number;
  readonly objects: ReadonlyMap<string, unknown>;
}

const collection = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

export async function startFakeKubernetesCsr(): Promise<FakeKubernetesCsr> {
  const ca = testAuthority("cluster root", Date.now());
  const requests: FakeRequest[] = [];
  const objects = new Map<string, { readonly csr: string; readonly ttlMs: number; looks: number }>();
  let serial = 0;
  const fake = {
    rootPem: ca.rootPem,
    requests,
    objects,
    decide: "approve" as FakeKubernetesCsr["decide"],
    looksNeeded: 2,
  };
  const create = ({ body }: FakeRequest): FakeResponse => {
    const spec = body?.["spec"] as { request: string; expirationSeconds: number; signerName: string };
    if (spec.signerName !== "example.com/mesh") return { status: 403, body: { message: "unknown signer" } };
    const name = `attache-${String(++serial)}`;
    const csr = Buffer.from(spec.request, "base64").toString();
    objects.set(name, { csr, ttlMs: spec.expirationSeconds * 1_000, looks: 0 });
    return { status: 201, body: { metadata: { name } } };
  };
  const look = (name: string): FakeResponse => {
    const object = objects.get(name);
    if (object === undefined) return { status: 404, body: { message: "not found" } };
    if (fake.decide === "nothing" || object.looks++ < fake.looksNeeded) return { status: 200, body: { status: {} } };
    if (fake.decide !== "approve") {
      const type = fake.decide === "deny" ? "Denied" : "Failed";
      return { status: 200, body: { status: { conditions: [{ type, status: "True", message: "not for you" }] } } };
    }
    const certificate = Buffer.from(ca.sign(object.csr, object.ttlMs, Date.now())).toString("base64");
    return { status: 200, body: { status: { conditions: [{ type: "Approved", status: "True" }], certificate } } };
  };
  const answer = (request: FakeRequest): FakeResponse => {
    requests.push(request);
    const { method, path, headers } = request;
    if (headers["authorization"] !== "Bearer sa-token") return { status: 401, body: { message: "Unauthorized" } };
    if (method === "POST" && path === collection) return create(request);
    const name = path.slice(collection.length + 1);
    if (method === "DELETE") objects.delete(name);
    return method === "DELETE" ? { status: 200, body: {} } : look(name);
  };
  const server = await startHttpsServer(ca, answer);
  return Object.assign(fake, { server, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() });
}
