// SPDX-License-Identifier: Apache-2.0
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startFakeCa } from "../../fakes/fake-ca.ts";
import { runDoctorIn } from "../../support/doctor-run.ts";
import { eventually } from "../../support/eventually.ts";
import { startPod } from "../../support/pod.ts";

/** What doctor says of the files of a pod that Envoy cannot use from its start. */
async function problemsOf(change: (text: string) => string) {
  await using ca = await startFakeCa();
  const fileIn = (directory: string): string => join(directory, "resources/lds.yaml");
  await using pod = await startPod({
    ca,
    prepare: ({ directory }) => {
      writeFileSync(fileIn(directory), change(readFileSync(fileIn(directory), "utf8")));
    },
  });
  await eventually(
    async () => {
      await pod.readiness();
      expect(pod.log()).toContain("Envoy cannot use a configuration file");
    },
    { withinMs: 10_000 },
  );
  const { findings } = await runDoctorIn(pod);
  const problems = findings.filter(
    ({ check, outcome, fact }) => outcome !== "ok" && /^(readiness|envoy-admin)/.test(check) && fact.includes("lds"),
  );
  const rejections = findings.filter(({ fact }) => fact.includes("Envoy rejects"));
  return { file: fileIn(pod.directory), problems, rejections, log: pod.log() };
}

test("a file with broken YAML is reported once, and is to be corrected at its line", async () => {
  const { file, problems, rejections } = await problemsOf((text) => text.replace("name: inbound", "name: in: b"));
  expect(problems).toHaveLength(1);
  expect(problems[0]?.cure).toBe(`Correct ${file} at line 4, column 11; Envoy reads it again at once.`);
  expect(rejections).toEqual([]);
});

test("a listener that is there twice is reported once, by what Envoy says of it", async () => {
  const twice = (text: string): string => `${text}${text.slice(text.indexOf('  - "@type"'))}`;
  const { file, problems, rejections, log } = await problemsOf(twice);
  expect(problems).toHaveLength(1);
  expect(problems[0]?.cure).toBe(`Correct it in ${file}; Envoy reads it again at once.`);
  expect(rejections).toEqual([]);
  expect(log).toContain("duplicate listener inbound found");
  expect(log).not.toContain("listener : ");
});

test.each([
  [
    "google.protobuf.Struct",
    "Remove it from FILE, or use an Envoy that has it (Istio's is in the image istio/proxyv2).",
  ],
  ["stats.PluginConfig", "Correct FILE; Envoy's line `Filesystem config update failure` in the log says why."],
])("an extension that Envoy lacks is to be removed from the file: %s", async (type, cure) => {
  const filter = `                - { name: istio.stats, typed_config: { "@type": type.googleapis.com/${type} } }`;
  const { file, problems, rejections, log } = await problemsOf((text) =>
    text.replace("http_filters:", `http_filters:\n${filter}`),
  );
  expect(problems.map((finding) => finding.cure)).toEqual([cure.replace("FILE", file)]);
  expect(rejections).toEqual([]);
  expect(log).not.toContain("istiod");
});
