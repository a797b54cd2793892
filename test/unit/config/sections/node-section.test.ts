// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { parseConfig } from "../../../../src/config/index.ts";
import { podEnv, testInput } from "../../../support/parity-case.ts";

function nodeOf(env: Readonly<Record<string, string>>, podLabels?: string) {
  const files = new Map(podLabels === undefined ? [] : [["etc/istio/pod/labels", podLabels]]);
  return parseConfig(testInput({ env: { ...podEnv, ...env }, files })).node;
}

describe("a label istio-locality with dots is reported with slashes", () => {
  const locality = { region: "region", zone: "zone", subZone: "sub" };
  const dots = '{"istio-locality":"region.zone.sub"}';
  const slashes = { "istio-locality": "region/zone/sub" };

  test("when it is a pod label", () => {
    const node = nodeOf({}, 'istio-locality="region.zone.sub"\n');
    expect([node.locality, node.metadata["LABELS"]]).toEqual([locality, slashes]);
  });

  test("when it is a static label of a machine, also among the static labels", () => {
    const node = nodeOf({ ISTIO_METAJSON_LABELS: dots });
    expect([node.locality, node.metadata["LABELS"], node.metadata["STATIC_LABELS"]]).toEqual([
      locality,
      slashes,
      slashes,
    ]);
    expect(node.typedMetadata).toMatchObject({ LABELS: slashes, STATIC_LABELS: slashes });
  });

  test("when it is a member of the metadata's LABELS", () => {
    const node = nodeOf({ ISTIO_METAJSON_ANY: `{"LABELS":${dots}}` });
    expect([node.locality, node.metadata["LABELS"]]).toEqual([locality, slashes]);
  });

  test("but stays as it is in the static labels of a pod whose labels are mounted, as in the reference", () => {
    const node = nodeOf({ ISTIO_METAJSON_LABELS: dots }, 'app="web"\n');
    expect([node.locality, node.metadata["LABELS"], node.metadata["STATIC_LABELS"]]).toEqual([
      locality,
      { ...slashes, app: "web" },
      { "istio-locality": "region.zone.sub" },
    ]);
  });

  test("and its newer name is reported under both, only with slashes under the older one", () => {
    const node = nodeOf({ ISTIO_METAJSON_LABELS: '{"topology.istio.io/locality":"region.zone.sub"}' });
    expect([node.locality, node.metadata["STATIC_LABELS"]]).toEqual([
      locality,
      { "topology.istio.io/locality": "region.zone.sub", ...slashes },
    ]);
  });
});
