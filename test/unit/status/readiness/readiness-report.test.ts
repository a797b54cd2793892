// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { renderTermination, StatusPortError } from "../../../../src/status/index.ts";

test("the message of an agent that dies unready names the cause, what was pending, and how far the start got", () => {
  const cause = new StatusPortError(
    15_020,
    "nginx (process 17)",
    Object.assign(new Error("taken"), { code: "EADDRINUSE" }),
  );
  const pending = [
    { name: "identity", sinceMs: 0, detail: "no certificate asked for yet", gates: true, isNote: false },
  ];
  const envoy = { name: "envoy", state: "failed", detail: "no configuration", children: [] } as const;
  expect(
    renderTermination({ cause, pending, envoy, phases: [{ name: "bootstrap written", atMs: 12 }] }),
  ).toBe(`ready: no
[-] AGENT_STATUS_PORT: listen on status port 15020: nginx (process 17) already listens there; stop it, or set statusPort in PROXY_CONFIG to a free port: taken
[-] envoy: no configuration
[-] identity: no certificate asked for yet (since 1970-01-01T00:00:00.000Z)

start:
  bootstrap written        0.0 ms  +12.0 ms
`);
});

test("the message is cut to what Kubernetes shows, at a whole character", () => {
  const text = renderTermination({ cause: new Error("é".repeat(5_000)), pending: [], phases: [] });
  expect(Buffer.byteLength(text)).toBeLessThanOrEqual(4_096);
  expect(text).not.toContain("\uFFFD");
});
