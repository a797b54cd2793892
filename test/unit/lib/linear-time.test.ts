// SPDX-License-Identifier: Apache-2.0
import { X509Certificate } from "node:crypto";
import { expect, test } from "vitest";
import { redactSecrets } from "../../../src/config/redaction.ts";
import { parseServerInfo } from "../../../src/envoy/admin-responses.ts";
import { parseInitTargets } from "../../../src/envoy/envoy-readiness.ts";
import { parseListeners } from "../../../src/envoy/listener-sockets.ts";
import { findReason } from "../../../src/envoy/validation.ts";
import { describeError } from "../../../src/lib/errors.ts";
import { parseGoDuration } from "../../../src/lib/go-duration.ts";
import { isWithin } from "../../../src/lib/pki/name-constraints.ts";
import { generalNameTag, readCertificateFields } from "../../../src/lib/pki/certificate-fields.ts";
import { splitPem } from "../../../src/lib/pki/pem.ts";
import { parseHostPort } from "../../../src/lib/net/host-port.ts";
import { oneLine, trimTrailing } from "../../../src/lib/trim.ts";
import { parseRequestTarget } from "../../../src/status/routes.ts";
import { parseChallenge, parsePullSecret } from "../../../src/xds/wasm/registry-auth.ts";
import { testAuthority } from "../../support/test-authority.ts";

const uri = (text: string) => ({ tag: generalNameTag.uri, value: Buffer.from(text) });
const constraints = { permitted: [uri(".example.com")], excluded: [] };
const certificate = readCertificateFields(new X509Certificate(testAuthority("root", 0).rootPem).raw);

/** Each with the text that made, or would make, a regular expression for it slow. */
const readers: Readonly<Record<string, (length: number) => unknown>> = {
  "a duration of digits": (length) => parseGoDuration(`${"1".repeat(length)}x`),
  "a duration of many parts": (length) => parseGoDuration(`${"1.1h".repeat(length / 4)}x`),
  "white space before no line break": (length) => oneLine(`${" ".repeat(length)}x`),
  "many line breaks": (length) => oneLine(`${" \n".repeat(length / 2)}x`),
  "an error of white space": (length) => describeError(new Error(`a${" \t".repeat(length / 2)}x`)),
  "slashes that do not end the text": (length) => trimTrailing(`${"/".repeat(length)}x`, "/"),
  "a listener of colons and brackets": (length) => parseListeners("::[".repeat(length / 3)),
  "a listener of colons": (length) => parseListeners(`${":".repeat(length)}80`),
  "names of targets that do not end": (length) => parseInitTargets('"target \\'.repeat(length / 9)),
  "a version of digits": (length) => parseServerInfo(JSON.stringify({ version: `/1.1.${"1".repeat(length)}` })),
  "versions that do not end": (length) => parseServerInfo(JSON.stringify({ version: "/1.1.1".repeat(length / 6) })),
  "Envoy's output of brackets": (length) => findReason(`${"[]".repeat(length / 2)}[critical][`),
  "a secret's name": (length) => redactSecrets({ [`${"HEADER_".repeat(length / 7)}\n`]: "value" }),
  "a request's target": (length) => parseRequestTarget(`a://${"\u2028".repeat(length)}`),
  "a URI under name constraints": (length) =>
    isWithin(constraints, { ...certificate, alternativeNames: [uri(`a://${"@".repeat(length)}`)] }),
  "a PEM text of begins": (length) => splitPem("-----BEGIN A-----".repeat(length / 17)),
  "a PEM block of white space": (length) => splitPem(`-----BEGIN A-----${" a".repeat(length / 2)}-----END A-----`),
  "an address of brackets": (length) => parseHostPort("[".repeat(length)),
  "a challenge": (length) => parseChallenge(`bearer ${'realm="https://a'.repeat(length / 16)}`),
  "a pull secret": (length) => parsePullSecret(JSON.stringify({ auths: { [`a${"/".repeat(length)}\n`]: {} } }), "b"),
};

/** The least of three, in milliseconds of this process's work. */
function cpuMs(work: () => unknown): number {
  const times = [1, 2, 3].map(() => {
    const start = process.cpuUsage();
    try {
      work();
    } catch {
      // Whether the text is rejected is tested elsewhere.
    }
    const { user, system } = process.cpuUsage(start);
    return (user + system) / 1_000;
  });
  return Math.min(...times);
}

test.each(Object.entries(readers))("the time for %s grows with its length, and no faster", (_what, read) => {
  const length = 48_000;
  const [shortMs, longMs] = [cpuMs(() => read(length)), cpuMs(() => read(4 * length))];
  // Four times the length takes sixteen times as long when the time is quadratic: seconds, with these lengths.
  expect(longMs).toBeLessThan(Math.max(20, 9 * shortMs));
});
