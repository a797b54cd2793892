// SPDX-License-Identifier: Apache-2.0
import { createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { createServer } from "node:net";
import { Metadata, Server, ServerCredentials, type sendUnaryData, type ServerUnaryCall, status } from "@grpc/grpc-js";
import { readRequest } from "../../src/ca/embedded/certificate-request.ts";
import { type CertificateFacts, type Issuer, issueCertificate, issueRoot } from "../../src/ca/embedded/certificates.ts";
import { IstioCertificateRequest, IstioCertificateResponse } from "../../src/gen/istio/v1/auth/ca.ts";
import { systemClock } from "../../src/lib/async/clock.ts";
import { testBudgets } from "../support/budgets.ts";
import { listening } from "../support/listening.ts";

/** How the CA behaves from now on. */
export type FakeCaMode =
  | { readonly kind: "good" }
  | { readonly kind: "refuse"; readonly status: keyof typeof status | status; readonly retryAfterMs?: number }
  | { readonly kind: "hang" }
  | { readonly kind: "garbage" }
  | { readonly kind: "garbage-pem" }
  | { readonly kind: "wrong-key" }
  | { readonly kind: "wrong-identity" }
  | { readonly kind: "expired" }
  | { readonly kind: "not-yet-valid"; readonly byMs: number }
  | { readonly kind: "empty-chain" }
  | { readonly kind: "leaf-as-root" }
  | { readonly kind: "other-root" }
  | { readonly kind: "slow"; readonly byMs: number };

export interface FakeCaOptions {
  readonly lifetimeMs?: number;
  readonly backdateMs?: number;
  /** Puts an intermediate between root and leaf. */
  readonly intermediate?: boolean;
  /** The one bearer token accepted; any when not given. */
  readonly token?: string;
  readonly port?: number;
  /** Client certificates under this root, or its own first one, are asked for, accepted instead of a token, recorded. */
  readonly clientRootPem?: string;
}

/** One call as it came in. */
export interface FakeCaCall {
  readonly atMs: number;
  readonly metadata: Readonly<Record<string, string>>;
  readonly csrPem: string;
  readonly ttlMs: number;
  readonly clientCertificate: boolean;
}

/** A CA that speaks Istio's certificate service over TLS and misbehaves on demand. */
export interface FakeCa extends AsyncDisposable {
  readonly host: "127.0.0.1";
  readonly port: number;
  /** Verifies the server's own certificate; never changes. */
  readonly serverRootPem: string;
  /** The root of the certificates issued now. */
  readonly rootPem: string;
  readonly calls: readonly FakeCaCall[];
  set(mode: FakeCaMode): void;
  /** Behaves well again; hanging calls are answered. */
  recover(): void;
  /** From now on issues under a new root; the old ones are handed out too, if wanted. */
  rotateRoot(options: { readonly keepOld: boolean }): void;
  lifetimeMs: number;
  /** As istiod: signs the workload in this trust domain, whatever the request names. Undefined signs what is requested. */
  trustDomain: string | undefined;
}

const hourMs = 3_600_000;

export function startFakeCa(options: FakeCaOptions = {}): Promise<FakeCa> {
  return RunningFakeCa.start(options);
}

function makeIssuer(name: string): Issuer {
  return { name, privateKey: generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey };
}

class RunningFakeCa implements FakeCa {
  readonly host = "127.0.0.1";
  port = 0;
  lifetimeMs: number;
  trustDomain: string | undefined;
  readonly calls: FakeCaCall[] = [];
  readonly serverRootPem: string;
  readonly #options: FakeCaOptions;
  readonly #server = new Server();
  /** The library's own listener keeps a connection whose client goes during the TLS handshake. */
  #listener: AsyncDisposable | undefined;
  #mode: FakeCaMode = { kind: "good" };
  #issuer = makeIssuer("fake CA 1");
  #roots: readonly string[];
  #rotations = 0;
  #hanging: (() => void)[] = [];

  static async start(options: FakeCaOptions): Promise<RunningFakeCa> {
    const ca = new RunningFakeCa(options);
    await ca.#listen();
    return ca;
  }

  private constructor(options: FakeCaOptions) {
    this.#options = options;
    this.lifetimeMs = options.lifetimeMs ?? hourMs;
    this.serverRootPem = this.#rootOf(this.#issuer);
    this.#roots = [this.serverRootPem];
  }

  get rootPem(): string {
    return this.#roots[0] ?? "";
  }

  set(mode: FakeCaMode): void {
    this.#mode = mode;
  }

  recover(): void {
    this.#mode = { kind: "good" };
    for (const answer of this.#hanging.splice(0)) answer();
  }

  rotateRoot({ keepOld }: { readonly keepOld: boolean }): void {
    this.#rotations++;
    this.#issuer = makeIssuer(`fake CA ${String(this.#rotations + 1)}`);
    this.#roots = [this.#rootOf(this.#issuer), ...(keepOld ? this.#roots : [])];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#hanging = [];
    this.#server.forceShutdown();
    await this.#listener?.[Symbol.asyncDispose]();
  }

  #rootOf(issuer: Issuer): string {
    return issueRoot(issuer, Date.now() - hourMs, Date.now() + 24 * 365 * hourMs);
  }

  async #listen(): Promise<void> {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const certificate = issueCertificate(this.#issuer, {
      subject: "fake CA server",
      publicKey,
      use: "server",
      dnsNames: ["localhost", "istiod.istio-system.svc"],
      ips: ["127.0.0.1"],
      notBeforeMs: Date.now() - hourMs,
      notAfterMs: Date.now() + 24 * hourMs,
    });
    const key = Buffer.from(privateKey.export({ type: "pkcs8", format: "pem" }));
    const pairs = [{ private_key: key, cert_chain: Buffer.from(certificate) }];
    const { clientRootPem } = this.#options;
    const clientRootText = clientRootPem === "own" ? this.serverRootPem : clientRootPem;
    const clientRoot = clientRootText === undefined ? null : Buffer.from(clientRootText);
    const credentials = ServerCredentials.createSsl(clientRoot, pairs, clientRoot !== null);
    if (clientRoot !== null) {
      // The library can demand a client certificate, but not take one that may be missing, as real CAs do.
      Object.assign(Reflect.get(credentials, "serverConstructorOptions") as object, { rejectUnauthorized: false });
    }
    const bytes = { serialize: (value: Uint8Array) => Buffer.from(value), deserialize: (value: Buffer) => value };
    this.#server.addService(
      {
        createCertificate: {
          path: "/istio.v1.auth.IstioCertificateService/CreateCertificate",
          requestStream: false,
          responseStream: false,
          requestSerialize: bytes.serialize,
          requestDeserialize: bytes.deserialize,
          responseSerialize: bytes.serialize,
          responseDeserialize: bytes.deserialize,
        },
      },
      {
        createCertificate: (call: ServerUnaryCall<Buffer, Uint8Array>, done: sendUnaryData<Uint8Array>) => {
          this.#receive(call, done);
        },
      },
    );
    const injector = this.#server.createConnectionInjector(credentials);
    const listener = createServer((socket) => {
      injector.injectConnection(socket);
    });
    const listens = await listening(listener, this.host, this.#options.port);
    this.port = listens.port;
    this.#listener = listens;
  }

  #receive(call: ServerUnaryCall<Buffer, Uint8Array>, done: sendUnaryData<Uint8Array>): void {
    const { csr: csrPem, validityDuration } = IstioCertificateRequest.decode(call.request);
    const ttlMs = validityDuration * 1_000;
    const metadata = Object.fromEntries(Object.entries(call.metadata.getMap()).map(([k, v]) => [k, v.toString()]));
    const peer = call.getAuthContext().sslPeerCertificate;
    const clientCertificate = peer !== undefined && Object.keys(peer).length > 0;
    this.calls.push({ atMs: Date.now(), metadata, csrPem, ttlMs, clientCertificate });
    const mode = this.#mode;
    const answer = (): void => {
      this.#answer(
        mode,
        { csrPem, ttlMs, authorized: clientCertificate || this.#knows(metadata["authorization"]) },
        done,
      );
    };
    if (mode.kind === "hang") {
      this.#hanging.push(() => {
        this.#answer({ kind: "good" }, { csrPem, ttlMs, authorized: true }, done);
      });
    } else if (mode.kind === "slow") void systemClock.delay(mode.byMs).then(answer);
    else answer();
  }

  #knows(authorization: string | undefined): boolean {
    return this.#options.token === undefined || authorization === `Bearer ${this.#options.token}`;
  }

  #answer(mode: FakeCaMode, asked: Asked, done: sendUnaryData<Uint8Array>): void {
    if (mode.kind === "refuse")
      done({
        code: typeof mode.status === "string" ? status[mode.status] : mode.status,
        details: "refused on demand",
        metadata: retryInfo(mode.retryAfterMs),
      });
    else if (mode.kind === "garbage") done(null, Uint8Array.of(0xff, 0xff, 0xff, 0x07));
    else if (mode.kind === "empty-chain") done(null, renderChain([]));
    else if (mode.kind === "garbage-pem") done(null, renderChain(["nonsense", this.rootPem]));
    else if (!asked.authorized) done({ code: status.UNAUTHENTICATED, details: "request authenticate failure" });
    else if (asked.csrPem === "") done({ code: status.INVALID_ARGUMENT, details: "CSR signing error" });
    else done(null, renderChain(this.#chainFor(mode, asked)));
  }

  #inDomain(uris: readonly string[]): readonly string[] {
    const { trustDomain } = this;
    return trustDomain === undefined
      ? uris
      : uris.map((uri) => uri.replace(/^spiffe:\/\/[^/]*/, `spiffe://${trustDomain}`));
  }

  #chainFor(mode: FakeCaMode, asked: Asked): readonly string[] {
    const request = readRequest(asked.csrPem, testBudgets().of("embedded-ca-csr-bytes"));
    const nowMs = Date.now();
    const lateMs = mode.kind === "not-yet-valid" ? mode.byMs : 0;
    const expiredMs = mode.kind === "expired" ? 2 * this.lifetimeMs : 0;
    const facts: CertificateFacts = {
      subject: undefined,
      publicKey: mode.kind === "wrong-key" ? otherKey() : request.publicKey,
      use: "workload",
      uris:
        mode.kind === "wrong-identity" ? ["spiffe://cluster.local/ns/other/sa/other"] : this.#inDomain(request.uris),
      notBeforeMs: nowMs - (this.#options.backdateMs ?? 120_000) * (lateMs > 0 ? 0 : 1) + lateMs - expiredMs,
      notAfterMs: nowMs + lateMs + this.lifetimeMs - expiredMs,
    };
    const issuer = mode.kind === "other-root" ? makeIssuer("somebody else") : this.#issuer;
    const bundle = this.#roots.join("");
    if (this.#options.intermediate !== true) {
      const leaf = issueCertificate(issuer, facts);
      return [leaf, mode.kind === "leaf-as-root" ? leaf : bundle];
    }
    const between = makeIssuer(`${issuer.name} intermediate`);
    const betweenPem = issueCertificate(issuer, {
      subject: between.name,
      publicKey: createPublicKey(between.privateKey),
      use: "authority",
      notBeforeMs: nowMs - hourMs,
      notAfterMs: nowMs + 100 * hourMs,
    });
    return [issueCertificate(between, facts), betweenPem, bundle];
  }
}

interface Asked {
  readonly csrPem: string;
  readonly ttlMs: number;
  readonly authorized: boolean;
}

function otherKey(): KeyObject {
  return generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey;
}

/** A google.rpc.Status with RetryInfo; the delay is below 128 s, so each number is one byte. */
function retryInfo(retryAfterMs: number | undefined): Metadata {
  const metadata = new Metadata();
  if (retryAfterMs === undefined) return metadata;
  const field = (number: number, bytes: Uint8Array): Buffer =>
    Buffer.concat([Uint8Array.of((number << 3) | 2, bytes.length), bytes]);
  const delay = Uint8Array.of(0x08, Math.round(retryAfterMs / 1_000));
  const any = Buffer.concat([
    field(1, Buffer.from("type.googleapis.com/google.rpc.RetryInfo")),
    field(2, field(1, delay)),
  ]);
  metadata.set("grpc-status-details-bin", field(3, any));
  return metadata;
}

function renderChain(chain: readonly string[]): Uint8Array {
  return IstioCertificateResponse.encode({ certChain: [...chain] }).finish();
}
