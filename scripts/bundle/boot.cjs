// SPDX-License-Identifier: Apache-2.0
// The whole of attache.cjs. It reads the script that the command begins with from attache.parts beside it, and runs that. Node.js
// reads, keeps and scans a program's file as a whole, at some 3 ms for each megabyte, so this one is small.
// The other file stays open: a process goes on with the text it was started with when the files are replaced.
"use strict";
{
  const { openSync, readSync } = require("node:fs");
  const { dirname, join } = require("node:path");
  // @ts-expect-error: put in when the bundle is made
  const { build, starts } = BUNDLE_START;
  // the command, or the name that the launcher was called by; any of the scripts runs any command, only slower
  const words = [process.env["ATTACHE_PROGRAM_NAME"] ?? "", process.argv[2] ?? ""];
  const { line, text, cache } = starts[words.find((word) => word !== "" && Object.hasOwn(starts, word)) ?? ""];
  const file = join(dirname(__filename), "attache.parts");
  const descriptor = openSync(file, "r");
  const read = (/** @type {{ offset: number, length: number }} */ { offset, length }) => {
    const bytes = Buffer.allocUnsafeSlow(length);
    readSync(descriptor, bytes, 0, length, offset);
    return bytes;
  };
  if (read({ offset: 0, length: build.length }).toString("latin1") !== build) {
    throw new Error(`${file} is not of the same build as ${__filename}; install both files again`);
  }
  const code = read(text).toString("latin1");
  // what the engine of the build compiled; another one, or one with other flags, does not take it and compiles itself
  const cachedData = read(cache);
  const script = new (require("node:vm").Script)(code, { filename: __filename, lineOffset: line, cachedData });
  script.runInThisContext()(__filename, __dirname, descriptor);
}
