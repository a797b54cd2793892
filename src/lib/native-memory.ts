// SPDX-License-Identifier: Apache-2.0

let trim: (() => void) | undefined;

/**
 * Gives memory outside of the engine's heap that was freed back to the system, some 2 to 15 MB after a compilation. The
 * allocator does so by itself only at the end of its memory. Takes about 1 ms; the first call another 2 ms.
 * Without effect where the runtime cannot call native code, or the system has no such function (musl).
 * Source: malloc_trim(3)
 */
export function releaseNativeMemory(): void {
  (trim ??= loadTrim())();
}

function loadTrim(): () => void {
  const ffi = process.platform === "linux" ? process.getBuiltinModule("node:ffi") : undefined;
  try {
    const library = ffi?.dlopen(null, { malloc_trim: { return: "i32", arguments: ["u64"] } });
    return () => {
      library?.functions.malloc_trim(0n);
    };
  } catch {
    return () => undefined;
  }
}
