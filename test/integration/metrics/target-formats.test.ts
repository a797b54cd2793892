// SPDX-License-Identifier: Apache-2.0
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { expect, test } from "vitest";
import { answer, startFakeApp } from "../../fakes/fake-app.ts";
import { startStatus } from "../status/status-fixture.ts";

const text = "text/plain; version=0.0.4";
const openUtf8 = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8";
const prometheus3 =
  "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4," +
  "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
const prometheus2 = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1";

const quoted =
  '# TYPE "http.server.requests" counter\n{"http.server.requests_total",code="200"} 5 # {trace_id="abc"} 1.0\n' +
  '# TYPE "queue depth" gauge\n{"queue depth"} 2\n# EOF\n';
const second = "# TYPE second_total counter\nsecond_total 7\n";

function target({ port }: { readonly port: number }) {
  return { host: "localhost", scheme: "http", port, path: "/m" } as const;
}

async function scraped(apps: readonly { readonly port: number }[], accept: string) {
  await using status = await startStatus({ scrape: { envoyPort: undefined, targets: apps.map(target) } });
  const response = await fetch(status.url("/metrics"), { headers: { Accept: accept } });
  const body = await response.text();
  return { type: response.headers.get("content-type"), body, records: status.records };
}

test("C18: a target with names in quotes beside one with text", async () => {
  await using one = await startFakeApp(answer(200, quoted, { "Content-Type": openUtf8 }));
  await using two = await startFakeApp(answer(200, second, { "Content-Type": text }));
  const both = await scraped([one, two], prometheus3);
  expect(both.type).toBe(openUtf8);
  expect(both.body).toContain(`${quoted.replace("# EOF\n", "")}# TYPE second counter\nsecond_total 7\n`);
  const alone = await scraped([one], prometheus3);
  expect(alone.type).toBe(openUtf8);
  expect(alone.body).toContain(quoted.replace("# EOF\n", ""));
  expect(alone.body.endsWith("\n# EOF\n")).toBe(true);
  const older = await scraped([one, two], prometheus2);
  expect(older.type).toBe("application/openmetrics-text; version=1.0.0; charset=utf-8");
  expect(older.body).toContain(
    'http_server_requests_total{code="200"} 5 # {trace_id="abc"} 1.0\n# TYPE queue_depth gauge\nqueue_depth 2\n',
  );
});

const large = `# TYPE big gauge\n${Array.from({ length: 60_000 }, (_, index) => `big{n="${String(index)}"} ${String(index)}\n`).join("")}`;

test.each([
  ["gzip", gzipSync],
  ["x-gzip", gzipSync],
  ["deflate", deflateSync],
  ["deflate", deflateRawSync],
  ["br", brotliCompressSync],
  ["zstd", zstdCompressSync],
  ["identity", (body: Buffer) => body],
])("C18: a target that compresses with %s, small and streamed", async (coding, compress) => {
  for (const body of [second, large, ""]) {
    const compressed = compress(Buffer.from(body));
    await using app = await startFakeApp((_request, response) => {
      response.writeHead(200, { "Content-Type": text, "Content-Encoding": coding });
      response.end(compressed);
    });
    const { body: merged } = await scraped([app], "text/plain");
    expect(merged.includes(body)).toBe(true);
    expect(merged).toContain(`istio_agent_target_up{target="localhost:${String(app.port)}/m"} 1`);
  }
});

test.each([
  ["lz4", Buffer.from(second), /content coding lz4, which is not supported/],
  ["gzip", Buffer.from(second), /not valid gzip/],
  ["gzip", gzipSync(large).subarray(0, 5_000), /not valid gzip/],
  ["zstd", zstdCompressSync(large).subarray(0, 5_000), /not valid zstd/],
])(
  "C18: a body with coding %s that cannot be decoded costs this target only, and says why",
  async (coding, bytes, reason) => {
    await using bad = await startFakeApp((_request, response) => {
      response.writeHead(200, { "Content-Type": text, "Content-Encoding": coding }).end(bytes);
    });
    await using good = await startFakeApp(answer(200, second, { "Content-Type": text }));
    const { body, records } = await scraped([bad, good], "text/plain");
    expect(body).toContain("second_total 7");
    expect(body).toContain(`istio_agent_target_up{target="localhost:${String(bad.port)}/m"} 0`);
    expect(JSON.stringify(records)).toMatch(reason);
  },
);

