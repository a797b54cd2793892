// SPDX-License-Identifier: Apache-2.0
// The least that a Node.js process can do for SDS: each first message of a stream gets the same bytes, nothing is read.
"use strict";
const { createServer } = require("node:http2");

const [, , path = "", size = ""] = process.argv;
const secret = `-----BEGIN CERTIFICATE-----${"x".repeat(Number(size))}`;
const message = Buffer.alloc(5 + secret.length);
message.writeUInt32BE(secret.length, 1);
message.write(secret, 5);
const server = createServer();
server.on("stream", (/** @type {import("node:http2").ServerHttp2Stream} */ stream) => {
  stream.on("error", () => undefined);
  stream.once("data", () => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" });
    stream.write(message);
  });
});
server.listen(path, () => process.send?.("listening"));
