// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import { DiscoveryRequest } from "../../src/gen/envoy/service/discovery/v3/discovery.ts";
import { systemClock } from "../../src/lib/async/clock.ts";
import { createGrpcChannel } from "../../src/lib/grpc/client.ts";
import { readWhole } from "../../src/lib/grpc/message.ts";

const method = "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets";
/** Of one connection: no more than an agent allows. */
const perConnection = 500;

export interface SecretStreams extends AsyncDisposable {
  /** How many have received the workload's certificate. */
  readonly withSecret: number;
}

/** Opens SDS streams to the agent of a pod, and waits until each has the certificate. They stay open. */
export async function openSecretStreams(podDirectory: string, count: number): Promise<SecretStreams> {
  await using stack = new AsyncDisposableStack();
  const path = join(podDirectory, "var/run/secrets/workload-spiffe-uds/socket");
  const facts = DiscoveryRequest.fromPartial({ node: { id: "bench" }, resourceNames: ["default"] });
  const request = DiscoveryRequest.encode(facts).finish();
  let withSecret = 0;
  for (let opened = 0; opened < count; opened += perConnection) {
    const channel = stack.use(
      createGrpcChannel({ target: { kind: "unix", path }, authority: "sds-grpc" }, { clock: systemClock }),
    );
    const streams = Array.from({ length: Math.min(perConnection, count - opened) }, async () => {
      const stream = await channel.stream(method);
      await stream.write(request);
      const first = await stream.responses[Symbol.asyncIterator]().next();
      if (first.done !== true && (await readWhole(first.value)).length > 1_000) withSecret++;
    });
    await Promise.all(streams);
  }
  const owned = stack.move();
  return { withSecret, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
