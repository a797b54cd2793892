// SPDX-License-Identifier: Apache-2.0
import type { Stats } from "node:fs";
import { lstat } from "node:fs/promises";
import { dirname } from "node:path";
import { systemCode } from "../../../lib/errors.ts";
import { isServed } from "../../../lib/net/unix-socket.ts";
import { type Check, type DoctorContext, fail, type Finding, ok, warn } from "../check.ts";
import { agentPath, type Machine, machineOf } from "../machine/machine.ts";
import { readSocketHolder } from "../machine/unix-sockets.ts";
import { examineDirectory, mayAccess, writeObstacle } from "../machine/write-access.ts";

/** A Unix socket of the agent. */
interface OwnSocket {
  readonly check: "sockets.sds" | "sockets.xds";
  /** As the agent passes it to the system. */
  readonly path: string;
  readonly mode: number;
  /** How to give it another path. */
  readonly move: string;
}

/** `sun_path` without its final zero. Source: unix(7) */
const longestPath = 107;

/** The sockets between the agent and Envoy: paths, modes, owners, and whether their servers are there. */
export const socketsCheck: Check = {
  name: "sockets",
  needsEnvironment: true,
  async run(context) {
    const machine = await machineOf(context);
    const own = await Promise.all(ownSockets(context).map((socket) => examine(socket, machine)));
    return [...own.flat(), ...(await examineOthers(context, machine))];
  },
};

function ownSockets({ config: { disableEnvoy, sds, xds } }: DoctorContext): readonly OwnSocket[] {
  const { socketPath: path, socketMode: mode } = sds;
  const sdsSocket = { check: "sockets.sds", path, mode, move: "start the agent in another directory" } as const;
  return [
    ...(disableEnvoy ? [] : [sdsSocket]),
    ...(xds.kind === "files"
      ? []
      : ([
          {
            check: "sockets.xds",
            path: xds.proxy.socketPath,
            mode: xds.proxy.socketMode,
            move: "set configPath in PROXY_CONFIG to a shorter directory",
          },
        ] as const)),
  ];
}

async function examine(socket: OwnSocket, machine: Machine): Promise<readonly Finding[]> {
  const { check, path, move } = socket;
  const bytes = Buffer.byteLength(path);
  if (bytes > longestPath) {
    const fact = `${path} has ${String(bytes)} bytes; the path of a socket has ${String(longestPath)} at most`;
    return [fail(check, fact, `Give it a shorter path: ${move}.`)];
  }
  const status = await lstat(agentPath(machine, path)).catch(systemCode);
  if (status === "EACCES") return [ok(check, `${path} cannot be seen by this user`)];
  if (typeof status !== "object") return [await examineMissing(socket, machine)];
  if (!status.isSocket()) {
    const what = status.isDirectory() ? "a directory" : "a file";
    return [fail(check, `${path} is ${what}, not a socket`, `Remove ${path}; the agent replaces only sockets.`)];
  }
  const server = await examineServer(socket, machine);
  if (server.outcome !== "ok" || !machine.isUserKnown) return [server];
  const access = examineAccess(socket, status, machine);
  return access.length > 0 ? access : [server];
}

/** The directory is created by the agent, if it may. */
async function examineMissing({ check, path }: OwnSocket, machine: Machine): Promise<Finding> {
  if (machine.isRunning) {
    const cure = "Restart the agent: it makes its sockets when it starts; something has removed this one.";
    return fail(check, `${path} is missing, although the agent runs`, cure);
  }
  const found = await examineDirectory(dirname(agentPath(machine, path)), machine.user);
  const obstacle = writeObstacle(found, machine.user);
  if (obstacle === undefined) return ok(check, `${path} can be made at the start`);
  const cure = `Mount a writable directory at ${dirname(path)}, such as an emptyDir, for uid ${String(machine.user.uid)}.`;
  return fail(check, `${path} cannot be made: ${obstacle}`, cure);
}

