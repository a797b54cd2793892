// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { peerProcess } from "../../../../src/lib/net/peer-process.ts";
import { listenUnix } from "../../../../src/lib/net/unix-socket.ts";
import { temporaryDirectory } from "../../../support/temporary-directory.ts";

test("the process that made a connection to a Unix socket is known, until the connection is closed", async () => {
  await using directory = await temporaryDirectory();
  await using listener = await listenUnix({ path: join(directory.path, "s"), mode: 0o600 });
  const accepted: Socket[] = [];
  const next = Promise.withResolvers<Socket>();
  listener.serve((socket) => {
    accepted.push(socket);
    if (accepted.length === 2) next.resolve(socket);
  });
  const own = connect(listener.path);
  await once(own, "connect");
  const script = `require("node:net").connect(${JSON.stringify(listener.path)})`;
  const child = spawn(process.execPath, ["-e", script], { stdio: "ignore" });
  try {
    await next.promise;
    expect(accepted.map(peerProcess)).toEqual([process.pid, child.pid]);
    for (const socket of accepted) socket.destroy();
    expect(accepted.map(peerProcess)).toEqual([undefined, undefined]);
  } finally {
    own.destroy();
    child.kill("SIGKILL");
    await once(child, "exit");
  }
});
