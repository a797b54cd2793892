// SPDX-License-Identifier: Apache-2.0
import { type HttpUri, TypedExtensionConfig } from "../../gen/envoy/config/core/v3/base.ts";
import { Wasm } from "../../gen/envoy/extensions/filters/http/wasm/v3/wasm.ts";
import { FailurePolicy, type PluginConfig, type VmConfig } from "../../gen/envoy/extensions/wasm/v3/wasm.ts";
import { contentOf } from "../protocol/response.ts";
import { bytesField, textField } from "../protocol/wire.ts";

/** Where a remote module is, and how it is fetched. */
export interface RemoteModule {
  readonly url: string;
  /** 64 hexadecimal digits in lower case; undefined when none is configured. Becomes a part of a path. */
  readonly sha256: string | undefined;
  /** For all attempts together; ten minutes at most, whatever is configured. */
  readonly timeoutMs: number;
  /** A docker configuration in JSON. */
  readonly pullSecret: string | undefined;
  readonly pullPolicy: "if-not-present" | "always" | "unspecified";
  readonly resourceVersion: string;
}

/** An extension configuration: `remote` needs its module fetched, `plain` is passed on unchanged. */
export type Extension =
  | { readonly kind: "plain" }
  | {
      readonly kind: "remote";
      readonly name: string;
      /** Undefined when the configuration has no location. */
      readonly module: RemoteModule | undefined;
      /** The same configuration with the module read from a file, as an Any. */
      withFile(path: string): Uint8Array;
      /** The replacement while the module is missing, by failure policy: a filter that allows or denies all. As an Any. */
      withoutModule(): Uint8Array;
    };

const prefix = "type.googleapis.com/";
const extensionType = `${prefix}envoy.config.core.v3.TypedExtensionConfig`;
const filters = {
  http: {
    wasm: `${prefix}envoy.extensions.filters.http.wasm.v3.Wasm`,
    rbac: `${prefix}envoy.extensions.filters.http.rbac.v3.RBAC`,
    statPrefix: 6,
  },
  network: {
    wasm: `${prefix}envoy.extensions.filters.network.wasm.v3.Wasm`,
    rbac: `${prefix}envoy.extensions.filters.network.rbac.v3.RBAC`,
    statPrefix: 3,
  },
} as const;
const typedStruct = `${prefix}udpa.type.v1.TypedStruct`;

/** The VM's environment variables that configure the agent. Source: observed with Istio 1.31 */
const agentVariables = {
  secret: "ISTIO_META_WASM_IMAGE_PULL_SECRET",
  policy: "ISTIO_META_WASM_IMAGE_PULL_POLICY",
  version: "ISTIO_META_WASM_PLUGIN_RESOURCE_VERSION",
};

const defaultTimeoutMs = 5_000;
const maxTimeoutMs = 600_000;

/**
 * Reads one ECDS resource.
 * @param any the resource's Any
 * @throws Error when it is not an extension configuration, or a Wasm filter without a module
 */
export async function parseExtension(any: Uint8Array): Promise<Extension> {
  const config = TypedExtensionConfig.decode(contentOf(any));
  if (config.typedConfig === undefined) throw new Error(`extension ${config.name} has no typed_config`);
  const { typeUrl, value } = await unwrap(config.typedConfig);
  const filter = Object.values(filters).find(({ wasm }) => wasm === typeUrl);
  if (filter === undefined) return { kind: "plain" };
  const message = Wasm.decode(value);
  const plugin = message.config;
  const vm = plugin?.vm?.value;
  const source = vm?.code?.specifier;
  if (plugin === undefined || vm === undefined || source === undefined)
    throw new Error(`extension ${config.name} names no Wasm module`);
  if (source.$case === "local") return { kind: "plain" };
  const { httpUri, sha256 } = source.value;
  return {
    kind: "remote",
    name: config.name,
    module: httpUri === undefined ? undefined : remoteModule(vm, httpUri, parseChecksum(config.name, sha256)),
    withFile: (path) => {
      const changed = {
        ...message,
        config: { ...plugin, vm: { $case: "vmConfig" as const, value: localVm(vm, path) } },
      };
      return wrap(config, typeUrl, Wasm.encode(changed).finish());
    },
    withoutModule: () => wrap(config, filter.rbac, renderRbac(filter.statPrefix, isOpen(plugin))),
  };
}

