// SPDX-License-Identifier: Apache-2.0
import { writeFile } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import { createServer as createTcpServer, type Server } from "node:net";
import { join } from "node:path";
import { createServer, type TlsOptions } from "node:tls";
import { expect, test } from "vitest";
import { freePorts } from "../../support/free-ports.ts";
import { listening } from "../../support/listening.ts";
import { type ProgramExit, startProgram } from "../../support/program.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { newKey, publicKeyOf, testAuthority, testSpiffeId } from "../../support/test-authority.ts";

const nowMs = Date.now();
const hourMs = 3_600_000;
const authority = testAuthority("mesh", nowMs);
const namesake = testAuthority("mesh", nowMs);
const key = newKey();
const keyPem = key.export({ type: "pkcs8", format: "pem" });

/** A certificate for the key of this file. */
function issued(facts: Parameters<typeof authority.issue>[0] | object = {}, by = authority): string {
  return by.issue({ publicKey: publicKeyOf(key), ...facts }, nowMs);
}

const server = (options: TlsOptions): Server => createServer({ key: keyPem, ...options });

/** Without an agent: who the peer is can be verified by a file with roots. */
async function verify(port: number, ...args: readonly string[]): Promise<ProgramExit> {
  await using directory = await temporaryDirectory();
  const roots = join(directory.path, "roots.pem");
  await writeFile(roots, authority.rootPem);
  const [closed = 0] = await freePorts(1);
  const words = ["certs", "--verify", `127.0.0.1:${String(port)}`, "--roots", roots, "--address", String(closed)];
  await using program = startProgram([...words, ...args]);
  return await program.exited;
}

const expired = { notBeforeMs: nowMs - 2 * hourMs, notAfterMs: nowMs - hourMs };
const early = { notBeforeMs: nowMs + hourMs, notAfterMs: nowMs + 2 * hourMs };
const named = { use: "server" as const, uris: [], dnsNames: ["istiod.test"] };

const demanding = { cert: issued(), ca: authority.rootPem, requestCert: true, rejectUnauthorized: true };

