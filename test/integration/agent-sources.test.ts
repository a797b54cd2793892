// SPDX-License-Identifier: Apache-2.0
import { createPublicKey } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { renderPrivateKey } from "../../src/cert/csr.ts";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { startFakeStepCa } from "../fakes/fake-step-ca.ts";
import { startFakeVault } from "../fakes/fake-vault.ts";
import { startFakeWorkloadApi } from "../fakes/fake-workload-api.ts";
import { eventually } from "../support/eventually.ts";
import { type Pod, type PodOptions, startPod } from "../support/pod.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { newKey, publicKeyOf, testAuthority, testSpiffeId } from "../support/test-authority.ts";

/** Nobody signs here, and a root must be mounted all the same. */
const nobody: PodOptions["ca"] = { port: 1, serverRootPem: testAuthority("nobody", Date.now()).rootPem };

async function untilInEnvoy(pod: Pod, count = 1): Promise<readonly string[]> {
  return eventually(
    async () => {
      const serials = await pod.serials();
      if (serials.length !== count) throw new Error(`${String(serials.length)} certificates in Envoy\n${pod.log()}`);
      return serials;
    },
    { withinMs: 8_000 },
  );
}

function identityFiles(): { readonly chainPem: string; readonly keyPem: string; readonly rootPem: string } {
  const ca = testAuthority("files", Date.now());
  const key = newKey();
  const chainPem = ca.issue({ publicKey: publicKeyOf(key) }, Date.now());
  return { chainPem, keyPem: renderPrivateKey(key, true), rootPem: ca.rootPem };
}

describe("the identity that Envoy gets, by its source", () => {
  test("E4: files that are mounted, without any CA", async () => {
    const files = identityFiles();
    const prepare: NonNullable<PodOptions["prepare"]> = ({ directory }) => {
      const mount = join(directory, "var/run/secrets/workload-spiffe-credentials");
      mkdirSync(mount, { recursive: true });
      writeFileSync(join(mount, "cert-chain.pem"), files.chainPem);
      writeFileSync(join(mount, "key.pem"), files.keyPem);
      writeFileSync(join(mount, "root-cert.pem"), files.rootPem);
    };
    await using pod = await startPod({ ca: nobody, prepare });
    await untilInEnvoy(pod);
    await pod.untilReady();
    expect(pod.log()).toContain(testSpiffeId);
  });

  test("a SPIFFE agent", async () => {
    await using directory = await temporaryDirectory();
    await using agent = await startFakeWorkloadApi(join(directory.path, "agent.sock"));
    const { rootPem, ...svid } = identityFiles();
    agent.give([{ spiffeId: testSpiffeId, bundlePem: rootPem, ...svid }]);
    const env = { ATTACHE_IDENTITY: "spiffe", SPIFFE_ENDPOINT_SOCKET: `unix://${agent.path}` };
    await using pod = await startPod({ ca: nobody, env });
    await untilInEnvoy(pod);
    await pod.untilReady();
  });

  test("Vault", async () => {
    await using directory = await temporaryDirectory();
    await using vault = await startFakeVault();
    writeFileSync(join(directory.path, "root.pem"), vault.rootPem);
    writeFileSync(join(directory.path, "token"), "static");
    const env = {
      ATTACHE_IDENTITY: "vault",
      VAULT_ADDR: `https://localhost:${String(vault.server.port)}`,
      VAULT_CACERT: join(directory.path, "root.pem"),
      ATTACHE_VAULT_AUTH: "token",
      ATTACHE_VAULT_TOKEN_FILE: join(directory.path, "token"),
      ATTACHE_VAULT_SIGN_PATH: "pki/sign/mesh",
    };
    await using pod = await startPod({ ca: nobody, env });
    await untilInEnvoy(pod);
  });

  test("step-ca", async () => {
    await using directory = await temporaryDirectory();
    const key = newKey();
    await using step = await startFakeStepCa(createPublicKey(key));
    writeFileSync(join(directory.path, "root.pem"), step.rootPem);
    writeFileSync(join(directory.path, "key.pem"), renderPrivateKey(key, true));
    const env = {
      ATTACHE_IDENTITY: "step",
      ATTACHE_STEP_URL: `https://localhost:${String(step.server.port)}`,
      ATTACHE_STEP_ROOT: join(directory.path, "root.pem"),
      ATTACHE_STEP_PROVISIONER: "mesh",
      ATTACHE_STEP_KEY_ID: "kid",
      ATTACHE_STEP_KEY_FILE: join(directory.path, "key.pem"),
    };
    await using pod = await startPod({ ca: nobody, env });
    await untilInEnvoy(pod);
  });

  test("this agent itself, for development", async () => {
    await using pod = await startPod({ ca: nobody, env: { ATTACHE_IDENTITY: "embedded" } });
    await untilInEnvoy(pod);
    expect(pod.log()).toContain("for development only");
  });

  test("the second CA, when the first fails for too long", async () => {
    await using ca = await startFakeCa();
    ca.set({ kind: "wrong-key" });
    const env = { ATTACHE_IDENTITY: "istio,embedded", ATTACHE_CA_FAILOVER_AFTER: "1s" };
    await using pod = await startPod({ ca, env });
    await untilInEnvoy(pod);
    expect(ca.calls.length).toBeGreaterThanOrEqual(2);
    expect(pod.log()).toContain("CA keeps failing; calling the next CA");
  });

  test("an earlier run of the agent, while the CA is down", async () => {
    await using directory = await temporaryDirectory();
    const env = { ATTACHE_IDENTITY_CACHE: join(directory.path, "cache") };
    let first: readonly string[];
    {
      await using ca = await startFakeCa();
      await using pod = await startPod({ ca, env });
      first = await untilInEnvoy(pod);
      await pod.untilReady();
    }
    await using pod = await startPod({ ca: nobody, env });
    expect(await untilInEnvoy(pod)).toEqual(first);
    await pod.untilReady();
  });
});
