// SPDX-License-Identifier: Apache-2.0
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { contentOf, decodeSecret, SdsClient } from "../fakes/sds-client.ts";
import { eventually } from "../support/eventually.ts";
import { startPod } from "../support/pod.ts";
import { newKey, publicKeyOf, testAuthority } from "../support/test-authority.ts";

const sdsSocket = "var/run/secrets/workload-spiffe-uds/socket";

async function replace(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text);
  await rename(`${path}.new`, path);
}

test("certificates in files are served by name beside the workload's own, and pushed when both files have changed", async () => {
  const authority = testAuthority("files", Date.now());
  const pair = (): { readonly chain: string; readonly key: string } => {
    const key = newKey();
    const chain = authority.issue({ publicKey: publicKeyOf(key) }, Date.now());
    return { chain, key: key.export({ format: "pem", type: "sec1" }) };
  };
  const first = pair();
  await using ca = await startFakeCa();
  await using pod = await startPod({
    ca,
    prepare: async ({ directory }) => {
      await mkdir(join(directory, "credentials"), { recursive: true });
      await writeFile(join(directory, "credentials/tls.crt"), first.chain);
      await writeFile(join(directory, "credentials/tls.key"), first.key);
      await writeFile(join(directory, "secret.pem"), authority.rootPem);
    },
    env: { ATTACHE_SDS_FILE_DIRECTORIES: "./credentials" },
  });
  await pod.untilReady();
  using client = new SdsClient(join(pod.directory, sdsSocket));
  using stream = client.stream();
  const name = "file-cert:credentials/tls.crt~credentials/tls.key";
  stream.ask({ resource_names: [name, "ROOTCA"] });
  await eventually(
    () => {
      const contents = stream.answers.flatMap((answer) => answer.resources.map(contentOf));
      expect(contents).toContain(first.chain);
      expect(contents).toHaveLength(2);
    },
    { withinMs: 5_000 },
  );
  const second = pair();
  const { nonce } = stream.answers.at(-1) ?? { nonce: "" };
  stream.ask({ resource_names: [name], response_nonce: nonce });
  const before = stream.answers.length;
  await replace(join(pod.directory, "credentials/tls.crt"), second.chain);
  await replace(join(pod.directory, "credentials/tls.key"), second.key);
  const pushed = decodeSecret((await stream.untilAnswer(before + 1)).resources[0]);
  expect(pushed.name).toBe(name);
  expect(String(pushed.tls_certificate?.certificate_chain.inline_bytes)).toBe(second.chain);
  expect(String(pushed.tls_certificate?.private_key?.inline_bytes)).toBe(second.key);

  using outside = client.stream();
  outside.ask({ resource_names: ["file-root:secret.pem"] });
  const { code, details } = await outside.untilStatus();
  expect(code).toBe(status.PERMISSION_DENIED);
  expect(details).toContain("credentials");
});

test("a file that comes late is served when it is there, on the stream that asked", async () => {
  const { rootPem } = testAuthority("late", Date.now());
  await using ca = await startFakeCa();
  await using pod = await startPod({
    ca,
    prepare: ({ directory }) => mkdir(join(directory, "etc/certs"), { recursive: true }).then(() => undefined),
  });
  await pod.untilReady();
  using client = new SdsClient(join(pod.directory, sdsSocket));
  using stream = client.stream();
  stream.ask({ resource_names: ["file-root:./etc/certs/late.pem"] });
  using other = client.stream();
  other.ask({ resource_names: ["default"] });
  await other.untilAnswer(1);
  expect(stream.answers).toEqual([]);
  await replace(join(pod.directory, "etc/certs/late.pem"), rootPem);
  expect(contentOf((await stream.untilAnswer(1)).resources[0])).toBe(rootPem);
  expect(stream.status).toBeUndefined();
});
