// SPDX-License-Identifier: Apache-2.0
import { createServer } from "node:http";
import { expect, test } from "vitest";
import { createCloudToken } from "../../../src/ca/bearer-token.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { testBudgets } from "../../support/budgets.ts";

const never = new AbortController().signal;

function jwt(expiresMs: number, claims: object = {}): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "RS256" })}.${part({ exp: expiresMs / 1_000, ...claims })}.c2ln`;
}

test("R30: the machine's token is fetched once, kept in memory, and still used while its server fails", async () => {
  const clock = new FakeClock();
  const hourMs = 3_600_000;
  const asked: string[] = [];
  let isDown = false;
  const server = createServer((request, response) => {
    asked.push(`${String(request.headers["metadata-flavor"])} ${String(request.url)}`);
    response.writeHead(isDown ? 500 : 200).end(isDown ? "" : jwt(clock.now() + hourMs));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  try {
    const read = createCloudToken(
      { host: "127.0.0.1", port, audience: "cluster.local" },
      { clock, budgets: testBudgets() },
    );
    const first = await read(never);
    expect(first).toEqual({ kind: "usable", text: jwt(clock.now() + hourMs) });
    expect(await read(never)).toEqual(first);
    expect(asked).toEqual([
      "Google /computeMetadata/v1/instance/service-accounts/default/identity?audience=cluster.local&format=full",
    ]);
    isDown = true;
    await clock.advance(hourMs / 2 + 10 * 60_000);
    expect(await read(never)).toEqual(first);
    await clock.advance(hourMs / 2);
    expect(await read(never)).toMatchObject({ kind: "unusable" });
    isDown = false;
    expect(await read(never)).toMatchObject({ kind: "usable" });
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

test.each([
  ["back", -7 * 86_400_000],
  ["forward", 7 * 86_400_000],
])("a clock that is set %s by a week neither keeps an old token nor rejects a new one", async (_, stepMs) => {
  const clock = new FakeClock();
  const issuer = new FakeClock();
  const hourMs = 3_600_000;
  let asked = 0;
  const server = createServer((_request, response) => {
    asked++;
    response.end(jwt(issuer.now() + hourMs, { iat: issuer.now() / 1_000 }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  try {
    const budgets = testBudgets();
    const read = createCloudToken({ host: "127.0.0.1", port, audience: "cluster.local" }, { clock, budgets });
    await read(never);
    clock.jump(stepMs);
    await clock.advance(hourMs);
    await issuer.advance(hourMs);
    const fresh = { kind: "usable", text: jwt(issuer.now() + hourMs, { iat: issuer.now() / 1_000 }) };
    expect(await read(never)).toEqual(fresh);
    expect(asked).toBe(2);
    expect(await read(never)).toEqual(fresh);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});
