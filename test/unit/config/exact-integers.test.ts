// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { renderBootstrap } from "../../../src/bootstrap/index.ts";
import { effectiveSettings, parseConfig, redactSecrets } from "../../../src/config/index.ts";
import { podEnv, type TestInput, testInput } from "../../support/parity-case.ts";

const beyond = "18446744073709551615";

function inputOf({ env = {}, ...more }: TestInput) {
  return testInput({ ...more, env: { ...podEnv, ...env } });
}

/** What Envoy is given as its bootstrap, as text. */
function bootstrapText(input: TestInput): string {
  const { bootstrap } = parseConfig(inputOf(input));
  return bootstrap.kind === "generated" ? JSON.stringify(renderBootstrap(bootstrap.config)) : "";
}

test.each([
  ["JSON", `{"overload_manager":{"max_heap":${beyond},"list":[-9007199254740993]}}`],
  ["YAML", `overload_manager:\n  max_heap: ${beyond}\n  list: [-9007199254740993]\n`],
])("an integer above 2^53 in a bootstrap override of %s keeps its digits", (_form, text) => {
  const env = { ISTIO_BOOTSTRAP_OVERRIDE: "override", HOST_IP: "10.0.0.9" };
  const { bootstrap } = parseConfig(inputOf({ env, files: new Map([["override", text]]) }));
  expect(bootstrap.kind === "generated" ? JSON.stringify(bootstrap.override) : "").toBe(
    `{"overload_manager":{"max_heap":${beyond},"list":[-9007199254740993]}}`,
  );
});

test("an integer above 2^53 in the node's metadata keeps its digits", () => {
  const env = {
    ISTIO_METAJSON_NUMBERS: `{"serial":${beyond},"inner":{"list":[${beyond}]}}`,
    ISTIO_META_LOAD_STATS_CONFIG_JSON: `{"interval":${beyond}}`,
  };
  const text = bootstrapText({ env });
  expect(text).toContain(`"serial":${beyond}`);
  expect(text).toContain(`"inner":{"list":[${beyond}]}`);
  expect(text).toContain(`"load_stats_config":{"interval":${beyond}}`);
});

test.each([
  ["JSON", `{"tracing":{"stackdriver":{"maxNumberOfAttributes":${beyond}}}}`],
  ["YAML", `tracing: {stackdriver: {maxNumberOfAttributes: ${beyond}}}`],
])(
  "an integer above 2^53 in a ProxyConfig of %s keeps its digits, in the bootstrap and in what is explained",
  (_form, text) => {
    const input = { env: { PROXY_CONFIG: text } };
    expect(bootstrapText(input)).toContain(`"maxNumberOfAttributes":${beyond}`);
    const explained = effectiveSettings(inputOf(input)).find(({ name }) => name === "tracing");
    expect(JSON.stringify(explained?.value)).toContain(beyond);
  },
);

test("an integer above 2^53 in a mesh file keeps its digits", () => {
  const text = `{"defaultConfig":{"tracing":{"stackdriver":{"maxNumberOfAttributes":${beyond}}}}}`;
  expect(bootstrapText({ files: new Map([["etc/istio/config/mesh", text]]) })).toContain(beyond);
});

test("an integer above 2^53 stays when secrets are taken out of a document", () => {
  const { node } = parseConfig(inputOf({ env: { ISTIO_METAJSON_NUMBERS: `{"serial":${beyond}}` } }));
  expect(JSON.stringify(redactSecrets(node.metadata))).toContain(`"serial":${beyond}`);
});

test("an integer that no field of 32 bits holds is a problem that shows it", () => {
  const parse = () => parseConfig(inputOf({ env: { PROXY_CONFIG: `{"statNameLength":${beyond}}` } }));
  expect(parse).toThrow(`must be a whole number of 32 bits, not the number ${beyond}`);
});
