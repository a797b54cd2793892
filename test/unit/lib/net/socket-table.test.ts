// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { formatIp } from "../../../../src/lib/net/ip-address.ts";
import { parseListeningSockets, programName } from "../../../../src/lib/net/socket-table.ts";

test("the sockets that listen are told from those that are connected", () => {
  const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:3AAC 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000 100 0 0 10 0
   1: 0100007F:3AAC 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0000 20 4 30 10 -1
   2: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0000 100 0 0 10 0`;
  expect(parseListeningSockets(table)).toEqual([
    { ip: Buffer.from([0, 0, 0, 0]), port: 15_020, inode: "4711" },
    { ip: Buffer.from([0, 0, 0, 0]), port: 8_080, inode: "4713" },
  ]);
});

test("addresses are read in the kernel's byte order", () => {
  const table = `   0: 0100007F:3AAD 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: B80D0120000000000000000005000000:3AF2 00000000000000000000000000000000:0000 0A 00:0 00:0 0 0 0 2 1`;
  expect(parseListeningSockets(table).map(({ ip }) => formatIp(ip))).toEqual(["127.0.0.1", "2001:db8::5"]);
});

test.each([
  ["nginx\n", "nginx: master process\0", "nginx"],
  ["node-MainThread\n", "/usr/bin/node\0-e\0require('x.cjs');\nrun();\0/app/dist/attache.cjs\0proxy\0", "attache"],
  ["node\n", "node\0server.mjs\0", "server"],
  ["node\n", "", "node"],
  ["", "", ""],
])("a process called %j with the command line %j is shown as %j", (comm, commandLine, shown) => {
  expect(programName(comm, commandLine)).toBe(shown);
});
