// SPDX-License-Identifier: Apache-2.0
// Run when the bundle is made, with the agent's flags: text of the starting part in, the engine's compiled form out.
"use strict";
const { readFileSync } = require("node:fs");
const { compileFunction } = require("node:vm");

const parameters = ["__filename", "__dirname", "descriptor"];
const { cachedData } = compileFunction(readFileSync(0, "latin1"), parameters, { produceCachedData: true });
process.stdout.write(cachedData?.toString("base64") ?? "");
