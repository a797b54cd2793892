// SPDX-License-Identifier: Apache-2.0
import { createServer, type RequestListener } from "node:http";
import { expect, test } from "vitest";
import { AgentClient, hostPortOf } from "../../../src/diagnosis/agent-client.ts";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { listening } from "../../support/listening.ts";

const never = new AbortController().signal;

async function readFrom(respond: RequestListener): Promise<unknown> {
  await using server = await listening(createServer(respond));
  const agent = new AgentClient(new URL(`http://localhost:${String(server.port)}`), systemClock);
  return await agent.readJson("/debug/overview", never).catch((error: unknown) => String(error));
}

test.each<[string, number, string, string]>([
  ["a document", 200, "text", "not a JSON document; this is not an agent, or one of another version"],
  ["the loopback rule", 403, "", "only for programs in the pod; run the command there, or use kubectl port-forward"],
  ["a missing page", 404, "", "not found; the agent may be of another version, or run with --profiling=false"],
  ["a missing page, as an agent says it", 404, "404 page not found\n", "or run with --profiling=false"],
  ["an error", 503, "too much", "HTTP status 503: too much"],
])("%s is named", async (_what, status, body, message) => {
  expect(await readFrom((_request, response) => response.writeHead(status).end(body))).toContain(message);
});

test("a document is read, and a closed port names the cure", async () => {
  expect(await readFrom((_request, response) => response.end('{"a": 1}'))).toEqual({ a: 1 });
  const agent = new AgentClient(new URL("http://127.0.0.1:1"), systemClock);
  await expect(agent.readJson("/", never)).rejects.toThrow(/no agent responded at 127\.0\.0\.1:1: .*--address/);
});

test.each([
  ["http://[::1]:15020", { host: "::1", port: 15_020 }],
  ["http://agent.example/x", { host: "agent.example", port: 80 }],
  ["https://agent.example", { host: "agent.example", port: 443 }],
])("host and port of %s", (url, expected) => {
  expect(hostPortOf(new URL(url))).toEqual(expected);
});
