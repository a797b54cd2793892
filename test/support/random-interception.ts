// SPDX-License-Identifier: Apache-2.0
import { fc } from "./properties.ts";

/** Valid options of `istio-iptables`, and the surroundings of one run. */
export interface RandomInterception {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly addresses: readonly string[];
  readonly resolvConf: string;
}

const list = (item: fc.Arbitrary<string>, maxLength = 4): fc.Arbitrary<string> =>
  fc.array(item, { maxLength }).chain((items) => fc.constantFrom(",", ", ", ",,").map((comma) => items.join(comma)));

const number = (max: number, min = 0): fc.Arbitrary<string> => fc.integer({ min, max }).map(String);
const port = number(65_535, 1);
const ports = list(
  fc.oneof(
    { weight: 4, arbitrary: number(65_535) },
    fc
      .tuple(fc.integer({ min: 0, max: 30_000 }), fc.integer({ min: 30_000, max: 65_535 }))
      .map((pair) => pair.join(":")),
  ),
);
const id = fc.oneof(number(70_000), fc.constantFrom("0", "4294967294", "1337"));
const ids = fc.oneof(fc.constant(""), list(id), list(id, 20));
const groups = list(fc.oneof({ weight: 4, arbitrary: id }, fc.constantFrom("root", "developers")), 48);
const ipv4Cidr = fc.tuple(fc.ipV4(), fc.integer({ min: 0, max: 32 })).map((pair) => pair.join("/"));
const ipv6Cidr = fc.tuple(fc.ipV6(), fc.integer({ min: 0, max: 128 })).map((pair) => pair.join("/"));
const cidrs = list(fc.oneof(ipv4Cidr, ipv6Cidr, fc.constantFrom("127.0.0.0/8", "::1/128", "0.0.0.0/0", "::/0")));
const interfaces = list(
  fc.oneof(
    fc.constantFrom("eth0", "lo", "veth+", "br-lan", "net1.100", "wg_0", "1st", "en=x@2"),
    fc.stringMatching(/^[a-z][a-z0-9]{0,14}$/),
  ),
);
const mark = fc.oneof(
  number(4_294_967_295, 1).filter((text) => text !== "1338"),
  fc.constantFrom("0x539", "0xFFFFFFFF", "1"),
);
const table = number(4_294_967_295, 1).filter((text) => !["253", "254", "255"].includes(text));
const loopback = fc
  .tuple(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 8, max: 32 }))
  .map(([byte, length]) => `127.0.${String(byte)}.1/${String(length)}`);
const server = fc.oneof(fc.ipV4(), fc.ipV6(), fc.constantFrom("127.0.0.53", "::1", "fe80::1%eth0"));

const values: Readonly<Record<string, fc.Arbitrary<string>>> = {
  "--envoy-port": port,
  "--inbound-capture-port": port,
  "--inbound-tunnel-port": port,
  "--proxy-uid": ids,
  "--proxy-gid": ids,
  "--istio-inbound-interception-mode": fc.constantFrom("", "REDIRECT", "TPROXY", "TPROXY"),
  "--istio-inbound-ports": fc.oneof(fc.constant("*"), ports),
  "--istio-local-exclude-ports": ports,
  "--istio-exclude-interfaces": interfaces,
  "--istio-service-cidr": fc.oneof(fc.constant("*"), cidrs),
  "--istio-service-exclude-cidr": cidrs,
  "--istio-outbound-ports": ports,
  "--istio-local-outbound-ports-exclude": ports,
  "--kube-virt-interfaces": interfaces,
  "--istio-inbound-tproxy-mark": mark,
  "--istio-inbound-tproxy-route-table": table,
};
const switches = ["--redirect-dns", "--capture-all-dns", "--drop-invalid", "--dual-stack", "--dual-stack=false"];

const environment: Readonly<Record<string, fc.Arbitrary<string>>> = {
  ISTIO_OUTBOUND_OWNER_GROUPS: fc.oneof(fc.constant("*"), groups),
  ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE: groups,
  ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR: loopback,
  ENVOY_USER: fc.constantFrom("envoy", "nobody-here"),
  DNS_PROXY_ADDR: port.chain((number) => fc.constantFrom(`127.0.0.1:${number}`, `:${number}`, `[::1]:${number}`)),
  ENVOY_PORT: fc.oneof(port, fc.constant("tcp://10.0.0.1:80")),
};

/** Some of the options at a time, as nobody sets all. */
function some(
  all: Readonly<Record<string, fc.Arbitrary<string>>>,
): fc.Arbitrary<readonly (readonly [string, string])[]> {
  return fc
    .subarray(Object.keys(all))
    .chain((names) =>
      fc.tuple(...names.map((name) => (all[name] ?? fc.constant("")).map((text) => [name, text] as const))),
    );
}

export const randomInterception: fc.Arbitrary<RandomInterception> = fc
  .record({
    valued: some(values),
    switched: fc.subarray(switches),
    env: some(environment),
    addresses: fc.constantFrom(["10.0.0.5"], ["fd00::5"], ["10.0.0.5", "fd00::5"], ["fd00::5", "10.0.0.5"]),
    servers: fc.array(server, { maxLength: 3 }),
  })
  .map(({ valued, switched, env, addresses, servers }) => ({
    args: [...valued.map(([name, text]) => `${name}=${text}`), ...switched],
    env: Object.fromEntries(env),
    addresses,
    resolvConf: servers.map((address) => `nameserver ${address}\n`).join(""),
  }));
