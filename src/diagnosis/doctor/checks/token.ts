// SPDX-License-Identifier: Apache-2.0
import { stat } from "node:fs/promises";
import type { SingleCaConfig } from "../../../ca/index.ts";
import type { AgentConfig } from "../../../config/index.ts";
import { readTlsClientPair } from "../../../lib/net/tls-client.ts";
import type { TokenClaims } from "../../../lib/pki/jwt.ts";
import { type Check, type DoctorContext, fail, type Finding, ok, warn } from "../check.ts";
import { networkOf } from "../network/network.ts";
import { describeToken, readTokenFile, type TokenFile } from "../token-file.ts";
import { formatSpan } from "../../../lib/relative-time.ts";

const name = "token";
/** The audience that istiod accepts by default. */
const istioAudience = "istio-ca";
/** The kubelet replaces a token after 80 % of its lifetime. */
const staleShare = 0.1;
/** Clocks of kubelet, API server and this machine may differ so much. */
const toleranceMs = 60_000;

/** The files with the token that CA and control plane are sent. */
export const tokenCheck: Check = {
  name,
  needsEnvironment: true,
  async run(context) {
    const { config } = context;
    const uses = tokenUses(config);
    if (uses.length === 0) {
      const fact = usesCloudToken(config) ? "that of the machine, from its metadata server" : "none is sent";
      return [ok(name, fact)];
    }
    return (await Promise.all(uses.map((use) => checkFile(use, context)))).flat();
  },
};

interface TokenUse {
  readonly path: string;
  /** Whether istiod or a CA like it is sent this token. */
  readonly isForIstio: boolean;
  /** A certificate that does as well. */
  readonly client: { readonly chainPath: string; readonly keyPath: string } | undefined;
}

/** Each file once; that of the CA counts for the control plane too. */
function tokenUses({ identity, ca, xds }: AgentConfig): readonly TokenUse[] {
  const members = identity.kind !== "ca" ? [] : ca.kind === "failover" ? ca.sources : [ca];
  const uses = members.flatMap(tokenUse);
  if (xds.kind === "ads" && xds.cloudToken === undefined) {
    const { tokenPath, security } = xds.proxy.upstream;
    const client = security.kind === "tls" ? security.client : undefined;
    if (tokenPath !== undefined && security.kind === "tls") uses.push({ path: tokenPath, isForIstio: true, client });
  }
  return [...new Map(uses.toReversed().map((use) => [use.path, use])).values()].toReversed();
}

function tokenUse(ca: SingleCaConfig): TokenUse[] {
  switch (ca.kind) {
    case "istio": {
      if (ca.tokenPath === undefined || ca.cloudToken !== undefined) return [];
      const client = ca.security.kind === "tls" ? ca.security.client : undefined;
      return [{ path: ca.tokenPath, isForIstio: true, client }];
    }
    case "vault":
      if (ca.auth.kind === "approle") {
        return [ca.auth.roleIdPath, ca.auth.secretIdPath].map((path) => plainUse(path));
      }
      return [plainUse(ca.auth.kind === "token-file" ? ca.auth.path : ca.auth.tokenPath)];
    case "step":
      return ca.auth.kind === "kubernetes" ? [plainUse(ca.auth.tokenPath)] : [];
    case "kubernetes-csr":
      return [plainUse(ca.tokenPath)];
    case "embedded":
      return [];
  }
}

function plainUse(path: string): TokenUse {
  return { path, isForIstio: false, client: undefined };
}

function usesCloudToken({ identity, ca }: AgentConfig): boolean {
  return identity.kind === "ca" && ca.kind === "istio" && ca.cloudToken !== undefined;
}

async function checkFile(use: TokenUse, context: DoctorContext): Promise<readonly Finding[]> {
  const nowMs = context.clock.now();
  const file = await readTokenFile(use.path);
  const problem = await problemOf(file, use, nowMs);
  if (problem !== undefined) {
    const hasPair = use.client !== undefined && (await readTlsClientPair(use.client, nowMs)) !== undefined;
    return [hasPair ? ok(name, `${problem.fact}; the client certificate is presented instead`) : problem];
  }
  const text = describeToken(file, nowMs);
  const about = file.kind === "jwt" ? await aboutClaims(file.claims, use, context) : [];
  return about.length > 0 ? about : [ok(name, `${use.path} is ${text}`)];
}

const mountIt = "mount a projected service account token there (volume istio-token), or put the machine's token there";

