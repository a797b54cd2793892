// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { startPod } from "../support/pod.ts";
import { startStopwatch } from "../support/stopwatch.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

/** Binds the resolver's port and mounts over a file: for root. */
const mayReplaceResolver =
  process.getuid?.() === 0 &&
  spawnSync("unshare", ["-m", "mount", "--bind", "/dev/null", "/etc/resolv.conf"]).status === 0;

test.runIf(mayReplaceResolver)("a name lookup that never returns does not keep the process alive", async () => {
  const resolver = createSocket("udp4").bind(53, "127.0.0.153");
  await once(resolver, "listening");
  const queried = once(resolver, "message");
  await using root = await temporaryDirectory();
  const resolvConf = join(root.path, "resolv.conf");
  await writeFile(resolvConf, "nameserver 127.0.0.153\noptions timeout:30 attempts:5\n");
  await using ca = await startFakeCa();
  await using pod = await startPod({
    ca,
    env: { CA_ADDR: "ca.example.test:15012" },
    launcher: ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"', resolvConf],
  });
  await queried;
  using watch = startStopwatch(() => [pod.pid, ...pod.envoyPids()]);
  pod.kill("SIGTERM");
  // never ready
  expect(await pod.exited).toEqual({ code: 75, signal: null });
  expect(watch.ms()).toBeLessThan(3_000);
  resolver.close();
});
