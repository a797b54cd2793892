// SPDX-License-Identifier: Apache-2.0
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { createServer, type ListenOptions } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { eventually } from "../support/eventually.ts";
import { type Pod, type PodOptions, startPod } from "../support/pod.ts";

type Case = Omit<PodOptions, "ca"> & { readonly title: string; readonly code: number; readonly said: RegExp };

const fatal: readonly Case[] = [
  {
    title: "Envoy missing",
    proxyConfig: { binaryPath: "/nowhere/envoy" },
    code: 69,
    said: /\/nowhere\/envoy/,
  },
  {
    title: "Envoy not executable",
    proxyConfig: { binaryPath: "not-executable" },
    prepare({ directory }) {
      writeFileSync(join(directory, "not-executable"), "text", { mode: 0o644 });
    },
    code: 69,
    said: /not-executable/,
  },
  { title: "PROXY_CONFIG is not YAML", env: { PROXY_CONFIG: "{" }, code: 64, said: /PROXY_CONFIG/ },
  {
    title: "PROXY_CONFIG has a port out of range",
    proxyConfig: { statusPort: 70_000 },
    code: 64,
    said: /status ?port/i,
  },
  {
    title: "a log target cannot be opened",
    args: ["--log_target", "nowhere/agent.log"],
    code: 64,
    said: /--log_target: .*nowhere\/agent\.log/,
  },
  {
    title: "the directory of the bootstrap cannot be written",
    proxyConfig: { configPath: "a-file/etc" },
    prepare({ directory }) {
      writeFileSync(join(directory, "a-file"), "");
    },
    code: 69,
    said: /a-file\/etc/,
  },
  {
    title: "the directory of the socket cannot be written",
    prepare({ directory }) {
      writeFileSync(join(directory, "var/run/secrets/workload-spiffe-uds"), "");
    },
    code: 69,
    said: /workload-spiffe-uds/,
  },
];

/** A server that takes connections and does nothing with them. */
async function holdListening(where: ListenOptions): Promise<AsyncDisposable> {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(where, resolve));
  return {
    async [Symbol.asyncDispose]() {
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Temporary files that a write in steps leaves behind when it is cut off. */
function leftovers(directory: string): readonly string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".tmp"));
}

/** Lines that tell of an error; the log of Envoy aside. */
function errorLines(pod: Pod): readonly string[] {
  return pod
    .log()
    .split("\n")
    .filter((line) => /^Error: |\terror\t|"level":"error"/.test(line) && !line.includes("envoy "));
}

describe("what is fatal ends the agent with its code, one line, and nothing left behind", () => {
  test.each(fatal)("$title", async ({ code, said, ...options }) => {
    await using ca = await startFakeCa();
    await using pod = await startPod({ ca, ...options });
    expect((await pod.exited).code, pod.log()).toBe(code);
    expect(pod.envoyPids()).toEqual([]);
    const lines = errorLines(pod);
    expect(lines, pod.log()).toHaveLength(1);
    expect(lines[0]).toMatch(said);
    expect(leftovers(pod.directory)).toEqual([]);
  });

  test("the root is missing", async () => {
    await using ca = await startFakeCa();
    await using pod = await startPod({ ca: { port: ca.port, serverRootPem: undefined } });
    expect((await pod.exited).code, pod.log()).toBe(64);
    expect(errorLines(pod), pod.log()).toHaveLength(1);
    expect(pod.log()).toContain("var/run/secrets/istio/root-cert.pem");
  });

  test("the status port is taken", async () => {
    await using ca = await startFakeCa();
    await using holders = new AsyncDisposableStack();
    await using pod = await startPod({
      ca,
      async prepare({ ports }) {
        holders.use(await holdListening({ port: ports.status, host: "127.0.0.1" }));
      },
    });
    const exit = await pod.exited;
    expect(exit.code).toBe(69);
    expect(errorLines(pod), pod.log()).toHaveLength(1);
    expect(pod.log()).toContain(String(pod.ports.status));
    expect(pod.envoyPids()).toEqual([]);
  });

  test("a live process serves on the socket's path", async () => {
    await using ca = await startFakeCa();
    await using holders = new AsyncDisposableStack();
    await using pod = await startPod({
      ca,
      async prepare({ directory }) {
        mkdirSync(join(directory, "var/run/secrets/workload-spiffe-uds"), { recursive: true });
        const path = join(directory, "var/run/secrets/workload-spiffe-uds/socket");
        holders.use(await holdListening({ path }));
      },
    });
    const exit = await pod.exited;
    expect(exit.code).toBe(69);
    expect(pod.log()).toMatch(/workload-spiffe-uds\/socket: a live process already serves there/);
    expect(existsSync(join(pod.directory, "etc/istio/proxy/envoy-rev.json"))).toBe(false);
  });
});

/** What a pod without it waits for, and what makes it come up. */
const holds: readonly (Omit<PodOptions, "ca"> & {
  readonly title: string;
  readonly said: RegExp;
})[] = [
  { title: "missing token", token: "", said: /^identity: .*istio-token/m },
  { title: "expired token", token: expiredToken(), said: /^identity: .*expired/m },
];

describe("what may come right is a named hold of readiness, and the agent waits", () => {
  test.each(holds)("$title", async ({ said, ...options }) => {
    await using ca = await startFakeCa({ token: "a-good-token" });
    await using pod = await startPod({ ca, token: "a-good-token", ...options });
    await eventually(
      async () => {
        const { status, body } = await pod.readiness();
        expect(status).toBe(503);
        expect(body).toMatch(said);
      },
      { withinMs: 8_000 },
    );
    await eventually(async () => expect(await pod.serials()).toEqual([]), { withinMs: 5_000 });
    writeFileSync(join(pod.directory, "var/run/secrets/tokens/istio-token"), "a-good-token");
    await pod.untilReady();
  });
});

function expiredToken(): string {
  const part = (claims: object): string => Buffer.from(JSON.stringify(claims)).toString("base64url");
  const expired = { sub: "system:serviceaccount:demo:web", aud: ["istio-ca"], exp: 1_600_000_000 };
  return `${part({ alg: "RS256" })}.${part(expired)}.c2lnbmF0dXJl`;
}
