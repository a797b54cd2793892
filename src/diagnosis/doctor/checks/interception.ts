// SPDX-License-Identifier: Apache-2.0
import { type CaptureSummary, loadCaptureSummary } from "../../../interception/index.ts";
import { deadline } from "../../../lib/async/clock.ts";
import { orAborted } from "../../../lib/async/tasks.ts";
import { describeError } from "../../../lib/errors.ts";
import { readListeningSockets } from "../../../lib/net/socket-table.ts";
import { type Check, type DoctorContext, fail, type Finding, ok, warn } from "../check.ts";
import { hasCapability, netAdmin } from "../machine/capabilities.ts";
import { type Machine, machineOf } from "../machine/machine.ts";
import { inboundPort, outboundPort } from "../machine/own-ports.ts";
import { tryCapture } from "../machine/try-capture.ts";
import type { User } from "../machine/processes.ts";

const check = "interception";
type Mode = "REDIRECT" | "TPROXY" | undefined;

const readWithinMs = 1_500;

/** The rules that send traffic to Envoy, against what the configuration says of them. */
export const interceptionCheck: Check = {
  name: check,
  needsEnvironment: true,
  async run(context) {
    const { config } = context;
    if (config.disableEnvoy) return [];
    const machine = await machineOf(context);
    const mode = expectedMode(context);
    const summary = await readSummary(context);
    const isRuled = typeof summary === "string" ? mode !== undefined : hasRules(summary);
    const found = await findings(summary, mode, machine, context);
    return isRuled ? [...found, ...commandProblems(machine)] : found;
  },
};

async function findings(
  summary: CaptureSummary | string,
  mode: Mode,
  machine: Machine,
  context: DoctorContext,
): Promise<readonly Finding[]> {
  if (typeof summary !== "string") return await judge(summary, mode, machine, context);
  if (mode === undefined) return [ok(check, `rules cannot be seen: ${summary}; none are expected`)];
  const isCaptured = await tryCapture(machine);
  if (isCaptured === true)
    return [ok(check, `a connection as Envoy's uid ${String(machine.envoyUser.uid)} is captured`)];
  if (isCaptured === undefined) {
    const fact = `rules cannot be seen: ${summary}; whether traffic is captured, as ${mode} is configured, is not confirmed`;
    const cure = `Run attache doctor as root with CAP_NET_ADMIN in the pod's network, or as Envoy's user while Envoy listens on port ${String(inboundPort)}.`;
    return [warn(check, fact, cure)];
  }
  const fact = `rules cannot be seen: ${summary}; a connection as Envoy's uid ${String(machine.envoyUser.uid)} is not captured, although Istio's rules capture such a one`;
  const cure = `Look whether istio-init or the CNI plugin has applied the rules, and for this uid. ${apply}`;
  return [warn(check, fact, cure)];
}

const apply = "attache istio-iptables --explain prints what they have to do.";

/** The mode that the injector writes into a sidecar's environment; undefined if nothing says that traffic is captured. */
function expectedMode({ config, input: { env } }: DoctorContext): "REDIRECT" | "TPROXY" | undefined {
  const mode = env["ISTIO_META_INTERCEPTION_MODE"];
  return config.role === "sidecar" && (mode === "REDIRECT" || mode === "TPROXY") ? mode : undefined;
}

/** @returns why they cannot be read */
async function readSummary({ input: { env }, clock, signal }: DoctorContext): Promise<CaptureSummary | string> {
  if (!(await hasCapability("self", netAdmin))) return "that needs CAP_NET_ADMIN";
  using limit = deadline(clock, readWithinMs, signal);
  try {
    const { readCaptureSummary } = await loadCaptureSummary();
    const path = `${env["PATH"] ?? ""}:/usr/sbin:/sbin`;
    return await orAborted(readCaptureSummary({ PATH: path, LC_ALL: "C" }, readWithinMs), limit.signal);
  } catch (error) {
    return describeError(error);
  }
}

function hasRules({ backends, foreignPorts }: CaptureSummary): boolean {
  return backends.length > 0 || foreignPorts.some((port) => port === inboundPort || port === outboundPort);
}

async function judge(
  summary: CaptureSummary,
  mode: Mode,
  machine: Machine,
  context: DoctorContext,
): Promise<readonly Finding[]> {
  if (summary.backends.length === 0) {
    const foreign = summary.foreignPorts.filter((port) => port === inboundPort || port === outboundPort);
    if (foreign.length > 0) return [ok(check, `rules of another program send to ports ${foreign.join(", ")}`)];
    if (mode === undefined) return [ok(check, "no rules, and none are expected")];
    const fact = `there are no rules, although ${mode} is configured (ISTIO_META_INTERCEPTION_MODE): traffic bypasses Envoy`;
    return [fail(check, fact, `Look why istio-init or the CNI plugin has not applied them. ${apply}`)];
  }
  const chains = chainProblems(summary);
  if (!summary.captures) return chains;
  const problems = [
    ...chains,
    ...modeProblems(summary, mode),
    ...(await portProblems(summary, machine)),
    ...dnsProblems(summary, context),
    ...userProblems(summary, machine),
  ];
  if (problems.length > 0) return problems;
  const { backends, ports, exemptUids } = summary;
  return [
    ok(
      check,
      `rules of ${backends.join(", ")} send to ports ${ports.join(", ")}; exempt uids: ${exemptUids.join(", ")}`,
    ),
  ];
}

