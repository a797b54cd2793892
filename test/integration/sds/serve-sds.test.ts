// SPDX-License-Identifier: Apache-2.0
import { status } from "@grpc/grpc-js";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { contentOf, decodeSecret, type SecretsAnswer, secretTypeUrl } from "../../fakes/sds-client.ts";
import { eventually } from "../../support/eventually.ts";
import { bundle, certificate, startTestServer } from "./test-server.ts";

describe("StreamSecrets", () => {
  test("A1, A8: default with its key, then silence until it changes", async () => {
    await using server = await startTestServer();
    server.set("default", certificate("first"));
    server.set("ROOTCA", bundle("root"));
    using stream = server.client().stream();
    stream.ask({ resource_names: ["default"] });
    const answer = await stream.untilAnswer(1);
    expect(answer.type_url).toBe(secretTypeUrl);
    expect(answer.resources.length).toBe(1);
    expect(decodeSecret(answer.resources[0])).toEqual({
      name: "default",
      tls_certificate: {
        certificate_chain: { inline_bytes: Buffer.from("first") },
        private_key: { inline_bytes: Buffer.from("key of first") },
      },
    });
    stream.ask({ resource_names: ["default"], response_nonce: answer.nonce, version_info: answer.version_info });
    server.set("ROOTCA", bundle("other root"));
    server.set("default", certificate("first"));
    server.set("default", certificate("second"));
    expect(contentOf((await stream.untilAnswer(2)).resources[0])).toBe("second");
    expect(stream.answers[1]?.version_info).not.toBe(answer.version_info);
    expect(server.metrics.acks.value("default")).toBe(1);
  });

  test("A4: two requests for a name without a nonce get two responses", async () => {
    await using server = await startTestServer();
    server.set("default", certificate("first"));
    using stream = server.client().stream();
    stream.ask({ resource_names: ["default"] });
    stream.ask({ resource_names: ["default"] });
    expect((await stream.untilAnswer(2)).nonce).not.toBe(stream.answers[0]?.nonce);
  });

  test("A5, A10: streams and connections are independent", async () => {
    await using server = await startTestServer();
    server.set("default", certificate("leaf"));
    server.set("ROOTCA", bundle("root"));
    const client = server.client();
    using first = client.stream();
    using second = client.stream();
    using third = server.client().stream();
    for (const stream of [first, third]) stream.ask({ resource_names: ["default"] });
    second.ask({ resource_names: ["ROOTCA"] });
    for (const stream of [first, third]) expect(contentOf((await stream.untilAnswer(1)).resources[0])).toBe("leaf");
    expect(contentOf((await second.untilAnswer(1)).resources[0])).toBe("root");
    first[Symbol.dispose]();
    server.set("default", certificate("next"));
    expect(contentOf((await third.untilAnswer(2)).resources[0])).toBe("next");
    await eventually(
      () => {
        expect(server.metrics.streams.value()).toBe(2);
      },
      { withinMs: 2_000 },
    );
    expect(server.metrics.subscribers.value("default")).toBe(1);
  });

  test("A6, A7: what is not there yet comes when it is there, on the same stream", async () => {
    await using server = await startTestServer();
    using stream = server.client().stream();
    stream.ask({ resource_names: ["default"] });
    await eventually(
      () => {
        expect(server.metrics.subscribers.value("default")).toBe(1);
      },
      { withinMs: 2_000 },
    );
    expect(stream.answers).toEqual([]);
    server.set("default", certificate("late"));
    expect(contentOf((await stream.untilAnswer(1)).resources[0])).toBe("late");
  });

  test("A6: a name that the source cannot serve ends the stream with an error; a later stream watches it again", async () => {
    await using server = await startTestServer();
    const name = "file-root:/certs/roots.pem";
    server.fail(name, new Error("no usable certificate in it"));
    using stream = server.client().stream();
    stream.ask({ resource_names: [name] });
    const { code, details } = await stream.untilStatus();
    expect(code).toBe(status.FAILED_PRECONDITION);
    expect(details).toContain(name);
    expect(details).toContain("no usable certificate in it");
  });

  test("A12: a NACK is logged with the client's message, and the stream gets the next secret", async () => {
    await using server = await startTestServer();
    server.set("default", certificate("bad"));
    using stream = server.client().stream();
    stream.ask({ response_nonce: "x", error_detail: { code: 13, message: "first of all, no" } });
    stream.ask({ resource_names: ["default"] });
    const { nonce } = await stream.untilAnswer(1);
    const error_detail = { code: 13, message: "Failed to load certificate chain" };
    stream.ask({ resource_names: ["default"], response_nonce: nonce, error_detail });
    await eventually(
      () => {
        expect(server.metrics.nacks.value("default")).toBe(1);
      },
      { withinMs: 2_000 },
    );
    expect(server.events).toContainEqual(
      expect.objectContaining({ kind: "rejected", resource: "default", reason: error_detail.message }),
    );
    expect(server.records).toContainEqual(expect.objectContaining({ level: "warn", scope: "sds" }));
    server.set("default", certificate("good"));
    expect(contentOf((await stream.untilAnswer(2)).resources[0])).toBe("good");
  });

  test("A14: no node is INVALID_ARGUMENT", async () => {
    await using server = await startTestServer();
    using stream = server.client().stream();
    stream.ask({ node: undefined, resource_names: ["default"] });
    expect(await stream.untilStatus()).toEqual({
      code: status.INVALID_ARGUMENT,
      details: expect.stringMatching(/node\.id/) as string,
    });
  });

  test.each([
    ["workload", status.NOT_FOUND, /this server serves/],
    ["DEFAULT", status.NOT_FOUND, /did you mean default/],
    ["kubernetes://credential", status.NOT_FOUND, /ADS/],
    ["file-cert:/certs/a", status.INVALID_ARGUMENT, /file-cert:CHAIN~KEY/],
    ["file-root:a~b", status.INVALID_ARGUMENT, /file-root:PATH/],
    ["file-cert:/etc/a~/etc/b", status.PERMISSION_DENIED, /allowed are \/certs/],
  ])("A16, A17: %s is rejected with a hint and gets no key", async (name, code, hint) => {
    await using server = await startTestServer();
    server.set("default", certificate("leaf"));
    using stream = server.client().stream();
    stream.ask({ resource_names: ["default", name] });
    expect(await stream.untilStatus()).toEqual({ code, details: expect.stringMatching(hint) as string });
    expect(stream.answers).toEqual([]);
    expect(server.metrics.rejectedRequests.value(String(code))).toBe(1);
  });

  test("a client that does not read gets the newest when it does, not everything in between", async () => {
    await using server = await startTestServer();
    const big = (text: string) => bundle(text.repeat(400_000));
    server.set("ROOTCA", big("0"));
    using stream = server.client().stream();
    stream.ask({ resource_names: ["ROOTCA"] });
    await stream.untilAnswer(1);
    stream.pause();
    for (let index = 1; index <= 60; index++) {
      server.set("ROOTCA", big(String(index)));
      await systemClock.delay(1);
    }
    stream.resume();
    await eventually(
      () => {
        expect(contentOf(stream.answers.at(-1)?.resources[0]).slice(0, 2)).toBe("60");
      },
      {
        withinMs: 5_000,
      },
    );
    expect(stream.answers.length).toBeLessThan(55);
  });
});

