// SPDX-License-Identifier: Apache-2.0
import { probeCa, type CaProbe, createMachineToken } from "../../../ca/index.ts";
import { createBudgets } from "../../../lib/budget-set.ts";
import { readHostLimits } from "../../../lib/host-limits.ts";
import { type Budgets, limits } from "../../../model/limits.ts";
import { formatSpiffeId } from "../../../model/spiffe-id.ts";
import { type ControlPlaneProbe, probeControlPlane } from "../../../xds/index.ts";
import type { DoctorContext } from "../check.ts";
import { caPeers, controlPlanePeers, type Peer, peerKey } from "./peers.ts";
import { type Reach, reachPeer } from "./reach.ts";
import { needsResolver, readResolvers, type ResolverReading } from "./resolvers.ts";

/** For the response to a call. */
const callMs = 1_000;

/** What several checks learn from the network; each thing is asked once. */
export class Network {
  readonly #context: DoctorContext;
  readonly #reached = new Map<string, Promise<Reach>>();
  readonly #caProbes = new Map<Peer, Promise<CaProbe | undefined>>();
  readonly budgets: Budgets = createBudgets(limits, readHostLimits());
  /** The CAs with a server, in order of preference. */
  readonly cas: ReturnType<typeof caPeers>;
  readonly controlPlanes: readonly Peer[];
  #resolvers: Promise<ResolverReading> | undefined;
  #controlPlane: Promise<ControlPlaneProbe> | undefined;

  constructor(context: DoctorContext) {
    this.#context = context;
    this.controlPlanes = controlPlanePeers(context.config);
    const shared = new Set(this.controlPlanes.map(peerKey));
    this.cas = caPeers(context.config).map(({ ca, peer }) => {
      return { ca, peer: shared.has(peerKey(peer)) ? { ...peer, role: "CA and control plane" } : peer };
    });
  }

  /** A peer that is also another one, connected to in the same way, is reached once. */
  reach(peer: Peer): Promise<Reach> {
    const key = peerKey(peer);
    const known = this.#reached.get(key);
    if (known !== undefined) return known;
    const { clock, signal } = this.#context;
    const resolverResponds = async (): Promise<boolean | undefined> => {
      const { responses } = await this.resolvers();
      return responses.length === 0 ? undefined : responses.some(({ problem }) => problem === undefined);
    };
    const reaching = reachPeer(peer, { clock, resolverResponds }, signal);
    this.#reached.set(key, reaching);
    return reaching;
  }

  /** Every CA and control plane. */
  async reachAll(): Promise<readonly Reach[]> {
    const peers = [...this.cas.map(({ peer }) => peer), ...this.controlPlanes];
    return await Promise.all(peers.map((peer) => this.reach(peer)));
  }

  /** What a CA says to this workload; undefined while it cannot be reached. */
  probeCa({ ca, peer }: Network["cas"][number]): Promise<CaProbe | undefined> {
    const known = this.#caProbes.get(peer);
    if (known !== undefined) return known;
    const probing = this.#probeCa(ca, peer);
    this.#caProbes.set(peer, probing);
    return probing;
  }

  async #probeCa(ca: Network["cas"][number]["ca"], peer: Peer): Promise<CaProbe | undefined> {
    if (!(await this.reach(peer)).isOpen) return undefined;
    const { clock, signal, config } = this.#context;
    const options = { timeoutMs: callMs, spiffeId: formatSpiffeId(config.cert.identity) };
    return await probeCa(ca, options, { clock, budgets: this.budgets }, signal);
  }

  /** What the control plane says; to be called when one can be reached. */
  probeControlPlane(): Promise<ControlPlaneProbe> {
    return (this.#controlPlane ??= this.#probeControlPlane());
  }

  async #probeControlPlane(): Promise<ControlPlaneProbe> {
    const { clock, signal, config } = this.#context;
    if (config.xds.kind !== "ads") return { kind: "unavailable", detail: "there is none" };
    const { proxy, cloudToken } = config.xds;
    const deps = { clock, budgets: this.budgets };
    const readToken = cloudToken === undefined ? undefined : createMachineToken(cloudToken, deps);
    return await probeControlPlane(proxy, callMs, { ...deps, readToken }, signal);
  }

  /** The machine's resolvers, asked for a name that this configuration needs. */
  resolvers(): Promise<ResolverReading> {
    const { clock, signal } = this.#context;
    const name = this.namesToResolve()[0] ?? "localhost.";
    return (this.#resolvers ??= readResolvers("/etc/resolv.conf", name, clock, signal));
  }

  /** The hosts of CA and control plane that are looked up. */
  namesToResolve(): readonly string[] {
    const peers = [...this.cas.map(({ peer }) => peer), ...this.controlPlanes];
    return [...new Set(peers.map(({ address }) => address.host).filter(needsResolver))];
  }
}

const networks = new WeakMap<DoctorContext, Network>();

/** The network of a diagnosis, which its checks share. */
export function networkOf(context: DoctorContext): Network {
  const known = networks.get(context) ?? new Network(context);
  networks.set(context, known);
  return known;
}
