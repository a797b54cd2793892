// SPDX-License-Identifier: Apache-2.0
// Run when the bundle is made, with the agent's flags: text of a script in, the engine's compiled form out, with all
// functions, inner ones too. The engine compares its flags, so the one that makes it compile all of them is taken back.
"use strict";
const { readFileSync, writeSync } = require("node:fs");
const { setFlagsFromString } = require("node:v8");
const { Script } = require("node:vm");

setFlagsFromString("--no-lazy");
const script = new Script(readFileSync(0, "latin1"));
setFlagsFromString("--lazy");
const bytes = script.createCachedData();
for (let written = 0; written < bytes.length; ) written += writeSync(1, bytes, written);