/** Whatever becomes a path is checked before. @throws Error when it is not a SHA-256 */
function parseChecksum(extension: string, text: string): string | undefined {
  if (text === "" || text === "nil") return undefined;
  const checksum = text.toLowerCase();
  if (!/^[0-9a-f]{64}$/.test(checksum)) throw new Error(`the sha256 of extension ${extension} is not 64 hex digits`);
  return checksum;
}

function remoteModule(vm: VmConfig, { uri, timeout }: HttpUri, sha256: RemoteModule["sha256"]): RemoteModule {
  const variables = vm.environmentVariables?.keyValues ?? {};
  const timeoutMs = timeout === undefined ? 0 : timeout.seconds * 1_000 + timeout.nanos / 1e6;
  return {
    url: uri,
    sha256,
    timeoutMs: timeoutMs > 0 ? Math.min(timeoutMs, maxTimeoutMs) : defaultTimeoutMs,
    pullSecret: variables[agentVariables.secret],
    pullPolicy: pullPolicyOf(variables[agentVariables.policy]),
    resourceVersion: variables[agentVariables.version] ?? "",
  };
}

/** A TypedStruct describes the filter in JSON; it is converted to the filter's message. */
async function unwrap(any: { readonly typeUrl: string; readonly value: Uint8Array }) {
  if (any.typeUrl !== typedStruct) return any;
  const { convertTypedStruct } = await import("./typed-struct.ts");
  return convertTypedStruct(any.value, new Set(Object.values(filters).map(({ wasm }) => wasm))) ?? any;
}

function localVm(vm: VmConfig, path: string): VmConfig {
  const code = {
    specifier: { $case: "local" as const, value: { specifier: { $case: "filename" as const, value: path } } },
  };
  const kept = Object.entries(vm.environmentVariables?.keyValues ?? {}).filter(
    ([name]) => !name.startsWith("ISTIO_META_"),
  );
  const hostEnvKeys = vm.environmentVariables?.hostEnvKeys ?? [];
  const { environmentVariables: _variables, ...rest } = vm;
  if (kept.length === 0 && hostEnvKeys.length === 0) return { ...rest, code, environmentVariables: undefined };
  return { ...rest, code, environmentVariables: { hostEnvKeys, keyValues: Object.fromEntries(kept) } };
}

function isOpen(plugin: PluginConfig): boolean {
  if (plugin.failurePolicy !== FailurePolicy.UNSPECIFIED) return plugin.failurePolicy === FailurePolicy.FAIL_OPEN;
  return plugin.failOpen;
}

/** RBAC without rules allows all; with empty rules it denies all. */
function renderRbac(statPrefixField: number, isOpenPolicy: boolean): Uint8Array {
  if (isOpenPolicy) return textField(statPrefixField, "wasm-default-allow");
  return Buffer.concat([bytesField(1, new Uint8Array(0)), textField(statPrefixField, "wasm-default-deny")]);
}

function wrap(config: TypedExtensionConfig, typeUrl: string, value: Uint8Array): Uint8Array {
  const changed = { ...config, typedConfig: { typeUrl, value: Buffer.from(value) } };
  return Buffer.concat([textField(1, extensionType), bytesField(2, TypedExtensionConfig.encode(changed).finish())]);
}

function pullPolicyOf(text: string | undefined): RemoteModule["pullPolicy"] {
  if (text === "IfNotPresent") return "if-not-present";
  return text === "Always" ? "always" : "unspecified";
}
