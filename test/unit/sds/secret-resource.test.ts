// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { CryptoMbPrivateKeyMethodConfig } from "../../../src/gen/envoy/extensions/private_key_providers/cryptomb/v3alpha/cryptomb.ts";
import { QatPrivateKeyMethodConfig } from "../../../src/gen/envoy/extensions/private_key_providers/qat/v3alpha/qat.ts";
import { ObservableValue } from "../../../src/lib/async/observable-value.ts";
import type { Secret } from "../../../src/model/secret.ts";
import { renderSecret, withCrl } from "../../../src/sds/secret-resource.ts";
import type { PrivateKeyProvider } from "../../../src/sds/types.ts";
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

test("roots are inline, with the revocation list if there is one", () => {
  const roots: Secret = { kind: "trust-bundle", rootsPem: "the roots" };
  expect(render(roots).fields.validation_context).toEqual({ trusted_ca: { inline_bytes: Buffer.from("the roots") } });
  expect(render(roots, { kind: "none" }, "the list").fields.validation_context).toEqual({
    trusted_ca: { inline_bytes: Buffer.from("the roots") },
    crl: { inline_bytes: Buffer.from("the list") },
  });
  expect(render(certificate, { kind: "none" }, "the list").value.includes("the list")).toBe(false);
});

const roots = (rootsPem: string): Secret => ({ kind: "trust-bundle", rootsPem });

function joined(stop: AbortSignal) {
  const secrets = new ObservableValue<Secret>();
  const lists = new ObservableValue<{ readonly crlPem: string | undefined }>();
  const crl = {
    async *watch(signal: AbortSignal) {
      for await (const { crlPem } of lists.watch(signal)) yield crlPem;
    },
  };
  return { secrets, lists, joint: withCrl((signal) => secrets.watch(signal), crl, stop) };
}

test("roots wait for the revocation list to be read, and are sent after each change of either", async () => {
  const stop = new AbortController();
  const { secrets, lists, joint } = joined(stop.signal);
  const first = joint.next();
  secrets.set(roots("a"));
  lists.set({ crlPem: undefined });
  expect((await first).value).toEqual({ secret: roots("a"), crlPem: undefined });
  lists.set({ crlPem: "list" });
  expect((await joint.next()).value).toEqual({ secret: roots("a"), crlPem: "list" });
  secrets.set(roots("b"));
  expect((await joint.next()).value).toEqual({ secret: roots("b"), crlPem: "list" });
  lists.set({ crlPem: undefined });
  expect((await joint.next()).value).toEqual({ secret: roots("b"), crlPem: undefined });
  stop.abort();
  expect((await joint.next()).done).toBe(true);
});

test("a reader that stops ends both watches", async () => {
  const { secrets, lists, joint } = joined(new AbortController().signal);
  secrets.set(roots("a"));
  lists.set({ crlPem: undefined });
  for await (const { crlPem } of joint) {
    expect(crlPem).toBeUndefined();
    break;
  }
  expect((await joint.next()).done).toBe(true);
});

test("a source that fails ends both watches with its error", async () => {
  const broken = async function* (): AsyncGenerator<Secret> {
    await Promise.resolve();
    throw new Error("no such bundle");
    yield roots("");
  };
  const lists = new ObservableValue<string>("list");
  const joint = withCrl(broken, { watch: (signal) => lists.watch(signal) }, new AbortController().signal);
  await expect(joint.next()).rejects.toThrow("no such bundle");
});
