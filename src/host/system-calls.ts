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
  /**
   * Lets an abort of this process end it with an exit code instead of SIGABRT. For process 1: 128 + SIGABRT as the exit
   * code of the container would be taken for Envoy's.
   * @returns false where it does not: unknown architecture, or the system forbids executable memory
   */
  exitOnAbort(code: number): boolean;
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
  sigabrt: 6,
  pageBytes: 4_096,
  protRead: 1,
  protWrite: 2,
  protExec: 4,
  mapPrivateAnonymous: 0x22,
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
    mmap: { return: "pointer", arguments: ["pointer", "u64", "i32", "i32", "i32", "i64"] },
    mprotect: { return: "i32", arguments: ["pointer", "u64", "i32"] },
    signal: { return: "pointer", arguments: ["i32", "pointer"] },
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
    exitOnAbort(code) {
      const instructions = exitInstructions(process.arch, code);
      if (instructions === undefined) return false;
      const size = BigInt(linux.pageBytes);
      const page = functions.mmap(null, size, linux.protRead | linux.protWrite, linux.mapPrivateAnonymous, -1, 0n);
      if (page === 0n || page === mapFailed) return false;
      ffi.exportBuffer(instructions, page, linux.pageBytes);
      if (functions.mprotect(page, size, linux.protRead | linux.protExec) !== 0) return false;
      functions.signal(linux.sigabrt, page);
      return true;
    },
  };
}

/** What mmap returns when it fails. */
const mapFailed = 2n ** 64n - 1n;

/**
 * The system call `exit_group(code)` as machine code: nothing else can run when the engine has aborted. No function of
 * the C library fits: a signal handler gets the signal's number, and `_exit` would exit with that. On arm64 the kernel
 * makes instruction and data caches agree when `mprotect` makes the page executable.
 * @param code below 256
 * @returns undefined for an architecture that is not known
 * Source: the calling conventions in syscall(2); numbers in asm/unistd_64.h and asm-generic/unistd.h
 */
export function exitInstructions(arch: string, code: number): Buffer | undefined {
  switch (arch) {
    case "x64":
      // mov edi, code; mov eax, 231; syscall
      return Buffer.from([0xbf, code, 0, 0, 0, 0xb8, 231, 0, 0, 0, 0x0f, 0x05]);
    case "arm64": {
      // movz w0, code; movz w8, 94; svc 0
      const words = [0x5280_0000 | (code << 5), 0x5280_0008 | (94 << 5), 0xd400_0001];
      const buffer = Buffer.alloc(words.length * 4);
      for (const [index, word] of words.entries()) buffer.writeUInt32LE(word >>> 0, index * 4);
      return buffer;
    }
    default:
      return undefined;
  }
}
