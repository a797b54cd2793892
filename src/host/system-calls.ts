// SPDX-License-Identifier: Apache-2.0

/** System calls that the runtime has no function for. Present where the runtime can call native code. */
export interface SystemCalls {
  /** Process id of a child that has ended and that nobody has taken note of yet; it stays so. Undefined: none. */
  nextEndedChild(): number | undefined;
  /** Takes note of the end of that child, so that the system forgets it. */
  reap(pid: number): void;
  /** Sets both limits on the size of core files of a process to 0. @returns whether the system allowed it */
  forbidCoreFiles(pid: number): boolean;
  /** Makes this process adopt the orphans among its descendants, as process 1 does. */
  adoptOrphans(): void;
}

/** Numbers of Linux; the same on all its platforms that Node runs on. Source: sys/wait.h, sys/resource.h, sys/prctl.h */
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
 * Loads the system calls, about 2 ms and half a megabyte: only where they are needed.
 * @returns undefined where the runtime cannot (Node before 26.1, Bun) or the system is not Linux
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
    nextEndedChild() {
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
