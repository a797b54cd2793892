// SPDX-License-Identifier: Apache-2.0
import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { BlockList, isIP, isIPv4 } from "node:net";
import {
  logVerbosity,
  Server,
  ServerCredentials,
  setLogVerbosity,
  type sendUnaryData,
  type ServerUnaryCall,
  status as grpcStatus,
} from "@grpc/grpc-js";
import { describeError } from "../../lib/errors.ts";
import type { CaDeps } from "../types.ts";
import { type Authority, AuthorityError, openAuthority } from "./authority.ts";
import type { EmbeddedCa, EmbeddedCaOptions } from "./embedded-ca-face.ts";
import { issueCertificate } from "./issue.ts";
import { parseCertificateRequest, renderCertificateResponse } from "./service-messages.ts";
import { SigningRefusedError, type SigningPolicy, signRequest } from "./signing-service.ts";
import { issueToken } from "./token-issuer.ts";

const serverCertificateLifeMs = 365 * 24 * 3_600_000;
const serverBackdateMs = 60 * 60_000;
const path = "/istio.v1.auth.IstioCertificateService/CreateCertificate";

/** Serves certificates over TLS, and issues the tokens it accepts. See `EmbeddedCaOptions`. */
export async function startServing(options: EmbeddedCaOptions, deps: CaDeps): Promise<EmbeddedCa> {
  const log = deps.log.scope("ca");
  const authority = openAuthority(options.directory, deps.clock.now());
  const tokenKeys = [authority.tokenKey, ...options.trustedTokenKeysPem.map((pem) => createPublicKey(pem))];
  setLogVerbosity(logVerbosity.NONE); // the library would write to stderr past our log
  const server = new Server();
  server.addService(
    { createCertificate: { path, requestStream: false, responseStream: false, ...codecs } },
    { createCertificate: answerWith(authority, () => ({ ...options, tokenKeys }), { ...deps, log }) },
  );
  const port = await bind(server, options, authority, deps.clock.now());
  const url = isIP(options.host) === 6 ? `[${options.host}]` : options.host;
  log.info("the embedded CA is listening", { address: `${url}:${String(port)}`, directory: options.directory });
  if (!isLoopback(options.host)) {
    log.warn("the embedded CA is for development, and others can reach it: it listens beyond this machine", {
      host: options.host,
    });
  }
  return {
    host: options.host,
    port,
    rootPem: authority.rootPem,
    issueToken: (request) =>
      issueToken(authority.tokenKey, { audience: options.audience, ...request }, deps.clock.now()),
    [Symbol.asyncDispose]() {
      server.forceShutdown();
      return Promise.resolve();
    },
  };
}

const codecs = {
  requestSerialize: (bytes: Uint8Array) => Buffer.from(bytes),
  requestDeserialize: (bytes: Buffer): Uint8Array => bytes,
  responseSerialize: (bytes: Uint8Array) => Buffer.from(bytes),
  responseDeserialize: (bytes: Buffer): Uint8Array => bytes,
};

/** @param policy asked for each request: its limits may change while the CA runs */
function answerWith(authority: Authority, policy: () => SigningPolicy, { log, clock }: CaDeps) {
  return (call: ServerUnaryCall<Uint8Array, Uint8Array>, done: sendUnaryData<Uint8Array>): void => {
    try {
      const { csrPem, ttlMs } = parseCertificateRequest(call.request);
      const authorization = call.metadata.get("authorization")[0]?.toString();
      const issued = signRequest(authority, policy(), { csrPem, ttlMs, authorization }, clock.now());
      const { spiffeId, serial, notAfterMs } = issued;
      log.info("certificate signed", { spiffeId, serial, notAfter: new Date(notAfterMs).toISOString() });
      done(null, renderCertificateResponse(issued.chain));
    } catch (error) {
      const code = error instanceof SigningRefusedError ? error.status : grpcStatus.INTERNAL;
      log.warn("request refused", { status: grpcStatus[code], error: describeError(error) });
      done({ code, details: describeError(error) });
    }
  };
}

function bind(server: Server, options: EmbeddedCaOptions, authority: Authority, nowMs: number): Promise<number> {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const names = new Set([
    "localhost",
    "istiod.istio-system.svc",
    "127.0.0.1",
    "::1",
    options.host,
    ...options.serverNames,
  ]);
  const certificatePem = issueCertificate(authority.issuer, {
    subject: "attache development CA server",
    publicKey,
    use: "server",
    dnsNames: [...names].filter((name) => isIP(name) === 0),
    ips: [...names].filter((name) => isIP(name) !== 0).map(ipBytes),
    notBeforeMs: nowMs - serverBackdateMs,
    notAfterMs: Math.min(nowMs + serverCertificateLifeMs, authority.rootNotAfterMs),
  });
  const keyPem = privateKey.export({ type: "pkcs8", format: "pem" });
  const pair = { private_key: Buffer.from(keyPem), cert_chain: Buffer.from(certificatePem) };
  const host = isIP(options.host) === 6 ? `[${options.host}]` : options.host;
  return new Promise((resolve, reject) => {
    server.bindAsync(`${host}:${String(options.port)}`, ServerCredentials.createSsl(null, [pair]), (error, port) => {
      if (error === null) resolve(port);
      else reject(new AuthorityError(options.directory, `cannot listen on ${host}:${String(options.port)}`, error));
    });
  });
}

function ipBytes(ip: string): Uint8Array {
  if (isIPv4(ip)) return Uint8Array.from(ip.split(".").map(Number));
  const [head = "", tail] = ip.split("::");
  const words = (text: string): number[] =>
    text === "" ? [] : text.split(":").map((word) => Number.parseInt(word, 16));
  const first = words(head);
  const last = tail === undefined ? [] : words(tail);
  const all = [...first, ...Array<number>(8 - first.length - last.length).fill(0), ...last];
  return Uint8Array.from(all.flatMap((word) => [word >> 8, word & 0xff]));
}

function isLoopback(host: string): boolean {
  if (host === "localhost") return true;
  const loopback = new BlockList();
  loopback.addSubnet("127.0.0.0", 8, "ipv4");
  loopback.addAddress("::1", "ipv6");
  const family = isIP(host);
  return family !== 0 && loopback.check(host, family === 4 ? "ipv4" : "ipv6");
}
