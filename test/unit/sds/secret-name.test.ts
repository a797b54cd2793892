// SPDX-License-Identifier: Apache-2.0
import { resolve } from "node:path";
import { expect, test } from "vitest";
import { testBudgets } from "../../support/budgets.ts";
import { SecretNameError, checkSecretName, parseSecretName } from "../../../src/sds/secret-name.ts";

test("A17: the five forms are understood", () => {
  expect(parseSecretName("default").kind).toBe("workload-certificate");
  expect(parseSecretName("ROOTCA").kind).toBe("trust-bundle");
  expect(parseSecretName("file-root:system").kind).toBe("system-roots");
  expect(parseSecretName("file-cert:cert~/certs/key")).toEqual({
    kind: "file-certificate",
    text: "file-cert:cert~/certs/key",
    chainPath: resolve("cert"),
    keyPath: "/certs/key",
  });
  expect(parseSecretName("file-root:root")).toEqual({
    kind: "file-roots",
    text: "file-root:root",
    path: resolve("root"),
  });
});

test.each([
  "file-cert:cert",
  "file-cert:~key",
  "file-cert:cert~",
  "file-cert:a~b~c",
  "file-root:",
  "file-root:root~extra",
  "file-root:a\0b",
])("A17: %j is malformed", (text) => {
  expect(() => parseSecretName(text)).toThrow(
    expect.objectContaining({ code: "AGENT_SECRET_NAME", problem: "malformed" }),
  );
});

test.each([
  ["file:root", /file-root:PATH/],
  ["Default", /did you mean default\?/],
  ["rootca ", /did you mean ROOTCA\?/],
  ["kubernetes://credential", /over ADS/],
  ["", /this server serves/],
  ["__proto__", /this server serves/],
])("A16: %j is unknown, and the error lists the names that are served", (text, hint) => {
  expect(() => parseSecretName(text)).toThrow(hint);
  expect(() => parseSecretName(text)).toThrow(expect.objectContaining({ problem: "unknown" }));
});

test("a very long name is rejected, and not repeated as a whole", () => {
  const error = thrownBy(() => parseSecretName(`file-root:${"x".repeat(100_000)}`, testBudgets().of("sds-name-bytes")));
  expect(error.problem).toBe("malformed");
  expect(error.message.length).toBeLessThan(400);
});

test("files are served only from below the allowed directories", () => {
  const allowed = (text: string, directories: string[]): boolean => {
    try {
      checkSecretName(parseSecretName(text), directories);
      return true;
    } catch (error) {
      expect(error).toMatchObject({ problem: "forbidden" });
      return false;
    }
  };
  expect(allowed("file-cert:/certs/a.pem~/certs/a.key", ["/certs"])).toBe(true);
  expect(allowed("file-cert:/certs/a.pem~/etc/shadow", ["/certs"])).toBe(false);
  expect(allowed("file-root:/certs/../etc/passwd", ["/certs/"])).toBe(false);
  expect(allowed("file-root:/certs-of-another/a.pem", ["/certs"])).toBe(false);
  expect(allowed("file-root:/certs", ["/certs"])).toBe(false);
  expect(allowed("file-root:/anywhere", ["/"])).toBe(true);
  expect(allowed("file-root:/anywhere", [])).toBe(false);
  expect(allowed("default", [])).toBe(true);
  expect(allowed("file-root:system", [])).toBe(true);
});

function thrownBy(run: () => unknown): SecretNameError {
  try {
    run();
  } catch (error) {
    if (error instanceof SecretNameError) return error;
  }
  throw new Error("nothing was refused");
}
