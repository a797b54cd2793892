// SPDX-License-Identifier: Apache-2.0
// The only code of the bundle that Node.js sees: everything else stands in a comment behind it. It reads and compiles
// the part that starts the program. Nothing of this script is kept, so the engine can let go of the whole file's text.
// The file stays open: a process goes on with the text it was started with when the file is replaced.
"use strict";
{
  const { openSync, readSync } = require("node:fs");
  const descriptor = openSync(__filename, "r");
  // @ts-expect-error: the places of the texts are put in when the bundle is made
  const { line, start, cache } = BUNDLE_START;
  const read = (/** @type {{ offset: number, length: number }} */ { offset, length }) => {
    const bytes = Buffer.allocUnsafeSlow(length);
    readSync(descriptor, bytes, 0, length, offset);
    return bytes.toString("latin1");
  };
  const code = read(start).replaceAll("*\x01/", "*/");
  // what the engine of the build compiled; another one, or one with other flags, does not take it and compiles itself
  const cachedData = Buffer.from(read(cache), "base64");
  const parameters = ["__filename", "__dirname", "descriptor"];
  const place = { filename: __filename, lineOffset: line };
  const run = require("node:vm").compileFunction(code, parameters, { ...place, cachedData });
  // the module object has the whole text; nobody asks for this module again
  delete require.cache[__filename];
  Object.assign(process, { mainModule: undefined });
  run(__filename, __dirname, descriptor);
}
