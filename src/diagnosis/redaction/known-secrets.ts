// SPDX-License-Identifier: Apache-2.0

/** Shorter values stand in too many places for other reasons. */
const shortest = 6;
/** More are not looked for; each has a dozen forms. */
const mostSecrets = 400;
const longestSecret = 16 * 1024;

/** Values of variables and members with the name of a secret that are no secret. */
const commonWords: ReadonlySet<string> = new Set(
  `password secret token default disabled enabled unknown cluster.local localhost kubernetes istio-ca istio-token
  third-party-jwt first-party-jwt GoogleComputeEngine bearer Bearer authorization Authorization example`.split(/\s+/),
);

/** Secrets whose values are known, in each form in which they may stand in a text. */
export class KnownSecrets {
  readonly #secrets = new Set<string>();

  /** A secret that was read where secrets are: a token's file, a key's file, a variable with the name of a secret. */
  add(secret: string): void {
    const text = secret.trim();
    if (text.includes("-----BEGIN")) {
      for (const line of text.split(/\r?\n|\\n/)) if (line.length >= 24 && !line.startsWith("-----")) this.#keep(line);
      return;
    }
    if (text.length >= shortest && text.length <= longestSecret && !isCommon(text)) this.#keep(text);
  }

  /** A value that was found by a name beside it. It may be a word that stands in other places for other reasons. */
  learn(secret: string): void {
    const plain = unescaped(secret);
    for (const text of [plain, ...plain.split(/\s+/), ...secret.split(/[\s,;"'\\{}[\]]+/)]) {
      const isPlain = /^[A-Z]?[a-z]*(?:[ ._:/-][a-z]*)*$/.test(text) || /^[\d.,:TZ+-]+$/.test(text);
      if (text.length >= 8 && !isPlain) this.add(text);
    }
  }

  get size(): number {
    return this.#secrets.size;
  }

  /** Whether one of them stands in the text as it is. */
  isIn(text: string): boolean {
    return [...this.#secrets].some((secret) => text.includes(secret));
  }

  /** Every form, as text of bytes (latin1), the longest first. */
  forms(): readonly string[] {
    const all = new Set([...this.#secrets].flatMap(formsOf));
    return [...all].sort((a, b) => b.length - a.length);
  }

  #keep(secret: string): void {
    if (this.#secrets.size < mostSecrets) this.#secrets.add(secret);
  }
}

function isCommon(text: string): boolean {
  return commonWords.has(text) || /^(?:true|false|\d{1,5})$/i.test(text) || text.includes("[redacted]");
}

function unescaped(text: string): string {
  try {
    const value: unknown = JSON.parse(`"${text}"`);
    return typeof value === "string" ? value : text;
  } catch {
    return text;
  }
}

/** The forms of a secret: as it is, in JSON, in a URL, in hexadecimal, and within base64 at each of three offsets. */
export function formsOf(secret: string): readonly string[] {
  const bytes = Buffer.from(secret);
  const hex = bytes.toString("hex");
  const url = encodeURIComponent(secret.toWellFormed());
  const json = JSON.stringify(secret).slice(1, -1);
  const texts = [secret, json, json.replaceAll("/", "\\/"), JSON.stringify(json).slice(1, -1), url, url.toLowerCase()];
  const encodings = [0, 1, 2].flatMap((offset) => withinBase64(bytes, offset));
  const found = [
    ...texts.map((text) => Buffer.from(text).toString("latin1")),
    ...[hex, hex.toUpperCase()],
    ...encodings.flatMap((text) => [text, text.replaceAll("+", "-").replaceAll("/", "_")]),
  ];
  return [...new Set(found)].filter((form) => form.length >= shortest);
}

/** What is always the same of the base64 of a text in which the secret stands at an offset. */
function withinBase64(bytes: Buffer, offset: number): readonly string[] {
  const text = Buffer.concat([Buffer.alloc(offset), bytes]).toString("base64");
  const first = offset === 0 ? 0 : offset + 1;
  const whole = Math.floor(((offset + bytes.length) * 4) / 3);
  const inner = text.slice(first, whole);
  return inner.length >= 8 ? [inner] : [];
}