test.each<[string, () => Server, number, RegExp, (readonly string[])?]>([
  ["a workload of the mesh", () => server({ cert: issued() }), 0, /^\[ok\] {3}\S+ verified by the root "O=mesh"\n/],
  [
    "an expired certificate",
    () => server({ cert: issued(expired) }),
    1,
    /peer's certificate: the certificate expired 1 h ago \(/,
  ],
  [
    "a certificate from the future",
    () => server({ cert: issued(early) }),
    1,
    /valid only in 59 min.*compare the clocks/,
  ],
  [
    "a CA of the same name",
    () => server({ cert: issued({}, namesake) }),
    1,
    /not signed by the root "O=mesh": there are two/,
  ],
  [
    "another CA",
    () => server({ cert: issued({}, testAuthority("other", nowMs)) }),
    1,
    /its issuer "O=other" is unknown/,
  ],
  ["a server's name", () => server({ cert: issued(named) }), 0, /verified/, ["--sni", "istiod.test"]],
  [
    "a server's other name",
    () => server({ cert: issued(named) }),
    1,
    /is for DNS:istiod\.test, not for 127\.0\.0\.1\n/,
  ],
  ["plain HTTP", () => createHttpServer(), 1, /the peer does not speak TLS on this port\n/],
  ["a server that greets", () => createTcpServer((socket) => socket.end("220 ready\r\n")), 1, /does not speak TLS/],
  [
    "a server that hangs up",
    () => createTcpServer((socket) => socket.destroy()),
    1,
    /closed the connection during the handshake/,
  ],
  [
    "a server that demands a certificate",
    () => server(demanding),
    1,
    /requires a client certificate, and none was presented/,
  ],
  [
    "a server of TLS 1.2 that demands one",
    () => server({ ...demanding, maxVersion: "TLSv1.2" }),
    1,
    /the peer ended the handshake \(alert: handshake failure\); no client certificate was presented\n/,
  ],
  [
    "a server of old versions",
    () => server({ cert: issued(), minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" }),
    1,
    /does not agree to version, protocol or server name \(alert: protocol version\)/,
  ],
  [
    "another workload than expected",
    () => server({ cert: issued() }),
    1,
    new RegExp(`the peer is ${testSpiffeId}, not spiffe://cluster.local/ns/demo/sa/other\n`),
    ["--peer-id", "spiffe://cluster.local/ns/demo/sa/other"],
  ],
])("--verify names %s", async (_what, create, code, first, args = []) => {
  await using peer = await listening(create());
  const exit = await verify(peer.port, ...args);
  expect(exit.stdout).toMatch(first);
  expect(exit.stdout).toContain("[warn] no client certificate was presented: no agent responded at localhost:");
  expect(exit).toMatchObject({ code, stderr: "" });
});

test("--verify names a port that nobody listens on, and a name that nobody knows", async () => {
  const [port = 0] = await freePorts(1);
  expect(await verify(port)).toMatchObject({ code: 1, stdout: expect.stringMatching(/nothing listens at /) as string });
  await using program = startProgram(["certs", "--verify", "nobody.invalid:443", "--address", String(port)]);
  const { code, stderr } = await program.exited;
  expect([code, stderr]).toEqual([1, expect.stringContaining("no agent responded at localhost:") as string]);
});

test("--verify gives up on a peer that accepts and never responds", async () => {
  await using peer = await listening(createTcpServer());
  const { code, stdout } = await verify(peer.port, "--json");
  expect([code, JSON.parse(stdout)]).toMatchObject([1, { problem: "handshake-timeout", chain: [] }]);
});

async function files(texts: Readonly<Record<string, string>>, ...args: readonly string[]): Promise<ProgramExit> {
  await using directory = await temporaryDirectory();
  const paths = new Map<string, string>();
  for (const [name, text] of Object.entries(texts)) {
    const path = join(directory.path, name);
    paths.set(name, path);
    await writeFile(path, text);
  }
  await using program = startProgram(["certs", ...args.map((word) => paths.get(word) ?? word)]);
  const exit = await program.exited;
  return { ...exit, stdout: exit.stdout.replaceAll(directory.path, "") };
}

const other = testAuthority("other", nowMs);

test.each<[string, string, number, RegExp]>([
  ["a chain with its root", issued() + authority.rootPem, 0, /^\[ok\] {3}\/a\.pem: verified by the root "O=mesh"\n/],
  [
    "a chain alone",
    issued(),
    0,
    /^\[ok\] {3}\/a\.pem: the certificate is valid now; it was not verified, because no root/,
  ],
  ["a bundle", authority.rootPem + other.rootPem, 0, /^\[ok\] {3}\/a\.pem: 2 certificates are valid now\n/],
  ["an expired one", issued(expired), 1, /^\[fail\] \/a\.pem: "" expired 1 h ago\n/],
  ["a chain with a foreign root", issued() + other.rootPem, 1, /^\[fail\] \/a\.pem: its issuer "O=mesh" is unknown/],
  [
    "a chain with its key",
    issued() + keyPem,
    0,
    /\[warn\] \/a\.pem: block 2 is not a certificate \(PRIVATE KEY\); skipped\n/,
  ],
  ["no PEM at all", "hello", 1, /^\[fail\] \/a\.pem: there is no PEM block in it\n/],
  [
    "a broken block",
    authority.rootPem.replace("MII", "???"),
    1,
    /^\[fail\] \/a\.pem: PEM block 1 \(CERTIFICATE\) is not base64\n/,
  ],
])("a file with %s", async (_what, text, code, first) => {
  const exit = await files({ "a.pem": text }, "a.pem");
  expect(exit.stdout).toMatch(first);
  expect([exit.code, exit.stderr]).toEqual([code, ""]);
  for (const line of keyPem.split("\n").slice(1, -2)) expect(exit.stdout).not.toContain(line);
});

test("files are verified by other files, and a missing one is named", async () => {
  const good = await files({ "a.pem": issued(), "r.pem": authority.rootPem }, "a.pem", "--roots", "r.pem");
  const bad = await files({ "a.pem": issued(), "r.pem": other.rootPem }, "a.pem", "--roots", "r.pem", "--json");
  expect([good.code, bad.code, JSON.parse(bad.stdout)]).toMatchObject([
    0,
    1,
    { ok: false, files: [{ findings: [{}] }] },
  ]);
  const missing = await files({}, "/nowhere/a.pem");
  expect(missing).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/read \/nowhere\/a\.pem: .*ENOENT/) as string,
  });
});

test.each([
  [["a.pem", "--renew"], "files, --renew and --verify exclude each other"],
  [["--sni", "x"], "--peer-id and --sni need --verify HOST:PORT"],
  [["--roots", "x"], "--roots needs files or --verify HOST:PORT"],
  [["--verify", "here"], "--verify: unable to split"],
  [["--verify", "a:1", "--peer-id", "web"], '--peer-id: "web" is not a SPIFFE ID'],
  [["--verfiy", "a:1"], "unknown flag --verfiy (did you mean --verify?)"],
  [["-o", "jsno"], '"jsno" is not one of text, json, yaml (did you mean json?)'],
])("%j is wrong usage", async (args, message) => {
  await using program = startProgram(["certs", ...args]);
  expect(await program.exited).toMatchObject({
    code: 64,
    stdout: "",
    stderr: expect.stringContaining(message) as string,
  });
});
