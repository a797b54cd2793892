// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { agentUrl } from "../../../src/cli/agent-address.ts";

test.each([
  ["", "http://localhost:15020/"],
  ["8080", "http://localhost:8080/"],
  ["10.0.0.1:15020", "http://10.0.0.1:15020/"],
  ["[::1]:15020", "http://[::1]:15020/"],
  ["http://pod:15020", "http://pod:15020/"],
])("%j is the agent at %s", async (address, url) => {
  expect((await agentUrl("status", address, {})).href).toBe(url);
});

test("the configured status port is the default", async () => {
  expect((await agentUrl("status", "", { PROXY_CONFIG: '{"statusPort": 15999}' })).port).toBe("15999");
});

test("an address that is none is named", async () => {
  await expect(agentUrl("status", "10.0.0.1", {})).rejects.toThrow("attache status: --address: ");
  await expect(agentUrl("status", "http://[", {})).rejects.toThrow("is not a URL");
});
