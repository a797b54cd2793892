// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { ConfigError, Findings } from "../../../../src/config/config-error.ts";
import { parseScrapeTargets } from "../../../../src/config/sections/scrape-targets.ts";

function parse(value: unknown, statusPort = 15_020): readonly string[] | string {
  const findings = new Findings();
  const targets = parseScrapeTargets(typeof value === "string" ? value : JSON.stringify(value), statusPort, findings);
  try {
    findings.assertValid();
  } catch (error) {
    return error instanceof ConfigError ? error.message : String(error);
  }
  return targets.map(({ scheme, host, port, path }) => `${scheme}://${host}:${String(port)}${path}`);
}

test.each([
  [{ scrape: "true" }, ["http://localhost:80/metrics"]],
  [{ port: "8080", path: "/prom" }, ["http://localhost:8080/prom"]],
  [{ scrape: "false", port: "15020" }, []],
  [{ scrape: "FALSE", port: "15020" }, []],
  [{ scrape: "0" }, []],
  [{ scrape: "no" }, ["http://localhost:80/metrics"]],
  [{ port: "80", targets: [{ port: "8080" }] }, ["http://localhost:8080/metrics"]],
  [
    { targets: [{ port: "8080", path: "/a?b=c" }, { port: "08081" }] },
    ["http://localhost:8080/a?b=c", "http://localhost:8081/metrics"],
  ],
  [{ targets: [{ port: "1", host: "10.0.0.1", scheme: "HTTPS" }] }, ["https://10.0.0.1:1/metrics"]],
])("M17 %j is scraped at %j", (value, expected) => {
  expect(parse(value)).toEqual(expected);
});

test.each([
  ["one", [{ port: "8080", path: "/a" }], ["8080/a"]],
  ["two", [{ port: "8080", path: "/a" }, { port: "9090" }], ["8080/a", "9090/metrics"]],
  ["no path", [{ port: "8080" }], ["8080/metrics"]],
  ["an empty path", [{ port: "8080", path: "" }], ["8080/metrics"]],
  ["a path without a slash", [{ port: "8080", path: "a" }], ["8080/a"]],
  ["a space in the path", [{ port: "8080", path: "/a b" }], ["8080/a%20b"]],
  ["none at all", [], ["80/metrics"]],
  ["the same port twice", [{ port: "8080" }, { port: "8080", path: "/b" }], ["8080/metrics", "8080/b"]],
  ["a query in the path", [{ port: "8080", path: "/a?b=c&d=%20" }], ["8080/a?b=c&d=%20"]],
])("M15 a list of targets with %s", (_name, targets, expected) => {
  expect(parse({ targets })).toEqual(expected.map((target) => `http://localhost:${target}`));
});

test.each([
  ["an empty port", { targets: [{ port: "8080" }, { port: "" }] }, /"" must be a number from 1 to 65535/],
  ["something that is no target", { targets: [{ port: "8080" }, "9090"] }, /targets must be a list of objects/],
  ["no list", { targets: "8080" }, /targets must be a list of objects/],
  ["a host that ends the line", { targets: [{ port: "1", host: "a\r\nX: y" }] }, /is not a host name or an address/],
])("M15 a list of targets with %s is rejected", (_name, value, message) => {
  expect(parse(value)).toMatch(message);
});

test.each(["15000", "15001", "15004", "15006", "15008", "15020", "015020", "15021", "15053", "15090"])(
  "M16 port %s is rejected with its purpose",
  (port) => {
    expect(parse({ port })).toMatch(/ISTIO_PROMETHEUS_ANNOTATIONS: port \d+ is reserved for /);
  },
);

test.each(["80", "8080", "9090", "15002", "15007", "15091", "15099"])("M16 port %s is free", (port) => {
  expect(parse({ port })).toEqual([`http://localhost:${port}/metrics`]);
});

test.each([
  [{ port: "abc" }, /"abc" must be a number from 1 to 65535/],
  [{ port: "0" }, /must be a number/],
  [{ port: "70000" }, /must be a number/],
  [{ port: "9999" }, /reserved for the agent's status server/],
  [{ targets: [{ port: "8080" }, { port: "15090" }] }, /15090/],
  [{ port: 8080 }, /must be a string/],
  ["", /is not a JSON object/],
])("M17 %j is rejected", (value, message) => {
  expect(parse(value, 9_999)).toMatch(message);
});
