// SPDX-License-Identifier: Apache-2.0
import { type ChainChecks, loadChainChecks, type ReadCertificate } from "../../cert/index.ts";
import type { Clock } from "../../lib/async/clock.ts";
import { AgentError, describeError } from "../../lib/errors.ts";
import { exitCode } from "../../lib/exit-code.ts";
import { readTextFile } from "../../lib/fs/bounded-read.ts";
import type { HostPort } from "../../lib/net/host-port.ts";
import { type AgentClient, AgentResponseError, AgentUnreachableError } from "../agent-client.ts";
import type { DomainAnchors } from "./chain-verdict.ts";
import { normalSerial, readEnvoySerials } from "./envoy-serials.ts";
import { readPem } from "./read-pem.ts";
import { type Renewal, readWorkloadIdentity, renewCertificate } from "./renew.ts";
import { type CertsReport, type Finding, reportFile, reportWorkload } from "./report.ts";
import { fetchClientPair, fetchPublicParts } from "./sds-secrets.ts";
import { type PeerReport, verifyPeer } from "./verify-peer.ts";
import { anchorsOf, type WorkloadIdentity } from "./workload-identity.ts";

/** A file with certificates cannot be read. */
export class CertsFileError extends AgentError {
  readonly code = "AGENT_CERTS_FILE";
  override readonly exitCode = exitCode.failed;
  constructor(path: string, problem: string, cause?: unknown) {
    super(`read ${path}: ${problem}`, { cause });
  }
}

export interface CertsDeps {
  readonly agent: AgentClient;
  readonly clock: Clock;
}

/** The certificates and roots of a running workload. @throws AgentUnreachableError, AgentResponseError */
export async function inspectWorkload({ agent, clock }: CertsDeps, signal: AbortSignal): Promise<CertsReport> {
  const checks = await loadChainChecks();
  const [identity, envoy] = await Promise.all([
    readIdentity({ agent, clock }, signal),
    readEnvoySerials(agent, signal),
  ]);
  const chain = readPem(identity.chainPem, checks).certificates;
  const read = { chain, anchors: anchorsOf(identity.roots, checks), envoy };
  return reportWorkload(identity, read, checks, clock.now());
}

/** Where another process serves the certificate, the agent does not have it, and Envoy's socket is read. */
async function readIdentity({ agent, clock }: CertsDeps, signal: AbortSignal): Promise<WorkloadIdentity> {
  const identity = await readWorkloadIdentity(agent, signal);
  if (identity.renewal !== undefined || identity.chainPem !== "") return identity;
  const parts = await fetchPublicParts(identity.sdsSocketPath, clock, signal);
  return "why" in parts ? identity : { ...identity, ...parts };
}

/** The certificates of each file. @param rootFiles with which they are verified; empty: with those in the file itself @throws CertsFileError */
export async function inspectFiles(
  files: readonly string[],
  rootFiles: readonly string[],
  clock: Clock,
): Promise<readonly CertsReport[]> {
  const checks = await loadChainChecks();
  const anchors = rootFiles.length === 0 ? undefined : await readAnchors(rootFiles, checks);
  const contents = await Promise.all(files.map(readPemFile));
  return contents.map((text, index) => {
    const { certificates, problems } = readPem(text, checks);
    return reportFile({ file: files[index] ?? "", certificates, problems, anchors }, checks, clock.now());
  });
}

async function readAnchors(files: readonly string[], checks: ChainChecks): Promise<readonly DomainAnchors[]> {
  const roots: ReadCertificate[] = [];
  for (const file of files) {
    const { certificates } = readPem(await readPemFile(file), checks);
    if (certificates.length === 0) throw new CertsFileError(file, "there is no certificate in it");
    roots.push(...certificates);
  }
  return [{ trustDomain: undefined, roots }];
}

async function readPemFile(path: string): Promise<string> {
  try {
    return await readTextFile(path);
  } catch (cause) {
    throw new CertsFileError(path, describeError(cause), cause);
  }
}