async function examineServer({ check, path }: OwnSocket, machine: Machine): Promise<Finding> {
  const absolute = agentPath(machine, path);
  const isLive = await isServed(absolute);
  const holder = isLive ? await readSocketHolder(absolute) : undefined;
  if (isLive && !machine.isRunning) {
    const who = holder?.text ?? "a process that cannot be seen";
    return fail(check, `${path} is served by ${who}, and no agent runs`, "Stop that process, or move this agent.");
  }
  if (isLive && holder !== undefined && machine.agent !== undefined && holder.pid !== machine.agent.pid) {
    const fact = `${path} is served by ${holder.text}, not by the agent (process ${String(machine.agent.pid)})`;
    return fail(check, fact, "Stop that process, and restart the agent.");
  }
  if (isLive) return ok(check, `${path} is served${holder === undefined ? "" : ` by ${holder.text}`}`);
  if (machine.isRunning) {
    return fail(check, `${path} is stale: nothing listens there, although the agent runs`, "Restart the agent.");
  }
  const obstacle = writeObstacle(await examineDirectory(dirname(absolute), machine.user), machine.user);
  if (obstacle !== undefined) {
    return fail(check, `${path} is stale, and cannot be replaced: ${obstacle}`, `Remove ${path}.`);
  }
  const fact = `${path} is stale: nothing listens there; an agent that was killed has left it`;
  return warn(check, fact, "Start the agent, which replaces it; if it should run, look why it ended.");
}

/** Who may connect: Envoy has to, and no other user than the configured mode says, because the keys are served there. */
function examineAccess({ check, path, mode: wanted }: OwnSocket, status: Stats, machine: Machine): readonly Finding[] {
  const mode = status.mode & 0o777;
  const { user, envoyUser } = machine;
  const owner = `owner ${String(status.uid)}, mode ${octal(mode)}`;
  if (!mayAccess(status, envoyUser, 0o2)) {
    const fact = `Envoy's uid ${String(envoyUser.uid)} may not connect to ${path} (${owner})`;
    const cure = `Restart the agent, which makes it with mode ${octal(wanted)}; ATTACHE_SDS_SOCKET_MODE sets another one.`;
    return [fail(check, fact, cure)];
  }
  const isForeign = status.uid !== user.uid && status.uid !== 0;
  if (isForeign) {
    const fact = `${path} belongs to another user than the agent's uid ${String(user.uid)} (${owner})`;
    return [fail(check, fact, `Remove ${path}, and restart the agent.`)];
  }
  const more = mode & ~wanted & 0o066;
  if (more === 0) return [];
  const fact = `other users may connect to ${path} (${owner}; configured: ${octal(wanted)})`;
  const cure = `Set mode ${octal(wanted)} again: chmod ${octal(wanted)} ${path}${check === "sockets.sds" ? "; who connects gets the private key" : ""}.`;
  return [fail(check, fact, cure)];
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, "0");
}

/** The socket at which another process serves the certificate. That of a SPIFFE agent is the check `workload-api`'s. */
async function examineOthers({ config }: DoctorContext, machine: Machine): Promise<readonly Finding[]> {
  const { identity } = config;
  if (identity.kind === "external-sds") {
    return [await examineOther("sockets.workload", identity.socketPath, "the server of the certificate", machine)];
  }
  return [];
}

async function examineOther(check: string, path: string, who: string, machine: Machine): Promise<Finding> {
  const absolute = agentPath(machine, path);
  const status = await lstat(absolute).catch(systemCode);
  if (status === "EACCES") return ok(check, `${path} cannot be seen by this user`);
  if (typeof status === "object" && (await isServed(absolute))) return ok(check, `${path} is served`);
  const state = typeof status === "object" ? "nothing listens there" : "there is no such socket";
  return fail(check, `${path}: ${state}`, `Start ${who}, or mount its directory into this container.`);
}
