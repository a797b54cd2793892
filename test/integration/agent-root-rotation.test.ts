// SPDX-License-Identifier: Apache-2.0
import { X509Certificate } from "node:crypto";
import { request } from "node:https";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type FakeCa, startFakeCa } from "../fakes/fake-ca.ts";
import { decodeSecret, SdsClient, type SdsStreamClient, type SecretsAnswer } from "../fakes/sds-client.ts";
import { eventually } from "../support/eventually.ts";
import { type Pod, startPod } from "../support/pod.ts";
import { startLoad } from "./sds/load.ts";

/** A client with the pod's own identity, which it has over SDS, as a second Envoy would. */
class PeerOfPod {
  chainPem = "";
  keyPem = "";
  rootsPem = "";
  readonly #pod: Pod;
  readonly #streams: readonly SdsStreamClient<SecretsAnswer>[];

  constructor(client: SdsClient, pod: Pod) {
    this.#pod = pod;
    this.#streams = ["default", "ROOTCA"].map((name) => {
      const stream = client.stream();
      stream.onAnswer = (answer) => {
        this.#take(answer);
        stream.ask({ resource_names: [name], response_nonce: answer.nonce });
      };
      stream.ask({ resource_names: [name] });
      return stream;
    });
  }

  get issuer(): string {
    return new X509Certificate(this.chainPem).issuer;
  }

  /**
   * One request on a connection of its own, both sides verified; its status. One whose handshake began with roots that
   * were replaced before it ended is made anew: a real peer takes its roots when it verifies.
   */
  async get(): Promise<number> {
    const { rootsPem } = this;
    try {
      return await this.#getOnce();
    } catch (error) {
      if (this.rootsPem === rootsPem) throw error;
      return await this.#getOnce();
    }
  }

  #getOnce(): Promise<number> {
    return new Promise((resolve, reject) => {
      const options = {
        host: "127.0.0.1",
        port: this.#pod.ports.inbound,
        agent: false,
        checkServerIdentity: () => undefined,
      };
      const credentials = { cert: this.chainPem, key: this.keyPem, ca: this.rootsPem };
      const call = request({ ...options, ...credentials }, (response) => {
        response.resume();
        response.on("end", () => {
          resolve(response.statusCode ?? 0);
        });
      });
      call.on("error", reject);
      call.end();
    });
  }

  close(): void {
    for (const stream of this.#streams) stream[Symbol.dispose]();
  }

  #take({ resources }: SecretsAnswer): void {
    const { tls_certificate: certificate, validation_context: roots } = decodeSecret(resources[0]);
    if (roots !== undefined) this.rootsPem = String(roots.trusted_ca.inline_bytes);
    if (certificate === undefined) return;
    this.chainPem = String(certificate.certificate_chain.inline_bytes);
    this.keyPem = String(certificate.private_key?.inline_bytes);
  }
}

async function untilIssuedBy(peer: PeerOfPod, ca: FakeCa): Promise<void> {
  const { subject } = new X509Certificate(ca.rootPem);
  await eventually(
    () => {
      expect(peer.issuer).toBe(subject);
    },
    { withinMs: 15_000 },
  );
}

test("the CA changes its root, first with the old one beside it, then at once: no request fails on the way", {
  timeout: 60_000,
}, async () => {
  await using ca = await startFakeCa({ lifetimeMs: 60_000 });
  const env = { SECRET_GRACE_PERIOD_RATIO: "0.96", SECRET_GRACE_PERIOD_RATIO_JITTER: "0" };
  await using pod = await startPod({ ca, env });
  await pod.untilReady();
  using client = new SdsClient(join(pod.directory, "var/run/secrets/workload-spiffe-uds/socket"));
  const peer = new PeerOfPod(client, pod);
  await eventually(
    async () => {
      expect(await peer.get()).toBe(200);
    },
    { withinMs: 5_000 },
  );
  await using load = startLoad(50, () => peer.get());
  for (const keepOld of [true, false]) {
    ca.rotateRoot({ keepOld });
    await untilIssuedBy(peer, ca);
    const roots = peer.rootsPem.split("-----BEGIN").length - 1;
    expect(roots).toBeGreaterThan(1);
  }
  await eventually(
    async () => {
      // it rotates every few seconds: what is the newest is looked at each time
      const newest = new X509Certificate(peer.chainPem).serialNumber;
      expect((await pod.serials()).map((serial) => serial.toUpperCase())).toEqual([newest]);
    },
    { withinMs: 5_000 },
  );
  await load[Symbol.asyncDispose]();
  peer.close();
  expect(load.failures).toEqual([]);
  expect(load.requests).toBeGreaterThan(50);
});
