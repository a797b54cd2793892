// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { startFakeWorkloadApi } from "../fakes/fake-workload-api.ts";
import { decodeSecret, SdsClient } from "../fakes/sds-client.ts";
import { eventually } from "../support/eventually.ts";
import { freePorts } from "../support/free-ports.ts";
import { startPod } from "../support/pod.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { testAuthority } from "../support/test-authority.ts";
import { knock, pairFor, writeListeners } from "../support/tls-listeners.ts";

const [webId, adminId, otherId] = ["spiffe://a.example/web", "spiffe://a.example/admin", "spiffe://b.example/web"];
const own = testAuthority("own root", Date.now());
const other = testAuthority("other root", Date.now());
const socket = "var/run/secrets/workload-spiffe-uds/socket";

/** An agent with two identities and the roots of a trust domain that it does not let in by `ROOTCA`. */
async function startSpirePod() {
  const stack = new AsyncDisposableStack();
  const { path: directory } = stack.use(await temporaryDirectory());
  const path = join(directory, "agent.sock");
  const agent = stack.use(await startFakeWorkloadApi(path));
  const svids = [webId, adminId].map((spiffeId) => ({
    spiffeId,
    ...pairFor(own, spiffeId),
    bundlePem: own.rootPem,
  }));
  agent.give(svids, { "spiffe://b.example": other.rootPem });
  const [ownPort = 0, otherPort = 0, all = 0] = await freePorts(3);
  const pod = stack.use(
    await startPod({
      ca: { port: 1, serverRootPem: own.rootPem },
      env: { ATTACHE_IDENTITY: "spiffe", SPIFFE_ENDPOINT_SOCKET: `unix://${path}` },
      prepare: (given) => {
        writeListeners(given.directory, [
          { name: "own", port: ownPort, certificate: webId, roots: "spiffe://a.example" },
          { name: "other", port: otherPort, certificate: adminId, roots: "spiffe://b.example" },
          { name: "all", port: all, roots: "ALL", prefixes: ["spiffe://"] },
        ]);
      },
    }),
  );
  await pod.untilReady();
  const client = stack.use(new SdsClient(join(pod.directory, socket)));
  return { agent, svids, pod, client, ports: { own: ownPort, other: otherPort, all }, stack };
}

async function whoIsLetIn(port: number): Promise<readonly string[]> {
  const seen: string[] = [];
  for (const [name, authority, spiffeId] of [
    ["own", own, webId],
    ["other", other, otherId],
    ["own identity by the other root", other, webId],
    ["other identity by the own root", own, otherId],
  ] as const) {
    if ((await knock(port, pairFor(authority, spiffeId))) === "let in") seen.push(name);
  }
  return seen;
}

describe("A5: the SDS names of SPIRE's agent", () => {
  test("Envoy uses SPIFFE IDs, trust domains and ALL, each of which verifies its own trust domains only", async () => {
    const { ports, stack } = await startSpirePod();
    await using _stack = stack;
    await eventually(
      async () => {
        expect(await whoIsLetIn(ports.own)).toEqual(["own"]);
        expect(await whoIsLetIn(ports.other)).toEqual(["other"]);
        expect(await whoIsLetIn(ports.all)).toEqual(["own", "other"]);
      },
      { withinMs: 6_000 },
    );
  });

  test("each identity of the workload is served under its SPIFFE ID, and renewed", async () => {
    const { agent, svids, client, stack } = await startSpirePod();
    await using _stack = stack;
    const chains = async (name: string): Promise<string> => {
      const [resource] = (await client.fetch([name])).resources;
      const secret = decodeSecret(resource);
      expect(secret.name).toBe(name);
      return String(secret.tls_certificate?.certificate_chain.inline_bytes);
    };
    expect(await chains(webId)).toBe(svids[0]?.chainPem);
    expect(await chains("default")).toBe(svids[0]?.chainPem);
    expect(await chains(adminId)).toBe(svids[1]?.chainPem);
    const renewed = svids.map((svid) => ({ ...svid, ...pairFor(own, svid.spiffeId) }));
    agent.give(renewed, {});
    await eventually(
      async () => {
        expect(await chains(adminId)).toBe(renewed[1]?.chainPem);
        expect(await chains(webId)).toBe(renewed[0]?.chainPem);
      },
      { withinMs: 3_000 },
    );
  });

  test.each([
    [
      "spiffe://a.example/stranger",
      /this workload's identity is spiffe:\/\/a.example\/admin, spiffe:\/\/a.example\/web/,
    ],
    ["spiffe://c.example", /there are roots of the trust domains a.example, b.example/],
    ["spiffe://", /malformed name; write spiffe:\/\/TRUST_DOMAIN/],
    ["spiffe://a.example/../web", /malformed name/],
  ])("the name %s is rejected with what there is", async (name, text) => {
    const { client, stack } = await startSpirePod();
    await using _stack = stack;
    await expect(client.fetch([name])).rejects.toThrow(text);
  });

  test("they work with the certificate of a CA too; one trust domain needs no client certificate", async () => {
    await using ca = await startFakeCa();
    await using pod = await startPod({ ca });
    await pod.untilReady();
    using client = new SdsClient(join(pod.directory, socket));
    const fetched = async (name: string) => decodeSecret((await client.fetch([name])).resources[0]);
    const id = "spiffe://cluster.local/ns/demo/sa/web";
    const [byId, byDefault] = [await fetched(id), await fetched("default")];
    expect(byId.tls_certificate).toEqual(byDefault.tls_certificate);
    const { validation_context: roots } = await fetched("ROOTCA");
    for (const name of ["spiffe://cluster.local", "ALL"])
      expect((await fetched(name)).validation_context).toEqual(roots);
  });
});
