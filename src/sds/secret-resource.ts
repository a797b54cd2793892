// SPDX-License-Identifier: Apache-2.0
import { CryptoMbPrivateKeyMethodConfig } from "../gen/envoy/extensions/private_key_providers/cryptomb/v3alpha/cryptomb.ts";
import { QatPrivateKeyMethodConfig } from "../gen/envoy/extensions/private_key_providers/qat/v3alpha/qat.ts";
import { Secret as SecretMessage } from "../gen/envoy/extensions/transport_sockets/tls/v3/secret.ts";
import { ObservableValue } from "../lib/async/observable-value.ts";
import { runTasks } from "../lib/async/tasks.ts";
import type { Secret, WorkloadCertificate } from "../model/secret.ts";
import { isOwnTrust, type SecretName } from "./secret-name.ts";
import type { ValidatorConfig } from "./spiffe-validation.ts";
import type { CrlSource, PrivateKeyProvider, SecretSource } from "./types.ts";

export const secretTypeUrl = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

/** What a resource contains besides the secret itself. */
export interface ResourceOptions {
  /** For certificates: who does Envoy's operations with the key. */
  readonly privateKeyProvider: PrivateKeyProvider;
  /** For a trust bundle: the revocation list as PEM; undefined leaves it out. */
  readonly crlPem: string | undefined;
  /** For a trust bundle of several trust domains: verifies each by its own roots. */
  readonly validator?: ValidatorConfig | undefined;
}

export interface ResourceSources {
  readonly source: SecretSource;
  /** Undefined: `ROOTCA` has no revocation list. */
  readonly crl: CrlSource | undefined;
  readonly privateKeyProvider: PrivateKeyProvider;
}

/** The resource of a name, now and after each change of its secret, or of the revocation list for `ROOTCA`. */
export async function* watchResource(
  name: SecretName,
  { source, crl, privateKeyProvider }: ResourceSources,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void, undefined> {
  const watch = (stop: AbortSignal): AsyncIterable<Secret> => source.watch(name, stop);
  const render = async (secret: Secret, crlPem: string | undefined): Promise<Buffer> => {
    const validator = await validatorOf(secret, crlPem);
    return renderSecret(name.text, secret, { privateKeyProvider, crlPem, validator });
  };
  if (crl !== undefined && isOwnTrust(name)) {
    for await (const { secret, crlPem } of withCrl(watch, crl, signal)) {
      yield await render(secret, crlPem);
    }
    return;
  }
  for await (const secret of watch(signal)) yield await render(secret, undefined);
}

/** Loaded where there is more than one trust domain. */
async function validatorOf(secret: Secret, crlPem: string | undefined): Promise<ValidatorConfig | undefined> {
  if (secret.kind !== "trust-bundle" || secret.domains === undefined) return undefined;
  const { spiffeValidator } = await import("./spiffe-validation.ts");
  return spiffeValidator(secret.domains, crlPem);
}

/** A secret with the revocation list that is served with it, if any. */
export interface SecretWithCrl {
  readonly secret: Secret;
  readonly crlPem: string | undefined;
}

/**
 * Yields the newest secret with the newest list, after each change of either. Waits for both at first, so that roots are
 * never served without an existing list.
 * @throws what either source throws
 */
export async function* withCrl(
  secrets: (signal: AbortSignal) => AsyncIterable<Secret>,
  crl: CrlSource,
  signal: AbortSignal,
): AsyncGenerator<SecretWithCrl, void, undefined> {
  const newest = new ObservableValue<SecretWithCrl>();
  let secret: Secret | undefined;
  let list: { readonly crlPem: string | undefined } | undefined;
  const publish = (): void => {
    if (secret !== undefined && list !== undefined) newest.set({ secret, crlPem: list.crlPem });
  };
  const ended = new AbortController();
  const reading = runTasks(AbortSignal.any([signal, ended.signal]), [
    async (stop) => {
      for await (secret of secrets(stop)) publish();
    },
    async (stop) => {
      for await (const crlPem of crl.watch(stop)) {
        list = { crlPem };
        publish();
      }
    },
  ]);
  const finished = reading
    .catch(() => undefined)
    .then(() => {
      ended.abort();
    });
  try {
    yield* newest.watch(ended.signal);
    await reading;
  } finally {
    ended.abort();
    await finished;
  }
}

type Fields = Parameters<typeof SecretMessage.fromPartial>[0];
type TlsCertificateFields = Extract<NonNullable<Fields["type"]>, { $case: "tlsCertificate" }>["value"];

/**
 * A secret as the serialised `envoy.extensions.transport_sockets.tls.v3.Secret`, contents inline.
 * @param text the name in the request
 * Source: Envoy api/envoy/extensions/transport_sockets/tls/v3/{secret,common}.proto
 */
export function renderSecret(text: string, secret: Secret, options: ResourceOptions): Buffer {
  switch (secret.kind) {
    case "certificate": {
      const value = tlsCertificate(secret, options.privateKeyProvider);
      return encode({ name: text, type: { $case: "tlsCertificate", ...(value === undefined ? {} : { value }) } });
    }
    case "trust-bundle": {
      const { crlPem, validator } = options;
      const trustedCa = inline(secret.rootsPem);
      const plain = crlPem === undefined ? { trustedCa } : { trustedCa, crl: inline(crlPem) };
      const value = validator === undefined ? plain : { customValidatorConfig: validator };
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
