// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { fileOf, splitFileCure } from "../../../../src/diagnosis/doctor/refused-file.ts";

const file = "/etc/x/lds.yaml";
const start = `no update could be read (0 accepted, 0 rejected): ${file}: `;

test.each([
  [
    "not YAML: Nested mappings are not allowed at line 3, column 7; correct it there, Envoy reads it again at once",
    "not YAML: Nested mappings are not allowed at line 3, column 7",
    `Correct ${file} at line 3, column 7; Envoy reads it again at once.`,
  ],
  ["it has no list `resources`; add one", "it has no list `resources`", "Add one."],
  [
    "listener a: no address; none given",
    "listener a: no address; none given",
    `Correct it in ${file}; Envoy reads it again at once.`,
  ],
  [
    "Envoy rejected it; its line `Filesystem config update rejected` in the log says why",
    "Envoy rejected it",
    `Correct ${file}; Envoy's line \`Filesystem config update rejected\` in the log says why.`,
  ],
  [
    "listener a: this Envoy lacks istio.stats: use Istio's Envoy (the proxyv2 image's), or remove it from the file",
    "listener a: this Envoy lacks istio.stats",
    `Remove it from ${file}, or use an Envoy that has it (Istio's is in the image istio/proxyv2).`,
  ],
])("the cure for a file names it: %s", (detail, fact, cure) => {
  expect(fileOf(`${start}${detail}`)).toBe(file);
  expect(splitFileCure(`${start}${detail}`, file)).toEqual({ fact: `${start}${fact}`, cure });
});

test("what a control plane sent is in no file", () => {
  expect(fileOf("every update was rejected: virtualInbound: bad filter")).toBeUndefined();
});