test("C18: a small body that decodes to more than the limit is not collected", async () => {
  const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024, "a 1\n"));
  await using app = await startFakeApp((_request, response) => {
    response.writeHead(200, { "Content-Type": text, "Content-Encoding": "gzip" }).end(bomb);
  });
  const { body, records } = await scraped([app], "text/plain");
  expect(body.length).toBeLessThan(40 * 1024 * 1024);
  expect(body).toContain(`istio_agent_target_up{target="localhost:${String(app.port)}/m"} 0`);
  expect(JSON.stringify(records)).toContain("scrape-body-bytes");
}, 20_000);

test("C18: protobuf, which was not requested, is left out, and said once", async () => {
  const type = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
  await using app = await startFakeApp(answer(200, "\u0010a 1\n", { "Content-Type": type }));
  await using good = await startFakeApp(answer(200, second, { "Content-Type": text }));
  const { body, records } = await scraped([app, good], prometheus3);
  expect(body).toContain("second_total 7");
  expect(body).not.toContain("\u0010");
  expect(records.filter(({ level }) => level === "warn")).toHaveLength(1);
  expect(JSON.stringify(records)).toContain("application/vnd.google.protobuf");
});

test("C18: lines that are not metrics cost themselves, and are counted in one warning", async () => {
  await using app = await startFakeApp(
    answer(200, "# TYPE a gauge\na 1\noops\na{b=c} 1\na 2\n", { "Content-Type": text }),
  );
  const { body, records } = await scraped([app], prometheus3);
  expect(body).toContain("# TYPE a gauge\na 1\na 2\n");
  expect(records.filter(({ level }) => level === "warn")).toMatchObject([
    {
      message: "scrape target sends lines that are not metrics; they are left out",
      fields: { target: `localhost:${String(app.port)}/m`, lines: 2 },
    },
  ]);
});

test("C18: exemplars of two targets that have families in common are kept, and no metric is there twice", async () => {
  const one = `# TYPE process_cpu_seconds counter\nprocess_cpu_seconds_total 1\n# TYPE hits counter\nhits_total{app="a"} 1 # {t="1"} 1\n# EOF\n`;
  const two = `# TYPE hits counter\nhits_total{app="b"} 2 # {t="2"} 1\n# TYPE process_cpu_seconds counter\nprocess_cpu_seconds_total 9\n# EOF\n`;
  const openMetrics = { "Content-Type": "application/openmetrics-text; version=1.0.0; charset=utf-8" };
  await using first = await startFakeApp(answer(200, one, openMetrics));
  await using second = await startFakeApp(answer(200, two, openMetrics));
  await using plain = await startFakeApp(answer(200, '# TYPE hits_total counter\nhits_total{app="c"} 3\n'));
  const { type, body } = await scraped([first, second, plain], prometheus2);
  expect(type).toBe(openMetrics["Content-Type"]);
  expect(body).toContain(
    "# TYPE process_cpu_seconds counter\nprocess_cpu_seconds_total 1\n" +
      '# TYPE hits counter\nhits_total{app="a"} 1 # {t="1"} 1\nhits_total{app="b"} 2 # {t="2"} 1\nhits_total{app="c"} 3\n',
  );
});

test("C18: families in common of a target that is too large to be held make the response text", async () => {
  const openMetrics = { "Content-Type": "application/openmetrics-text; version=1.0.0; charset=utf-8" };
  await using first = await startFakeApp(answer(200, `${large}# EOF\n`, openMetrics));
  await using second = await startFakeApp(answer(200, '# TYPE big gauge\nbig{app="b"} 2\n# EOF\n', openMetrics));
  const { type, body } = await scraped([first, second], prometheus2);
  expect(type).toBe("text/plain; version=0.0.4; charset=utf-8");
  expect(body).toContain('\nbig{app="b"} 2\n');
});

test("C18: families in common of targets with too many families make the response text", async () => {
  const openMetrics = { "Content-Type": "application/openmetrics-text; version=1.0.0; charset=utf-8" };
  const many = Array.from(
    { length: 3_000 },
    (_, index) => `# TYPE f${String(index)} gauge\nf${String(index)} 1\n`,
  ).join("");
  await using first = await startFakeApp(answer(200, `${many}# EOF\n`, openMetrics));
  await using second = await startFakeApp(answer(200, '# TYPE f0 gauge\nf0{app="b"} 2\n# EOF\n', openMetrics));
  const { type, body } = await scraped([first, second], prometheus2);
  expect(type).toBe("text/plain; version=0.0.4; charset=utf-8");
  expect(body).toContain('\nf0{app="b"} 2\n');
});
