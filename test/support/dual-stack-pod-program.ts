// SPDX-License-Identifier: Apache-2.0
import { requestHttp } from "../../src/lib/net/http-client.ts";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { startPod } from "./pod.ts";

/** Runs a pod whose INSTANCE_IP is the first argument; prints the status of each of its ports at each address, as JSON. */
const [instanceIp = "", ...addresses] = process.argv.slice(2);
await using ca = await startFakeCa();
await using pod = await startPod({ ca, env: { INSTANCE_IP: instanceIp } });
await pod.untilReady();
const { status, readiness, metrics } = pod.ports;
const answers: Record<string, readonly number[]> = {};
for (const host of addresses) {
  const requests = [
    { host, port: status, path: "/healthz/ready" },
    { host, port: readiness, path: "/healthz/ready" },
    { host, port: metrics, path: "/stats/prometheus" },
  ].map((url) =>
    requestHttp({ url }).then(
      (response) => response.status,
      () => 0,
    ),
  );
  answers[host] = await Promise.all(requests);
}
process.stdout.write(JSON.stringify(answers));
