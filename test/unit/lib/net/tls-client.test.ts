// SPDX-License-Identifier: Apache-2.0
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createTlsClient } from "../../../../src/lib/net/tls-client.ts";
import { newKey, publicKeyOf, testAuthority } from "../../../support/test-authority.ts";
import { temporaryDirectory } from "../../../support/temporary-directory.ts";

const nowMs = Date.parse("2026-01-01T00:00:00Z");
const hourMs = 3_600_000;

test("the TLS library's state is kept until a file has another content, or a certificate has expired", async () => {
  await using directory = await temporaryDirectory();
  const at = (name: string): string => join(directory.path, name);
  const authority = testAuthority("mesh", nowMs);
  const key = newKey();
  await writeFile(at("root.pem"), authority.rootPem);
  await writeFile(at("chain.pem"), authority.issue({ publicKey: publicKeyOf(key) }, nowMs));
  await writeFile(at("key.pem"), key.export({ type: "pkcs8", format: "pem" }));
  const client = createTlsClient({
    serverName: "istiod.istio-system.svc",
    roots: { kind: "file", path: at("root.pem") },
    client: { chainPath: at("chain.pem"), keyPath: at("key.pem") },
    policy: "default",
  });
  const contextAt = async (ms: number) => (await client.options(ms)).secureContext;
  const first = await contextAt(nowMs);
  await writeFile(at("root.pem"), authority.rootPem);
  expect(await contextAt(nowMs + 1_000)).toBe(first);
  await writeFile(at("root.pem"), testAuthority("next", nowMs).rootPem);
  const second = await contextAt(nowMs + 2_000);
  expect(second).not.toBe(first);
  expect(await contextAt(nowMs + 3_000)).toBe(second);
  expect(await contextAt(nowMs + 2 * hourMs)).not.toBe(second);
});

test("with the system's roots it is made once", async () => {
  const client = createTlsClient({
    serverName: "10.0.0.1",
    roots: { kind: "system" },
    client: undefined,
    policy: "fips-140-3",
  });
  const first = await client.options(nowMs);
  expect(first).toMatchObject({ host: "10.0.0.1" });
  expect(first.servername).toBeUndefined();
  expect((await client.options(nowMs)).secureContext).toBe(first.secureContext);
});
