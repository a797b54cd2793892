// SPDX-License-Identifier: Apache-2.0
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../../src/lib/async/clock.ts";
import {
  type ResourceChange,
  type ResourceProblem,
  startXdsSource,
  type XdsRejection,
} from "../../../src/xds/embedded/index.ts";
import { typeUrls } from "../../../src/xds/protocol/type-url.ts";
import { startAdsEnvoy } from "../../support/ads-envoy.ts";
import { eventually } from "../../support/eventually.ts";
import { freePorts } from "../../support/free-ports.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { envoyNode, startProxy } from "../../support/xds-proxy-pair.ts";

const deps = { clock: systemClock };

function clusters(...names: readonly string[]): string {
  const type = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
  return [
    "resources:",
    ...names.map((name) => `- { "@type": ${type}, name: ${name}, type: STATIC, connect_timeout: 1s }`),
  ].join("\n");
}

function listener(port: number, body: string): string {
  const extensions = "type.googleapis.com/envoy.extensions.filters";
  return `
resources:
- "@type": type.googleapis.com/envoy.config.listener.v3.Listener
  name: web
  address: { socket_address: { address: 127.0.0.1, port_value: ${String(port)} } }
  filter_chains:
  - filters:
    - name: envoy.filters.network.http_connection_manager
      typed_config:
        "@type": ${extensions}.network.http_connection_manager.v3.HttpConnectionManager
        stat_prefix: web
        route_config:
          virtual_hosts:
          - { name: all, domains: ["*"], routes: [{ match: { prefix: / }, direct_response: { status: 200, body: { inline_string: ${body} } } }] }
        http_filters:
        - { name: router, typed_config: { "@type": ${extensions}.http.router.v3.Router } }
`;
}

describe.each(["sotw", "delta"] as const)("%s", (protocol) => {
  test("what is asked for is answered, what changes is pushed, what is wrong is refused and changes nothing", async () => {
    await using directory = await temporaryDirectory();
    const file = join(directory.path, "cds.yaml");
    await writeFile(file, clusters("a", "b"));
    const refused: ResourceProblem[] = [];
    const options = { directory: directory.path, host: "127.0.0.1", port: 0 };
    await using source = await startXdsSource({ ...options, onRefused: (problem) => refused.push(problem) }, deps);
    await using under = await startProxy([source.port]);
    const client = await under.open(protocol);
    await client.send({ typeUrl: typeUrls.cluster, node: envoyNode });
    const first = await client.next();
    expect(first.resources.map(({ name }) => name)).toEqual(["a", "b"]);
    await client.ack(first);
    await writeFile(
      file,
      `${clusters("a")}\n- { "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster, nam: x }\n`,
    );
    await eventually(
      () => {
        expect(refused).toMatchObject([{ file, line: 3 }]);
      },
      { withinMs: 2_000 },
    );
    await writeFile(file, clusters("a", "c"));
    const second = await client.next();
    expect(second.resources.map(({ name }) => name)).toEqual(protocol === "sotw" ? ["a", "c"] : ["c"]);
    expect(second.removed).toEqual(protocol === "sotw" ? [] : ["b"]);
  });

  test("what an edit changed is told with its file, and what a client refuses with its words", async () => {
    await using directory = await temporaryDirectory();
    const file = join(directory.path, "cds.yaml");
    await writeFile(file, clusters("a", "b"));
    const applied: (readonly ResourceChange[])[] = [];
    const rejected: XdsRejection[] = [];
    const onApplied = (changes: readonly ResourceChange[]): void => {
      applied.push(changes);
    };
    const onRejected = (rejection: XdsRejection): void => {
      rejected.push(rejection);
    };
    const options = { directory: directory.path, host: "127.0.0.1", port: 0, onApplied, onRejected };
    await using source = await startXdsSource(options, deps);
    await using under = await startProxy([source.port]);
    const client = await under.open(protocol);
    await client.send({ typeUrl: typeUrls.cluster, node: envoyNode });
    await client.ack(await client.next());
    await writeFile(file, `# a comment\n${clusters("b", "c")}`);
    const second = await client.next();
    await client.nack(second, "", "no such c");
    await eventually(
      () => {
        expect(rejected).toEqual([{ typeUrl: typeUrls.cluster, reason: "no such c" }]);
      },
      { withinMs: 2_000 },
    );
    expect(applied.flat()).toMatchObject([
      { file, typeUrl: typeUrls.cluster, name: "c", version: expect.stringMatching(/^[0-9a-f]{12}$/) as string },
      { file, name: "a", version: undefined },
    ]);
  });

  test("a real Envoy behind the proxy follows an edited file", async () => {
    const [port = 0] = await freePorts(1);
    await using directory = await temporaryDirectory();
    await writeFile(join(directory.path, "cds.yaml"), clusters("a"));
    await writeFile(join(directory.path, "lds.yaml"), listener(port, "one"));
    await using source = await startXdsSource({ directory: directory.path, host: "127.0.0.1", port: 0 }, deps);
    await using under = await startProxy([source.port]);
    const envoySource = { socketPath: under.socketPath };
    await using _envoy = await startAdsEnvoy({
      directory: under.directory,
      source: envoySource,
      delta: protocol === "delta",
    });
    const untilBody = (body: string): Promise<void> =>
      eventually(
        async () => {
          const answer = await fetch(`http://127.0.0.1:${String(port)}/`, { headers: { connection: "close" } });
          expect(await answer.text()).toBe(body);
        },
        { withinMs: 5_000, everyMs: 20 },
      );
    await untilBody("one");
    await writeFile(join(directory.path, "lds.yaml"), listener(port, "two"));
    await untilBody("two");
  });
});

test("a watched resource folder that is removed and made again is served again", async () => {
  await using directory = await temporaryDirectory();
  const folder = join(directory.path, "resources");
  await mkdir(folder);
  await writeFile(join(folder, "cds.yaml"), clusters("a"));
  const applied: string[] = [];
  const onApplied = (changes: readonly ResourceChange[]): void => {
    applied.push(...changes.map(({ name, version }) => `${name} ${version === undefined ? "removed" : "set"}`));
  };
  await using _source = await startXdsSource({ directory: folder, host: "127.0.0.1", port: 0, onApplied }, deps);
  await rm(folder, { recursive: true });
  await mkdir(folder);
  await writeFile(join(folder, "cds.yaml"), clusters("a", "b"));
  await eventually(
    () => {
      expect(applied).toContain("b set");
    },
    { withinMs: 3_000 },
  );
  await writeFile(join(folder, "cds.yaml"), clusters("a", "c"));
  await eventually(
    () => {
      expect(applied).toContain("c set");
    },
    { withinMs: 3_000 },
  );
});

test("a folder that is wrong at the start is told at once", async () => {
  await using directory = await temporaryDirectory();
  await writeFile(join(directory.path, "cds.yaml"), "resources:\n- {}\n");
  const starting = startXdsSource({ directory: directory.path, host: "127.0.0.1", port: 0 }, deps);
  await expect(starting).rejects.toMatchObject({ code: "AGENT_XDS_RESOURCE", line: 2 });
});
