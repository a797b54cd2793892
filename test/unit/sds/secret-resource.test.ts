// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { CryptoMbPrivateKeyMethodConfig } from "../../../src/gen/envoy/extensions/private_key_providers/cryptomb/v3alpha/cryptomb.ts";
import { QatPrivateKeyMethodConfig } from "../../../src/gen/envoy/extensions/private_key_providers/qat/v3alpha/qat.ts";
import type { Secret } from "../../../src/model/secret.ts";
import type { PrivateKeyProvider } from "../../../src/sds/sds-config.ts";
import { renderSecret } from "../../../src/sds/secret-resource.ts";
import { decodeSecret, secretTypeUrl } from "../../fakes/sds-client.ts";

const certificate: Secret = {
  kind: "certificate",
  chainPem: "the chain",
  keyPem: "the key",
  spiffeId: "spiffe://cluster.local/ns/demo/sa/web",
  serial: "01",
  notBeforeMs: 0,
  notAfterMs: 1,
};

function render(secret: Secret, privateKeyProvider: PrivateKeyProvider = { kind: "none" }, crlPem?: string) {
  const value = renderSecret("default", secret, { privateKeyProvider, crlPem });
  return { value, fields: decodeSecret({ type_url: secretTypeUrl, value }) };
}

test("chain and key are inline", () => {
  expect(render(certificate).fields).toEqual({
    name: "default",
    tls_certificate: {
      certificate_chain: { inline_bytes: Buffer.from("the chain") },
      private_key: { inline_bytes: Buffer.from("the key") },
    },
  });
});

test.each([
  ["cryptomb", CryptoMbPrivateKeyMethodConfig, "cryptomb.v3alpha.CryptoMbPrivateKeyMethodConfig"],
  ["qat", QatPrivateKeyMethodConfig, "qat.v3alpha.QatPrivateKeyMethodConfig"],
] as const)(
  "A15: with %s the key is inside the provider's configuration and nowhere else",
  (kind, message, typeName) => {
    const { value, fields } = render(certificate, { kind, pollDelayMs: 1_500.25, fallback: true });
    const { private_key, private_key_provider: provider } = fields.tls_certificate ?? {};
    expect(private_key).toBeUndefined();
    expect(provider).toMatchObject({ provider_name: kind, fallback: true });
    const typed = provider?.typed_config as { type_url: string; value: Buffer } | undefined;
    expect(typed?.type_url).toBe(`type.googleapis.com/envoy.extensions.private_key_providers.${typeName}`);
    const settings = message.decode(typed?.value ?? Buffer.alloc(0));
    expect(String(settings.privateKey?.specifier?.value)).toBe("the key");
    expect([Number(settings.pollDelay?.seconds), settings.pollDelay?.nanos]).toEqual([1, 500_250_000]);
    expect(value.toString("latin1").split("the key").length).toBe(2);
  },
);

test("roots are inline, with the revocation list where there is one", () => {
  const roots: Secret = { kind: "trust-bundle", rootsPem: "the roots" };
  expect(render(roots).fields.validation_context).toEqual({ trusted_ca: { inline_bytes: Buffer.from("the roots") } });
  expect(render(roots, { kind: "none" }, "the list").fields.validation_context).toEqual({
    trusted_ca: { inline_bytes: Buffer.from("the roots") },
    crl: { inline_bytes: Buffer.from("the list") },
  });
  expect(render(certificate, { kind: "none" }, "the list").value.includes("the list")).toBe(false);
});
