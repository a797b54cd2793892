// SPDX-License-Identifier: Apache-2.0
import { parseHostPort } from "../../../lib/net/host-port.ts";
import { isExpired, nameOf, validityOf } from "../certificates.ts";
import { type Check, type DoctorContext, fail, type Finding, ok, warn } from "../check.ts";
import { networkOf } from "../network/network.ts";
import { type ClockDifference, readServerTime } from "../network/server-time.ts";
import { certificatesOf } from "../running-agent.ts";
import { readTokenFile } from "../token-file.ts";
import { formatSpan } from "../../../lib/relative-time.ts";

const name = "clock";
/** The `Date` header has whole seconds, and responses take time. */
const noticedMs = 5_000;
/** CAs let certificates begin two minutes before they sign them. */
const seriousMs = 120_000;
/** A certificate that expired longer ago is no sign of a wrong clock. */
const suspiciousMs = 86_400_000;
/** Istiod's port for monitoring, beside its TLS port. */
const istiodPorts = { tls: 15_012, monitoring: 15_014 };

/** This machine's clock beside those of CA, control plane and Kubernetes. */
export const clockCheck: Check = {
  name,
  needsEnvironment: true,
  async run(context) {
    const [exact, behind, expired] = await Promise.all([
      readDifferences(context),
      beginnings(context),
      recentExpiries(context),
    ]);
    const finding = ofExact(exact) ?? ofBeginnings(behind) ?? ofExpiries(expired);
    const seen = exact.map(({ server, aheadMs }) => `${server} (${formatSpan(Math.abs(aheadMs))})`);
    const agrees = seen.length === 0 ? "no certificate or token contradicts it" : `agrees with ${seen.join(", ")}`;
    return [finding ?? ok(name, `${new Date(context.clock.now()).toISOString()}; ${agrees}`)];
  },
};

/** Servers that tell the time: those with an HTTP API, istiod's monitoring, and Kubernetes' API. */
async function readDifferences(context: DoctorContext): Promise<readonly ClockDifference[]> {
  const { clock, signal, input } = context;
  const reached = await networkOf(context).reachAll();
  const reads = reached.map(async ({ peer, isOpen, steps }) => {
    if (!peer.http2) return isOpen ? await readServerTime(peer.address, peer.tls, clock, signal) : undefined;
    const { host, port } = peer.address;
    const isConnected = steps.some(({ part, outcome }) => part === "connect" && outcome === "ok");
    if (port !== istiodPorts.tls || !isConnected) return undefined;
    return await readServerTime({ host, port: istiodPorts.monitoring }, undefined, clock, signal);
  });
  const { KUBERNETES_SERVICE_HOST: host = "", KUBERNETES_SERVICE_PORT: port = "443" } = input.env;
  const api = parseHostPort(host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`);
  if (typeof api !== "string") reads.push(readServerTime(api, kubernetesTls(api.host), clock, signal));
  const found = (await Promise.all(reads)).filter((one) => one !== undefined);
  return [...new Map(found.map((one) => [one.server, one])).values()];
}

function kubernetesTls(serverName: string) {
  const path = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";
  return { serverName, roots: { kind: "file", path }, client: undefined, policy: "default" } as const;
}

/** Something that has begun elsewhere, but not by this clock: which, and by how much. */
interface Beginning {
  readonly what: string;
  readonly inMs: number;
}

async function beginnings(context: DoctorContext): Promise<readonly Beginning[]> {
  const nowMs = context.clock.now();
  const found = await Promise.all([serverBeginnings(context), tokenBeginning(context), agentBeginning(context)]);
  return found.flat().flatMap(({ what, atMs }) => (atMs > nowMs ? [{ what, inMs: atMs - nowMs }] : []));
}

type Begins = readonly { readonly what: string; readonly atMs: number }[];

async function serverBeginnings(context: DoctorContext): Promise<Begins> {
  const chains = await serverChains(context);
  return chains.map((one) => ({ what: `the certificate ${nameOf(one)} of a server`, atMs: validityOf(one)[0] }));
}

async function tokenBeginning({ config }: DoctorContext): Promise<Begins> {
  const path = config.ca.kind === "istio" ? config.ca.tokenPath : undefined;
  const token = path === undefined ? undefined : await readTokenFile(path);
  if (token?.kind !== "jwt") return [];
  const { notBeforeMs, issuedMs } = token.claims;
  return [{ what: "the token", atMs: Math.max(notBeforeMs ?? 0, issuedMs ?? 0) }];
}

function agentBeginning({ agent }: DoctorContext): Promise<Begins> {
  const begins = certificatesOf(agent).map(({ notBeforeMs }) => {
    return { what: "the workload certificate of the running agent", atMs: notBeforeMs };
  });
  return Promise.resolve(begins);
}

async function serverChains(context: DoctorContext) {
  const reached = await networkOf(context).reachAll();
  return reached.flatMap(({ tls }) => tls?.chain ?? []);
}

/** What has expired less than a day ago. */
async function recentExpiries(context: DoctorContext): Promise<readonly Beginning[]> {
  const nowMs = context.clock.now();
  const found = (await serverChains(context)).filter((one) => isExpired(one, nowMs));
  return found.flatMap((one) => {
    const sinceMs = nowMs - validityOf(one)[1];
    return sinceMs < suspiciousMs ? [{ what: `the certificate ${nameOf(one)} of a server`, inMs: sinceMs }] : [];
  });
}

const cure = "Synchronise the clocks (NTP) of this machine and of the one that runs the server.";

function ofExact(differences: readonly ClockDifference[]): Finding | undefined {
  const [worst] = differences.toSorted((a, b) => Math.abs(b.aheadMs) - Math.abs(a.aheadMs));
  if (worst === undefined || Math.abs(worst.aheadMs) < noticedMs) return undefined;
  const { server, aheadMs } = worst;
  const side = aheadMs > 0 ? "ahead of" : "behind";
  const fact = `this machine's clock is ${formatSpan(Math.abs(aheadMs))} ${side} that of ${server}`;
  return Math.abs(aheadMs) < seriousMs ? warn(name, fact, cure) : fail(name, fact, cure);
}

function ofBeginnings(found: readonly Beginning[]): Finding | undefined {
  const worst = found.toSorted((a, b) => b.inMs - a.inMs)[0];
  if (worst === undefined) return undefined;
  const by = formatSpan(worst.inMs);
  const fact = `this machine's clock is behind by ${by} or more: ${worst.what} begins in ${by}`;
  return worst.inMs < noticedMs ? warn(name, fact, cure) : fail(name, fact, cure);
}

function ofExpiries(found: readonly Beginning[]): Finding | undefined {
  const [first] = found;
  if (first === undefined) return undefined;
  const by = formatSpan(first.inMs);
  const fact = `this machine's clock may be ahead by ${by} or more: ${first.what} expired ${by} ago`;
  return warn(
    name,
    fact,
    "If the server renews its certificate in time, synchronise the clocks (NTP) of both machines.",
  );
}
