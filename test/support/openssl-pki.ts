// SPDX-License-Identifier: Apache-2.0
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";

export interface IssuedPem {
  readonly chainPem: string;
  readonly keyPem: string;
}

/** A root made by the openssl command, independent of the product's own code. */
export interface OpensslPki {
  readonly rootPem: string;
  /** A new key with a certificate for one SPIFFE ID, valid for a day. */
  issue(spiffeId: string): Promise<IssuedPem>;
}

/** @param directory where keys and certificates are kept */
export async function createOpensslPki(directory: string): Promise<OpensslPki> {
  const openssl = async (...args: string[]): Promise<void> => {
    await execa("openssl", args, { cwd: directory });
  };
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  await openssl(
    "req",
    "-x509",
    ...newKey,
    "-keyout",
    "root.key",
    "-out",
    "root.pem",
    "-days",
    "2",
    "-subj",
    "/O=test root",
  );
  let issued = 0;
  return {
    rootPem: await readFile(join(directory, "root.pem"), "utf8"),
    async issue(spiffeId) {
      const name = `leaf-${String(++issued)}`;
      await openssl("req", ...newKey, "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", "/");
      await writeFile(join(directory, `${name}.ext`), `subjectAltName=critical,URI:${spiffeId}\n`);
      const signing = ["-CA", "root.pem", "-CAkey", "root.key", "-days", "1", "-extfile", `${name}.ext`];
      await openssl("x509", "-req", "-in", `${name}.csr`, ...signing, "-out", `${name}.pem`);
      return {
        chainPem: await readFile(join(directory, `${name}.pem`), "utf8"),
        keyPem: await readFile(join(directory, `${name}.key`), "utf8"),
      };
    },
  };
}
