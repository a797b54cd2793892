// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { stringify, parse } from "yaml";
import { createSdsClient } from "../../../src/sds/sds-client.ts";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { startFakeCa } from "../../fakes/fake-ca.ts";
import { runBundleCommand, unpackBundle } from "../../support/bundle.ts";
import { Canaries } from "../../support/canaries.ts";
import { createOpensslPki } from "../../support/openssl-pki.ts";
import {
  plantedEnvironment,
  plantedListener,
  plantedLog,
  plantedOverride,
  plantedProxyConfig,
  plantedToken,
} from "../../support/planted-secrets.ts";
import { eventually } from "../../support/eventually.ts";
import { startPod } from "../../support/pod.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

test("none of the secrets that are planted in a pod, its configuration and its files is in a bundle, in any form", async () => {
  await using work = await temporaryDirectory();
  const canaries = new Canaries();
  const pki = await createOpensslPki(work.path);
  const [identity, logged] = await Promise.all(["spiffe://a/b", "spiffe://a/c"].map((id) => pki.issue(id)));
  if (identity === undefined || logged === undefined) throw new Error("no identities");
  const planted = plantedEnvironment(canaries);
  const { DB_PASSWORD: password = "" } = planted;
  const env = {
    ...planted,
    ISTIO_BOOTSTRAP_OVERRIDE: "override.json",
    ATTACHE_FLIGHT_RECORDER_DIR: "reports",
    ATTACHE_TERMINATION_MESSAGE_PATH: "termination-message",
  };
  const token = plantedToken(canaries, "token file");
  await using ca = await startFakeCa({ token });
  const options = {
    ca,
    token,
    env,
    proxyConfig: plantedProxyConfig(canaries),
    args: ["--log_target=stdout", "--log_target=agent.log", `--vendorSecret=${canaries.plant("command line")}`],
    prepare: ({ directory }: { readonly directory: string }): void => {
      const write = (name: string, text: string): void => {
        writeFileSync(join(directory, name), text);
      };
      write("override.json", JSON.stringify(plantedOverride(canaries, identity)));
      const lds = parse(readFileSync(join(directory, "resources/lds.yaml"), "utf8")) as { resources: unknown[] };
      lds.resources.push(plantedListener(canaries, join(directory, "canaries.sock")));
      write("resources/lds.yaml", stringify(lds));
      mkdirSync(join(directory, "etc/istio/pod"), { recursive: true });
      write("etc/istio/pod/annotations", `vendor/note="${canaries.plant("annotation")}"\nprometheus.io/port="9090"\n`);
      mkdirSync(join(directory, "reports"));
      const event = { time: "", level: "error", text: `vault: login failed token=${canaries.plant("crash report")}` };
      write("reports/attache-2026-12-01T000000.000Z-1.json", JSON.stringify({ code: 70, events: [event] }));
      write("termination-message", `attache exited with code 70: password ${password}\n`);
      write("agent.log", plantedLog(canaries, { password, token, keyPem: logged.keyPem }));
    },
  };
  await using pod = await startPod(options);
  await pod.untilReady();
  await eventually(
    async () => {
      const dump = await fetch(`http://127.0.0.1:${String(pod.ports.admin)}/config_dump`);
      expect(await dump.text()).toContain("canaries.sock");
    },
    { withinMs: 10_000 },
  );
  await using sds = createSdsClient(join(pod.directory, "var/run/secrets/workload-spiffe-uds/socket"), "test", {
    clock: systemClock,
  });
  const secret = await sds.fetch("default", AbortSignal.timeout(5_000));
  if (secret.kind !== "certificate" || secret.keyPem === undefined) throw new Error("no key");
  canaries.addKey("key of the workload", secret.keyPem);

  const run = await runBundleCommand({
    directory: pod.directory,
    env: pod.env,
  });
  expect(run.code, run.stderr).toBe(0);
  const [name = ""] = readdirSync(pod.directory).filter((file) => file.startsWith("attache-bundle-pod-1-"));
  expect(statSync(join(pod.directory, name)).mode & 0o777).toBe(0o600);
  const { files, manifest, text } = unpackBundle(readFileSync(join(pod.directory, name)), work.path);

  expect(canaries.places.length).toBeGreaterThanOrEqual(50);
  expect(canaries.findIn(files)).toEqual([]);
  expect(
    canaries.findIn(
      new Map([
        ["stderr", Buffer.from(run.stderr)],
        ["stdout", run.stdout],
      ]),
    ),
  ).toEqual([]);
  // it is what a bug report needs all the same
  expect(manifest.parts.filter(({ status }) => status === "failed" || status === "cut")).toEqual([]);
  expect(text("envoy/config_dump.json")).toContain("canaries.sock");
  expect(text("envoy/config_dump.json")).toContain("x-vendor");
  expect(text("logs/agent.log")).toContain("certificate signed serial");
  expect(text("logs/agent.log")).toContain("last line of the log");
  expect(text("configuration.json")).toContain("ISTIO_META_API_TOKEN");
  expect(text("agent/node.json")).toContain("cluster.local");
  expect(Object.keys(manifest.removed)).toEqual(
    expect.arrayContaining([
      "private-key",
      "secret-name",
      "header",
      "inline-data",
      "unknown-variable",
      "url-credentials",
    ]),
  );
}, 60_000);