/** Rules that no packet gets to are there, and do nothing. */
function chainProblems({ broken, captures }: CaptureSummary): readonly Finding[] {
  const name = "interception.chains";
  const cure = `Apply the rules again: restart the pod, or run istio-iptables as its istio-init does; find out what changed them. ${apply}`;
  const found = broken.map(({ table, chain, kind }) => {
    const what = kind === "empty" ? "has no rules any more" : "has rules, but no rule leads to it";
    return fail(name, `chain ${chain} (${table}) ${what}: traffic bypasses Envoy`, cure);
  });
  if (found.length > 0 || captures) return found;
  return [fail(name, "the chains of Istio's rules are there, but nothing in them sends to Envoy", cure)];
}

function modeProblems({ usesTproxy }: CaptureSummary, mode: Mode): readonly Finding[] {
  if (mode === undefined || usesTproxy === (mode === "TPROXY")) return [];
  const fact = `the rules are those of ${usesTproxy ? "TPROXY" : "REDIRECT"}, and ISTIO_META_INTERCEPTION_MODE is ${mode}`;
  return [
    fail(
      "interception.mode",
      fact,
      "Give both containers the same mode, with the annotation sidecar.istio.io/interceptionMode.",
    ),
  ];
}

/** Before the start nothing listens; later, Envoy has a listener on each of the usual ports. */
async function portProblems({ ports }: CaptureSummary, machine: Machine): Promise<readonly Finding[]> {
  const sockets = await readListeningSockets();
  const listening = new Set(sockets?.map(({ port }) => port));
  const usual = [outboundPort, inboundPort];
  const silent = ports.filter((port) => !machine.isRunning || !listening.has(port));
  return silent.flatMap((port) => {
    if (!usual.includes(port)) {
      const fact = `the rules send connections to port ${String(port)}, where Envoy does not listen; its ports are ${usual.join(", ")}`;
      const cure = "Give istio-iptables the ports on which Envoy listens: --envoy-port, --inbound-capture-port.";
      return [fail("interception.ports", fact, cure)];
    }
    if (!machine.isRunning || sockets === undefined) return [];
    const fact = `the rules send connections to port ${String(port)}, where nothing listens: they are refused`;
    const cure =
      "Look why Envoy has no listener there: see readiness and envoy-admin; a file of ATTACHE_XDS_FILES has to have one.";
    return [warn("interception.ports", fact, cure)];
  });
}

function dnsProblems({ dnsPorts }: CaptureSummary, { config: { dns } }: DoctorContext): readonly Finding[] {
  const name = "interception.dns";
  const [captured] = dnsPorts;
  if (captured === undefined) {
    if (dns === undefined) return [];
    const fact = "the agent has a DNS proxy, and no rule sends queries to it";
    return [
      warn(
        name,
        fact,
        "Apply the rules with --redirect-dns (ISTIO_META_DNS_CAPTURE in istio-init), or turn it off here too.",
      ),
    ];
  }
  if (dns === undefined) {
    const fact = `the rules send DNS queries to port ${String(captured)}, and the agent has no DNS proxy: names cannot be resolved`;
    return [
      fail(name, fact, "Set ISTIO_META_DNS_CAPTURE=true for the agent, or apply the rules without --redirect-dns."),
    ];
  }
  if (dnsPorts.includes(dns.listen.port)) return [];
  const fact = `the rules send DNS queries to port ${String(captured)}, and the DNS proxy listens on ${String(dns.listen.port)}`;
  return [fail(name, fact, "Give the agent and istio-iptables the same DNS_PROXY_ADDR.")];
}

/** A command of another user than the agent's is captured as the application is. */
function commandProblems({ agent, user }: Machine): readonly Finding[] {
  const uid = process.geteuid?.() ?? user.uid;
  if (agent === undefined || uid === user.uid) return [];
  const fact = `this command runs as uid ${String(uid)} and the agent as uid ${String(user.uid)}, so the command's connections to CA and control plane pass Envoy`;
  return [
    warn(
      "interception.command",
      fact,
      `Run it as uid ${String(user.uid)}, or do not rely on what ca and control-plane find.`,
    ),
  ];
}

/** Connections of Envoy that are captured come back to it: each one makes another one, until there are no ports left. */
function userProblems(summary: CaptureSummary, machine: Machine): readonly Finding[] {
  const { user, envoyUser, isRunning, isUserKnown } = machine;
  if (!isUserKnown) return [];
  const captured = [
    ...(isExempt(envoyUser, summary) ? [] : [`Envoy (${describe(envoyUser)})`]),
    ...(isExempt(user, summary) || user.uid === envoyUser.uid ? [] : [`the agent (${describe(user)})`]),
  ];
  if (captured.length === 0) return [];
  const { exemptUids, exemptGids } = summary;
  const fact = `the rules exempt uid ${exemptUids.join(", ")}, gid ${exemptGids.join(", ")}, so connections of ${captured.join(" and ")} are captured and come back to Envoy`;
  const cure = `Run the container as uid ${String(exemptUids[0] ?? 1337)} (runAsUser), or give istio-iptables --proxy-uid ${String(envoyUser.uid)}.`;
  // before the start, the agent's user is taken to be that of this command
  return [(isRunning ? fail : warn)("interception.user", fact, cure)];
}

function isExempt({ uid, gids }: User, { exemptUids, exemptGids }: CaptureSummary): boolean {
  return exemptUids.includes(uid) || exemptGids.includes(gids[0] ?? -1);
}

function describe({ uid, gids }: User): string {
  return `uid ${String(uid)}, gid ${String(gids[0] ?? 0)}`;
}
