// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { parseConfig } from "../../../../src/config/index.ts";
import { podEnv, testInput } from "../../../support/parity-case.ts";

function parsed(caCertificates: readonly object[]) {
  const text = JSON.stringify({ caCertificates });
  const input = testInput({ env: podEnv, files: new Map([["etc/istio/config/mesh", text]]) });
  const { cert, warnings } = parseConfig(input);
  return { anchors: cert.anchors, warnings: warnings.map(({ source, message }) => `${source}: ${message}`) };
}

test("trust anchors of the mesh file are PEM texts or SPIFFE bundle endpoints, with their trust domains", () => {
  const spiffeBundleUrl = "https://bundles.example/b?x=1";
  const { anchors, warnings } = parsed([
    { pem: "PEM", trustDomains: ["a.example"] },
    { spiffeBundleUrl, trustDomains: ["spiffe://b.example"] },
    {},
  ]);
  expect(anchors).toEqual([
    { pem: "PEM", trustDomains: ["a.example"] },
    { bundleUrl: spiffeBundleUrl, trustDomains: ["b.example"] },
  ]);
  expect(warnings).toEqual([]);
});

test.each([
  ["http://bundles.example/b", "must begin with https://"],
  ["https://user:secret@bundles.example/b", "must have no user name or password"],
  ["bundles.example", "is not a URL"],
])("a bundle endpoint at %s is ignored with a warning", (spiffeBundleUrl, problem) => {
  const { anchors, warnings } = parsed([{ spiffeBundleUrl }]);
  expect(anchors).toEqual([]);
  expect(warnings).toEqual([
    `mesh config file ./etc/istio/config/mesh, field caCertificates[0].spiffeBundleUrl: ${problem}; it is ignored`,
  ]);
});
