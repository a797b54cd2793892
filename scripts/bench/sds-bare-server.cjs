// SPDX-License-Identifier: Apache-2.0
// The least that a Node.js process can do for SDS: each first message of a stream gets the same response, nothing is read.
// For each message from the parent all open streams get one with another certificate. Arguments: socket, response in base64.
"use strict";
const { createServer } = require("node:http2");

const [, , path = "", response = ""] = process.argv;
const body = Buffer.from(response, "base64");
const message = Buffer.alloc(5 + body.length);
message.writeUInt32BE(body.length, 1);
body.copy(message, 5);
/** @type {Set<import("node:http2").ServerHttp2Stream>} */
const open = new Set();
let rotations = 0;
const server = createServer();
server.on("stream", (/** @type {import("node:http2").ServerHttp2Stream} */ stream) => {
  open.add(stream);
  stream.on("error", () => undefined);
  stream.on("close", () => open.delete(stream));
  stream.once("data", () => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" });
    stream.write(message);
    stream.resume();
  });
});
process.on("message", () => {
  message[message.length >> 1] = "a".charCodeAt(0) + (++rotations % 26);
  for (const stream of open) stream.write(Buffer.from(message));
});
server.listen(path, () => process.send?.("listening"));
