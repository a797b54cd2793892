// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { existsSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { isServed, listenUnix } from "../../../../src/lib/net/unix-socket.ts";
import { temporaryDirectory } from "../../../support/temporary-directory.ts";

const modeOf = (path: string): string => (statSync(path).mode & 0o777).toString(8);

test.each([0o600, 0o660, 0o666])("the socket file has the mode %o, whatever the umask is", async (mode) => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "new/s");
  const before = process.umask(0o077);
  try {
    await using _listener = await listenUnix({ path, mode });
    expect(modeOf(path)).toBe(mode.toString(8));
    expect(modeOf(join(directory.path, "new"))).toBe("700");
    expect(process.umask(0o077)).toBe(0o077);
  } finally {
    process.umask(before);
  }
});

test("a socket whose path has .. and no parents is served, at the path as written and at the plain one", async () => {
  await using directory = await temporaryDirectory();
  const path = `${directory.path}/run/istio/../proxy/XDS`;
  await using _listener = await listenUnix({ path, mode: 0o600 });
  expect([await isServed(path), await isServed(join(directory.path, "run/proxy/XDS"))]).toEqual([true, true]);
});

test.each([
  [0o600, "700"],
  [0o666, "711"],
])(
  "a directory made for a socket of mode %o lets through who may use the socket, and nobody look into it",
  async (mode, expected) => {
    await using directory = await temporaryDirectory();
    await using _listener = await listenUnix({ path: join(directory.path, "new/deep/s"), mode });
    expect([modeOf(join(directory.path, "new")), modeOf(join(directory.path, "new/deep"))]).toEqual([
      expected,
      expected,
    ]);
  },
);

test("connections made before anybody serves wait, and are handed over in order", async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "s");
  const listener = await listenUnix({ path, mode: 0o600 });
  await using _ = listener;
  const clients = [connect(path), connect(path)];
  await Promise.all(clients.map((client) => once(client, "connect")));
  for (const [index, client] of clients.entries()) client.write(String(index));
  const seen = Promise.withResolvers<readonly string[]>();
  const texts: string[] = [];
  listener.serve((socket) => {
    socket.on("data", (text: Buffer) => {
      texts.push(text.toString());
      if (texts.length === 3) seen.resolve(texts);
    });
    socket.resume();
  });
  clients.push(connect(path));
  clients[2]?.write("2");
  expect([...(await seen.promise)].sort()).toEqual(["0", "1", "2"]);
  const closed = clients.map((client) => once(client, "close"));
  await listener[Symbol.asyncDispose]();
  await Promise.all(closed);
  await listener[Symbol.asyncDispose]();
  expect(existsSync(path)).toBe(false);
});

test("a socket that a live process serves is left to it", async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "s");
  await using _live = await listenUnix({ path, mode: 0o600 });
  await expect(listenUnix({ path, mode: 0o600 })).rejects.toMatchObject({
    code: "AGENT_SOCKET_UNAVAILABLE",
    taken: true,
    path,
  });
  expect(await isServed(path)).toBe(true);
});

test("a socket file that nobody serves any more is replaced", async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "s");
  {
    await using _dead = await listenUnix({ path: `${path}.old`, mode: 0o600 });
    renameSync(`${path}.old`, path);
  }
  expect(statSync(path).isSocket()).toBe(true);
  await using _listener = await listenUnix({ path, mode: 0o600 });
  expect(await isServed(path)).toBe(true);
});

test("a file of another kind is left alone, and so is a directory that cannot be made", async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "s");
  writeFileSync(path, "precious");
  for (const wrong of [path, join(path, "s")]) {
    await expect(listenUnix({ path: wrong, mode: 0o600 })).rejects.toMatchObject({
      code: "AGENT_SOCKET_UNAVAILABLE",
      taken: false,
    });
  }
  expect(readFileSync(path, "utf8")).toBe("precious");
});
