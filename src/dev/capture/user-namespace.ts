// SPDX-License-Identifier: Apache-2.0
import { DevCaptureError, hasProgram, runSystemProgram, systemPath } from "./programs.ts";

/** Set in the environment of the process that was started in a user namespace. */
const insideVariable = "ATTACHE_DEV_USER_NAMESPACE";

const userNamespace = ["--user", "--map-root-user", "--map-auto"];
const whatToDo = {
  root: "in a container it needs CAP_SYS_ADMIN and CAP_NET_ADMIN, as with docker run --privileged",
  user:
    "run it as root, or as a user who may create user namespaces and has subordinate ids (package uidmap, /etc/subuid, " +
    "/etc/subgid)",
};

/**
 * Network namespaces need root, or what is root in a user namespace. For another user, this process is replaced by the
 * same command in a user namespace; process id and terminal stay. It needs subordinate ids, because the group of a
 * process tells the proxy's traffic from an application's.
 * @param self how this command was started
 * @returns whether this process is in a user namespace of its own
 * @throws DevCaptureError when neither is possible, with what to do
 */
export async function enterUserNamespace(
  self: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<boolean> {
  if (process.platform !== "linux") throw new DevCaptureError("it needs network namespaces of Linux");
  await assertInstalled(env);
  const isRoot = process.getuid?.() === 0;
  const namespaces = ["--net", "--mount", "true"];
  const command = ["unshare", ...(isRoot ? [] : userNamespace), ...namespaces] as const;
  const attempt = `this user cannot create network namespaces; ${whatToDo[isRoot ? "root" : "user"]}`;
  await runSystemProgram(attempt, command, { env });
  if (isRoot) return env[insideVariable] !== undefined;
  if (process.execve === undefined)
    throw new DevCaptureError(`this Node.js cannot replace the process; run it as root`);
  const shell = ["sh", "-c", 'exec unshare "$@"', "sh", ...userNamespace, ...self];
  return process.execve("/bin/sh", shell, { ...env, PATH: systemPath(env), [insideVariable]: "1" });
}

async function assertInstalled(env: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, from] of [
    ["unshare", "util-linux"],
    ["nsenter", "util-linux"],
    ["ip", "iproute2"],
  ] as const)
    if (!(await hasProgram(name, env))) throw new DevCaptureError(`${name} is not installed; install ${from}`);
  if (!(await hasProgram("nft", env)) && !(await hasProgram("iptables-restore", env)))
    throw new DevCaptureError("there is no nft and no iptables; install nftables or iptables");
}
