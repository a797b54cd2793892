// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { parseListeningSockets } from "../../../../src/lib/net/socket-table.ts";

test("the sockets that listen are told from those that are connected", () => {
  const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:3AAC 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000 100 0 0 10 0
   1: 0100007F:3AAC 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0000 20 4 30 10 -1
   2: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0000 100 0 0 10 0`;
  expect(parseListeningSockets(table)).toEqual([
    { port: 15_020, inode: "4711" },
    { port: 8_080, inode: "4713" },
  ]);
});
