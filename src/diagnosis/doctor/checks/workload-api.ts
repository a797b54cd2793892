// SPDX-License-Identifier: Apache-2.0
import { stat } from "node:fs/promises";
import { createWorkloadApi, type WorkloadApiConfig } from "../../../ca/index.ts";
import { deadline } from "../../../lib/async/clock.ts";
import { orAborted } from "../../../lib/async/tasks.ts";
import { describeError, systemCode } from "../../../lib/errors.ts";
import { formatHostPort } from "../../../lib/net/host-port.ts";
import { parseCertificates, validityText } from "../certificates.ts";
import { type Check, type DoctorContext, fail, type Finding, ok } from "../check.ts";
import { networkOf } from "../network/network.ts";

const name = "workload-api";
const timeoutMs = 1_500;

/** The SPIFFE agent that issues the workload's identity. It is asked for it, as any workload may; the key is not kept. */
export const workloadApiCheck: Check = {
  name,
  needsEnvironment: true,
  async run(context) {
    const { identity } = context.config;
    if (identity.kind !== "workload-api") return [];
    const { endpoint } = identity;
    const absence = endpoint.kind === "unix" ? await socketProblem(endpoint.path) : undefined;
    if (absence !== undefined) return [absence];
    const address = endpoint.kind === "unix" ? endpoint.path : formatHostPort(endpoint);
    return [await fetchIdentity(identity, address, context)];
  },
};

async function socketProblem(path: string): Promise<Finding | undefined> {
  const cure =
    "Mount the socket of the SPIFFE agent (its CSI driver or a hostPath), or correct SPIFFE_ENDPOINT_SOCKET.";
  try {
    const found = await stat(path);
    return found.isSocket() ? undefined : fail(name, `${path} is not a socket`, cure);
  } catch (error) {
    const why = systemCode(error) === "ENOENT" ? "does not exist" : describeError(error);
    return fail(name, `the socket of the SPIFFE agent ${path} ${why}`, cure);
  }
}

async function fetchIdentity(config: WorkloadApiConfig, address: string, context: DoctorContext): Promise<Finding> {
  const { clock, signal } = context;
  using limit = deadline(clock, timeoutMs, signal);
  const stop = new AbortController();
  const source = createWorkloadApi(config, { clock, budgets: networkOf(context).budgets });
  try {
    const event = await orAborted(firstOf(source.watch(stop.signal)), limit.signal);
    if (event?.kind === "identity") {
      const [leaf] = parseCertificates(event.identity.chainPem).certificates;
      const text = leaf === undefined ? "" : `: ${leaf.subjectAltName ?? ""}, ${validityText(leaf, clock.now())}`;
      return ok(name, `the SPIFFE agent at ${address} issues an identity${text}`);
    }
    const why = event?.kind === "problem" ? describeError(event.error) : "the stream ended";
    const cure =
      "Register this workload with the SPIFFE server, and check that the agent runs and may attest this process.";
    return fail(name, `the SPIFFE agent at ${address} gives no identity: ${why}`, cure);
  } catch (error) {
    const fact = `the SPIFFE agent at ${address} does not respond: ${describeError(error)}`;
    return fail(name, fact, "Check that the SPIFFE agent runs and is connected to its server.");
  } finally {
    stop.abort(new Error("asked once"));
  }
}

async function firstOf<T>(events: AsyncIterable<T>): Promise<T | undefined> {
  for await (const event of events) return event;
  return undefined;
}
