// SPDX-License-Identifier: Apache-2.0
import fs from "node:fs";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { type ControlPlaneEvent, startControlPlane } from "../../../src/xds/index.ts";
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

/** A control plane for a folder, and the events that it has reported. */
async function startFor(directory: string) {
  const events: ControlPlaneEvent[] = [];
  const onEvent = (event: ControlPlaneEvent): void => {
    events.push(event);
  };
  const { host, port, ...rest } = await startControlPlane({ directory, host: "127.0.0.1", port: 0, onEvent }, deps);
  return { host, port, events, [Symbol.asyncDispose]: rest[Symbol.asyncDispose] };
}

/** In one step: the server may read a file at any moment. */
async function replaceFile(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text);
  await rename(`${path}.new`, path);
}

describe.each(["sotw", "delta"] as const)("%s", (protocol) => {
  test("subscribed resources are sent, changes are pushed, an invalid file is reported and changes nothing", async () => {
    await using directory = await temporaryDirectory();
    const file = join(directory.path, "cds.yaml");
    await replaceFile(file, clusters("a", "b"));
    await using source = await startFor(directory.path);
    await using under = await startProxy([source.port]);
    const client = await under.open(protocol);
    await client.send({ typeUrl: typeUrls.cluster, node: envoyNode });
    const first = await client.next();
    expect(first.resources.map(({ name }) => name)).toEqual(["a", "b"]);
    await client.ack(first);
    await replaceFile(
      file,
      `${clusters("a")}\n- { "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster, nam: x }\n`,
    );
    await eventually(
      () => {
        const problems = source.events.filter((event) => event.kind === "invalid").map(({ problem }) => problem);
        expect(problems).toMatchObject([{ file, line: 3 }]);
      },
      { withinMs: 2_000 },
    );
    await replaceFile(file, clusters("a", "c"));
    const second = await client.next();
    expect(second.resources.map(({ name }) => name)).toEqual(protocol === "sotw" ? ["a", "c"] : ["c"]);
    expect(second.removed).toEqual(protocol === "sotw" ? [] : ["b"]);
  });

  test("an edit is reported with its file, and a NACK with the client's words", async () => {
    await using directory = await temporaryDirectory();
    const file = join(directory.path, "cds.yaml");
    await replaceFile(file, clusters("a", "b"));
    await using source = await startFor(directory.path);
    await using under = await startProxy([source.port]);
    const client = await under.open(protocol);
    await client.send({ typeUrl: typeUrls.cluster, node: envoyNode });
    await client.ack(await client.next());
    await replaceFile(file, `# a comment\n${clusters("b", "c")}`);
    const second = await client.next();
    await client.nack(second, "", "no such c");
    await eventually(
      () => {
        const rejections = source.events.filter((event) => event.kind === "rejected").map(({ rejection }) => rejection);
        expect(rejections).toEqual([{ typeUrl: typeUrls.cluster, reason: "no such c" }]);
      },
      { withinMs: 2_000 },
    );
    const changes = source.events.filter((event) => event.kind === "applied").flatMap((event) => event.changes);
    expect(changes).toMatchObject([
      { file, typeUrl: typeUrls.cluster, name: "c", version: expect.stringMatching(/^[0-9a-f]{12}$/) as string },
      { file, name: "a", version: undefined },
    ]);
  });

  test("a real Envoy behind the proxy follows an edited file", async () => {
    const [port = 0] = await freePorts(1);
    await using directory = await temporaryDirectory();
    await replaceFile(join(directory.path, "cds.yaml"), clusters("a"));
    await replaceFile(join(directory.path, "lds.yaml"), listener(port, "one"));
    await using source = await startFor(directory.path);
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
    await replaceFile(join(directory.path, "lds.yaml"), listener(port, "two"));
    await untilBody("two");
  });
});

test("a folder that is removed and created again is served again", async () => {
  await using directory = await temporaryDirectory();
  const folder = join(directory.path, "resources");
  await mkdir(folder);
  await replaceFile(join(folder, "cds.yaml"), clusters("a"));
  await using source = await startFor(folder);
  const set = (): readonly string[] =>
    source.events
      .filter((event) => event.kind === "applied")
      .flatMap(({ changes }) => changes.filter(({ version }) => version !== undefined).map(({ name }) => name));
  await rm(folder, { recursive: true });
  await mkdir(folder);
  await replaceFile(join(folder, "cds.yaml"), clusters("a", "b"));
  await eventually(
    () => {
      expect(set()).toContain("b");
    },
    { withinMs: 3_000 },
  );
  await replaceFile(join(folder, "cds.yaml"), clusters("a", "c"));
  await eventually(
    () => {
      expect(set()).toContain("c");
    },
    { withinMs: 3_000 },
  );
});

test("a folder with an invalid file is rejected at the start", async () => {
  await using directory = await temporaryDirectory();
  await replaceFile(join(directory.path, "cds.yaml"), "resources:\n- {}\n");
  await expect(startFor(directory.path)).rejects.toMatchObject({ code: "AGENT_XDS_RESOURCE", line: 2 });
});

describe("bug 12: an error of the file watcher", () => {
  test("does not end the process, is reported, and later edits are still seen", async () => {
    await using directory = await temporaryDirectory();
    const file = join(directory.path, "cds.yaml");
    await replaceFile(file, clusters("a"));
    using watchers = recordWatchers();
    await using source = await startFor(directory.path);
    await eventually(
      () => {
        expect(watchers.opened.length).toBeGreaterThan(0);
      },
      { withinMs: 2_000 },
    );
    const error = new Error("no more watches");
    // without a listener, Node throws the error of an "error" event
    for (const watcher of [...watchers.opened]) watcher.emit("error", error);
    await eventually(
      () => {
        expect(source.events).toContainEqual({ kind: "watch-failed", error });
      },
      { withinMs: 2_000 },
    );
    await replaceFile(file, clusters("a", "b"));
    await eventually(
      () => {
        const changes = source.events.filter((event) => event.kind === "applied").flatMap((event) => event.changes);
        expect(changes.map(({ name }) => name)).toEqual(["b"]);
      },
      { withinMs: 5_000 },
    );
  });
});

/** Records every watcher that Node opens, until it is disposed. */
function recordWatchers(): { readonly opened: readonly fs.FSWatcher[] } & Disposable {
  const opened: fs.FSWatcher[] = [];
  const original = fs.watch;
  const record = (...args: Parameters<typeof fs.watch>): fs.FSWatcher => {
    const watcher = original(...args);
    opened.push(watcher);
    return watcher;
  };
  Object.assign(fs, { watch: record });
  syncBuiltinESMExports();
  return {
    opened,
    [Symbol.dispose]() {
      Object.assign(fs, { watch: original });
      syncBuiltinESMExports();
    },
  };
}
