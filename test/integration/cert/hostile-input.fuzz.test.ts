// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { readRequest } from "../../../src/ca/embedded/certificate-request.ts";
import { verifyToken } from "../../../src/ca/embedded/signing-service.ts";
import { decodeResponse, decodeRetryDelayMs } from "../../../src/ca/istio-messages.ts";
import { parseJwt } from "../../../src/lib/pki/jwt.ts";
import { createKeyAndRequest } from "../../../src/cert/csr.ts";
import { ResponseError } from "../../../src/cert/errors.ts";
import { readRoots } from "../../../src/cert/read-certificate.ts";
import { checkPair, checkResponse } from "../../../src/cert/response-check.ts";
import { IstioCertificateResponse } from "../../../src/gen/istio/v1/auth/ca.ts";
import { DerError, readDerElements } from "../../../src/lib/pki/der-reader.ts";
import { AgentError } from "../../../src/lib/errors.ts";
import { splitPem } from "../../../src/lib/pki/pem.ts";
import { newKey, publicKeyOf, testAuthority, testSpiffeId } from "../../support/test-authority.ts";
import { seededRandom } from "../../support/virtual-clock.ts";
import { testBudgets } from "../../support/budgets.ts";

const nowMs = Date.now();
const random = seededRandom(20_260_601);
const ca = testAuthority("fuzzed", nowMs);
const key = newKey();
const keyPem = key.export({ type: "pkcs8", format: "pem" });
const chainPem = ca.issue({ publicKey: publicKeyOf(key) }, nowMs);
const keyLines = keyPem.split("\n").filter((line) => line.length > 20 && !line.startsWith("-"));

function below(limit: number): number {
  return Math.floor(random() * limit);
}

/** Changes bytes, cuts, repeats, or swaps parts, as broken writers and hostile peers do. */
function mutate(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  for (let changes = 1 + below(4); changes > 0; changes--) {
    const at = below(copy.length);
    switch (below(5)) {
      case 0:
        copy[at] = below(256);
        break;
      case 1:
        return copy.subarray(0, at);
      case 2:
        return Buffer.concat([copy.subarray(0, at), copy.subarray(below(copy.length))]);
      case 3:
        copy.copyWithin(at, below(copy.length), below(copy.length));
        break;
      default:
        copy[at] = (copy[at] ?? 0) ^ (1 << below(8));
    }
  }
  return copy;
}

function mutateText(text: string): string {
  return mutate(Buffer.from(text)).toString("latin1");
}

/** Runs the work on many inputs; only errors of the named kind may come, and never with the key in them. */
function fuzz(
  count: number,
  input: () => unknown,
  allowed: abstract new (...args: never) => Error,
  work: (input: never) => void,
): void {
  for (let i = 0; i < count; i++) {
    const one = input();
    try {
      work(one as never);
    } catch (error) {
      if (!(error instanceof allowed)) throw new Error(`input ${JSON.stringify(one)}`, { cause: error });
      const text = `${error.message} ${String(error.cause)}`;
      if (keyLines.some((line) => text.includes(line))) throw new Error("the key stands in an error", { cause: error });
    }
  }
}

describe("hostile input crashes nothing and reveals no key", { timeout: 120_000 }, () => {
  test("30,000 PEM texts", () => {
    fuzz(
      30_000,
      () => mutateText(chainPem + ca.rootPem),
      AgentError,
      (text: string) => {
        const { blocks } = splitPem(text);
        expect(splitPem(blocks.map((block) => block.pem).join("")).blocks).toHaveLength(blocks.length);
      },
    );
  });

  test("10,000 bundles and 10,000 pairs of certificate and key files", () => {
    fuzz(
      10_000,
      () => mutateText(ca.rootPem),
      AgentError,
      (text: string) => {
        readRoots(text);
      },
    );
    const pair = (): readonly [string, string] =>
      random() < 0.5 ? [mutateText(chainPem), keyPem] : [chainPem, mutateText(keyPem)];
    fuzz(10_000, pair, AgentError, ([chain, mutatedKey]: [string, string]) => {
      checkPair(chain, mutatedKey, testBudgets());
    });
  });

  test("20,000 responses of a CA: what is accepted is for our key and our identity", () => {
    const good = Buffer.from(IstioCertificateResponse.encode({ certChain: [chainPem, ca.rootPem] }).finish());
    const expected = {
      privateKey: key,
      spiffeId: testSpiffeId,
      strictTrustDomain: false,
      nowMs,
      maxSkewMs: 0,
      budgets: testBudgets(),
    };
    let accepted = 0;
    fuzz(
      20_000,
      () => mutate(good),
      ResponseError,
      (bytes: Buffer) => {
        const chain = decodeResponse(bytes);
        if (chain === undefined || chain.length < 2) return;
        const { leaf } = checkResponse(
          { chainPem: chain.slice(0, -1).join("\n"), rootsPem: chain.at(-1) ?? "" },
          expected,
        );
        accepted++;
        expect(leaf.x509.checkPrivateKey(key)).toBe(true);
        expect(leaf.x509.subjectAltName).toBe(`URI:${testSpiffeId}`);
      },
    );
    // of both kinds there were enough
    expect(accepted).toBeGreaterThan(200);
    expect(accepted).toBeLessThan(10_000);
  });

  test("20,000 error details and 10,000 rows of DER", () => {
    const details = Buffer.from(
      "1a2c0a28747970652e676f6f676c65617069732e636f6d2f676f6f676c652e7270632e5265747279496e666f1204",
      "hex",
    );
    fuzz(
      20_000,
      () => mutate(Buffer.concat([details, Buffer.from("0a020807", "hex")])),
      AgentError,
      (bytes: Buffer) => {
        expect(decodeRetryDelayMs(bytes)).toBeGreaterThanOrEqual(0);
      },
    );
    const row = Buffer.concat(splitPem(chainPem + ca.rootPem).blocks.map((block) => block.der));
    fuzz(
      10_000,
      () => mutate(row),
      DerError,
      (bytes: Buffer) => {
        expect(Buffer.concat(readDerElements(bytes).map((one) => one.bytes)).equals(bytes)).toBe(true);
      },
    );
  });

  test("15,000 tokens: none of them is accepted", () => {
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
    const token = `${part({ alg: "ES256" })}.${part({ sub: "system:serviceaccount:a:b", aud: ["istio-ca"], exp: nowMs })}.${"A".repeat(86)}`;
    let parsed = 0;
    fuzz(
      15_000,
      () => mutateText(token),
      AgentError,
      (text: string) => {
        parseJwt(text);
        parsed++;
        expect(() => verifyToken(text, [key], "istio-ca", nowMs)).toThrow(AgentError);
      },
    );
    expect(parsed).toBeGreaterThan(1_000);
  });

  test("5,000 signing requests: what is read was signed by its own key", async () => {
    const { csrPem } = await createKeyAndRequest({ kind: "ec", curve: "P-256" }, testSpiffeId);
    const der = Buffer.from(splitPem(csrPem).blocks[0]?.der ?? []);
    const pemOf = (bytes: Buffer): string =>
      `-----BEGIN CERTIFICATE REQUEST-----\n${bytes.toString("base64")}\n-----END CERTIFICATE REQUEST-----\n`;
    fuzz(
      5_000,
      () => pemOf(mutate(der)),
      AgentError,
      (text: string) => {
        const { uris } = readRequest(text, testBudgets().of("embedded-ca-csr-bytes"));
        expect(uris).toEqual([testSpiffeId]);
      },
    );
  });
});
