// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { EnvoyAdminError } from "../../../src/envoy/envoy-errors.ts";
import { ListenerSockets, parseListeners } from "../../../src/envoy/listener-sockets.ts";

const ownPorts = [15_021, 15_090];
const own = "0.0.0.0_15021::0.0.0.0:15021\n0.0.0.0_15090::0.0.0.0:15090\n";
const never = new AbortController().signal;

/** An Envoy that shows `says.listeners`, on a machine where `says.open` ports are listened on. */
function fixture() {
  const says: { listeners: string | Error; open: readonly number[] | undefined } = {
    listeners: `${own}inbound::0.0.0.0:15006\nvirtual::0.0.0.0:80\n`,
    open: [...ownPorts, 15_006],
  };
  const admin = {
    request: () => (says.listeners instanceof Error ? Promise.reject(says.listeners) : Promise.resolve(says.listeners)),
  };
  const read = () => Promise.resolve(says.open?.map((port) => ({ ip: new Uint8Array(4), port, inode: String(port) })));
  return { says, sockets: new ListenerSockets(admin, ownPorts, read) };
}

test("listeners without a socket of their own are not missed, those whose socket goes are named", async () => {
  const { says, sockets } = fixture();
  expect(await sockets.read(never)).toEqual({ open: 3, closed: [], allRemoved: false });
  says.open = [15_090, 15_006];
  const closed = ["0.0.0.0_15021 (0.0.0.0:15021)"];
  // also at the next look
  for (let look = 0; look < 2; look++) {
    expect(await sockets.read(never)).toEqual({ open: 2, closed, allRemoved: false });
  }
  says.open = [15_021, 15_090, 15_006];
  expect(await sockets.read(never)).toEqual({ open: 3, closed: [], allRemoved: false });
});

test("a listener that the control plane removes is not lost, unless it was the last", async () => {
  const { says, sockets } = fixture();
  await sockets.read(never);
  says.listeners = `${own}virtual::0.0.0.0:80\n`;
  says.open = ownPorts;
  expect(await sockets.read(never)).toEqual({ open: 2, closed: [], allRemoved: false });
  says.listeners = own;
  expect(await sockets.read(never)).toEqual({ open: 2, closed: [], allRemoved: true });
  says.listeners = `${own}inbound::0.0.0.0:15006\n`;
  expect(await sockets.read(never)).toMatchObject({ allRemoved: false });
});

test("a gateway that never had a listener has lost none", async () => {
  const { says, sockets } = fixture();
  says.listeners = own;
  expect(await sockets.read(never)).toEqual({ open: 2, closed: [], allRemoved: false });
});

test("where it cannot be told nothing is claimed; an Envoy that does not answer is an error", async () => {
  const { says, sockets } = fixture();
  says.open = undefined;
  expect(await sockets.read(never)).toBeUndefined();
  says.listeners = new EnvoyAdminError("status", "GET /listeners", { status: 404 });
  expect(await sockets.read(never)).toBeUndefined();
  says.listeners = new EnvoyAdminError("timeout", "GET /listeners");
  await expect(sockets.read(never)).rejects.toThrow("timeout");
});

test.each([
  ["inbound::0.0.0.0:15006", [{ name: "inbound", address: "0.0.0.0:15006", port: 15_006 }]],
  ["a::b::[::]:80", [{ name: "a::b", address: "[::]:80", port: 80 }]],
  ["6c1c::[fe80::1]:9\n", [{ name: "6c1c", address: "[fe80::1]:9", port: 9 }]],
  ["internal::envoy://connect_originate/", []],
  ["pipe::/var/run/socket", []],
  ["", []],
])("/listeners with %j", (text, expected) => {
  expect(parseListeners(text)).toEqual(expected);
});
