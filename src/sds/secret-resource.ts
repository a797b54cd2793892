// SPDX-License-Identifier: Apache-2.0
import { Secret as SecretMessage } from "../gen/envoy/extensions/transport_sockets/tls/v3/secret.ts";
import { CryptoMbPrivateKeyMethodConfig } from "../gen/envoy/extensions/private_key_providers/cryptomb/v3alpha/cryptomb.ts";
import { QatPrivateKeyMethodConfig } from "../gen/envoy/extensions/private_key_providers/qat/v3alpha/qat.ts";
import type { Secret, WorkloadCertificate } from "../model/secret.ts";
import type { PrivateKeyProvider } from "./sds-config.ts";

export const secretTypeUrl = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

/** What a certificate carries besides chain and key is decided by its provider; roots may have a revocation list. */
export interface SecretForm {
  readonly privateKeyProvider: PrivateKeyProvider;
  /** PEM, for a trust bundle; undefined leaves it out. */
  readonly crlPem: string | undefined;
}

/**
 * A secret as the serialised `envoy.extensions.transport_sockets.tls.v3.Secret`, contents inline.
 * @param text the name under which it was asked for
 * Source: Envoy api/envoy/extensions/transport_sockets/tls/v3/{secret,common}.proto
 */
export function renderSecret(text: string, secret: Secret, form: SecretForm): Uint8Array {
  switch (secret.kind) {
    case "certificate":
      return encode({ name: text, tlsCertificate: tlsCertificate(secret, form.privateKeyProvider) });
    case "trust-bundle":
      return encode({
        name: text,
        validationContext: {
          trustedCa: inline(secret.rootsPem),
          ...(form.crlPem === undefined ? {} : { crl: inline(form.crlPem) }),
        },
      });
  }
}

type SecretFields = Parameters<typeof SecretMessage.fromPartial>[0];

function encode(fields: SecretFields): Uint8Array {
  return SecretMessage.encode(SecretMessage.fromPartial(fields)).finish();
}

function tlsCertificate(
  certificate: WorkloadCertificate,
  provider: PrivateKeyProvider,
): SecretFields["tlsCertificate"] {
  const certificateChain = inline(certificate.chainPem);
  const privateKey = inline(certificate.keyPem);
  if (provider.kind === "none") return { certificateChain, privateKey };
  const settings = { privateKey, pollDelay: duration(provider.pollDelayMs) };
  const typedConfig =
    provider.kind === "cryptomb"
      ? {
          typeUrl:
            "type.googleapis.com/envoy.extensions.private_key_providers.cryptomb.v3alpha.CryptoMbPrivateKeyMethodConfig",
          value: CryptoMbPrivateKeyMethodConfig.encode(CryptoMbPrivateKeyMethodConfig.fromPartial(settings)).finish(),
        }
      : {
          typeUrl: "type.googleapis.com/envoy.extensions.private_key_providers.qat.v3alpha.QatPrivateKeyMethodConfig",
          value: QatPrivateKeyMethodConfig.encode(QatPrivateKeyMethodConfig.fromPartial(settings)).finish(),
        };
  return {
    certificateChain,
    privateKeyProvider: { providerName: provider.kind, typedConfig, fallback: provider.fallback },
  };
}

function inline(pem: string): { readonly inlineBytes: Uint8Array } {
  return { inlineBytes: Buffer.from(pem) };
}

/** Whole seconds and the rest. */
function duration(ms: number): { readonly seconds: number; readonly nanos: number } {
  const nanos = Math.round(ms * 1e6);
  return { seconds: Math.floor(nanos / 1e9), nanos: nanos % 1e9 };
}
