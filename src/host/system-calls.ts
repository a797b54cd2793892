// SPDX-License-Identifier: Apache-2.0

/** System calls that Node.js has no function for. */
export interface SystemCalls {
  /** Process id of an exited child that has not been reaped, without reaping it; undefined if there is none. */
  nextExitedChild(): number | undefined;
  /** Removes an exited child from the process table. */
  reap(pid: number): void;
  /** Sets the soft and hard limit of a process's core files to 0. @returns whether the system allowed it */
  forbidCoreFiles(pid: number): boolean;
  /** Makes this process a subreaper: it adopts the orphans among its descendants, as process 1 does. */
  adoptOrphans(): void;
}

/** Constants of Linux; the same on all architectures that Node.js supports. Source: sys/wait.h, sys/resource.h, sys/prctl.h */
const linux = {
  waitAll: 0,
  noHang: 1,
  exited: 4,
  noWait: 0x0100_0000,
  limitOfCore: 4,
  setChildSubreaper: 36,
  /** Of `si_pid` in `siginfo_t` on 64-bit systems. */
  offsetOfPid: 16,
  sizeOfSiginfo: 128,
} as const;

/**
 * Loads the system calls; costs about 2 ms and half a megabyte.
 * @returns undefined if the runtime cannot call native code (Node.js before 26.1) or the system is not Linux
 */
export async function loadSystemCalls(): Promise<SystemCalls | undefined> {
  if (process.platform !== "linux") return undefined;
  const ffi = await import("node:ffi").catch(() => undefined);
  if (ffi === undefined) return undefined;
  const { functions } = ffi.dlopen(null, {
    waitid: { return: "i32", arguments: ["i32", "u32", "buffer", "i32"] },
    waitpid: { return: "i32", arguments: ["i32", "buffer", "i32"] },
    prlimit: { return: "i32", arguments: ["i32", "i32", "buffer", "pointer"] },
    prctl: { return: "i32", arguments: ["i32", "u64", "u64", "u64", "u64"] },
  });
  const siginfo = Buffer.alloc(linux.sizeOfSiginfo);
  const status = Buffer.alloc(4);
  return {
    nextExitedChild() {
      siginfo.fill(0);
      const flags = linux.exited | linux.noHang | linux.noWait;
      if (functions.waitid(linux.waitAll, 0, siginfo, flags) !== 0) return undefined;
      const pid = siginfo.readInt32LE(linux.offsetOfPid);
      return pid === 0 ? undefined : pid;
    },
    reap(pid) {
      functions.waitpid(pid, status, linux.noHang);
    },
    forbidCoreFiles: (pid) => functions.prlimit(pid, linux.limitOfCore, Buffer.alloc(16), null) === 0,
    adoptOrphans() {
      functions.prctl(linux.setChildSubreaper, 1n, 0n, 0n, 0n);
    },
  };
}
