// SPDX-License-Identifier: Apache-2.0

/** Requests of libuv's thread pool that may take minutes: name lookups, and file operations on a dead network volume. */
const threadPoolRequest = /^(GetAddrInfo|GetNameInfo|FS)Req/;

/**
 * Ends the process, even if requests are pending. All output must have been written before. The C library's exit()
 * joins libuv's thread pool, so `process.exit` hangs as long as a name lookup to which the resolver does not respond.
 * `_exit` joins nothing. It is called only when such a request is pending, and needs a runtime that can call native
 * code (Node 26.1 or later); an older one exits when the request is over.
 */
export async function endProcess(code: number): Promise<never> {
  if (process.getActiveResourcesInfo().some((name) => threadPoolRequest.test(name))) {
    await exitWithoutThreads(code).catch(() => undefined);
  }
  process.exit(code);
}

async function exitWithoutThreads(code: number): Promise<void> {
  const { dlopen } = await import("node:ffi");
  const { functions } = dlopen(null, { _exit: { return: "void", arguments: ["i32"] } });
  functions._exit(code);
}
