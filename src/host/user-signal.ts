// SPDX-License-Identifier: Apache-2.0

/** `SIG_UNBLOCK` of Linux, on the architectures that Node.js supports. Source: asm-generic/signal-defs.h */
const unblock = 1;
/** Of `sigset_t` in glibc and musl. */
const setBytes = 128;
/** Bit 9 of the set, for signal 10. */
const userSignalInSet = { byte: 1, bit: 2 } as const;

/**
 * Lets SIGUSR1 reach this process. Node.js blocks it when it starts with `--disable-sigusr1`, without which the signal
 * would open a debugger until a listener is set. A signal from before the call arrives now. Costs some 2 ms and 0.3 MB
 * where `node:ffi` is not loaded yet.
 * @returns false if the runtime cannot call native code (Node.js before 26.1) or the system is not Linux
 */
export async function unblockUserSignal(): Promise<boolean> {
  if (process.platform !== "linux") return false;
  const ffi = await import("node:ffi").catch(() => undefined);
  if (ffi === undefined) return false;
  const { functions } = ffi.dlopen(null, { sigprocmask: { return: "i32", arguments: ["i32", "buffer", "pointer"] } });
  const set = Buffer.alloc(setBytes);
  set[userSignalInSet.byte] = userSignalInSet.bit;
  return functions.sigprocmask(unblock, set, null) === 0;
}
