// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { eventually } from "../support/eventually.ts";
import { type Pod, startPod, untilRotated } from "../support/pod.ts";

const token = "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOlsiaXN0aW8tY2EiXX0.c2VjcmV0LXNpZ25hdHVyZQ";

/** Every file that the pod has written, the mounted ones aside. */
function writtenFiles(pod: Pod): readonly string[] {
  return readdirSync(pod.directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.parentPath.includes("/secrets/"))
    .map((entry) => join(entry.parentPath, entry.name));
}

test("no key, token, request or environment is in the log or in a file, at any level, through a start, a refusal, a rotation and the end", async () => {
  await using ca = await startFakeCa({ lifetimeMs: 60_000, token });
  ca.set({ kind: "wrong-key" });
  const env = {
    SECRET_GRACE_PERIOD_RATIO: "0.97",
    SECRET_GRACE_PERIOD_RATIO_JITTER: "0",
    SECRET_OF_SOMEBODY: "hunter2-in-the-environment",
  };
  await using pod = await startPod({ ca, token, env, args: ["--log_output_level=all:debug"] });
  await eventually(
    () => {
      expect(ca.calls.length).toBeGreaterThanOrEqual(1);
    },
    { withinMs: 10_000 },
  );
  ca.recover();
  await pod.untilReady();
  const first = await pod.serials();
  await untilRotated(pod, first);
  const files = writtenFiles(pod);
  const texts = files.map((path) => readFileSync(path, "utf8"));
  pod.kill("SIGTERM");
  await pod.exited;
  const all = [...texts, pod.log()].join("\n");
  expect(all).toContain("spiffe://cluster.local/ns/demo/sa/web");
  for (const secret of ["PRIVATE KEY", "CERTIFICATE REQUEST", token, token.split(".")[2] ?? "", "hunter2"]) {
    expect(all.includes(secret), secret).toBe(false);
  }
  for (const { csrPem } of ca.calls) expect(all).not.toContain(csrPem.split("\n")[1]);
});

test("what agent and Envoy share is their user's alone", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca });
  await pod.untilReady();
  const mode = (path: string): string => (statSync(join(pod.directory, path)).mode & 0o777).toString(8);
  expect(mode("etc/istio/proxy/envoy-rev.json")).toBe("600");
  expect(mode("var/run/secrets/workload-spiffe-uds/socket")).toBe("600");
});
