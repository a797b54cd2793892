// SPDX-License-Identifier: Apache-2.0
import type {
  CaptureMode,
  CaptureOptions,
  Cidr,
  InboundCapture,
  OutboundCapture,
  OwnerGroups,
} from "../../interception/options.ts";
import { describeError } from "../../lib/errors.ts";
import { suggestion } from "../../lib/nearest-name.ts";
import { selfCallMark } from "../../model/self-call-mark.ts";
import { shown } from "../config-error.ts";
import type { InterceptionInput, SettingText } from "./input.ts";
import { findId, groupsPath, type Machine, usersPath } from "./machine.ts";
import {
  parseCidr,
  parseId,
  parseInterface,
  parseMark,
  parsePort,
  parsePortRange,
  parseRouteTable,
  splitList,
} from "./values.ts";

/** The options that need nothing of the network namespace. Problems go to the input's findings. */
export function parseCapture(input: InterceptionInput, machine: Machine): Omit<CaptureOptions, "families" | "dns"> {
  const port = (name: "envoy-port" | "inbound-capture-port" | "inbound-tunnel-port"): number =>
    input.value(input.setting(name), parsePort, 0);
  const proxyUids = proxyUsers(input, machine);
  const given = ids(input.setting("proxy-gid"), input, namesIn(machine.groups, groupsPath, "group"));
  const proxyGids = given.length === 0 ? proxyUids : given;
  checkOwners(input, "--proxy-uid, --proxy-gid", proxyUids.length + proxyGids.length);
  return {
    mode: captureMode(input),
    outboundPort: port("envoy-port"),
    inboundPort: port("inbound-capture-port"),
    tunnelPort: port("inbound-tunnel-port"),
    proxyUids,
    proxyGids,
    inbound: inboundCapture(input),
    outbound: outboundCapture(input),
    ownerGroups: ownerGroups(input, machine),
    excludedInterfaces: interfaces(input, "istio-exclude-interfaces"),
    virtualInterfaces: interfaces(input, "kube-virt-interfaces"),
    dropInvalid: input.bool("drop-invalid") ?? false,
    ipv4Loopback: ipv4Loopback(input),
  };
}

const everything = "*";
const modes = ["REDIRECT", "TPROXY"] as const;

function captureMode(input: InterceptionInput): CaptureMode {
  const { text, source } = input.setting("istio-inbound-interception-mode");
  if (text !== "" && !modes.some((mode) => mode === text))
    input.findings.problem(source, `${shown(text)} is not REDIRECT or TPROXY${suggestion(text, modes)}`);
  const markSetting = input.setting("istio-inbound-tproxy-mark");
  const mark = input.value(markSetting, parseMark, 0);
  const routeTable = input.value(input.setting("istio-inbound-tproxy-route-table"), parseRouteTable, 0);
  if (text !== "TPROXY") return { kind: "redirect" };
  if (mark === selfCallMark)
    input.findings.problem(
      markSetting.source,
      `${markSetting.text} is used for connections of Envoy; use another mark`,
    );
  return { kind: "tproxy", mark, routeTable };
}

function inboundCapture(input: InterceptionInput): InboundCapture {
  const included = input.setting("istio-inbound-ports");
  const excludedPorts = input.list(input.setting("istio-local-exclude-ports"), parsePortRange);
  if (included.text.trim() === everything) return { kind: "all", excludedPorts };
  const ports = input.list(included, parsePortRange);
  return ports.length === 0 ? { kind: "none" } : { kind: "ports", ports };
}

function outboundCapture(input: InterceptionInput): OutboundCapture {
  const included = input.setting("istio-service-cidr");
  const excluded = input.setting("istio-service-exclude-cidr");
  const exclusion = (item: string): Cidr | string =>
    item === everything ? "excludes every destination; leave --istio-service-cidr empty instead" : parseCidr(item);
  return {
    destinations:
      included.text.trim() === everything ? { kind: "all" } : { kind: "cidrs", cidrs: input.list(included, parseCidr) },
    excludedCidrs: input.list(excluded, exclusion),
    ports: input.list(input.setting("istio-outbound-ports"), parsePortRange),
    excludedPorts: input.list(input.setting("istio-local-outbound-ports-exclude"), parsePortRange),
  };
}

function interfaces(
  input: InterceptionInput,
  name: "istio-exclude-interfaces" | "kube-virt-interfaces",
): readonly string[] {
  const checked = (item: string): { readonly name: string } | string => {
    const found = parseInterface(item);
    return typeof found === "string" ? { name: found } : found.problem;
  };
  return input.list(input.setting(name), checked).map((item) => item.name);
}

function ipv4Loopback(input: InterceptionInput): Cidr {
  const fallback: Cidr = { family: "ipv4", text: "127.0.0.1/32" };
  const checked = (text: string): Cidr | string => {
    const cidr = parseCidr(text);
    if (typeof cidr === "string") return cidr;
    const [address = "", length = ""] = cidr.text.split("/");
    if (!address.startsWith("127.") || Number(length) < 8) return "is not a part of 127.0.0.0/8, as 127.0.0.1/32 is";
    return cidr;
  };
  return input.value(input.variable("ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR"), checked, fallback);
}

const defaultUid = 1337;

/** The given users, else Envoy's by its name, else 1337. */
function proxyUsers(input: InterceptionInput, machine: Machine): readonly number[] {
  const users = namesIn(machine.users, usersPath, "user");
  const given = input.setting("proxy-uid");
  if (splitList(given.text).length > 0) return ids(given, input, users);
  const { text, source } = input.variable("ENVOY_USER");
  const uid = users(text);
  if (typeof uid === "number") return [uid];
  if (input.isSet("ENVOY_USER")) input.findings.warn(source, `${uid}; ${String(defaultUid)} is used`);
  return [defaultUid];
}

/** 64 as in the reference; a line of iptables-restore has room for fewer. */
function mostOwners(input: InterceptionInput): number {
  return input.bool("native-nftables") === true ? 64 : 48;
}

function ownerGroups(input: InterceptionInput, machine: Machine): OwnerGroups {
  const groups = namesIn(machine.groups, groupsPath, "group");
  const included = input.variable("ISTIO_OUTBOUND_OWNER_GROUPS");
  const excluded = input.variable("ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE");
  if (included.text.trim() === everything) return { kind: "all", excludedGids: ids(excluded, input, groups) };
  checkOwners(input, included.source, splitList(included.text).length);
  if (excluded.text !== "") input.findings.warn(excluded.source, `has no effect with ${included.source}`);
  return { kind: "only", gids: ids(included, input, groups) };
}

function checkOwners(input: InterceptionInput, source: string, count: number): void {
  const most = mostOwners(input);
  const hint = count > 64 ? "" : " with iptables; --native-nftables takes 64";
  if (count > most)
    input.findings.problem(source, `has ${String(count)} users and groups; at most ${String(most)}${hint}`);
}

type FindId = (name: string) => number | string;

function ids(setting: SettingText, input: InterceptionInput, find: FindId): readonly number[] {
  return input.list(setting, (item) => parseId(item) ?? find(item));
}

/** Looks names up in a file, which is read when the first name is there. */
function namesIn(read: () => string, path: string, what: "user" | "group"): FindId {
  return (name) => {
    if (/^[\d-]/.test(name)) return `is not the number of a ${what}: 0 to 4294967294`;
    try {
      return findId(read(), name) ?? `is not the name of a ${what} in ${path}; use its number`;
    } catch (error) {
      return `cannot be looked up: ${describeError(error)}; use the number of the ${what}`;
    }
  };
}
