// SPDX-License-Identifier: Apache-2.0
import { access, constants, stat } from "node:fs/promises";
import type { ChainChecks } from "../../cert/index.ts";
import type { Clock } from "../../lib/async/clock.ts";
import { describeError, systemCode } from "../../lib/errors.ts";
import { GrpcError, GrpcStatus } from "../../lib/grpc/status.ts";
import { loadSdsClient, type SdsSecret } from "../../sds/index.ts";
import { ClientPair } from "./client-pair.ts";
import { type DomainPem, serialOf } from "./workload-identity.ts";

const nodeId = "attache-certs";

export type ClientPairResult =
  | { readonly pair: ClientPair; readonly why?: undefined }
  /** Why there is none. */
  | { readonly pair?: undefined; readonly why: string };

/**
 * Fetches the workload's certificate with its key as Envoy does, from the SDS socket.
 * @param expectedChainPem what the agent shows: the socket of another workload at the same path is not used; empty: any
 */
export async function fetchClientPair(
  { socketPath, expectedChainPem }: { readonly socketPath: string; readonly expectedChainPem: string },
  deps: { readonly clock: Clock; readonly checks: ChainChecks },
  signal: AbortSignal,
): Promise<ClientPairResult> {
  const secret = await fetchSecret(socketPath, "default", deps.clock, signal);
  if (typeof secret === "string") return { why: secret };
  if (secret.kind !== "certificate") return { why: `${socketPath} serves no certificate named default` };
  const { chainPem, keyPem } = secret;
  const [own, expected] = [serialOf(chainPem, deps.checks), serialOf(expectedChainPem, deps.checks)];
  if (expectedChainPem !== "" && own !== expected) {
    return { why: `the SDS socket ${socketPath} on this machine belongs to another workload than the agent` };
  }
  if (keyPem === undefined) return { why: "a private key provider of Envoy has the key" };
  return { pair: new ClientPair(chainPem, keyPem) };
}

/** The certificate and roots that another process than the agent serves to Envoy. @throws nothing but the signal's reason */
export async function fetchPublicParts(
  socketPath: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<{ readonly chainPem: string; readonly roots: readonly DomainPem[] } | { readonly why: string }> {
  const certificate = await fetchSecret(socketPath, "default", clock, signal);
  if (typeof certificate === "string") return { why: certificate };
  const roots = await fetchSecret(socketPath, "ROOTCA", clock, signal);
  return {
    chainPem: certificate.kind === "certificate" ? certificate.chainPem : "",
    roots: typeof roots !== "string" && roots.kind === "roots" ? roots.domains : [],
  };
}

/** @returns the secret, or why there is none */
async function fetchSecret(
  socketPath: string,
  name: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<SdsSecret | string> {
  const closed = await whyClosed(socketPath);
  if (closed !== undefined) return closed;
  const { createSdsClient } = await loadSdsClient();
  await using client = createSdsClient(socketPath, nodeId, { clock });
  try {
    return await client.fetch(name, signal);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof GrpcError && error.status === GrpcStatus.deadlineExceeded) {
      return `the SDS socket ${socketPath} serves no secret ${name} yet`;
    }
    return `the SDS socket ${socketPath} did not serve ${name}: ${describeError(error)}`;
  }
}

/** Why this user cannot open a socket, before it is tried. */
async function whyClosed(socketPath: string): Promise<string | undefined> {
  if (socketPath === "") return "the agent does not say where its SDS socket is";
  try {
    await access(socketPath, constants.R_OK | constants.W_OK);
    return undefined;
  } catch (error) {
    const code = systemCode(error);
    if (code === "ENOENT") return `there is no SDS socket ${socketPath} on this machine`;
    if (code !== "EACCES") return `the SDS socket ${socketPath} cannot be opened: ${describeError(error)}`;
    const owner = await stat(socketPath).then(
      ({ uid, mode }) => `; it belongs to user ${String(uid)}, with mode 0${(mode & 0o777).toString(8)}`,
      () => "",
    );
    const user = String(process.getuid?.() ?? "");
    return `the SDS socket ${socketPath} is not open to this user (${user})${owner}`;
  }
}
