// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { DeltaDiscoveryRequest, DiscoveryRequest } from "../../../src/gen/envoy/service/discovery/v3/discovery.ts";
import { GrpcError } from "../../../src/lib/grpc/status.ts";
import { delta, type SdsProtocol, stateOfTheWorld } from "../../../src/sds/sds-protocol.ts";
import type { EncodedSecret } from "../../../src/sds/secret-hub.ts";
import { checkSecretName, parseSecretName } from "../../../src/sds/secret-name.ts";
import { renderSecret } from "../../../src/sds/secret-resource.ts";
import { Subscription } from "../../../src/sds/subscription.ts";
import { testBudgets } from "../../support/budgets.ts";
import { fc } from "../../support/properties.ts";

const framesPerStream = 25;
const streams = 2_200;
const keyPem = "CANARY-OF-THE-PRIVATE-KEY";

/** The workload's certificate under whatever certificate name is asked for; roots for all other names. */
function secretOf(text: string): EncodedSecret {
  const facts = { spiffeId: "", serial: "", notBeforeMs: 0, notAfterMs: 0 };
  const secret = isCertificate(text)
    ? ({ kind: "certificate", chainPem: "chain", keyPem, ...facts } as const)
    : ({ kind: "trust-bundle", rootsPem: "roots" } as const);
  const form = { privateKeyProvider: { kind: "none" }, crlPem: undefined } as const;
  return { version: "start/1", resource: renderSecret(text, secret, form) };
}

function isCertificate(text: string): boolean {
  return text === "default" || text.startsWith("file-cert:/certs/");
}

const name = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom("default", "ROOTCA", "file-cert:/certs/a~/certs/b", "file-root:/certs/r") },
  { weight: 1, arbitrary: fc.constantFrom("defualt", "file-cert:/certs/a~/etc/key", "file-root:system", "") },
  { weight: 1, arbitrary: fc.string({ unit: "binary" }) },
);
const names = fc.array(name, { maxLength: 4 });
const common = {
  node: fc.option(fc.record({ id: fc.constantFrom("sidecar", "sidecar", "") }), { nil: undefined, freq: 8 }),
  responseNonce: fc.constantFrom("", "n-1", "n-2", "n-3", "other"),
  errorDetail: fc.option(fc.record({ code: fc.integer(), message: fc.string() }), { nil: undefined, freq: 2 }),
};
const valid = {
  "state of the world": fc
    .record({ ...common, resourceNames: names, versionInfo: fc.string(), typeUrl: fc.string() })
    .map((fields) => DiscoveryRequest.encode(DiscoveryRequest.fromPartial(clean(fields))).finish()),
  delta: fc
    .record({
      ...common,
      resourceNamesSubscribe: names,
      resourceNamesUnsubscribe: names,
      initialResourceVersions: fc.dictionary(name, fc.constantFrom("start/1", "x")),
    })
    .map((fields) => DeltaDiscoveryRequest.encode(DeltaDiscoveryRequest.fromPartial(clean(fields))).finish()),
};
const damage = fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { minLength: 1, maxLength: 4 });

function clean<T extends object>(fields: T): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T;
}

function damaged(frame: Uint8Array, changes: readonly (readonly [number, number])[]): Uint8Array {
  const copy = Uint8Array.from(frame);
  for (const [at, byte] of changes) if (copy.length > 0) copy[at % copy.length] = byte;
  return changes.length % 2 === 0 ? copy : copy.subarray(0, (changes[0]?.[0] ?? 0) % (copy.length + 1));
}

const budgets = testBudgets();
const counts = { frames: 0, refused: 0, answered: 0 };

/** One stream's life on these frames: refused is an end with a status, anything else thrown is a failure. */
function serve(protocol: SdsProtocol, frames: readonly Uint8Array[]): void {
  let nonce = 0;
  const open = () =>
    new Subscription<EncodedSecret>({
      parseName: (text) => checkSecretName(parseSecretName(text), ["/certs"]),
      nextNonce: () => `n-${String(++nonce)}`,
      names: budgets.of("sds-names"),
      pendingResponses: budgets.of("sds-pending-responses"),
    });
  let stream = open();
  for (const frame of frames) {
    counts.frames++;
    try {
      const step = stream.request(protocol.parseRequest(frame));
      for (const { text } of step.added) stream.offer(text, secretOf(text));
      if (step.end !== undefined) throw new GrpcError(3, step.end.kind);
      const answer = stream.nextResponse();
      if (answer === undefined) continue;
      counts.answered++;
      const bytes = Buffer.from(protocol.renderResponse(answer));
      const asked = answer.deliveries.map((delivery) => delivery.name.text);
      expect(bytes.includes(keyPem)).toBe(asked.some(isCertificate));
      expect(stream.names.map(({ text }) => text)).toEqual(expect.arrayContaining(asked));
    } catch (error) {
      if (!(error instanceof GrpcError)) throw error;
      counts.refused++;
      stream = open();
      nonce = 0;
    }
  }
}

test.each([
  ["state of the world", stateOfTheWorld],
  ["delta", delta],
] as const)(
  "%s: no frame crashes a stream, and no key goes out under a name that is no certificate's",
  (kind, protocol) => {
    const frame = fc.oneof(
      { weight: 4, arbitrary: valid[kind] },
      { weight: 3, arbitrary: fc.tuple(valid[kind], damage).map(([bytes, changes]) => damaged(bytes, changes)) },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }) },
    );
    const frames = fc.array(frame, { minLength: framesPerStream, maxLength: framesPerStream });
    fc.assert(
      fc.property(frames, (sequence) => {
        serve(protocol, sequence);
      }),
      { numRuns: streams },
    );
  },
);

test("the frames above were enough, and of all kinds", () => {
  expect(counts.frames).toBeGreaterThanOrEqual(100_000);
  expect(counts.answered).toBeGreaterThan(10_000);
  expect(counts.refused).toBeGreaterThan(10_000);
});
