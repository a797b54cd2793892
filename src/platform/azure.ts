// SPDX-License-Identifier: Apache-2.0
import { type JsonObject, isJsonObject, listOf, objectOf, parseJsonObject, textOf } from "../lib/json.ts";
import { type MetadataGet, type PlatformFacts, knownFacts } from "./platform-facts.ts";

const headers = { metadata: "True" };
const oldestVersion = "2019-08-15";

/**
 * The facts of an Azure machine; undefined elsewhere. The newest version that the server knows is used.
 * Source: Azure's instance metadata service
 */
export async function readAzure(get: MetadataGet): Promise<PlatformFacts | undefined> {
  const versions = parseJsonObject((await get(`/metadata/instance?api-version=${oldestVersion}`, { headers })) ?? "");
  const newest = listOf(versions?.["newest-versions"]).map(textOf).sort().at(-1) || oldestVersion;
  const document = parseJsonObject((await get(`/metadata/instance?api-version=${newest}`, { headers })) ?? "");
  const compute = document?.["compute"];
  if (!isJsonObject(compute)) return undefined;
  const text = (name: string): string => textOf(compute[name]);
  return {
    metadata: knownFacts({
      azure_name: text("name"),
      azure_location: text("location"),
      azure_vmId: text("vmId"),
      ...tagsOf(compute),
    }),
    locality: { region: text("location"), zone: text("zone"), subZone: "" },
  };
}

/** As a list of names and values, or in one text: `name:value;name:value`. */
function tagsOf(compute: JsonObject): Readonly<Record<string, string>> {
  const list = listOf(compute["tagsList"]).map(objectOf);
  const pairs =
    list.length > 0
      ? list.map((tag) => [textOf(tag["name"]), textOf(tag["value"])] as const)
      : textOf(compute["tags"])
          .split(";")
          .map((pair) => {
            const [name = "", ...value] = pair.split(":");
            return [name, value.join(":")] as const;
          });
  return Object.fromEntries(pairs.filter(([name]) => name !== "").map(([name, value]) => [`azure_${name}`, value]));
}
