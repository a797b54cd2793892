// SPDX-License-Identifier: Apache-2.0
// Where certificate and key come from, and the listeners of Istio.
import { spawn } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { renderPrivateKey } from "../../../src/cert/csr.ts";
import { startFakeCa } from "../../fakes/fake-ca.ts";
import { eventually } from "../../support/eventually.ts";
import { type Pod, startPod } from "../../support/pod.ts";
import { type ProgramExit, startProgram } from "../../support/program.ts";
import { newKey, publicKeyOf, testAuthority, testSpiffeId } from "../../support/test-authority.ts";
import { startTestServer } from "../sds/test-server.ts";

async function certs({ ports }: Pod, ...args: readonly string[]): Promise<ProgramExit> {
  await using program = startProgram(["certs", "--address", String(ports.status), ...args]);
  return await program.exited;
}

test("the identity that another process serves to Envoy is read from its socket", async () => {
  const authority = testAuthority("somebody else", Date.now());
  const key = newKey();
  await using server = await startTestServer();
  const chainPem = authority.issue({ publicKey: publicKeyOf(key) }, Date.now());
  const times = { serial: "1", notBeforeMs: 0, notAfterMs: 1 };
  const keyPem = renderPrivateKey(key, true);
  server.set("default", { kind: "certificate", chainPem, keyPem, spiffeId: testSpiffeId, ...times });
  server.set("ROOTCA", { kind: "trust-bundle", rootsPem: authority.rootPem });
  await using ca = await startFakeCa();
  await using pod = await startPod({
    ca,
    prepare: ({ directory }) => {
      const path = join(directory, "var/run/secrets/workload-spiffe-uds/socket");
      mkdirSync(dirname(path), { recursive: true });
      symlinkSync(server.socketPath, path);
    },
  });
  await pod.untilReady();
  const shown = await certs(pod);
  expect(shown.stdout).toMatch(
    /^\[ok\] {3}the certificate is valid for .*, verified by the root "O=somebody else"\n\nWORKLOAD/,
  );
  const renewed = await certs(pod, "--renew");
  expect(renewed.stdout).toBe("[fail] not renewed: another process serves the workload certificate\n");
  const peer = await certs(pod, "--verify", `127.0.0.1:${String(pod.ports.inbound)}`);
  expect(peer.stdout).toMatch(/^\[ok\] [^]*Presented {2}this workload's certificate\n/);
  expect([shown.code, renewed.code, peer.code]).toEqual([0, 1, 0]);
  for (const line of keyPem.split("\n").slice(1, -2)) expect(shown.stdout + peer.stdout).not.toContain(line);
});

test("the socket of another workload at the agent's path is not used", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca });
  await using other = await startPod({ ca, env: { SERVICE_ACCOUNT: "other" } });
  await Promise.all([pod.untilReady(), other.untilReady()]);
  const socketOf = ({ directory }: Pod): string => join(directory, "var/run/secrets/workload-spiffe-uds/socket");
  rmSync(socketOf(pod));
  symlinkSync(socketOf(other), socketOf(pod));
  const { code, stdout } = await certs(pod, "--verify", `127.0.0.1:${String(other.ports.inbound)}`);
  expect(stdout).toMatch(/no client certificate was presented: the SDS socket \S+ on this machine belongs to another/);
  expect(code).toBe(1);
});

/** As Istio's listener in permissive mode: mutual TLS for its own protocols, everything else in plaintext. */
function makePermissive(path: string): void {
  const document = parse(readFileSync(path, "utf8")) as { resources: { filter_chains: Record<string, unknown>[] }[] };
  for (const listener of document.resources) {
    const [mutual = {}] = listener.filter_chains;
    const protocols = ["istio-peer-exchange", "istio", "istio-http/1.1", "istio-h2"];
    listener.filter_chains = [
      { ...mutual, filter_chain_match: { transport_protocol: "tls", application_protocols: protocols } },
      { filters: mutual["filters"] },
    ];
    const inspector = "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector";
    Object.assign(listener, {
      listener_filters: [{ name: "tls", typed_config: { "@type": inspector } }],
    });
  }
  writeFileSync(path, stringify(document));
}

test("a listener in permissive mode takes the handshake for mutual TLS of the mesh", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({
    ca,
    prepare: ({ directory }) => {
      makePermissive(join(directory, "resources/lds.yaml"));
    },
  });
  await pod.untilReady();
  const { code, stdout } = await certs(pod, "--verify", `127.0.0.1:${String(pod.ports.inbound)}`);
  expect([code, stdout]).toEqual([
    0,
    expect.stringMatching(/^\[ok\] {3}\S+ verified by the root "O=fake CA 1"\n/) as string,
  ]);
});

test.runIf(process.getuid?.() === 0)("another user sees the certificates, and not the key", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca });
  await pod.untilReady();
  await eventually(async () => expect(await pod.serials()).toHaveLength(1), { withinMs: 5_000 });
  chmodSync(pod.directory, 0o755);
  const program = join(import.meta.dirname, "../../../bin/attache");
  const address = `127.0.0.1:${String(pod.ports.inbound)}`;
  const words = ["certs", "--verify", address, "--address", String(pod.ports.status)];
  const child = spawn(program, words, { stdio: ["ignore", "pipe", "inherit"], uid: 65_534, gid: 65_534 });
  let stdout = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  const [code] = (await once(child, "close")) as readonly unknown[];
  expect(stdout).toMatch(/^\[fail\] .*the peer requires a client certificate, and none was presented/);
  expect(stdout).toMatch(
    /\[warn\] no client certificate was presented: the SDS socket \S+ is not open to this user \(65534\)/,
  );
  expect(stdout).toContain(`  SPIFFE ID  ${testSpiffeId}\n`);
  expect(code).toBe(1);
});
