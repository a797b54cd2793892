// SPDX-License-Identifier: Apache-2.0
import { createPrivateKey, randomBytes } from "node:crypto";

/** Secrets that are planted, each in one place, and looked for in every form. */
export class Canaries {
  readonly #planted = new Map<string, string>();
  readonly #keys = new Map<string, string>();

  /** @returns a text that stands nowhere else: letters and digits, as a password */
  plant(place: string): string {
    const text = `Kn9${randomBytes(12).toString("hex")}`;
    this.#planted.set(place, text);
    return text;
  }

  /** A secret that has a form of its own. */
  add(place: string, secret: string): string {
    this.#planted.set(place, secret);
    return secret;
  }

  addKey(place: string, keyPem: string): string {
    this.#keys.set(place, keyPem);
    return keyPem;
  }

  get places(): readonly string[] {
    return [...this.#planted.keys(), ...this.#keys.keys()];
  }

  /** The places whose secret is in the bytes, with the file and the form. */
  findIn(files: ReadonlyMap<string, Buffer>): readonly string[] {
    const needles = [...this.#planted].map(([place, text]) => [place, formsOfText(text)] as const);
    const keys = [...this.#keys].map(([place, pem]) => [place, formsOfKeyPem(pem)] as const);
    const found: string[] = [];
    for (const [file, bytes] of files) {
      const text = bytes.toString("latin1");
      for (const [place, forms] of [...needles, ...keys]) {
        for (const form of forms) if (text.includes(form)) found.push(`${place}: ${form} in ${file}`);
      }
    }
    return found;
  }
}

/** As it is and its inner part, in base64 at each offset, in hexadecimal, in a URL, backwards. */
export function formsOfText(text: string): readonly string[] {
  const bytes = Buffer.from(text);
  const inner = bytes.subarray(3);
  const encoded = [0, 1, 2].map((offset) => {
    const padded = Buffer.concat([Buffer.alloc(offset), inner])
      .toString("base64")
      .replaceAll("=", "");
    return padded.slice(offset + 1, -2);
  });
  const hex = inner.toString("hex");
  const forms = [inner.toString("latin1"), ...encoded, hex, hex.toUpperCase(), encodeURIComponent(inner.toString())];
  return [...forms, ...encoded.map((form) => form.replaceAll("+", "-").replaceAll("/", "_"))];
}

function formsOfKeyPem(pem: string): readonly string[] {
  const { d = "" } = createPrivateKey(pem).export({ format: "jwk" });
  const number = Buffer.from(d, "base64url");
  const lines = pem.split("\n").filter((line) => line.length >= 16 && !line.startsWith("-----"));
  // a line that certificates have too begins with the same algorithm
  return [...lines, d, number.toString("base64"), number.toString("hex"), number.toString("latin1")];
}
