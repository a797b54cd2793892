// SPDX-License-Identifier: Apache-2.0
import { existsSync, lstatSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { renderPrivateKey } from "../../src/cert/csr.ts";
import { systemClock } from "../../src/lib/async/clock.ts";
import { listenUnix } from "../../src/lib/net/unix-socket.ts";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { contentOf, SdsClient } from "../fakes/sds-client.ts";
import { eventually } from "../support/eventually.ts";
import { type Pod, startPod } from "../support/pod.ts";
import { newKey, publicKeyOf, testAuthority, testSpiffeId } from "../support/test-authority.ts";
import { startTestServer, type TestServer } from "./sds/test-server.ts";

const sockets = "var/run/secrets/workload-spiffe-uds";

/** Somebody else's SDS server, with an identity for the workload. */
async function startForeignServer(): Promise<{ readonly server: TestServer; readonly rootPem: string }> {
  const authority = testAuthority("somebody else", Date.now());
  const key = newKey();
  const server = await startTestServer();
  server.set("default", {
    kind: "certificate",
    chainPem: authority.issue({ publicKey: publicKeyOf(key) }, Date.now()),
    keyPem: renderPrivateKey(key, true),
    spiffeId: testSpiffeId,
    serial: "1",
    notBeforeMs: 0,
    notAfterMs: 1,
  });
  server.set("ROOTCA", { kind: "trust-bundle", rootsPem: authority.rootPem });
  return { server, rootPem: authority.rootPem };
}

function linkSocket(directory: string, { socketPath }: TestServer, name = "socket"): void {
  const path = join(directory, sockets, name);
  mkdirSync(dirname(path), { recursive: true });
  symlinkSync(socketPath, path);
}

async function untilServedByOther(pod: Pod): Promise<void> {
  await eventually(
    async () => {
      expect(await pod.serials(), pod.log()).toHaveLength(1);
    },
    { withinMs: 10_000 },
  );
  await pod.untilReady();
}

describe("E5 and 7.1.15: a socket for the workload's certificate", () => {
  test("that another process serves is used; files are served beside it, no CA is asked, and the socket is left alone", async () => {
    const { server, rootPem } = await startForeignServer();
    await using _ = server;
    await using ca = await startFakeCa();
    await using pod = await startPod({
      ca,
      prepare: ({ directory }) => {
        linkSocket(directory, server);
        mkdirSync(join(directory, "etc/certs"), { recursive: true });
        writeFileSync(join(directory, "etc/certs/other.pem"), rootPem);
      },
    });
    await untilServedByOther(pod);
    using files = new SdsClient(join(pod.directory, "var/run/secrets/credential-uds/files-socket"));
    const { resources } = await files.fetch(["file-root:./etc/certs/other.pem"]);
    expect(contentOf(resources[0])).toBe(rootPem);
    pod.kill("SIGTERM");
    await pod.exited;
    expect(lstatSync(join(pod.directory, sockets, "socket")).isSymbolicLink()).toBe(true);
    expect(existsSync(server.socketPath)).toBe(true);
    expect(ca.calls).toEqual([]);
  });

  test("whose server goes and comes back is told in log and metrics", async () => {
    const { server } = await startForeignServer();
    await using _ = server;
    await using ca = await startFakeCa();
    await using pod = await startPod({
      ca,
      prepare: ({ directory }) => {
        linkSocket(directory, server);
      },
    });
    await untilServedByOther(pod);
    const up = async (): Promise<string | undefined> => {
      const url = `http://127.0.0.1:${String(pod.ports.status)}/stats/prometheus`;
      const answer = await fetch(url, { headers: { connection: "close" } });
      return /^attache_foreign_sds_up (\d)$/m.exec(await answer.text())?.[1];
    };
    expect(await up()).toBe("1");
    const path = join(pod.directory, sockets, "socket");
    renameSync(path, `${path}.away`);
    await eventually(
      async () => {
        expect(pod.log()).toContain("external SDS server is down");
        expect(await up()).toBe("0");
      },
      { withinMs: 12_000 },
    );
    renameSync(`${path}.away`, path);
    await eventually(
      async () => {
        expect(pod.log()).toContain("external SDS server is up again");
        expect(await up()).toBe("1");
      },
      { withinMs: 12_000 },
    );
  });

  test("that another process must serve is waited for", async () => {
    const { server } = await startForeignServer();
    await using _ = server;
    await using ca = await startFakeCa();
    await using pod = await startPod({ ca, env: { ATTACHE_SDS_SOURCE: "foreign", ATTACHE_FOREIGN_SDS_WAIT: "20s" } });
    await systemClock.delay(500);
    // by then an agent that does not wait has started Envoy, and the launcher's own children have ended
    expect(pod.envoyPids()).toEqual([]);
    linkSocket(pod.directory, server);
    await untilServedByOther(pod);
    expect(ca.calls).toEqual([]);
  });

  test.each([
    ["by its mode", { ATTACHE_SDS_SOURCE: "foreign", ATTACHE_FOREIGN_SDS_WAIT: "300ms" }, "ATTACHE_SDS_SOURCE"],
    ["by its name", { WORKLOAD_IDENTITY_SOCKET_FILE: "spire" }, "WORKLOAD_IDENTITY_SOCKET_FILE"],
  ])("that another process must serve, %s, and does not, ends the start", async (_how, env, named) => {
    await using ca = await startFakeCa();
    await using pod = await startPod({ ca, env });
    expect(await pod.exited).toMatchObject({ code: 64 });
    expect(pod.log()).toContain(named);
    expect(ca.calls).toEqual([]);
  });

  test("that a process holds without an answer is not taken from it", async () => {
    const silent = createServer((socket) => socket.resume());
    await using ca = await startFakeCa();
    await using pod = await startPod({
      ca,
      prepare: async ({ directory }) => {
        mkdirSync(join(directory, sockets), { recursive: true });
        await new Promise<void>((resolve) => silent.listen(join(directory, sockets, "socket"), resolve));
      },
    });
    const exit = await pod.exited;
    expect(exit, pod.log()).toMatchObject({ code: 69 });
    expect(pod.log()).toContain("a live process already serves there");
    expect(lstatSync(join(pod.directory, sockets, "socket")).isSocket()).toBe(true);
    await new Promise((resolve) => silent.close(resolve));
  });

  test("that nobody serves any more is replaced", async () => {
    await using ca = await startFakeCa();
    await using pod = await startPod({
      ca,
      prepare: async ({ directory }) => {
        const path = join(directory, sockets, "socket");
        await using _ = await listenUnix({ path: `${path}.made`, mode: 0o600 });
        renameSync(`${path}.made`, path);
      },
    });
    await pod.untilReady();
    expect(ca.calls.length).toBeGreaterThan(0);
  });

  test("that another process holds while it is to be our own ends the start", async () => {
    const { server } = await startForeignServer();
    await using _ = server;
    await using ca = await startFakeCa();
    await using pod = await startPod({
      ca,
      prepare: ({ directory }) => {
        mkdirSync(join(directory, sockets), { recursive: true });
        renameSync(server.socketPath, join(directory, sockets, "socket"));
      },
      env: { ATTACHE_SDS_SOURCE: "own" },
    });
    expect(await pod.exited, pod.log()).toMatchObject({ code: 69 });
    expect(lstatSync(join(pod.directory, sockets, "socket")).isSocket()).toBe(true);
  });
});
