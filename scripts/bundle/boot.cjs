// SPDX-License-Identifier: Apache-2.0
// The first line of attache.cjs; all parts stand in a comment behind it. It reads the script that the command begins with, and
// runs that. bin/attache gives Node.js this line alone, because Node.js reads, scans and keeps a program's file as a whole,
// at some 3 ms for each megabyte. The file stays open: a process keeps the text it was started with when the file
// is replaced.
"use strict";
{
  const { openSync, readSync } = require("node:fs");
  const { dirname, resolve } = require("node:path");
  const file = resolve(process.argv[1] ?? "");
  const descriptor = openSync(file, "r");
  // @ts-expect-error: put in when the bundle is made
  const starts = BUNDLE_STARTS;
  // the command, or the name that the launcher was called by; any of the scripts runs any command, only slower
  const words = [process.env["ATTACHE_PROGRAM_NAME"] ?? "", process.argv[2] ?? ""];
  const { line, text, cache } = starts[words.find((word) => word !== "" && Object.hasOwn(starts, word)) ?? ""];
  // without the end of a comment, which is written otherwise in the file
  const readText = (/** @type {{ offset: number, length: number }} */ { offset, length }) => {
    const bytes = Buffer.allocUnsafeSlow(length);
    readSync(descriptor, bytes, 0, length, offset);
    return bytes.toString("latin1").replaceAll("*\x01/", "*/");
  };
  // what the engine of the build compiled; another one, or one with other flags, does not take it and compiles itself;
  // in pieces, of which none is as large as to stay in the heap until the first complete collection
  const readCompiled = (/** @type {{ offset: number, length: number }} */ { offset, length }) => {
    const bytes = Buffer.allocUnsafeSlow((length / 4) * 3);
    const piece = Buffer.allocUnsafeSlow(65_536);
    let written = 0;
    for (let at = 0; at < length; at += piece.length) {
      const count = readSync(descriptor, piece, 0, Math.min(piece.length, length - at), offset + at);
      written += bytes.write(piece.toString("latin1", 0, count), written, "base64");
    }
    return bytes.subarray(0, written);
  };
  const options = { filename: file, lineOffset: line, cachedData: readCompiled(cache) };
  const script = new (require("node:vm").Script)(readText(text), options);
  // run as a file, the module object has the whole text; it is not asked for again
  delete require.cache[file];
  Object.assign(process, { mainModule: undefined });
  script.runInThisContext()(file, dirname(file), readText, readCompiled);
}
