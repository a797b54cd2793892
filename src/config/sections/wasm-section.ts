// SPDX-License-Identifier: Apache-2.0
import { resolve } from "node:path";
import type { WasmConfig, WasmProxies } from "../../xds/xds-config.ts";
import type { Sources } from "../sources/sources.ts";

/** How Wasm modules are fetched for Envoy; undefined: Envoy fetches them itself. */
export function wasmConfig({ env, input }: Pick<Sources, "env" | "input">): WasmConfig | undefined {
  if (!env.bool("ISTIO_AGENT_ENABLE_WASM_REMOTE_LOAD_CONVERSION")) return undefined;
  return {
    cacheDirectory: resolve(input.system.directory, env.string("ATTACHE_WASM_CACHE_DIR")),
    requestTimeoutMs: env.durationMs("WASM_HTTP_REQUEST_TIMEOUT"),
    maxAttempts: env.int("WASM_HTTP_REQUEST_MAX_RETRIES"),
    maxModuleBytes: env.int("ISTIO_WASM_MAX_BINARY_SIZE_BYTES"),
    insecureRegistries: new Set(listOf(env.string("WASM_INSECURE_REGISTRIES"))),
    blockedCidrs: listOf(env.string("BLOCKED_CIDRS_IN_WASM_FETCH")),
    proxies: proxiesOf(env.all),
    expiryMs: env.durationMs("WASM_MODULE_EXPIRY"),
    purgeEveryMs: env.durationMs("WASM_PURGE_INTERVAL"),
  };
}

function listOf(text: string): readonly string[] {
  return text
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");
}

/** Source: the variables of Go's HTTP client */
function proxiesOf(all: Readonly<Record<string, string | undefined>>): WasmProxies {
  const http = all["HTTP_PROXY"] ?? all["http_proxy"] ?? "";
  const https = all["HTTPS_PROXY"] ?? all["https_proxy"] ?? "";
  const exceptions = all["NO_PROXY"] ?? all["no_proxy"] ?? "";
  return {
    ...(http === "" ? {} : { HTTP_PROXY: withScheme(http) }),
    ...(https === "" ? {} : { HTTPS_PROXY: withScheme(https) }),
    ...(exceptions === "" ? {} : { NO_PROXY: exceptions }),
  };
}

function withScheme(proxy: string): string {
  return proxy.includes("://") ? proxy : `http://${proxy}`;
}
