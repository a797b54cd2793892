// SPDX-License-Identifier: Apache-2.0
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { decodeSecret, SdsClient } from "../fakes/sds-client.ts";
import { type Pod, startPod } from "../support/pod.ts";
import { filesBelow, findSecrets, formsOfKey, type Place, processPlaces } from "../support/secret-search.ts";

const token = "CANARY-TOKEN-5f1c1f0e7a2b4d";
const sdsSocket = "var/run/secrets/workload-spiffe-uds/socket";
const tokenPath = "var/run/secrets/tokens/istio-token";

/** The workload's key and leaf as Envoy gets them; on the way, every mistake that a client can make. */
async function takeSecret(pod: Pod): Promise<{ readonly keyPem: string; readonly leafPem: string }> {
  using client = new SdsClient(join(pod.directory, sdsSocket));
  using stream = client.stream();
  stream.ask({ resource_names: ["default"] });
  const { nonce, resources } = await stream.untilAnswer(1);
  stream.ask({
    resource_names: ["default"],
    response_nonce: nonce,
    error_detail: { code: 3, message: "no use for it" },
  });
  for (const name of ["defualt", "file-cert:x", "file-root:/etc/shadow"]) {
    using mistaken = client.stream();
    mistaken.ask({ resource_names: [name] });
    expect((await mistaken.untilStatus()).code).not.toBe(status.OK);
  }
  const { tls_certificate: certificate } = decodeSecret(resources[0]);
  return {
    keyPem: String(certificate?.private_key?.inline_bytes),
    leafPem: String(certificate?.certificate_chain.inline_bytes),
  };
}

async function everythingToBeSeen(pod: Pod): Promise<readonly Place[]> {
  const get = async (port: number, path: string): Promise<Place> => {
    const response = await fetch(`http://127.0.0.1:${String(port)}${path}`, { headers: { connection: "close" } });
    return { where: `GET ${path}`, text: await response.text() };
  };
  const debugIndex = await get(pod.ports.status, "/debug/");
  const debugPaths = [...new Set(debugIndex.text.match(/\/debug\/[a-z]+/g))];
  return [
    ...filesBelow(pod.directory),
    ...[pod.pid, ...pod.envoyPids()].flatMap(processPlaces),
    debugIndex,
    ...(await Promise.all(
      ["/stats/prometheus", "/healthz/ready", ...debugPaths].map((path) => get(pod.ports.status, path)),
    )),
    ...(await Promise.all(["/config_dump", "/certs", "/stats"].map((path) => get(pod.ports.admin, path)))),
  ];
}

test.each([
  ["no file", undefined, []],
  ["the folder that it is told to write to", "certs", ["certs/key.pem"]],
] as const)("the private key is in %s, and nowhere else to be seen", async (_title, folder, keyFiles) => {
  await using ca = await startFakeCa();
  await using pod = await startPod({
    ca,
    token,
    args: ["--log_output_level=default:debug"],
    env: folder === undefined ? {} : { OUTPUT_CERTS: folder },
  });
  await pod.untilReady();
  const { keyPem, leafPem } = await takeSecret(pod);
  const places = await everythingToBeSeen(pod);
  const found = findSecrets(formsOfKey(keyPem), places);
  expect(new Set(found.map((where) => where.replace(/certs\/\.[^/]*\//, "certs/")))).toEqual(new Set(keyFiles));
  expect(findSecrets([token], places)).toEqual([tokenPath]);
  // the search does find what may be seen
  const serial = new X509Certificate(leafPem).serialNumber.toLowerCase();
  expect(findSecrets([serial], places)).toContain("GET /certs");
});

test("neither agent nor Envoy leaves a core file, in which the key would be", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca });
  await pod.untilReady();
  for (const pid of [pod.pid, ...pod.envoyPids()]) {
    const limits = readFileSync(`/proc/${String(pid)}/limits`, "utf8");
    expect(limits).toMatch(/^Max core file size\s+0\s/m);
  }
});
