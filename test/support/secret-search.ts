// SPDX-License-Identifier: Apache-2.0
import { createPrivateKey } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** A place and what stands there. */
export interface Place {
  readonly where: string;
  readonly text: string;
}

/** The forms in which a private key could show: lines of its PEM, and its secret number in the usual encodings. */
export function formsOfKey(keyPem: string): readonly string[] {
  const lines = keyPem.split("\n").filter((line) => line.length >= 24 && !line.startsWith("-----"));
  const { d = "" } = createPrivateKey(keyPem).export({ format: "jwk" });
  const number = Buffer.from(d, "base64url");
  const hex = number.toString("hex");
  return [...lines, d, number.toString("base64"), hex, hex.toUpperCase(), number.toString("latin1")];
}

/** The places in which any of the needles stands. */
export function findSecrets(needles: readonly string[], places: readonly Place[]): readonly string[] {
  return places.filter(({ text }) => needles.some((needle) => text.includes(needle))).map(({ where }) => where);
}

/** Every file below a folder, sockets aside; `where` is relative to it. */
export function filesBelow(directory: string): readonly Place[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return { where: path.slice(directory.length + 1), text: readFileSync(path, "latin1") };
    });
}

/** What anyone can see of a process. */
export function processPlaces(pid: number): readonly Place[] {
  return ["cmdline", "environ", "comm"].map((name) => ({
    where: `${name} of process ${String(pid)}`,
    text: readFileSync(`/proc/${String(pid)}/${name}`, "latin1"),
  }));
}