async function problemOf(file: TokenFile, { path }: TokenUse, nowMs: number): Promise<Finding | undefined> {
  switch (file.kind) {
    case "absent":
      return fail(name, `the token file ${path} does not exist`, `To authenticate to the CA, ${mountIt}.`);
    case "unreadable":
      return fail(
        name,
        `the token file ${path} cannot be read: ${file.problem}${await ownerText(path)}`,
        "Make it readable for the agent's user: fsGroup in the pod's securityContext, or mode and owner on a machine.",
      );
    case "empty":
      return fail(name, `the token file ${path} is empty`, `To authenticate to the CA, ${mountIt}.`);
    case "garbage":
      return fail(name, `the token file ${path} does not contain a token`, `Replace it: ${mountIt}.`);
    case "opaque":
      return undefined;
    case "jwt": {
      const { expiresMs } = file.claims;
      if (expiresMs === undefined || expiresMs > nowMs) return undefined;
      const since = `${formatSpan(nowMs - expiresMs)} ago, at ${timeText(expiresMs)}`;
      const cure =
        "Renew it: in a pod the kubelet does, so check the node's kubelet and clock; on a machine replace the file.";
      return fail(name, `the token in ${path} expired ${since}`, cure);
    }
  }
}

async function ownerText(path: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return "";
  const mode = (found.mode & 0o7777).toString(8).padStart(4, "0");
  return `; it has mode ${mode}, user ${String(found.uid)} and group ${String(found.gid)}, and this is user ${String(process.getuid?.())}`;
}

async function aboutClaims(claims: TokenClaims, use: TokenUse, context: DoctorContext): Promise<readonly Finding[]> {
  const findings = [aboutAccount(claims, context.config), aboutAge(claims, use, context.clock.now())];
  if (use.isForIstio) findings.push(await aboutAudience(claims, use, context));
  return findings.filter((finding) => finding !== undefined);
}

/** A CA signs for the account of the token, whatever the request says. */
function aboutAccount({ subject }: TokenClaims, { cert }: AgentConfig): Finding | undefined {
  const [, namespace, account] = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(subject ?? "") ?? [];
  const { namespace: wantedNamespace, serviceAccount: wantedAccount } = cert.identity;
  const isOther = (wanted: string, given: string | undefined): boolean => wanted !== "" && given !== wanted;
  if (account === undefined || (!isOther(wantedNamespace, namespace) && !isOther(wantedAccount, account))) {
    return undefined;
  }
  const wanted = `POD_NAMESPACE and SERVICE_ACCOUNT say ${wantedNamespace || "(none)"}/${wantedAccount || "(none)"}`;
  return fail(
    "token.account",
    `the token is of the account ${namespace ?? ""}/${account}, but ${wanted}`,
    "Set POD_NAMESPACE and SERVICE_ACCOUNT to those of the pod, or mount the token of that account.",
  );
}

/** Where a CA has said whether it accepts the token, that counts. */
async function aboutAudience(
  { audiences }: TokenClaims,
  { path }: TokenUse,
  context: DoctorContext,
): Promise<Finding | undefined> {
  if (audiences.length === 0 || audiences.includes(istioAudience)) return undefined;
  const network = networkOf(context);
  const [member] = network.cas;
  const verdict = member === undefined ? undefined : await network.probeCa(member).catch(() => undefined);
  if (verdict?.kind === "accepted" || verdict?.kind === "rejected") return undefined;
  const fact = `the token in ${path} is for the audience ${audiences.join(", ")}; istiod accepts ${istioAudience} by default`;
  const cure = `Project a token with audience: ${istioAudience}, or add its audience to istiod's TOKEN_AUDIENCES.`;
  return warn("token.audience", fact, cure);
}

function aboutAge({ issuedMs, expiresMs }: TokenClaims, { path }: TokenUse, nowMs: number): Finding | undefined {
  if (issuedMs === undefined || expiresMs === undefined || issuedMs > nowMs + toleranceMs) return undefined;
  const leftMs = expiresMs - nowMs;
  if (leftMs > staleShare * (expiresMs - issuedMs)) return undefined;
  const fact = `the token in ${path} expires in ${formatSpan(leftMs)}, and was not renewed at 80 % of its lifetime`;
  return warn(name, fact, "Check that the kubelet renews projected tokens; on a machine renew the file in time.");
}

function timeText(ms: number): string {
  return new Date(Math.min(ms, 8.64e15)).toISOString();
}
