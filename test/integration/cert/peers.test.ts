// SPDX-License-Identifier: Apache-2.0
import { X509Certificate } from "node:crypto";
import { expect, test } from "vitest";
import { eventually } from "../../support/eventually.ts";
import type { Forged } from "../../support/forged-certificates.ts";
import { peerCases } from "../../support/peer-cases.ts";
import { startMutualEnvoy } from "../sds/mutual-envoy.ts";
import { bundle, startTestServer } from "../sds/test-server.ts";

const pemOf = (certificates: readonly Forged[]): string => certificates.map(({ pem }) => pem).join("");
const serialsOf = (certificates: readonly Forged[]): string[] => certificates.map(serialOf).sort();

test("a real Envoy accepts and rejects the pairs that the agent expects it to, on both sides of mutual TLS", async () => {
  await using server = await startTestServer();
  const envoyStarts = () => startMutualEnvoy(server.directory, server.socketPath, "GRPC", 1);
  await using stack = new AsyncDisposableStack();
  let envoy: Awaited<ReturnType<typeof envoyStarts>> | undefined;
  const verdicts: Record<string, boolean> = {};
  for (const { name, build } of peerCases) {
    const { chain, roots } = build();
    const chainPem = pemOf(chain);
    const keyPem = chain[0]?.keyPem ?? "";
    const nacks = server.metrics.nacks.value("default");
    server.set("ROOTCA", bundle(pemOf(roots)));
    server.set("default", {
      ...{ kind: "certificate", chainPem, keyPem, spiffeId: "", serial: "1" },
      ...{ notBeforeMs: 0, notAfterMs: 1 },
    });
    envoy ??= stack.use(await envoyStarts());
    const running = envoy;
    const isLoaded = await eventually(
      async () => {
        const isShown = (await running.leafSerials()).some((serial) => isSame(serial, chain[0]));
        if (isShown) expect(lower(await running.rootSerials())).toEqual(serialsOf(roots));
        else expect(server.metrics.nacks.value("default")).toBeGreaterThan(nacks);
        return isShown;
      },
      { withinMs: 10_000 },
    );
    // The listener may not be there yet.
    verdicts[name] = isLoaded && (await eventually(() => running.get(), { withinMs: 5_000 })) === 200;
  }
  expect(verdicts).toEqual(Object.fromEntries(peerCases.map((one) => [one.name, one.envoyAccepts])));
}, 180_000);

const lower = (serials: readonly string[]): string[] => serials.map((serial) => serial.toLowerCase()).sort();

function isSame(serial: string, leaf: Forged | undefined): boolean {
  return leaf !== undefined && serial.toLowerCase() === serialOf(leaf);
}

/** In lower case; of bytes that are no certificate a text that is no serial number. */
function serialOf({ pem }: Forged): string {
  try {
    return new X509Certificate(pem).serialNumber.toLowerCase();
  } catch {
    return "not a certificate";
  }
}
