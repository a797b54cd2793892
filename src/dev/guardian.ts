// SPDX-License-Identifier: Apache-2.0

/** A line on its input is the good end; an end of the input without a line means that this process is gone. */
const script = `trap '' HUP INT QUIT TERM
read -r word
[ -n "$word" ] || kill -TERM "$@" 2>/dev/null`;

/**
 * Watches this process from outside, and asks others to end when it is gone, however it ended: agents have process
 * groups of their own, so nothing else would end them. Disposing it lets them be.
 */
export async function startGuardian(pids: readonly number[]): Promise<AsyncDisposable> {
  const { execa } = await import("execa");
  const args = ["-c", script, "attache-dev-guardian", ...pids.map(String)];
  const guardian = execa("/bin/sh", args, {
    stdout: "ignore",
    stderr: "ignore",
    buffer: false,
    detached: true,
    cleanup: false,
    reject: false,
  });
  guardian.stdin.on("error", () => undefined);
  return {
    async [Symbol.asyncDispose]() {
      guardian.stdin.end("released\n");
      await guardian;
    },
  };
}
