// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import {
  camelCase,
  camelCaseMessage,
  mapFields,
  structFields,
} from "../../../../src/diagnosis/config-dump/proto-json.ts";
import { readProtos } from "./dump-fixtures.ts";

test("names become those of Protobuf's JSON mapping; keys of maps and documents stay", () => {
  const message = {
    connect_timeout: "0.250s",
    consecutive_5xx: 5,
    metadata: { filter_metadata: { my_filter: { inner_key: 1 } } },
    typed_per_filter_config: {
      "my.filter_name": { "@type": "x/xds.type.v3.TypedStruct", type_url: "t", value: { a_b: 1 } },
    },
    node: { metadata: { MY_NAME: { snake_key: 1 } }, user_agent_build_version: { metadata: { "build.label": "x" } } },
    transport_socket_matches: [{ match: { tls_mode: "istio" }, transport_socket: { typed_config: { common_tls: 1 } } }],
    routes: [{ match: { safe_regex: {} } }],
    rules: { policies: { my_policy: { principal_list: [{ and_ids: {} }] } } },
    load_balancing_policy: { policies: [{ typed_extension_config: {} }] },
  };
  expect(camelCaseMessage(message)).toEqual({
    connectTimeout: "0.250s",
    consecutive5xx: 5,
    metadata: { filterMetadata: { my_filter: { inner_key: 1 } } },
    typedPerFilterConfig: {
      "my.filter_name": { "@type": "x/xds.type.v3.TypedStruct", typeUrl: "t", value: { a_b: 1 } },
    },
    node: { metadata: { MY_NAME: { snake_key: 1 } }, userAgentBuildVersion: { metadata: { "build.label": "x" } } },
    transportSocketMatches: [{ match: { tls_mode: "istio" }, transportSocket: { typedConfig: { commonTls: 1 } } }],
    routes: [{ match: { safeRegex: {} } }],
    rules: { policies: { my_policy: { principalList: [{ andIds: {} }] } } },
    loadBalancingPolicy: { policies: [{ typedExtensionConfig: {} }] },
  });
  expect(camelCaseMessage(camelCaseMessage(message))).toEqual(camelCaseMessage(message));
});

interface FreeField {
  readonly name: string;
  readonly isMap: boolean;
}

/** Fields of the messages in a dump whose names are data. */
function freeFields(): readonly FreeField[] {
  const texts = readProtos(["envoy-api/envoy/config", "envoy-api/envoy/extensions", "xds/xds/type"]);
  return texts.flatMap((text) => [
    ...Array.from(text.matchAll(/\bmap\s*<[^>]*>\s+(\w+)\s*=/g), ([, name = ""]) => ({ name, isMap: true })),
    ...Array.from(text.matchAll(/\bgoogle\.protobuf\.Struct\s+(\w+)\s*=/g), ([, name = ""]) => ({
      name,
      isMap: false,
    })),
  ]);
}

/** Fields of the same name that are messages elsewhere: told apart by the field around them. */
const toldApart = new Set(["metadata", "match", "config", "value"]);

test("every map and every document of Envoy's API is known", () => {
  const fields = freeFields();
  expect(fields.length).toBeGreaterThan(40);
  for (const { name, isMap } of fields) {
    const known = isMap ? mapFields : structFields;
    const isKnown = known.has(camelCase(name)) || structFields.has(camelCase(name)) || toldApart.has(name);
    expect([name, isKnown]).toEqual([name, true]);
  }
});
