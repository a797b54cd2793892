// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { countByPort } from "../../../src/envoy/socket-connections.ts";
import { parseSocketRows } from "../../../src/lib/net/socket-table.ts";

const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:3A9E 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1337        0 4908425 1 00000000bdfd4dd2 100 0 0 10 0
   1: 0A00000A:3A9E 0B00000A:C001 01 00000000:00000000 00:00000000 00000000  1337        0 4908500 1 0000000000000000 20 4 30 10 -1
   2: 0A00000A:3A9E 0B00000A:C002 08 00000000:00000000 00:00000000 00000000  1337        0 4908501 1 0000000000000000 20 4 30 10 -1
   3: 0A00000A:3A9E 0B00000A:C003 01 00000000:00000000 00:00000000 00000000     0        0 0 1 0000000000000000 20 4 30 10 -1
   4: 0A00000A:3A9E 0B00000A:C004 06 00000000:00000000 03:00001770 00000000     0        0 0 3 0000000000000000
   5: 0A00000A:3A9E 0B00000A:C005 04 00000000:00000000 00:00000000 00000000     0        0 0 1 0000000000000000
   6: 0A00000A:3A9E 0B00000A:C006 05 00000000:00000000 00:00000000 00000000  1337        0 4908502 1 0000000000000000
   7: 0A00000A:C007 0B00000A:3A9E 01 00000000:00000000 00:00000000 00000000  1337        0 4908503 1 0000000000000000
   8: 0A00000A:3AAD 0B00000A:C008 01 00000000:00000000 00:00000000 00000000  1337        0 4908504 1 0000000000000000
`;

test("rows of the table of sockets are read", () => {
  const rows = parseSocketRows(table);
  expect(rows).toHaveLength(8);
  expect(rows[0]).toEqual({ localPort: 15_006, state: "0A", inode: "4908425" });
  expect(parseSocketRows("")).toEqual([]);
});

test("open are those that are established, wait to be accepted or are half closed, on the ports that count", () => {
  const names = new Map([[15_006, "virtualInbound"]]);
  expect(countByPort(parseSocketRows(table), names)).toEqual([{ listener: "virtualInbound", connections: 4 }]);
  expect(countByPort(parseSocketRows(table), new Map())).toEqual([]);
});
