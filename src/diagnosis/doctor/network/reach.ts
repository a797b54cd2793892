// SPDX-License-Identifier: Apache-2.0
import type { Socket } from "node:net";
import { type Clock, DeadlineError, deadline } from "../../../lib/async/clock.ts";
import { orAborted } from "../../../lib/async/tasks.ts";
import { describeError, systemCode } from "../../../lib/errors.ts";
import { dialTcp } from "../../../lib/grpc/dial.ts";
import { formatHostPort } from "../../../lib/net/host-port.ts";
import { ipFamily } from "../../../lib/net/ip-address.ts";
import type { Peer } from "./peers.ts";
import { blocked, failed, milliseconds, passed, type Step } from "./step.ts";
import { checkTls, type ServerTls } from "./tls-step.ts";

const resolveMs = 1_200;
/** Longer than a lost first packet takes: it is sent again after a second. Source: RFC 6298 section 2.1 */
const connectMs = 1_400;

/** The way to a peer, as far as it goes. */
export interface Reach {
  readonly peer: Peer;
  readonly steps: readonly Step[];
  /** Whether a call can be made: every step passed. */
  readonly isOpen: boolean;
  /** What the server presented; undefined without TLS. */
  readonly tls: ServerTls | undefined;
}

export interface ReachOptions {
  readonly clock: Clock;
  /** Whether a resolver of this machine responds; undefined: not known. */
  readonly resolverResponds: () => Promise<boolean | undefined>;
}

/** Resolves, connects, and makes TLS with a peer, each with a limit of its own. Sends no credential. */
export async function reachPeer(peer: Peer, options: ReachOptions, signal: AbortSignal): Promise<Reach> {
  const steps: Step[] = [];
  const { host } = peer.address;
  if (ipFamily(host) === 0) {
    const step = await resolveName(peer, options, signal);
    steps.push(step);
    if (step.outcome !== "ok") return { peer, steps, isOpen: false, tls: undefined };
  }
  const { step, socket } = await connectTo(peer, options, signal);
  steps.push(step);
  if (socket === undefined || peer.tls === undefined) {
    socket?.destroy();
    return { peer, steps, isOpen: socket !== undefined, tls: undefined };
  }
  const found = await checkTls(peer, peer.tls, socket, options.clock, signal);
  steps.push(...found.steps);
  return { peer, steps, isOpen: found.steps.every(({ outcome }) => outcome === "ok"), tls: found.server };
}

async function resolveName(peer: Peer, { clock, resolverResponds }: ReachOptions, signal: AbortSignal): Promise<Step> {
  const { host } = peer.address;
  const startMs = clock.monotonicMs();
  using limit = deadline(clock, resolveMs, signal);
  try {
    const { lookup } = await import("node:dns/promises");
    const found = await orAborted(lookup(host, { all: true }), limit.signal);
    const addresses = found.map(({ address }) => address).slice(0, 4);
    return passed("resolve", `${host} is ${addresses.join(", ")} (${milliseconds(clock.monotonicMs() - startMs)})`);
  } catch (error) {
    const { address } = peer.settings;
    if (systemCode(error) === "ENOTFOUND") {
      const cure = `Correct ${address}, or create the name; in Kubernetes it is that of a Service and its namespace.`;
      return failed("resolve", `${peer.role}: the host ${host} is unknown: no resolver has an address for it`, cure);
    }
    const why = error instanceof DeadlineError ? `no response within ${milliseconds(resolveMs)}` : describeError(error);
    const fact = `${peer.role}: the host ${host} cannot be resolved: ${why}`;
    if ((await resolverResponds()) === false) return blocked("resolve", fact, "dns");
    return failed("resolve", fact, "Check the resolvers in resolv.conf, and that port 53 of them can be reached.");
  }
}

async function connectTo(
  peer: Peer,
  { clock }: ReachOptions,
  signal: AbortSignal,
): Promise<{ readonly step: Step; readonly socket: Socket | undefined }> {
  const { host, port } = peer.address;
  const address = formatHostPort(peer.address);
  const startMs = clock.monotonicMs();
  using limit = deadline(clock, connectMs, signal);
  try {
    const socket = await dialTcp(host, port, limit.signal);
    const took = milliseconds(clock.monotonicMs() - startMs);
    return { socket, step: passed("connect", `${peer.role} ${address} accepts connections (${took})`) };
  } catch (error) {
    return { socket: undefined, step: connectFailure(peer, address, error) };
  }
}

function connectFailure({ role, settings }: Peer, address: string, error: unknown): Step {
  const code = codeIn(error);
  if (error instanceof DeadlineError || code === "ETIMEDOUT") {
    const fact = `${role} ${address} does not respond to connections: packets are dropped on the way, or the host is down`;
    return failed("connect", fact, "Check firewalls and network policies on the way, and that the host is up.");
  }
  if (code === "ECONNREFUSED") {
    const cure = `Start it, or correct ${settings.address}; in Kubernetes check that the Service has endpoints.`;
    return failed("connect", `${role} ${address} refuses connections: nothing listens on this port`, cure);
  }
  const fact = `${role} ${address} cannot be connected to: ${describeError(error)}`;
  return failed("connect", fact, `Check the route to it, or correct ${settings.address}.`);
}

/** Of several addresses that were tried, the first code. */
function codeIn(error: unknown): string | undefined {
  return systemCode(error) ?? (error instanceof AggregateError ? error.errors.map(systemCode)[0] : undefined);
}
