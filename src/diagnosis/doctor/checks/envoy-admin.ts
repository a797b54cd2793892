// SPDX-License-Identifier: Apache-2.0
import { type EnvoyAdmin, type EnvoyServerInfo, loadRunningEnvoy } from "../../../envoy/index.ts";
import { describeError } from "../../../lib/errors.ts";
import { envoyCauses } from "../causes.ts";
import { type Check, type DoctorContext, fail, failUnless, type Finding, ok, warn } from "../check.ts";
import { certificateFindings } from "../machine/envoy-certificates.ts";
import { rejectionFindings } from "../machine/envoy-rejections.ts";
import { restartFindings } from "../machine/envoy-restarts.ts";
import { judgeVersion } from "../machine/supported-version.ts";
import { type Machine, machineOf } from "../machine/machine.ts";

const listenersCheck = "envoy-admin.listeners";
/** The agent says more precisely what its Envoy waits for. */
const startCauses = [...envoyCauses, "readiness"];

/** The Envoy that runs: whether it answers, serves, and has accepted what it was sent. */
export const envoyAdminCheck: Check = {
  name: "envoy-admin",
  needsEnvironment: true,
  async run(context) {
    const machine = await machineOf(context);
    const { config, clock, signal } = context;
    if (config.disableEnvoy || !machine.isRunning) return [];
    const { createEnvoyAdmin } = await loadRunningEnvoy();
    const admin = createEnvoyAdmin(config.envoy.admin, { clock });
    let info: EnvoyServerInfo;
    try {
      info = await admin.serverInfo(signal);
    } catch (error) {
      const problem = missingEnvoy(machine) ?? silentEnvoy(machine, describeError(error));
      return [problem, ...(await rejectionFindings(context, undefined))];
    }
    const [state, rejections, certificates] = await Promise.all([
      stateFindings(admin, info, context),
      rejectionFindings(context, admin),
      certificateFindings(context, admin),
    ]);
    // a rejection has the reason that a count does not have
    const states = rejections.length > 0 ? state.filter(({ check }) => check !== listenersCheck) : state;
    const version = info.version === "" || machine.envoys.length === 0 ? [] : [judgeVersion(info.version)];
    return [...version, ...states, ...restartFindings(info, machine), ...rejections, ...certificates];
  },
};

function missingEnvoy({ agent, envoys }: Machine): Finding | undefined {
  if (agent === undefined || envoys.some(({ state }) => state !== "Z")) return undefined;
  const fact = `Envoy does not run: the agent (process ${String(agent.pid)}) has no such child process`;
  return failUnless(
    ["envoy"],
    "envoy-admin",
    fact,
    "Look in the log why it ended; the agent restarts it only with ATTACHE_ENVOY_RESTARTS.",
  );
}

/** A process that is stopped accepts connections, because the kernel does. */
function silentEnvoy({ envoys }: Machine, problem: string): Finding {
  const check = "envoy-admin";
  const stopped = envoys.find(({ state }) => state === "T" || state === "t");
  if (stopped !== undefined) {
    const pid = String(stopped.pid);
    const how = stopped.state === "T" ? "stopped by a signal" : "held by a debugger";
    return fail(check, `Envoy (process ${pid}) is ${how}, and serves nothing`, `Let it go on: kill -CONT ${pid}.`);
  }
  const fact = `Envoy's admin interface does not answer: ${problem}`;
  return fail(check, fact, "Look in Envoy's log: it may still start, hang, or have another admin address.");
}

/** Source: envoy.admin.v3.ServerInfo.State, and the stats of the listener manager */
async function stateFindings(
  admin: EnvoyAdmin,
  { state }: EnvoyServerInfo,
  { signal }: DoctorContext,
): Promise<readonly Finding[]> {
  const check = "envoy-admin.state";
  if (state === "DRAINING") {
    const fact = "Envoy is draining: it closes connections, and the pod is not ready";
    return [warn(check, fact, "Wait for the shutdown; if none was asked for, restart the container.")];
  }
  if (state !== "LIVE") {
    const fact = `Envoy's state is ${state}, not LIVE`;
    return [failUnless(startCauses, check, fact, "Look what it waits for: attache request GET /init_dump.")];
  }
  const text = await admin
    .stats("%5Elistener_manager%5C.(workers_started%7Clistener_create_failure)$", {}, signal)
    .catch(() => "");
  const valueOf = (name: string): number | undefined => {
    const value = new RegExp(`^listener_manager\\.${name}: (\\d+)$`, "m").exec(text)?.[1];
    return value === undefined ? undefined : Number(value);
  };
  if (valueOf("workers_started") === 0) {
    const fact = "Envoy's workers have not started, so its listeners serve nothing";
    return [
      failUnless(
        startCauses,
        check,
        fact,
        "Look which clusters and listeners it waits for: attache request GET /init_dump.",
      ),
    ];
  }
  const failures = valueOf("listener_create_failure") ?? 0;
  const failed =
    failures === 0
      ? []
      : [
          warn(
            listenersCheck,
            `Envoy could not listen at an address ${failures === 1 ? "once" : `${String(failures)} times`} since its start`,
            "Look in Envoy's log for the address: another process holds its port, or the user may not listen there.",
          ),
        ];
  return [ok(check, "LIVE, with its workers started"), ...failed];
}