/** What a renewal on request has come to, and whether Envoy uses its result. */
export interface RenewalReport {
  readonly renewal: Renewal;
  readonly findings: readonly Finding[];
}

const envoyTimeoutMs = 3_000;
const envoyPollMs = 50;

/** Renews the workload's certificate. @throws AgentUnreachableError, AgentResponseError */
export async function renewWorkload({ agent, clock }: CertsDeps, signal: AbortSignal): Promise<RenewalReport> {
  const checks = await loadChainChecks();
  const before = await readEnvoySerials(agent, signal);
  const renewal = await renewCertificate(agent, { clock, checks }, signal);
  const { oldSerial } = renewal;
  if (!renewal.renewed) {
    const inUse = oldSerial === undefined ? "" : "the certificate in use stays in use, and ";
    const advice = renewal.retried ? `${inUse}the agent tries again by itself` : "";
    return { renewal, findings: [{ outcome: "fail", fact: `not renewed: ${renewal.reason}`, advice }] };
  }
  const { newSerial, tookMs } = renewal;
  const fact = `renewed in ${String(tookMs)} ms: serial ${oldSerial ?? "none"} -> ${newSerial}`;
  const done: Finding = { outcome: "ok", fact, advice: "" };
  const isInEnvoy = oldSerial !== undefined && before?.has(normalSerial(oldSerial)) === true;
  if (!isInEnvoy) return { renewal, findings: [done] };
  return { renewal, findings: [done, await envoyFinding({ agent, clock }, newSerial, signal)] };
}

async function envoyFinding({ agent, clock }: CertsDeps, serial: string, signal: AbortSignal): Promise<Finding> {
  const startMs = clock.monotonicMs();
  while (clock.monotonicMs() - startMs < envoyTimeoutMs) {
    const serials = await readEnvoySerials(agent, signal);
    if (serials?.has(normalSerial(serial)) === true) return { outcome: "ok", fact: "Envoy uses it", advice: "" };
    await clock.delay(envoyPollMs, signal);
  }
  const fact = `Envoy does not use it after ${String(envoyTimeoutMs / 1_000)} s`;
  return { outcome: "warn", fact, advice: "'attache status' shows whether Envoy rejected it" };
}

export interface VerifyOptions {
  readonly target: HostPort;
  readonly serverName: string | undefined;
  readonly expectedId: string | undefined;
  /** Verify the peer by these instead of the workload's roots. */
  readonly rootFiles: readonly string[];
}

/**
 * A TLS handshake with a peer as this workload.
 * @returns the peer, and what limits the result: no client certificate, for example
 * @throws AgentUnreachableError, AgentResponseError unless there are files with roots; CertsFileError
 */
export async function verifyAsWorkload(
  { target, serverName, expectedId, rootFiles }: VerifyOptions,
  { agent, clock }: CertsDeps,
  signal: AbortSignal,
): Promise<{ readonly peer: PeerReport; readonly notes: readonly Finding[] }> {
  const checks = await loadChainChecks();
  const given = rootFiles.length === 0 ? undefined : await readAnchors(rootFiles, checks);
  const notes: Finding[] = [];
  const identity = await readIdentity({ agent, clock }, signal).catch((error: unknown) => {
    const isAbsent = error instanceof AgentUnreachableError || error instanceof AgentResponseError;
    if (given === undefined || !isAbsent) throw error;
    return undefined;
  });
  const found =
    identity === undefined
      ? { why: `no agent responded at ${agent.url.host}` }
      : await fetchClientPair(
          { socketPath: identity.sdsSocketPath, expectedChainPem: identity.chainPem },
          { clock, checks },
          signal,
        );
  if (found.pair === undefined) {
    notes.push({ outcome: "warn", fact: `no client certificate was presented: ${found.why}`, advice: "" });
  }
  const own = identity === undefined ? [] : anchorsOf(identity.roots, checks);
  const options = { target, serverName, expectedId, anchors: given ?? own, client: found.pair };
  return { peer: await verifyPeer(options, checks, clock, signal), notes };
}
