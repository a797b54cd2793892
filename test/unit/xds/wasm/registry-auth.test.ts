// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { describeError } from "../../../../src/lib/errors.ts";
import { parseImageReference } from "../../../../src/xds/wasm/oci.ts";
import { isOwnRealm, parseChallenge, parsePullSecret } from "../../../../src/xds/wasm/registry-auth.ts";
import { BlockedAddresses } from "../../../../src/xds/wasm/blocked-addresses.ts";

test("a pull secret gives the login of its registry, in both forms", () => {
  const secret = JSON.stringify({
    auths: { "r.example": { auth: "dTpw" }, "s.example": { username: "u", password: "p" } },
  });
  expect(parsePullSecret(secret, "r.example")).toEqual({ basic: "dTpw" });
  expect(parsePullSecret(secret, "s.example")).toEqual({ basic: "dTpw" });
  expect(parsePullSecret(secret, "t.example")).toBeUndefined();
  for (const wrong of ["", "null", "{}", "[]"])
    expect(() => parsePullSecret(wrong, "r.example")).toThrow("pull secret");
});

test("an error about a pull secret contains no part of it", () => {
  const wrong = "dXNlcjpwYXNzd29yZA==";
  expect(() => parsePullSecret(wrong, "r.example")).toThrow("not JSON");
  try {
    parsePullSecret(wrong, "r.example");
  } catch (error) {
    expect(describeError(error)).not.toContain(wrong.slice(0, 8));
  }
});

test("a registry is found by its host in a URL, and Docker Hub by its older names", () => {
  const secretOf = (key: string): string => JSON.stringify({ auths: { [key]: { auth: "dTpw" } } });
  const hub = parseImageReference("oci://docker.io/name")?.registry ?? "";
  for (const key of ["https://index.docker.io/v1/", "index.docker.io", "docker.io", hub]) {
    expect(parsePullSecret(secretOf(key), hub)).toEqual({ basic: "dTpw" });
  }
  expect(parsePullSecret(secretOf("https://r.example/v2/"), "r.example")).toEqual({ basic: "dTpw" });
  expect(parsePullSecret(secretOf("https://r.example.net/v2/"), "r.example")).toBeUndefined();
});

test("a challenge is read at any position in the header", () => {
  const header =
    'Basic realm="https://r.example", Bearer realm="https://auth.example/token",service="r",scope="repository:a:pull"';
  expect(parseChallenge('Bearer realm="https://auth.example/token"')?.realm).toBe("https://auth.example/token");
  expect(parseChallenge(header)?.service).toBe("r");
  expect(parseChallenge('Basic realm="https://r.example"')).toBeUndefined();
});

test.each([
  "http://localhost/t",
  "http://127.0.0.1/t",
  "http://[::1]/t",
  "http://10.1.2.3/",
  "http://169.254.169.254/",
  "http://metadata.google.internal/",
  "file:///etc/passwd",
  "nonsense",
  "http://0x7f.1/",
])("7.3.12: a login is never sent to %s", (realm) => {
  expect(() => parseChallenge(`Bearer realm="${realm}"`)).toThrow("not allowed");
  expect(() => parseChallenge(`Bearer realm="https://good.example", Basic realm="${realm}"`)).toThrow("not allowed");
});

test("images are named by registry, repository, tag and digest", () => {
  expect(parseImageReference("oci://r.example:5000/a/b:v1")).toEqual({
    registry: "r.example:5000",
    repository: "a/b",
    tag: "v1",
    digest: undefined,
  });
  expect(parseImageReference(`oci://r.example/a@sha256:${"0".repeat(64)}`)?.digest).toBe("0".repeat(64));
  expect(parseImageReference("oci://r.example/a")?.tag).toBe("latest");
  expect(parseImageReference("oci://docker.io/a")?.repository).toBe("library/a");
  expect(parseImageReference("oci://docker.io/b/a")?.repository).toBe("b/a");
  for (const wrong of ["oci://r.example", "https://r.example/a", "oci:///a"])
    expect(parseImageReference(wrong)).toBeUndefined();
});

test("link-local addresses, metadata servers and those configured are blocked", () => {
  const blocked = new BlockedAddresses(["192.0.2.0/24", "2001:db8::/32"]);
  for (const address of [
    "169.254.169.254",
    "100.100.100.200",
    "fe80::1",
    "fd00:ec2::254",
    "192.0.2.9",
    "2001:db8::1",
    "::ffff:169.254.1.1",
  ]) {
    expect(blocked.has(address)).toBe(true);
  }
  for (const address of ["127.0.0.1", "10.0.0.1", "192.0.3.1", "::1"]) expect(blocked.has(address)).toBe(false);
});

test("a name that resolves to a blocked address is not connected to", async () => {
  const resolve = (blocked: readonly string[]): Promise<string | undefined> =>
    new Promise((done) => {
      new BlockedAddresses(blocked).lookup()("localhost", {}, (error) => {
        done(error?.code);
      });
    });
  expect(await resolve([])).toBeUndefined();
  expect(await resolve(["127.0.0.0/8", "::1/128"])).toBe("EBLOCKED");
});

test.each([
  ["https://auth.docker.io/token", "registry-1.docker.io"],
  ["https://gitlab.com/jwt/auth", "registry.gitlab.com"],
  ["https://registry.corp:8443/token", "registry.corp:5000"],
  ["https://ghcr.io/token", "ghcr.io"],
  ["https://auth.quay.io/token", "quay.io"],
  ["https://10.0.0.5/token", "10.0.0.5:5000"],
  ["https://auth.team.example.co.uk/token", "registry.team.example.co.uk"],
])("the realm %s is %s's own", (realm, registry) => {
  expect(isOwnRealm(new URL(realm), registry)).toBe(true);
});

test.each([
  ["https://evil.example/token", "registry.corp:8443"],
  ["https://evil.io/token", "ghcr.io"],
  ["https://evil.co.uk/token", "registry.co.uk"],
  ["https://docker.io.evil.example/token", "registry-1.docker.io"],
  ["https://evildocker.io/token", "registry-1.docker.io"],
  ["https://10.0.0.6/token", "10.0.0.5:5000"],
  ["https://5.0.0.5/token", "10.0.0.5"],
  ["https://[2001:db8::2]/token", "[2001:db8::1]"],
])("the realm %s is not %s's own", (realm, registry) => {
  expect(isOwnRealm(new URL(realm), registry)).toBe(false);
});

test("IPv6 addresses that lead to a blocked IPv4 address are blocked", () => {
  const blocked = new BlockedAddresses([]).andLoopback;
  for (const address of [
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "64:ff9b::169.254.169.254",
    "::127.0.0.1",
    "::1",
    "::",
    "0.0.0.0",
    "127.8.8.8",
  ])
    expect([address, blocked.has(address)]).toEqual([address, true]);
  for (const address of ["::ffff:8.8.8.8", "64:ff9b::808:808", "2001:db8::1", "10.0.0.1"])
    expect([address, blocked.has(address)]).toEqual([address, false]);
});

test("a message shows a realm only up to a length", () => {
  const header = `Bearer realm="file:///${"x".repeat(10_000)}"`;
  expect(() => parseChallenge(header)).toThrow(/^.{50,200}$/);
});
