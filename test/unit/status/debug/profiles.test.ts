// SPDX-License-Identifier: Apache-2.0
import { text } from "node:stream/consumers";
import { Readable } from "node:stream";
import { expect, test } from "vitest";
import { HeapRedaction } from "../../../../src/status/debug/profiles.ts";

const snapshot = JSON.stringify({
  snapshot: { meta: { node_fields: ["type", "name"] } },
  nodes: [1, 2],
  strings: [
    "<dummy>",
    "ReadinessJudge",
    'quote"d \\ text',
    "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg\n-----END PRIVATE KEY-----\n",
    "kE9x3Lq0aZ12==",
    "größe",
  ],
});

test.each([1, 2, 5, 17, 10_000])(
  "long and encoded texts are gone from a snapshot in chunks of %s bytes, names stay",
  async (size) => {
    const bytes = Buffer.from(snapshot);
    const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, n) =>
      bytes.subarray(n * size, (n + 1) * size),
    );
    const redacted = JSON.parse(await text(Readable.from(chunks).pipe(new HeapRedaction()))) as { strings: string[] };
    expect(redacted).toEqual({
      ...(JSON.parse(snapshot) as object),
      strings: [
        "<dummy>",
        "ReadinessJudge",
        'quote"d \\ text',
        expect.stringMatching(/^\(text of \d+ characters\)$/),
        "(text of 14 characters)",
        "größe",
      ],
    });
  },
);
