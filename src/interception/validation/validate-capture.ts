// SPDX-License-Identifier: Apache-2.0
import { type Clock, deadline } from "../../lib/async/clock.ts";
import { describeError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log/log.ts";
import { appliesTo } from "../chain-order.ts";
import { InterceptionError, NotCapturedError } from "../interception-error.ts";
import type { Programs } from "../kernel/programs.ts";
import { type CaptureOptions, familyNames, type InterceptionOptions, type IpFamily } from "../options.ts";
import { passthroughSource } from "../rule-values.ts";
import type { Rule, RuleSet } from "../rules.ts";
import { missingRules, readRules, renderRule } from "./missing-rules.ts";
import { type Caller, type InterfaceAddress, type Probe, probesOf } from "./probes.ts";
import { type Arrivals, listenArrivals, mayBecome, startAttempt } from "./try-connection.ts";

export interface ValidationOrder extends InterceptionOptions {
  readonly set: RuleSet;
  readonly addresses: readonly InterfaceAddress[];
}

export interface ValidationDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly programs: Programs;
  /** Ends the test as if its time were over. */
  readonly stop: AbortSignal;
}

const longestAttemptMs = 1_000;
const pauseMs = 200;

/**
 * Makes connections that the rules have to redirect to Envoy's ports, listens there, and compares. Tries again until all
 * have arrived or the time is over, because another program may be about to make the rules. Needs no privileges; with
 * them it tests what the proxy's user sends too, and tells which rules are missing.
 * @throws NotCapturedError; InterceptionError if connections could not be tested, and all others arrived
 */
export async function validateCapture(order: ValidationOrder, deps: ValidationDeps): Promise<void> {
  const { capture, run } = order;
  if (!capturesAnything(capture)) {
    throw new NotCapturedError("the options capture nothing: set --istio-inbound-ports or --istio-service-cidr");
  }
  const callers = callersOf(capture);
  const probes = capture.families.flatMap((family) =>
    probesOf({ ...order, probePort: run.probePort, callers }, family),
  );
  const isRequired = ({ packet }: Probe): boolean => !isOptional(packet.family, order);
  const failures = await runProbes(probes, isRequired, run.probeTimeoutMs, deps);
  const untested = capture.families.filter((family) => !probes.some(({ packet }) => packet.family === family));
  const problems = failures.size + untested.length === 0 ? [] : await explain(failures, untested, order, deps);
  for (const { family, message } of problems) {
    if (isOptional(family, order)) deps.log.warn(message);
    else deps.log.error(message);
  }
  const required = problems.filter(({ family }) => !isOptional(family, order));
  if (required.some(({ isTested }) => isTested)) {
    throw new NotCapturedError(`validation failed: connections are not captured${hintFor(order)}`);
  }
  if (required.length > 0) throw new InterceptionError("validation failed: connections could not be tested");
  deps.log.info("validation passed: connections are captured", {
    tests: probes.filter((probe) => !failures.has(probe)).map(describeProbe),
  });
}

interface Problem {
  readonly family: IpFamily;
  readonly message: string;
  /** False if nothing is known about the rules. */
  readonly isTested: boolean;
}

/** What happened to a test connection. */
interface Failure {
  readonly text: string;
  /** False if it was not made, because something else has Envoy's port. */
  readonly isTested: boolean;
}

async function explain(
  failures: ReadonlyMap<Probe, Failure>,
  untested: readonly IpFamily[],
  { set, run }: ValidationOrder,
  { programs, log }: ValidationDeps,
): Promise<readonly Problem[]> {
  const hasRule = await readRules(programs, set);
  const render = (rules: readonly Rule[], family: IpFamily): string =>
    rules.map((rule) => renderRule(rule, family, run.backend.kind)).join("; ");
  const causeOf = (family: IpFamily, path: readonly Rule[]): string => {
    if (hasRule === undefined) return path.length === 0 ? asProxy : `one of these is missing: ${render(path, family)}`;
    const absent = missingRules(set, family, hasRule);
    if (absent.length === 0) return "the rules are in place: another rule takes it first";
    if (absent.length === set.rules.filter((rule) => appliesTo(rule, family)).length)
      return "none of the rules is there";
    const onPath = path.filter((rule) => absent.includes(rule));
    return `missing: ${render(onPath.length > 0 ? onPath : absent, family)}`;
  };
  const notArrived = [...failures].map(([probe, { text, isTested }]): Problem => {
    const { family } = probe.packet;
    if (!isTested) return { family, message: `${describeProbe(probe)} is not tested: ${text}`, isTested };
    const cause = lacksAddress(probe, text)
      ? `missing: ip addr add ${passthroughSource(family).text} dev lo`
      : causeOf(family, probe.rules);
    return { family, message: `${describeProbe(probe)} is not captured: ${text}; ${cause}`, isTested };
  });
  const notTested = untested.flatMap((family): readonly Problem[] => {
    const isThere = hasRule !== undefined && missingRules(set, family, hasRule).length === 0;
    if (!isThere) {
      const message = `no ${familyNames[family]} test for this user: ${causeOf(family, [])}`;
      return [{ family, message, isTested: true }];
    }
    log.warn("the rules are in place, and are not tested: no connection of this user is captured", { family });
    return [];
  });
  return [...notArrived, ...notTested];
}

