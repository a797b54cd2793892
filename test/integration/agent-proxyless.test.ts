// SPDX-License-Identifier: Apache-2.0
import { existsSync, readFileSync, statSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { typeUrls } from "../../src/xds/protocol/type-url.ts";
import { textField } from "../../src/xds/protocol/wire.ts";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { startFakeControlPlane } from "../fakes/fake-control-plane.ts";
import { eventually } from "../support/eventually.ts";
import { startPod } from "../support/pod.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { XdsClient } from "../support/xds-proxy-pair.ts";

interface GrpcBootstrap {
  readonly xds_servers: readonly [{ readonly server_uri: string }];
  readonly node: { readonly id: string; readonly metadata: Readonly<Record<string, unknown>> };
  readonly certificate_providers: { readonly default: { readonly plugin_name: string } };
}

test("7.1.18: gRPC without Envoy: the bootstrap leads an application to the control plane and to its certificate", async () => {
  await using ca = await startFakeCa();
  await using controlPlane = await startFakeControlPlane();
  controlPlane.set(typeUrls.listener, [{ name: "app:80", version: "1", value: textField(1, "app:80") }]);
  // absolute: a relative one is told as if the agent had been started in /, where containers start it
  await using configs = await temporaryDirectory();
  await using pod = await startPod({
    ca,
    proxyConfig: {
      discoveryAddress: `127.0.0.1:${String(controlPlane.port)}`,
      controlPlaneAuthPolicy: "NONE",
      configPath: configs.path,
    },
    env: {
      ATTACHE_XDS_FILES: "",
      DISABLE_ENVOY: "true",
      GRPC_XDS_BOOTSTRAP: "xds/boot.json",
      OUTPUT_CERTS: "certs",
      KUBERNETES_SERVICE_HOST: "10.0.0.1",
    },
  });
  await pod.untilReady();
  const bootstrap = JSON.parse(readFileSync(join(pod.directory, "xds/boot.json"), "utf8")) as GrpcBootstrap;
  expect(bootstrap.xds_servers[0].server_uri).toBe(`unix://${join(configs.path, "XDS")}`);
  expect(bootstrap.node.metadata["GENERATOR"]).toBe("grpc");
  expect(bootstrap.certificate_providers.default.plugin_name).toBe("file_watcher");
  expect((await readdir(join(pod.directory, "certs"))).sort()).toEqual(
    expect.arrayContaining(["cert-chain.pem", "key.pem", "root-cert.pem"]),
  );
  // no Envoy, nothing for it
  expect(pod.envoyPids()).toEqual([]);
  expect(existsSync(join(configs.path, "envoy-rev.json"))).toBe(false);

  const { pathname } = new URL(bootstrap.xds_servers[0].server_uri);
  // the application has a user of its own
  const modeOf = (path: string): string => (statSync(path).mode & 0o777).toString(8);
  const written = ["certs", "certs/key.pem", "xds/boot.json"].map((path) => join(pod.directory, path));
  expect([pathname, ...written].map(modeOf)).toEqual(["666", "755", "644", "644"]);
  await using application = await XdsClient.open(pathname, "sotw");
  const node = Buffer.concat([textField(1, bootstrap.node.id), textField(6, "gRPC Go")]);
  await application.send({ typeUrl: typeUrls.listener, node, subscribe: ["app:80"] });
  const answer = await application.next();
  expect(answer.resources.map(({ name }) => name)).toEqual(["app:80"]);
  await application.ack(answer, ["app:80"]);
  await eventually(
    () => {
      expect(controlPlane.seen(typeUrls.listener)).toHaveLength(2);
    },
    { withinMs: 1_000 },
  );
  pod.kill("SIGTERM");
  expect(await pod.exited).toEqual({ code: 0, signal: null });
});
