// SPDX-License-Identifier: Apache-2.0
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import type { TestAuthority } from "../../support/test-authority.ts";

/** Makes revocation lists by the openssl command. */
export interface Revocation {
  /** A list of the certificates revoked so far, with these as well. */
  list(...revokedPems: readonly string[]): Promise<string>;
}

export async function createRevocation(directory: string, authority: TestAuthority): Promise<Revocation> {
  const path = (name: string): string => join(directory, name);
  const key = authority.issuer.privateKey.export({ format: "pem", type: "pkcs8" });
  const section = `database = ${path("index")}\ncrlnumber = ${path("number")}\ndefault_md = sha256\ndefault_crl_days = 1\n`;
  const files = {
    "ca.key": key,
    "ca.pem": authority.rootPem,
    "ca.cnf": `[ca]\ndefault_ca = test\n[test]\n${section}`,
    index: "",
    number: "01\n",
  };
  for (const [name, text] of Object.entries(files)) await writeFile(path(name), text);
  const common = ["ca", "-config", path("ca.cnf"), "-keyfile", path("ca.key"), "-cert", path("ca.pem")];
  return {
    async list(...revokedPems) {
      for (const pem of revokedPems) {
        await writeFile(path("revoked.pem"), pem);
        await execa("openssl", [...common, "-revoke", path("revoked.pem")]);
      }
      await execa("openssl", [...common, "-gencrl", "-out", path("crl.pem")]);
      return readFile(path("crl.pem"), "utf8");
    },
  };
}
