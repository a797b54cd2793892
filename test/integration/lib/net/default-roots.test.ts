// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { runProgram } from "../../../support/run-program.ts";

const client = new URL("../../../../src/lib/net/http-client.ts", import.meta.url).href;

/** Sends requests that find no server, and tells after each whether Node's own roots are trusted. */
const program = `
  import { getCACertificates } from "node:tls";
  import { requestHttp } from ${JSON.stringify(client)};
  // the two differ in their line breaks
  const listOf = (kind) => getCACertificates(kind).map((root) => root.replaceAll("\\n", ""));
  const trusted = [];
  const ask = async (connection) => {
    await requestHttp({ url: new URL("https://127.0.0.1:1/"), connection: () => connection }).catch(() => undefined);
    const roots = new Set(listOf("default"));
    trusted.push(listOf("bundled").every((root) => roots.has(root)));
  };
  for (const connection of JSON.parse(process.argv[1])) await ask(connection);
  process.stdout.write(JSON.stringify(trusted));
`;

async function trustedAfter(connections: readonly object[]): Promise<unknown> {
  const args = ["--use-openssl-ca", "--input-type=module", "--eval", program, JSON.stringify(connections)];
  const { code, stdout, stderr } = await runProgram("node", args);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return JSON.parse(stdout);
}

test("Node's own roots are loaded when a server is verified with them, and not before", async () => {
  expect(await trustedAfter([{ tls: { rejectUnauthorized: false } }, { tls: { ca: [] } }, {}])).toEqual([
    false,
    false,
    true,
  ]);
});

test("a proxy that is reached over TLS is verified with Node's own roots", async () => {
  const tls = { rejectUnauthorized: false };
  const plain = { tls, proxies: { HTTPS_PROXY: "http://127.0.0.1:1" } };
  expect(await trustedAfter([plain, { tls, proxies: { HTTPS_PROXY: "https://127.0.0.1:1" } }])).toEqual([false, true]);
});
