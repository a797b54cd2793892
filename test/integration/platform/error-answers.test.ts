// SPDX-License-Identifier: Apache-2.0
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { type PlatformFacts, readAws, readAzure, readGcp } from "../../../src/platform/clouds.ts";
import { createMetadataGet, type MetadataGet } from "../../../src/platform/metadata-server.ts";
import { testBudgets } from "../../support/budgets.ts";

interface Answer {
  readonly status: number;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Reads a cloud from a server on a real socket. @returns the facts, and the requests that it took */
async function lookUp(
  read: (get: MetadataGet) => Promise<PlatformFacts | undefined>,
  answer: (request: IncomingMessage, path: string) => Answer,
): Promise<{ readonly facts: PlatformFacts | undefined; readonly requests: readonly string[] }> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    const path = request.url ?? "";
    requests.push(`${request.method ?? ""} ${path}`);
    const { status, body = "", headers = {} } = answer(request, path);
    response.writeHead(status, headers).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const get = createMetadataGet(
    { baseUrl: `http://127.0.0.1:${String(port)}`, timeoutPerCallMs: 2_000 },
    { clock: systemClock, budgets: testBudgets() },
    new AbortController().signal,
  );
  try {
    return { facts: await read(get), requests };
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

const json = (value: object): string => JSON.stringify(value);
const compute = { name: "vm", location: "westeurope", vmId: "id-1", zone: "2" };
const known = { region: "westeurope", zone: "2", subZone: "" };
const versionOf = (path: string): string => path.split("api-version=")[1] ?? "";

/** As Azure documents it for an unsupported version. */
function unsupported(versions: readonly unknown[]): Answer {
  const error = "Bad request: api-version is invalid or was not specified in the request.";
  return { status: 400, body: json({ error, "newest-versions": versions }) };
}

describe("26: Azure's answers", () => {
  test("26: a server that rejects the version is asked again with the newest that it lists", async () => {
    const { facts, requests } = await lookUp(readAzure, (request, path) => {
      if (request.headers["metadata"] !== "True") return { status: 400 };
      if (versionOf(path) === "2023-07-01") return { status: 200, body: json({ compute }) };
      return unsupported(["2021-12-13", "2023-07-01", "2023-04-02"]);
    });
    expect(facts?.locality).toEqual(known);
    expect(facts?.metadata).toMatchObject({ azure_name: "vm", azure_vmId: "id-1" });
    expect(requests.map((one) => versionOf(one))).toEqual(["2019-08-15", "2023-07-01"]);
  });

  test("26: one of the listed versions that is rejected too is followed by the next", async () => {
    const { facts } = await lookUp(readAzure, (_request, path) =>
      versionOf(path) === "2021-12-13"
        ? { status: 200, body: json({ compute }) }
        : unsupported(["2021-12-13", "2023-07-01"]),
    );
    expect(facts?.locality).toEqual(known);
  });

  test("26: the first response is used when it is the document, or when all listed versions fail", async () => {
    const plain = await lookUp(readAzure, () => ({ status: 200, body: json({ compute }) }));
    expect([plain.facts?.locality, plain.requests.length]).toEqual([known, 1]);
    const both = await lookUp(readAzure, (_request, path) =>
      versionOf(path) === "2019-08-15"
        ? { status: 200, body: json({ compute, "newest-versions": ["2023-07-01"] }) }
        : { status: 500 },
    );
    expect(both.facts?.locality).toEqual(known);
  });

  test("26: a list that never leads to a document ends after a few requests, and odd versions are not sent", async () => {
    const many = Array.from({ length: 50 }, (_, index) => `2023-01-${String(index)}`);
    const { facts, requests } = await lookUp(readAzure, () => unsupported([...many, 7, null, "../x?y", "a b"]));
    expect(facts).toBeUndefined();
    expect(requests.length).toBe(4);
    expect(requests.every((one) => /^GET \/metadata\/instance\?api-version=[\w.-]+$/.test(one))).toBe(true);
  });

  test.each([
    [400, json({ error: "Bad request. Required metadata header not specified" })],
    [400, "not JSON"],
    [404, json({ error: "Not found" })],
    [405, json({ error: "Method not allowed" })],
    [410, ""],
    [429, json({ error: "Too many requests" })],
    [500, json({ error: "Service unavailable" })],
  ])("26: status %i leaves the machine unknown: %s", async (status, body) => {
    expect((await lookUp(readAzure, () => ({ status, body }))).facts).toBeUndefined();
  });
});

describe("26: AWS' answers", () => {
  const facts: Readonly<Record<string, string>> = {
    "/latest/meta-data/placement/region": "eu-west-1",
    "/latest/meta-data/placement/availability-zone": "eu-west-1a",
    "/latest/meta-data/instance-id": "i-1",
  };

  test.each([400, 403, 404, 405])("26: without session tokens (status %i) version 1 is read", async (status) => {
    const found = await lookUp(readAws, (request, path) =>
      request.method === "PUT" ? { status } : { status: 200, body: facts[path] ?? "" },
    );
    expect(found.facts?.locality).toMatchObject({ region: "eu-west-1", zone: "eu-west-1a" });
  });

  test("26: a server that demands a token gets one; 401 to an old one leaves the machine unknown", async () => {
    const answer =
      (valid: string) =>
      (request: IncomingMessage, path: string): Answer => {
        if (request.method === "PUT") return { status: 200, body: "token-1" };
        const isKnown = request.headers["x-aws-ec2-metadata-token"] === valid;
        return isKnown ? { status: 200, body: facts[path] ?? "" } : { status: 401 };
      };
    expect((await lookUp(readAws, answer("token-1"))).facts?.metadata).toMatchObject({ aws_instance_id: "i-1" });
    expect((await lookUp(readAws, answer("token-2"))).facts).toBeUndefined();
  });

  test.each([403, 404, 429, 503])("26: status %i to everything leaves the machine unknown", async (status) => {
    expect((await lookUp(readAws, () => ({ status }))).facts).toBeUndefined();
  });

  test("26: a missing attribute (404) is left out, the others are used", async () => {
    const found = await lookUp(readAws, (request, path) => {
      if (request.method === "PUT" || path.endsWith("instance-id")) return { status: 404 };
      return { status: 200, body: facts[path] ?? "" };
    });
    expect(found.facts?.metadata).toEqual({ aws_region: "eu-west-1", aws_availability_zone: "eu-west-1a" });
  });
});

describe("26: Google's answers", () => {
  test("26: missing attributes (404) and busy answers (503, 429) are left out, the others are used", async () => {
    const found = await lookUp(readGcp, (request, path) => {
      if (request.headers["metadata-flavor"] !== "Google") return { status: 403 };
      if (path.endsWith("project/project-id")) return { status: 200, body: "p" };
      if (path.endsWith("instance/zone")) return { status: 200, body: "projects/1/zones/europe-west1-b" };
      if (path.endsWith("instance/id")) return { status: 503 };
      if (path.endsWith("instance/name")) return { status: 429 };
      return { status: 404, body: "<html>not found</html>" };
    });
    expect(found.facts?.locality).toMatchObject({ region: "europe-west1", zone: "europe-west1-b" });
    expect(found.facts?.metadata).toEqual({ gcp_project: "p", gcp_location: "europe-west1-b" });
  });

  test.each([
    [403, "Missing Metadata-Flavor:Google header."],
    [404, "not found"],
    [503, ""],
    [301, ""],
  ])("26: status %i to everything leaves the machine unknown: %s", async (status, body) => {
    expect((await lookUp(readGcp, () => ({ status, body }))).facts).toBeUndefined();
  });
});
