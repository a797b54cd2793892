// SPDX-License-Identifier: Apache-2.0
import { CryptoMbPrivateKeyMethodConfig } from "../gen/envoy/extensions/private_key_providers/cryptomb/v3alpha/cryptomb.ts";
import { QatPrivateKeyMethodConfig } from "../gen/envoy/extensions/private_key_providers/qat/v3alpha/qat.ts";
import { Secret as SecretMessage } from "../gen/envoy/extensions/transport_sockets/tls/v3/secret.ts";
import type { Secret, WorkloadCertificate } from "../model/secret.ts";
import type { PrivateKeyProvider } from "./sds-config.ts";

export const secretTypeUrl = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

/** What goes into a resource besides the secret itself. */
export interface SecretForm {
  /** For certificates: who does Envoy's operations with the key. */
  readonly privateKeyProvider: PrivateKeyProvider;
  /** For a trust bundle: the revocation list as PEM; undefined leaves it out. */
  readonly crlPem: string | undefined;
}

type Fields = Parameters<typeof SecretMessage.fromPartial>[0];
type TlsCertificateFields = Extract<NonNullable<Fields["type"]>, { $case: "tlsCertificate" }>["value"];

/**
 * A secret as the serialised `envoy.extensions.transport_sockets.tls.v3.Secret`, contents inline.
 * @param text the name under which it was asked for
 * Source: Envoy api/envoy/extensions/transport_sockets/tls/v3/{secret,common}.proto
 */
export function renderSecret(text: string, secret: Secret, form: SecretForm): Buffer {
  switch (secret.kind) {
    case "certificate": {
      const value = tlsCertificate(secret, form.privateKeyProvider);
      return encode({ name: text, type: { $case: "tlsCertificate", ...(value === undefined ? {} : { value }) } });
    }
    case "trust-bundle": {
      const trustedCa = inline(secret.rootsPem);
      const value = form.crlPem === undefined ? { trustedCa } : { trustedCa, crl: inline(form.crlPem) };
      return encode({ name: text, type: { $case: "validationContext", value } });
    }
  }
}

function encode(fields: Fields): Buffer {
  return bufferOf(SecretMessage.encode(SecretMessage.fromPartial(fields)).finish());
}

function tlsCertificate(certificate: WorkloadCertificate, provider: PrivateKeyProvider): TlsCertificateFields {
  const certificateChain = inline(certificate.chainPem);
  const privateKey = inline(certificate.keyPem);
  if (provider.kind === "none") return { certificateChain, privateKey };
  const settings = { privateKey, pollDelay: duration(provider.pollDelayMs) };
  const value =
    provider.kind === "cryptomb"
      ? {
          typeUrl:
            "type.googleapis.com/envoy.extensions.private_key_providers.cryptomb.v3alpha.CryptoMbPrivateKeyMethodConfig",
          value: bufferOf(
            CryptoMbPrivateKeyMethodConfig.encode(CryptoMbPrivateKeyMethodConfig.fromPartial(settings)).finish(),
          ),
        }
      : {
          typeUrl: "type.googleapis.com/envoy.extensions.private_key_providers.qat.v3alpha.QatPrivateKeyMethodConfig",
          value: bufferOf(QatPrivateKeyMethodConfig.encode(QatPrivateKeyMethodConfig.fromPartial(settings)).finish()),
        };
  return {
    certificateChain,
    privateKeyProvider: {
      providerName: provider.kind,
      configType: { $case: "typedConfig", value },
      fallback: provider.fallback,
    },
  };
}

function inline(pem: string) {
  return { specifier: { $case: "inlineBytes" as const, value: Buffer.from(pem) } };
}

/** Whole seconds and the rest. */
function duration(ms: number): { readonly seconds: number; readonly nanos: number } {
  const nanos = Math.round(ms * 1e6);
  return { seconds: Math.floor(nanos / 1e9), nanos: nanos % 1e9 };
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