describe("the revocation list", () => {
  test("goes with ROOTCA alone, and a change of it is pushed", async () => {
    await using server = await startTestServer({}, true);
    server.set("ROOTCA", bundle("root"));
    server.set("file-root:/certs/r", bundle("other root"));
    using stream = server.client().stream();
    stream.ask({ resource_names: ["file-root:/certs/r"] });
    const first = await stream.untilAnswer(1);
    expect(decodeSecret(first.resources[0]).validation_context).toEqual({
      trusted_ca: { inline_bytes: Buffer.from("other root") },
    });
    stream.ask({ resource_names: ["file-root:/certs/r", "ROOTCA"], response_nonce: first.nonce });
    server.setCrl("list");
    const crlOf = (answer: SecretsAnswer): string =>
      String(decodeSecret(answer.resources[0]).validation_context?.crl?.inline_bytes);
    expect(crlOf(await stream.untilAnswer(2))).toBe("list");
    server.setCrl("longer list");
    expect(crlOf(await stream.untilAnswer(3))).toBe("longer list");
  });
});

describe("DeltaSecrets", () => {
  test("names come and go; a version the client has is not sent again", async () => {
    await using server = await startTestServer();
    server.set("default", certificate("leaf"));
    server.set("ROOTCA", bundle("root"));
    const client = server.client();
    using stream = client.delta();
    stream.ask({ resource_names_subscribe: ["default"] });
    const first = await stream.untilAnswer(1);
    expect(first.resources[0]?.name).toBe("default");
    expect(contentOf(first.resources[0]?.resource)).toBe("leaf");
    stream.ask({ response_nonce: first.nonce, resource_names_subscribe: ["ROOTCA"] });
    const second = await stream.untilAnswer(2);
    stream.ask({ response_nonce: second.nonce, resource_names_unsubscribe: ["default"] });
    using again = client.delta();
    again.ask({
      resource_names_subscribe: ["ROOTCA", "default"],
      initial_resource_versions: { ROOTCA: second.resources[0]?.version, default: "of an earlier process" },
    });
    expect((await again.untilAnswer(1)).resources.map(({ name }) => name)).toEqual(["default"]);
    server.set("default", certificate("next"));
    server.set("ROOTCA", bundle("next root"));
    expect((await stream.untilAnswer(3)).resources.map(({ name }) => name)).toEqual(["ROOTCA"]);
  });

  test("A16: an unknown name is rejected", async () => {
    await using server = await startTestServer();
    using stream = server.client().delta();
    stream.ask({ resource_names_subscribe: ["*"] });
    expect((await stream.untilStatus()).code).toBe(status.NOT_FOUND);
  });
});

describe("FetchSecrets", () => {
  test("sends one response with all requested secrets, as soon as all exist", async () => {
    await using server = await startTestServer();
    server.set("default", certificate("leaf"));
    const fetched = server.client().fetch(["default", "ROOTCA"]);
    await eventually(
      () => {
        expect([...server.watched].sort()).toEqual(["ROOTCA", "default"]);
      },
      { withinMs: 2_000 },
    );
    server.set("ROOTCA", bundle("root"));
    expect((await fetched).resources.map(contentOf)).toEqual(["leaf", "root"]);
  });

  test("rejects an unknown name, and reports at the deadline which secrets are missing", async () => {
    await using server = await startTestServer();
    const client = server.client();
    await expect(client.fetch(["defualt"])).rejects.toMatchObject({ code: status.NOT_FOUND });
    server.fail("file-root:/certs/r", new Error("no usable certificate in it"));
    await expect(client.fetch(["file-root:/certs/r"])).rejects.toMatchObject({ code: status.FAILED_PRECONDITION });
    await expect(client.fetch([])).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
    await expect(client.fetch(["default"], 200)).rejects.toMatchObject({ code: status.DEADLINE_EXCEEDED });
  });
});
