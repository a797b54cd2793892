// SPDX-License-Identifier: Apache-2.0
import { type JsonObject, type JsonValue, isJsonList, isJsonObject, toJsonValue } from "../../lib/json.ts";
import { isIpv6 } from "../../lib/net/ip-address.ts";
import { documentProblem } from "../sources/documents.ts";
import { setHostIp } from "../sources/unexpanded.ts";
import type { Sources } from "../sources/sources.ts";

/** The content of the override file, with `$(HOST_IP)` replaced. */
export function bootstrapOverride({ env, input, findings }: Sources): JsonObject | undefined {
  const path = env.string("ISTIO_BOOTSTRAP_OVERRIDE");
  if (path === "") return undefined;
  const source = `ISTIO_BOOTSTRAP_OVERRIDE ${path}`;
  const file = input.readFile(path);
  if (file.kind !== "text") {
    findings.problem(
      source,
      file.kind === "absent" ? "there is no such file; mount it or unset the variable" : file.problem,
    );
    return undefined;
  }
  try {
    const value = toJsonValue(input.parseDocument(file.text) ?? null);
    if (value === null) return undefined;
    const hostIp = env.string("HOST_IP");
    if (hostIp === "" && file.text.includes("$(HOST_IP)")) {
      findings.warn("HOST_IP", `is not set, so $(HOST_IP) in ${path} becomes empty; ${setHostIp}`);
    }
    const replaced = replaceHostIp(value, hostIp);
    if (isJsonObject(replaced)) return replaced;
    findings.problem(source, "must be an object: parts of Envoy's bootstrap");
    return undefined;
  } catch (error) {
    findings.problem(source, documentProblem(error));
    return undefined;
  }
}

/** Replaces `$(HOST_IP)` in every text and name. An IPv6 address gets brackets where it has none. */
function replaceHostIp(value: JsonValue, hostIp: string): JsonValue {
  const inText = (text: string): string => {
    if (!isIpv6(hostIp)) return text.replaceAll("$(HOST_IP)", () => hostIp);
    return text.replaceAll(/\[\$\(HOST_IP\)\]|\$\(HOST_IP\)/g, () => `[${hostIp}]`);
  };
  const replace = (item: JsonValue): JsonValue => {
    if (typeof item === "string") return inText(item);
    if (isJsonObject(item))
      return Object.fromEntries(Object.entries(item).map(([key, inner]) => [inText(key), replace(inner)]));
    return isJsonList(item) ? item.map(replace) : item;
  };
  return replace(value);
}