const asProxy = "run it as the proxy's user";

/** The source of Envoy's connections over IPv6 has to be on `lo`. */
function lacksAddress({ kind, packet }: Probe, problem: string): boolean {
  return packet.family === "ipv6" && kind === "inbound" && /EADDRNOTAVAIL|ENETUNREACH|EHOSTUNREACH/.test(problem);
}

/**
 * Istio's CNI plugin captures the family of the first address only, unless it is set to capture both. What it leaves
 * alone must not keep a pod from starting.
 */
function isOptional(family: IpFamily, { run, addresses: [first] }: ValidationOrder): boolean {
  const isFirst = first === undefined || first.cidr.includes(":") === (family === "ipv6");
  return run.skipRuleApply && run.dualStack === undefined && !isFirst;
}

/** The rules of a container that only validates are made elsewhere. */
function hintFor({ run }: ValidationOrder): string {
  if (!run.skipRuleApply) return "";
  return (
    "; with --skip-rule-apply something else has to make the rules, such as Istio's CNI plugin: it was not ready when " +
    "the pod started, or does not run on this node; with its repair the pod is fixed or deleted, else delete the pod"
  );
}

function capturesAnything({ inbound, outbound, dns }: CaptureOptions): boolean {
  const { destinations, ports } = outbound;
  const capturesOutbound = destinations.kind === "all" || destinations.cidrs.length > 0 || ports.length > 0;
  return inbound.kind !== "none" || capturesOutbound || dns.kind !== "none";
}

/** This process as it is, and as the proxy's user if it may. */
function callersOf({ proxyUids, proxyGids }: CaptureOptions): readonly Caller[] {
  const own = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
  const proxy = { uid: proxyUids[0] ?? own.uid, gid: proxyGids[0] ?? own.gid };
  const isOther = !proxyUids.includes(own.uid) && !proxyGids.includes(own.gid);
  return isOther && mayBecome(proxy) ? [own, proxy] : [own];
}

/** `IPv4 connection of user 1337 to 127.0.0.6 port 15002` */
function describeProbe({ packet }: Probe): string {
  const { family, uid, destination, port } = packet;
  return `${familyNames[family]} connection of user ${String(uid)} to ${destination} port ${String(port)}`;
}

/** @returns the probes that did not arrive, and what happened to them last */
async function runProbes(
  probes: readonly Probe[],
  isRequired: (probe: Probe) => boolean,
  timeoutMs: number,
  { clock, stop }: ValidationDeps,
): Promise<ReadonlyMap<Probe, Failure>> {
  await using listeners = new Listeners();
  const endMs = clock.monotonicMs() + timeoutMs;
  let pending = probes;
  for (;;) {
    const problems = await tryAll(pending, listeners, clock);
    pending = [...problems.keys()];
    const isOver = stop.aborted || clock.monotonicMs() + pauseMs >= endMs;
    if (isOver || !pending.some(isRequired)) return problems;
    await clock.delay(pauseMs);
  }
}

async function tryAll(
  probes: readonly Probe[],
  listeners: Listeners,
  clock: Clock,
): Promise<ReadonlyMap<Probe, Failure>> {
  using attempt = deadline(clock, longestAttemptMs);
  const outcomes = new Map<Probe, Promise<string | undefined>>();
  const problems = new Map<Probe, Failure>();
  for (const probe of probes) {
    const arrivals = await listeners.on(probe);
    if (typeof arrivals === "string") problems.set(probe, { text: arrivals, isTested: false });
    else outcomes.set(probe, (await startAttempt(probe, arrivals, attempt.signal)).outcome);
  }
  for (const [probe, outcome] of outcomes) {
    const text = await outcome;
    if (text !== undefined) problems.set(probe, { text, isTested: true });
  }
  return problems;
}

/** One listener for each family and port, from the first use on. */
class Listeners implements AsyncDisposable {
  readonly #open = new Map<string, Arrivals>();

  /** @returns why there can be none */
  async on({ packet: { family }, port }: Probe): Promise<Arrivals | string> {
    const key = `${family} ${String(port)}`;
    const known = this.#open.get(key);
    if (known !== undefined) return known;
    try {
      const arrivals = await listenArrivals(family, port);
      this.#open.set(key, arrivals);
      return arrivals;
    } catch (error) {
      return `validation needs port ${String(port)}, and has to run before Envoy has it: ${describeError(error)}`;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#open.values()].map((arrivals) => arrivals[Symbol.asyncDispose]()));
  }
}
