// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { largestMesh } from "../../src/model/limits/sizes.ts";
import { startStatusChild, statusProgram } from "../../test/support/status-child.ts";
import { temporaryDirectory } from "../../test/support/temporary-directory.ts";
import { bundleProgram } from "./bundled.ts";
import { type Figure, median } from "./figure.ts";
import { assertLoad } from "./load-assertion.ts";

export const name = "metric-families";

const scrapes = 7;

type Format = "text" | "openmetrics";

/**
 * Scrapes of an application with as many metric families as the largest mesh has, in both formats. Asserts the families in
 * each response.
 */
export async function run(): Promise<readonly Figure[]> {
  const { metricFamilies } = largestMesh;
  await using directory = await temporaryDirectory();
  const program = await bundleProgram(statusProgram, directory.path);
  const figures: Figure[] = [];
  for (const format of ["text", "openmetrics"] as const) {
    figures.push(...(await measure(program, format, metricFamilies)));
  }
  return figures;
}

async function measure(program: string, format: Format, families: number): Promise<readonly Figure[]> {
  await using app = await serve(format, bodyOf(format, families));
  const target = { host: "localhost", scheme: "http", port: app.port, path: "/metrics" } as const;
  await using status = await startStatusChild({ scrape: { envoyPort: undefined, targets: [target] } }, program);
  // the engine compiles what runs often
  for (let time = 0; time < scrapes; time++) await scrape(status.port, format, families);
  await status.longestTurnMs();
  const atRest = status.privateBytes();
  using peak = status.watchPeak();
  const [timesMs, turnsMs] = [new Array<number>(), new Array<number>()];
  for (let time = 0; time < scrapes; time++) {
    const startMs = performance.now();
    await scrape(status.port, format, families);
    timesMs.push(performance.now() - startMs);
    turnsMs.push(await status.longestTurnMs());
  }
  const label = `${families.toLocaleString("en")} metric families, ${format}`;
  return [
    { name: `${label}: time`, value: median(timesMs), unit: "ms" },
    {
      name: `${label}: longest turn of the event loop, processor time`,
      value: Math.max(...turnsMs),
      unit: "ms",
      limit: 10,
    },
    { name: `${label}: private memory above rest, peak`, value: (peak.bytes() - atRest) / 1e6, unit: "MB", limit: 12 },
  ];
}

function bodyOf(format: Format, families: number): Buffer {
  const lines = Array.from({ length: families }, (_, index) => {
    const family = `application_subsystem_${String(index)}_requests`;
    const sample = format === "text" ? family : `${family}_total`;
    return `# HELP ${family} Requests of subsystem ${String(index)}.\n# TYPE ${family} counter\n${sample}{code="200"} ${String(index)}\n`;
  });
  return Buffer.from(`${lines.join("")}${format === "text" ? "" : "# EOF\n"}`);
}

const contentTypes: Readonly<Record<Format, string>> = {
  text: "text/plain; version=0.0.4",
  openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
};

async function scrape(port: number, format: Format, families: number): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${String(port)}/metrics`, {
    headers: { Accept: contentTypes[format], "Accept-Encoding": "identity" },
  });
  const text = await response.text();
  const found = text.split("# TYPE application_").length - 1;
  assertLoad("metric families in a response", found, families, 1);
}

async function serve(format: Format, body: Buffer): Promise<{ readonly port: number } & AsyncDisposable> {
  const server = createServer((_request, response) => {
    response.writeHead(200, { "Content-Type": contentTypes[format] }).end(body);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
