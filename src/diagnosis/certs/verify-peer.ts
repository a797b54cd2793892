// SPDX-License-Identifier: Apache-2.0
import type { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import type { ChainChecks, ReadCertificate } from "../../cert/index.ts";
import type { Clock } from "../../lib/async/clock.ts";
import { formatHostPort, type HostPort } from "../../lib/net/host-port.ts";
import { formatPem } from "../../lib/pki/pem.ts";
import { type CertificateDetails, describeCertificate, formatName } from "./certificate-details.ts";
import { type ChainProblem, type DomainAnchors, judgeChain } from "./chain-verdict.ts";
import type { ClientPair } from "./client-pair.ts";
import type { PeerProblem } from "./peer-failure.ts";
import { type Handshake, shakeHands } from "./peer-handshake.ts";

export interface PeerOptions {
  readonly target: HostPort;
  /** `--sni`: the name to send, and that a peer without SPIFFE ID must have; undefined: the host's. */
  readonly serverName: string | undefined;
  /** `--peer-id`; undefined: any peer of a trusted domain. */
  readonly expectedId: string | undefined;
  readonly anchors: readonly DomainAnchors[];
  readonly client: ClientPair | undefined;
}

/** Who a peer is, and whether this workload would talk to it. */
export interface PeerReport {
  readonly address: string;
  readonly ok: boolean;
  readonly problem: PeerProblem | ChainProblem | "wrong-id" | "wrong-name" | undefined;
  /** What is wrong, or by which root the peer was verified. */
  readonly reason: string;
  readonly advice: string;
  readonly spiffeId: string | undefined;
  readonly tlsVersion: string | undefined;
  readonly cipher: string | undefined;
  readonly alpn: string | undefined;
  readonly clientCertificate: "presented" | "none";
  readonly tookMs: number;
  /** As the peer sent it. */
  readonly chain: readonly CertificateDetails[];
}

/** Makes a TLS handshake with a peer, and judges its certificate as this workload's Envoy would. */
export async function verifyPeer(
  options: PeerOptions,
  checks: ChainChecks,
  clock: Clock,
  signal: AbortSignal,
): Promise<PeerReport> {
  const { target, client } = options;
  const serverName = options.serverName ?? target.host;
  const handshake = await shakeHands({ target, serverName, client }, clock, signal);
  const nowMs = clock.now();
  const chain = readChain(handshake.chain, checks);
  const details = chain.map((one) => describeCertificate(one, nowMs));
  const spiffeId = details[0]?.spiffeId;
  const verdict = judge({ options, handshake, chain, spiffeId, serverName, nowMs }, checks);
  const { tlsVersion, cipher, alpn, tookMs } = handshake;
  return {
    address: formatHostPort(target),
    ok: verdict.problem === undefined,
    ...verdict,
    spiffeId,
    tlsVersion,
    cipher,
    alpn,
    clientCertificate: client === undefined ? "none" : "presented",
    tookMs,
    chain: details,
  };
}

function readChain(chain: readonly X509Certificate[], { readCertificate }: ChainChecks): readonly ReadCertificate[] {
  return chain.flatMap((x509) => {
    try {
      return [readCertificate(x509.raw, formatPem("CERTIFICATE", x509.raw))];
    } catch {
      return [];
    }
  });
}

interface Shown {
  readonly options: PeerOptions;
  readonly handshake: Handshake;
  readonly chain: readonly ReadCertificate[];
  readonly spiffeId: string | undefined;
  readonly serverName: string;
  readonly nowMs: number;
}

type Verdict = Pick<PeerReport, "problem" | "reason" | "advice">;

/** A peer's certificate that this workload rejects comes before the peer's rejection of this workload. */
function judge({ options, handshake, chain, spiffeId, serverName, nowMs }: Shown, checks: ChainChecks): Verdict {
  const { failure } = handshake;
  if (failure !== undefined && chain.length === 0) return failure;
  const { anchors, expectedId } = options;
  const verdict = judgeChain({ chain, anchors, spiffeId, nowMs, purpose: "server" }, checks);
  if (!verdict.isTrusted) {
    return {
      problem: verdict.problem,
      reason: `the peer's certificate: ${verdict.reason}`,
      advice: adviceFor(verdict.problem),
    };
  }
  const wrongPeer = identityProblem(chain[0], spiffeId, expectedId, serverName);
  if (wrongPeer !== undefined) return wrongPeer;
  if (failure !== undefined) return failure;
  const root = JSON.stringify(formatName(verdict.root.x509.subject));
  const domain = verdict.trustDomain === undefined ? "" : ` of ${verdict.trustDomain}`;
  return { problem: undefined, reason: `verified by the root ${root}${domain}`, advice: "" };
}

function adviceFor(problem: ChainProblem): string {
  switch (problem) {
    case "expired":
      return "the peer must renew it; if it is valid there, compare the clocks of both machines";
    case "not-yet-valid":
      return "compare the clocks of both machines";
    case "unknown-root":
    case "wrong-key":
    case "no-roots":
      return "the peer is of another mesh or trust domain: exchange roots (trust bundle, caCertificates), or ask another peer";
    case "rejected":
      return "have its CA issue another certificate";
    case "no-certificate":
      return "";
  }
}

/** A peer without SPIFFE ID is known by its name, as istiod is. */
function identityProblem(
  leaf: ReadCertificate | undefined,
  spiffeId: string | undefined,
  expectedId: string | undefined,
  serverName: string,
): Verdict | undefined {
  if (expectedId !== undefined) {
    if (spiffeId === expectedId) return undefined;
    const reason = `the peer is ${spiffeId ?? "without SPIFFE ID"}, not ${expectedId}`;
    return { problem: "wrong-id", reason, advice: "the address belongs to another workload, or --peer-id is wrong" };
  }
  if (spiffeId !== undefined || leaf === undefined) return undefined;
  const names = formatName(leaf.x509.subjectAltName);
  const isNamed = isIP(serverName) === 0 ? leaf.x509.checkHost(serverName) : leaf.x509.checkIP(serverName);
  if (isNamed !== undefined) return undefined;
  const reason = `the peer's certificate is for ${names === "" ? "no name" : names}, not for ${serverName}`;
  return { problem: "wrong-name", reason, advice: "name the peer as its certificate does, with --sni" };
}
