// SPDX-License-Identifier: Apache-2.0
// Run when the bundle is made, with the agent's flags: text of a script in, the engine's compiled form out, on descriptor 3.
// Without arguments it has all functions, inner ones too: for the agent, which runs most of them. The engine compares its
// flags, so the one that makes it compile all of them is taken back.
// With the arguments of a command, the command is run first, and the form has the functions that ran: a command that ends soon
// would spend more time on reading the others. Its requests are answered here.
"use strict";
const { readFileSync, writeSync } = require("node:fs");
const net = require("node:net");
const { Duplex } = require("node:stream");
const { setFlagsFromString } = require("node:v8");
const { Script } = require("node:vm");

/** @param {import("node:vm").Script} script */
const write = (script) => {
  const bytes = script.createCachedData();
  for (let written = 0; written < bytes.length; ) written += writeSync(3, bytes, written);
};

const [, , ...command] = process.argv;
const text = readFileSync(0, "latin1");
if (command.length === 0) {
  setFlagsFromString("--no-lazy");
  const script = new Script(text);
  setFlagsFromString("--lazy");
  write(script);
} else {
  const answer = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok";
  const connect = () => {
    const socket = new Duplex({
      read: () => undefined,
      write: (_chunk, _encoding, done) => {
        socket.push(answer);
        done();
      },
    });
    return socket;
  };
  Object.assign(net, { connect });
  const script = new Script(text);
  process.on("exit", (code) => {
    if (code === 0) write(script);
  });
  script.runInThisContext()(__filename, __dirname);
}
