// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { withPlatform } from "../../../src/agent/platform.ts";
import { parseConfig } from "../../../src/config/index.ts";
import { readAws, readAzure, readGcp } from "../../../src/platform/clouds.ts";
import { podEnv, testInput } from "../../support/parity-case.ts";
import type { MetadataGet } from "../../../src/platform/metadata-server.ts";

/** A server that knows these paths. */
const server =
  (answers: Readonly<Record<string, string>>): MetadataGet =>
  (path) =>
    Promise.resolve(answers[path]);

test("EC2 reports region, zone and instance to requests with its token", async () => {
  const seen: unknown[] = [];
  const get: MetadataGet = (path, options) => {
    seen.push([path, options?.headers]);
    if (path === "/latest/api/token") return Promise.resolve("t");
    return server({
      "/latest/meta-data/placement/region": "eu-west-1",
      "/latest/meta-data/placement/availability-zone": "eu-west-1b",
    })(path);
  };
  expect(await readAws(get)).toEqual({
    metadata: { aws_region: "eu-west-1", aws_availability_zone: "eu-west-1b" },
    locality: { region: "eu-west-1", zone: "eu-west-1b", subZone: "" },
  });
  expect(seen).toContainEqual(["/latest/meta-data/instance-id", { "x-aws-ec2-metadata-token": "t" }]);
});

test("Azure's newest API version is used, and tags are parsed in both forms", async () => {
  const compute = { name: "vm", location: "westeurope", vmId: "42", zone: "2", tags: "team:a;url:http://x" };
  const get = server({
    "/metadata/instance?api-version=2019-08-15": '{"newest-versions":["2020-01-01","2021-12-13"]}',
    "/metadata/instance?api-version=2021-12-13": JSON.stringify({ compute }),
  });
  expect(await readAzure(get)).toEqual({
    metadata: {
      azure_name: "vm",
      azure_location: "westeurope",
      azure_vmId: "42",
      azure_team: "a",
      azure_url: "http://x",
    },
    locality: { region: "westeurope", zone: "2", subZone: "" },
  });
  const tagsList = [{ name: "team", value: "b" }];
  const listed = server({ "/metadata/instance?api-version=2019-08-15": JSON.stringify({ compute: { tagsList } }) });
  expect((await readAzure(listed))?.metadata).toEqual({ azure_team: "b" });
});

test("Google Cloud reports project, location and cluster", async () => {
  const get = server({
    "/computeMetadata/v1/project/project-id": "p",
    "/computeMetadata/v1/instance/zone": "projects/1/zones/us-central1-c",
    "/computeMetadata/v1/instance/attributes/cluster-name": "c",
  });
  expect(await readGcp(get)).toEqual({
    metadata: {
      gcp_project: "p",
      gcp_location: "us-central1-c",
      gcp_gke_cluster_name: "c",
      gcp_gke_cluster_url: "https://container.googleapis.com/v1/projects/p/locations/us-central1-c/clusters/c",
    },
    locality: { region: "us-central1", zone: "us-central1-c", subZone: "" },
  });
});

test("a server that knows nothing is not a cloud", async () => {
  expect(await Promise.all([readAws(server({})), readAzure(server({})), readGcp(server({}))])).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
});

test("a cloud's facts are set in node, bootstrap and gRPC bootstrap; a locality that is set already stays", () => {
  const facts = { metadata: { aws_region: "r" }, locality: { region: "r", zone: "z", subZone: "" } };
  const plain = withPlatform(parseConfig(testInput({ env: podEnv })), facts);
  expect(plain.node.locality).toEqual(facts.locality);
  expect(plain.bootstrap).toMatchObject({ config: { node: { metadata: { PLATFORM_METADATA: { aws_region: "r" } } } } });
  expect(plain.grpcBootstrap?.document["node"]).toMatchObject({
    locality: { region: "r", zone: "z" },
    metadata: { PLATFORM_METADATA: { aws_region: "r" }, GENERATOR: "grpc" },
  });
  const files = new Map([["etc/istio/pod/labels", 'istio-locality="eu.west"\n']]);
  const labelled = withPlatform(parseConfig(testInput({ env: podEnv, files })), facts);
  expect(labelled.node.locality).toEqual({ region: "eu", zone: "west", subZone: "" });
});

test.each([
  [{}, false],
  [{ CLOUD_PLATFORM: "" }, false],
  [{ CLOUD_PLATFORM: "AWS" }, true],
])("Envoy waits for the locality only where a cloud was named: %j", (env, expected) => {
  const { CLOUD_PLATFORM: _none, ...rest } = podEnv;
  expect(parseConfig(testInput({ env: { ...rest, ...env } })).platform.localityNeeded).toBe(expected);
});
